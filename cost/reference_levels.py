"""Where the reference tool puts feature maps, caches and weights: the lowest level that fits.

All searches climb a chain and stop at the first memory with room. Capacities are not
shared: each test looks at its own data (quirks Q4 to Q7).
"""

from __future__ import annotations

from dataclasses import dataclass

from cost.overlap import OverlapMode
from cost.reference_graph import ReferenceRuleError, StackGraph, StackInput, input_bits, output_bits
from cost.reference_tiles import TileGeometry
from problems.hardware import Hardware
from problems.workload import Layer, Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlaces:
    """Memories (indices) for what outlives a layer of one tile class.

    `None`: this class, in this mode, has no such cache.
    """

    features: int
    columns: int | None
    rows: int | None
    weights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlaces:
    """Memories of the caches that a tile reads and fills; `None` where it does not."""

    read_columns: int | None
    fill_columns: int | None
    read_rows: int | None
    fill_rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlaces:
    """Memories (indices) of a layer-tile's operands: top level of I, O, and W."""

    inputs: int
    output: int
    weights: int | None


def decide_tile_places(
    hardware: Hardware, stack: StackGraph, mode: OverlapMode, geometry: TileGeometry
) -> TilePlaces:
    """Levels of live features, caches and weights for one tile class on its own.

    The first column tests the column cache's room without the caches themselves (Q4).
    """
    return lowest_places(
        hardware,
        mode,
        alive=geometry.alive_bits,
        columns_bits=0 if geometry.tile.first_column else geometry.column_cache_bits,
        rows_bits=geometry.row_cache_bits,
        corner_bits=geometry.corner_bits,
        weight_bits=stack.weight_bits,
    )


def lowest_places(
    hardware: Hardware,
    mode: OverlapMode,
    *,
    alive: int,
    columns_bits: int,
    rows_bits: int,
    corner_bits: int,
    weight_bits: int,
) -> TilePlaces:
    """Lowest levels for live features, caches and weights of these many bits.

    Weights are tested against one instance of a memory, however many there are (Q5).
    """
    features = _lowest_shared(hardware, alive)
    needed_for_columns = alive + columns_bits
    needed_for_rows = needed_for_columns + rows_bits
    columns = _lowest_shared(hardware, needed_for_columns) if mode.caches_columns else None
    rows = None
    if mode.caches_rows:
        rows = _lowest_shared(hardware, needed_for_rows, columns, corner_bits)
    reserved = hardware.chains[Operand.O][: hardware.level_of(Operand.O, features) + 1]
    chain = hardware.chains[Operand.W]
    for memory in chain:
        occupied = alive if memory in reserved else 0
        if memory == columns:
            occupied = needed_for_columns
        if memory == rows:
            occupied = needed_for_rows - (corner_bits if rows == columns else 0)
        if hardware.memories[memory].size_bits >= weight_bits + occupied:
            return TilePlaces(features=features, columns=columns, rows=rows, weights=memory)
    return TilePlaces(features=features, columns=columns, rows=rows, weights=chain[-1])


def place_input(hardware: Hardware, source: StackInput, bits: int) -> int:
    """Memory where a tile of a stack input is put; see `lowest_for_inputs`."""
    return lowest_for_inputs(hardware, bits, f"{bits} bits of input {source.name}")


def lowest_for_inputs(
    hardware: Hardware, bits: int, what: str, among: tuple[int, ...] | None = None
) -> int:
    """The lowest single memory for I that holds `bits`, of `among` if these are given.

    Raises
    ------
    ReferenceRuleError
        If no memory for activations holds them.
    """
    for memory in hardware.chains[Operand.I] if among is None else among:
        if _single(hardware, memory) and hardware.memories[memory].size_bits >= bits:
            return memory
    raise ReferenceRuleError(f"{hardware.name}: no memory holds {what}")


def place_layer(
    hardware: Hardware,
    layer: Layer,
    extent: tuple[int, int],
    *,
    is_last: bool,
    weights: int,
) -> LayerPlaces:
    """Top levels of a layer-tile of `extent` columns and rows; see `place_tensors`."""
    produced = None if is_last else output_bits(layer, extent)
    return place_tensors(hardware, layer, input_bits(layer, extent), produced, weights)


def place_tensors(
    hardware: Hardware, layer: Layer, operands: int, produced: int | None, weights: int
) -> LayerPlaces:
    """Top levels of a layer-tile of these many bits of inputs and output; inputs choose first.

    The stack's last layer (`produced` is None) writes to the top of the chain; another
    layer's output takes the lowest single memory with room, besides the inputs if they lie
    there too.

    Raises
    ------
    ReferenceRuleError
        If no memory holds the inputs or the output.
    """
    if not layer.computes:
        # The reference knows no concat: its parts lie together where their union fits.
        top = hardware.chains[Operand.O][-1]
        place = top if produced is None else _lowest_shared(hardware, operands)
        return LayerPlaces(inputs=place, output=place, weights=None)
    inputs = lowest_for_inputs(hardware, operands, f"the inputs of layer {layer.name}")
    output = hardware.chains[Operand.O][-1]
    if produced is not None:
        for memory in hardware.chains[Operand.O]:
            needed = produced + (operands if memory == inputs else 0)
            if _single(hardware, memory) and hardware.memories[memory].size_bits >= needed:
                output = memory
                break
        else:
            raise ReferenceRuleError(
                f"{hardware.name}: no memory holds the output of layer {layer.name}"
            )
    return LayerPlaces(
        inputs=inputs,
        output=output,
        weights=None if layer.weight_index is None else weights,
    )


def levels_kept(hardware: Hardware, places: LayerPlaces) -> dict[Operand, int]:
    """How many of its lowest levels each operand keeps when its data lie at `places`."""
    levels = {
        Operand.I: hardware.level_of(Operand.I, places.inputs) + 1,
        Operand.O: hardware.level_of(Operand.O, places.output) + 1,
    }
    if places.weights is not None:
        levels[Operand.W] = hardware.level_of(Operand.W, places.weights) + 1
    return levels


def _single(hardware: Hardware, memory: int) -> bool:
    return hardware.memories[memory].instances == 1


def _lowest_shared(
    hardware: Hardware, bits: int, discounted: int | None = None, discount_bits: int = 0
) -> int:
    """Lowest single memory for both O and I with room; `discounted` may hold less."""
    for memory in hardware.chains[Operand.O]:
        if not (_single(hardware, memory) and hardware.memories[memory].holds(Operand.I)):
            continue
        needed = bits - (discount_bits if memory == discounted else 0)
        if hardware.memories[memory].size_bits >= needed:
            return memory
    raise ReferenceRuleError(
        f"{hardware.name}: no memory shared by inputs and outputs holds {bits} bits"
    )
