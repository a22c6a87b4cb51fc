"""What memories must hold at every step of a scheduled stack, against their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cost.recost_layer import MappedLayerTile, memory_index, top_memory
from cost.recost_tiles import (
    StackGeometry,
    edge,
    map_bits,
    operand_channels,
    operand_extent,
    walk_axis,
)
from cost.recost_tiles import producer_bits as bits_of_producer
from cost.rules import RuleSet
from cost.schedule import StackPlan, TilePlan
from problems.hardware import Hardware
from problems.workload import Layer, Operand, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class StackView:
    """A scheduled stack beside its layers (from position `start` of the chain) and tiles."""

    workload: Workload
    hardware: Hardware
    rules: RuleSet
    plan: StackPlan
    start: int
    layers: tuple[Layer, ...]
    geometry: StackGeometry

    def is_source(self, position: int, memory: str) -> bool:
        """Whether data of the edge into layer `position` lies in the input map anyway."""
        return position == 0 and memory == self.plan.source


def joint_overflows(
    view: StackView, mapped: Mapping[tuple[int, int], MappedLayerTile]
) -> Iterator[str]:
    """Name every step at which everything alive passes a memory's size.

    `mapped[kind, position]` are the stack's mapped layer-tiles.
    """
    hardware, plan = view.hardware, view.plan
    resting = standing_bits(view)
    dram = {top_memory(hardware, operand) for operand in Operand}
    for kind, tile in enumerate(plan.tiles):
        for position, step in enumerate(tile.layers):
            layer_tile = mapped.get((kind, position))
            if layer_tile is None:
                continue
            in_place = _in_place(view, layer_tile, kind, position)
            own = _own_weights(view, position)
            for memory, level in enumerate(hardware.memories):
                if memory in dram:
                    continue
                held = layer_tile.total_bits(memory) + resting.get(memory, 0)
                held -= in_place.get(memory, 0) + own.get(memory, 0)
                if held > level.size_bits:
                    yield (
                        f"tiles of columns {tile.columns} and rows {tile.rows}: layer "
                        f"{step.layer} needs {held} bits of {level.name}, it has "
                        f"{level.size_bits}"
                    )
        yield from _landing_overflow(view, tile, resting)


def _landing_overflow(view: StackView, tile: TilePlan, resting: Mapping[int, int]) -> Iterator[str]:
    """The stack's input tile lands in a memory beside all that stays there."""
    first = tile.layers[0]
    landing = memory_index(view.hardware, first.producer)
    if first.producer == view.plan.source:
        return
    if landing == top_memory(view.hardware, Operand.I):
        return
    x = view.geometry.columns[tile.columns[0]][0]
    y = view.geometry.rows[tile.rows[0]][0]
    fresh = edge(
        view.layers[0], x, y, bits_of_producer(view.workload, view.start), view.rules
    ).fresh_bits
    held = fresh + resting.get(landing, 0)
    size = view.hardware.memories[landing].size_bits
    if held > size:
        yield (
            f"tiles of columns {tile.columns} and rows {tile.rows}: the input tile needs "
            f"{held} bits of {first.producer}, it has {size}"
        )


def standing_bits(view: StackView) -> dict[int, int]:
    """Bits by memory index that stay through a stack: weights, caches, whole maps."""
    bits: dict[int, int] = {}

    def add(memory: str, amount: int) -> None:
        index = memory_index(view.hardware, memory)
        bits[index] = bits.get(index, 0) + amount

    for layer, memory in zip(view.layers, view.plan.weights, strict=True):
        if memory is not None:
            add(memory, layer.weight_volume_bits)
    for position in range(len(view.layers)):
        for memory in cache_memories(view.plan, position, "h"):
            if not view.is_source(position, memory):
                add(memory, h_cache_bits(view, position))
        for memory in cache_memories(view.plan, position, "v"):
            if not view.is_source(position, memory):
                add(memory, v_cache_bits(view, position))
    if view.start > 0:
        add(view.plan.source, map_bits(view.workload, view.start - 1))
    add(view.plan.target, map_bits(view.workload, view.start + len(view.layers) - 1))
    return bits


def cache_memories(plan: StackPlan, position: int, which: str) -> set[str]:
    """Memories that hold the H or V cache on the edge into layer `position`."""
    used: set[str] = set()
    for tile in plan.tiles:
        step = tile.layers[position]
        names = (step.h_use, step.h_make) if which == "h" else (step.v,)
        used.update(name for name in names if name is not None)
    return used


def h_cache_bits(view: StackView, position: int) -> int:
    """Largest block of columns that is handed over on an edge."""
    layer = view.layers[position]
    columns = max((c[position].overlap for c in view.geometry.columns[:-1]), default=0)
    rows = max(r[position].extent - r[position].reused for r in view.geometry.rows)
    if not view.plan.mode.caches_columns:
        return 0
    return operand_channels(layer) * columns * rows * layer.precision.input_bits


def v_cache_bits(view: StackView, position: int) -> int:
    """Rows that are handed over on an edge, over the whole width of the operand."""
    layer = view.layers[position]
    if not view.plan.mode.caches_rows:
        return 0
    rows = max((r[position].overlap for r in view.geometry.rows[:-1]), default=0)
    beside = max((c[position].overlap for c in view.geometry.columns[:-1]), default=0)
    width = operand_extent(layer, "X", layer.sizes["OX"], view.rules) + beside
    return operand_channels(layer) * rows * width * layer.precision.input_bits


