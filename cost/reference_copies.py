"""The data copies that the reference tool makes around each layer of a tile."""

from __future__ import annotations

from collections.abc import Mapping

from cost.copies import CopyAction
from cost.reference_graph import (
    StackGraph,
    StackInput,
    input_elements_per_pixel,
    input_extent,
    output_bits,
)
from cost.reference_levels import CachePlaces, LayerPlaces
from cost.reference_tiles import TileGeometry
from cost.rules import RuleSet
from problems.hardware import Hardware
from problems.workload import Layer, Operand


def arrival_copy(
    hardware: Hardware, source: StackInput, geometry: TileGeometry, place: int
) -> CopyAction:
    """Copy of a stack input's tile from the top of the chain to where it is put.

    It fills the stack input's caches on its way down at no cost (quirk Q9).
    """
    return CopyAction(
        bits=source.bits(geometry.sizes[source.name]),
        from_operand=Operand.I,
        from_memory=hardware.chains[Operand.I][-1],
        to_operand=Operand.I,
        to_memory=place,
    )


def copies_before(
    hardware: Hardware,
    stack: StackGraph,
    layer: Layer,
    *,
    geometry: TileGeometry,
    caches: CachePlaces,
    places: LayerPlaces,
    produced_at: Mapping[str, int],
    rules: RuleSet,
) -> list[CopyAction]:
    """Copies that bring the inputs of `layer` to its I level: producers' tiles, then halos.

    A producer's whole tile moves, once per consumer, if it lies elsewhere; a stack
    input only if it lies higher.
    """
    copies: list[CopyAction] = []
    for producer in layer.sources:
        home = produced_at[producer]
        source = stack.input_by_name.get(producer)
        if source is not None:
            if hardware.level_of(Operand.I, home) <= hardware.level_of(Operand.I, places.inputs):
                continue
            bits = source.bits(geometry.sizes[producer])
            # Named as an output where it can be, as the reference does; the way is the same.
            operand = Operand.O if hardware.memories[home].holds(Operand.O) else Operand.I
        else:
            if home == places.inputs:
                continue
            made_by = stack.layer_by_name[producer]
            bits, operand = output_bits(made_by, geometry.sizes[producer]), Operand.O
        copies.append(
            CopyAction(
                bits=bits,
                from_operand=operand,
                from_memory=home,
                to_operand=Operand.I,
                to_memory=places.inputs,
            )
        )
    for position in range(len(layer.sources)):
        copies += _halo_copies(layer, position, geometry, caches, places, rules)
    return copies


def copies_after(
    layer: Layer, *, geometry: TileGeometry, caches: CachePlaces, places: LayerPlaces
) -> list[CopyAction]:
    """Copies that put the rows and columns of `layer`'s output into its caches.

    Empty for the stack's last layer, whose output no layer of the stack reads.
    """
    if layer.name not in geometry.kept:
        return []
    width, height = geometry.sizes[layer.name]
    kept_columns, kept_rows = geometry.kept[layer.name]
    copies: list[CopyAction] = []
    written_rows = 0
    if caches.fill_rows is not None and caches.fill_rows != places.output:
        written_rows = kept_rows
        bits = output_bits(layer, (width, kept_rows))
        copies.append(_within(Operand.O, bits, places.output, caches.fill_rows))
    if caches.fill_columns is not None and caches.fill_columns != places.output:
        bits = output_bits(layer, (kept_columns, height - written_rows))
        copies.append(_within(Operand.O, bits, places.output, caches.fill_columns))
    return [copy for copy in copies if copy.bits > 0]


def _halo_copies(
    layer: Layer,
    position: int,
    geometry: TileGeometry,
    caches: CachePlaces,
    places: LayerPlaces,
    rules: RuleSet,
) -> list[CopyAction]:
    """Cached columns (all their rows), then cached rows without those columns."""
    columns, rows = input_extent(layer, geometry.sizes[layer.name])
    cached_columns, cached_rows = geometry.overlap[layer.name, position]
    precision = layer.precision
    width = (
        precision.input_bits if rules.cached_reads_at_data_width else precision.output_bits
    ) * input_elements_per_pixel(layer)
    copies: list[CopyAction] = []
    if caches.read_columns is not None and caches.read_columns != places.inputs:
        bits = cached_columns * rows * width
        copies.append(_within(Operand.I, bits, caches.read_columns, places.inputs))
    if caches.read_rows is not None and caches.read_rows != places.inputs:
        fresh = columns - (cached_columns if caches.read_columns is not None else 0)
        bits = fresh * cached_rows * width
        copies.append(_within(Operand.I, bits, caches.read_rows, places.inputs))
    return [copy for copy in copies if copy.bits > 0]


def _within(operand: Operand, bits: int, from_memory: int, to_memory: int) -> CopyAction:
    return CopyAction(
        bits=bits,
        from_operand=operand,
        from_memory=from_memory,
        to_operand=operand,
        to_memory=to_memory,
    )