def _own_weights(view: StackView, position: int) -> dict[int, int]:
    """The layer's resident weights: the mapping counts them already."""
    memory = view.plan.weights[position]
    if memory is None:
        return {}
    return {memory_index(view.hardware, memory): view.layers[position].weight_volume_bits}


def _in_place(
    view: StackView, layer_tile: MappedLayerTile, kind: int, position: int
) -> dict[int, int]:
    """Bits of a tile that lie inside a whole feature map which is counted already."""
    step = view.plan.tiles[kind].layers[position]
    inside: dict[int, int] = {}
    if position == 0 and step.operand == step.producer == view.plan.source:
        memory = memory_index(view.hardware, step.operand)
        inside[memory] = layer_tile.held_bits["I"][memory]
    if position == len(view.layers) - 1 and step.output == view.plan.target:
        memory = memory_index(view.hardware, step.output)
        tile = view.plan.tiles[kind]
        x = view.geometry.columns[tile.columns[0]][position]
        y = view.geometry.rows[tile.rows[0]][position]
        layer = view.layers[position]
        # The map keeps finished outputs; wider partial sums need room beside it.
        bits = layer.channels * x.outputs * y.outputs * layer.precision.output_bits
        inside[memory] = inside.get(memory, 0) + bits
    return inside


def separate_overflows(
    view: StackView, mapped: Mapping[tuple[int, int], MappedLayerTile]
) -> Iterator[str]:
    """Name what the reference's rules forbid: they look at one kind of data at a time."""
    hardware, plan = view.hardware, view.plan
    for kind, tile in enumerate(plan.tiles):
        for position, step in enumerate(tile.layers):
            layer = view.layers[position]
            x = view.geometry.columns[tile.columns[0]][position]
            y = view.geometry.rows[tile.rows[0]][position]
            channels = operand_channels(layer)
            inputs = channels * x.extent * y.extent * layer.precision.input_bits
            outputs = layer.sizes["B"] * layer.channels * x.outputs * y.outputs
            outputs *= layer.precision.output_bits
            shared = inputs if step.operand == step.output else 0
            for what, memory_name, demand in (
                ("operand", step.operand, inputs),
                ("output", step.output, outputs + shared),
            ):
                size = hardware.memories[memory_index(hardware, memory_name)].size_bits
                if demand > size:
                    yield (
                        f"layer {step.layer}: {what} needs {demand} bits of {memory_name} ({size})"
                    )
            layer_tile = mapped.get((kind, position))
            for memory, level in enumerate(hardware.memories):
                held = layer_tile.total_bits(memory) if layer_tile else 0
                if held > level.size_bits:
                    yield (
                        f"layer {step.layer}: the mapping holds {held} bits in {level.name}, "
                        f"it has {level.size_bits}"
                    )
        yield from _reference_cache_overflows(view, tile)
    weights: dict[str, int] = {}
    for layer, resident in zip(view.layers, plan.weights, strict=True):
        if resident is not None:
            weights[resident] = weights.get(resident, 0) + layer.weight_volume_bits
    for resident, bits in weights.items():
        size = hardware.memories[memory_index(hardware, resident)].size_bits
        if bits > size:
            yield f"weights need {bits} bits of {resident}, it has {size}"


def _reference_cache_overflows(view: StackView, tile: TilePlan) -> Iterator[str]:
    """H caches are judged at the tile that reads them, V caches at the last tile."""
    alive = live_peak_bits(view, tile)
    held: dict[str, int] = {}
    is_last = sum(tile.columns) == len(view.geometry.columns) and sum(tile.rows) == len(
        view.geometry.rows
    )
    # The reference sizes caches as if rows were always kept.
    tall = walk_axis(
        view.layers, "Y", view.layers[-1].sizes["OY"], view.plan.tile_y, True, view.rules
    )[tile.rows[0]]
    for position, step in enumerate(tile.layers):
        layer = view.layers[position]
        x = view.geometry.columns[tile.columns[0]][position]
        y = tall[position]
        width = layer.precision.input_bits * operand_channels(layer)
        if step.h_use is not None and x.reused:
            bits = width * x.overlap * y.extent
            held[step.h_use] = held.get(step.h_use, 0) + bits
        if step.v is not None and is_last and len(view.geometry.rows) > 1:
            full = operand_extent(layer, "X", layer.sizes["OX"], view.rules)
            corner = width * x.overlap * y.overlap if step.h_use == step.v else 0
            bits = width * full * y.overlap - corner
            held[step.v] = held.get(step.v, 0) + bits
    for memory, bits in held.items():
        size = view.hardware.memories[memory_index(view.hardware, memory)].size_bits
        if alive + bits > size:
            yield (
                f"tiles of columns {tile.columns} and rows {tile.rows}: live data and caches "
                f"need {alive + bits} bits of {memory}, it has {size}"
            )


def live_peak_bits(view: StackView, tile: TilePlan) -> int:
    """Peak of the feature data of one tile, walking the stack's layers."""
    peak = 0
    stored = 0
    for position, layer in enumerate(view.layers):
        x = view.geometry.columns[tile.columns[0]][position]
        y = view.geometry.rows[tile.rows[0]][position]
        amounts = edge(
            layer, x, y, bits_of_producer(view.workload, view.start + position), view.rules
        )
        if position == 0:
            stored = amounts.fresh_bits
        made = layer.sizes["B"] * layer.channels * x.outputs * y.outputs
        made *= layer.precision.output_bits
        peak = max(peak, stored, amounts.input_bits + made, stored + made)
        stored = made
    return peak
