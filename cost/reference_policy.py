"""The reference tool's schedule for one tile size and overlap mode.

Everything but the temporal mapping is decided by rule: where to cut, one tile size and
mode for all stacks, and for every tensor the lowest memory that it fits. The mapping of
each layer-tile comes from a mapper that is passed in (docs/cost-model.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cost.copies import CopyAction
from cost.kernel import overflows
from cost.least_demand import least_overflows
from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
from cost.overlap import OverlapMode
from cost.policy_result import (
    MappedLayer,
    Mapper,
    PolicyResult,
    ScheduledInput,
    ScheduledLayer,
    ScheduledStack,
    ScheduledTile,
    copy_phase,
    summarise,
)
from cost.reference_copies import arrival_copy, copies_after, copies_before
from cost.reference_graph import (
    Extent,
    ReferenceRuleError,
    StackGraph,
    StackInput,
    resized,
)
from cost.reference_levels import (
    CachePlaces,
    LayerPlaces,
    TilePlaces,
    decide_tile_places,
    levels_kept,
    place_input,
    place_layer,
)
from cost.reference_stacks import automatic_stacks
from cost.reference_tiles import TileClass, TileGeometry, tile_classes, tile_geometry
from cost.rules import DEFINES, RuleSet
from problems.errors import FuseproofError
from problems.hardware import Hardware
from problems.workload import Layer, Operand, Workload

_MappingKey = tuple[str, tuple[tuple[str, int], ...], tuple[tuple[Operand, int], ...]]


NOTHING = MappedLayer(
    mac_pj=0.0,
    memory_pj=(),
    temporal_cycles=0,
    stall_cycles=0,
    loading_cycles=0,
    mapping=TemporalMapping(loops=(), cuts={}),
)
"""What a concat does."""


class NoMappingError(FuseproofError):
    """A layer-tile has no temporal mapping that fits, even over all memory levels."""


def reference_schedule(
    hardware: Hardware,
    workload: Workload,
    *,
    mode: OverlapMode,
    tile: Extent,
    mapper: Mapper,
    rules: RuleSet = DEFINES,
    stacks: Sequence[StackGraph] | None = None,
) -> PolicyResult:
    """Schedule a workload by the reference's rules.

    Parameters
    ----------
    tile
        Columns and rows of each stack's output tile.
    mapper
        Finds the temporal mapping of a layer-tile; equal layer-tiles are mapped once.
    stacks
        Stacks at effective sizes; by default the reference's own cuts.

    Raises
    ------
    NoMappingError
        If the mapper finds nothing for a layer-tile, even over all levels.
    ReferenceRuleError
        If the tile size is not positive, some memory chain cannot hold a tensor, the
        workload has several outputs, or the rules have no word for its dilation.
    """
    for layer in workload.layers:
        if not rules.true_spans and (layer.dilation_x, layer.dilation_y) != (1, 1):
            raise ReferenceRuleError(f"layer {layer.name}: the rules {rules.name} know no dilation")
    memo = RaisingMapper(hardware, workload.name, rules, mapper)
    chosen = automatic_stacks(hardware, workload) if stacks is None else stacks
    return summarise(
        hardware,
        workload.name,
        [_schedule_stack(hardware, stack, mode, tile, memo, rules) for stack in chosen],
    )


def overfilled_memories(
    hardware: Hardware, workload: Workload, result: PolicyResult, rules: RuleSet
) -> dict[str, tuple[str, ...]]:
    """Memories in which mapped blocks take more than there is, each with the layers (Q12)."""
    layers = workload.by_name
    found: dict[str, dict[str, None]] = {}
    for each in (each for stack in result.stacks for tile in stack.tiles for each in tile.layers):
        layer, kept = layers[each.name], dict(each.levels)
        if not layer.computes:
            continue
        layer_tile = LayerTile(
            layer=layer,
            sizes=each.sizes,
            levels={name: kept[memory_operand(name)] for name in operand_names(layer)},
        )
        mapping = each.mapped.mapping
        assert isinstance(mapping, TemporalMapping)
        unroll = hardware.unrolling(workload.name, layer)
        for over in overflows(hardware, unroll, layer_tile, mapping, rules):
            found.setdefault(hardware.memories[over.memory].name, {})[layer.name] = None
    return {memory: tuple(names) for memory, names in found.items()}


class RaisingMapper:
    """A mapper that remembers, and asks for higher levels where nothing fits.

    Raises NoMappingError if nothing fits over all levels.
    """

    def __init__(self, hardware: Hardware, workload: str, rules: RuleSet, mapper: Mapper) -> None:
        self._hardware, self._workload, self._rules = hardware, workload, rules
        self._mapper = mapper
        self._known: dict[_MappingKey, MappedLayer | None] = {}

    def map_layer(
        self, layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> tuple[MappedLayer, dict[Operand, int]]:
        """Map over `levels`, or over the first higher ones that work."""
        for kept in _widened(self._hardware, levels):
            key = (layer.name, tuple(sizes.items()), tuple(sorted(kept.items())))
            if key not in self._known:
                self._known[key] = self._mapper(layer, sizes, kept)
            mapped = self._known[key]
            if mapped is not None:
                return mapped, kept
        raise self._no_mapping(layer, sizes, kept)

    def _no_mapping(
        self, layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> NoMappingError:
        """The error, with the memory that even the smallest blocks overfill furthest."""
        hardware = self._hardware
        tile = LayerTile(
            layer=layer,
            sizes=tuple(sizes.items()),
            levels={name: levels[memory_operand(name)] for name in operand_names(layer)},
        )
        unroll = hardware.unrolling(self._workload, layer)
        cause, lever = f"fits the memories of {hardware.name}", ""
        over = least_overflows(hardware, unroll, tile, self._rules)
        if over:
            # What lies beside may leave a memory without a bit.
            worst = max(over, key=lambda each: each.held_bits / max(each.budget_bits, 0.5))
            memory = hardware.memories[worst.memory].name
            cause += (
                f": its smallest blocks in {memory} need {worst.held_bits:,} bits, the limit "
                f"is {worst.budget_bits:,} bits"
            )
            lever = f" or enlarge {memory}"
        return NoMappingError(
            f"no temporal mapping of layer {layer.name} at sizes "
            f"{', '.join(f'{dim}={size}' for dim, size in sizes.items())} {cause}; "
            f"try a smaller tile{lever}"
        )


def _widened(hardware: Hardware, levels: Mapping[Operand, int]) -> Iterator[dict[Operand, int]]:
    """The levels asked for, then extra ones for O and I in the reference's order."""
    top = {operand: len(chain) for operand, chain in hardware.chains.items()}
    yield dict(levels)
    for extra in range(1, max(top.values()) + 1):
        for more_o, more_i in ((extra, extra - 1), (extra - 1, extra), (extra, extra)):
            yield dict(levels) | {
                Operand.O: min(levels[Operand.O] + more_o, top[Operand.O]),
                Operand.I: min(levels[Operand.I] + more_i, top[Operand.I]),
            }


def _schedule_stack(
    hardware: Hardware,
    stack: StackGraph,
    mode: OverlapMode,
    tile: Extent,
    memo: RaisingMapper,
    rules: RuleSet,
) -> ScheduledStack:
    classes = tile_classes(stack, tile)
    geometries = [tile_geometry(stack, mode, each) for each in classes]
    places = [decide_tile_places(hardware, stack, mode, geometry) for geometry in geometries]
    weights = max((each.weights for each in places), key=lambda m: hardware.level_of(Operand.W, m))
    tiles = []
    for geometry, own in zip(geometries, places, strict=True):
        caches = _cache_places(mode, geometry.tile, classes, places)
        level = hardware.chains[Operand.W][-1] if geometry.tile.very_first else weights
        tiles.append(
            _schedule_tile(
                hardware, stack, geometry, replace(own, weights=level), caches, memo, rules
            )
        )
    return ScheduledStack(
        layers=tuple(layer.name for layer in stack.layers),
        tile=tile,
        mode=mode,
        tiles=tuple(tiles),
    )


def _cache_places(
    mode: OverlapMode,
    tile: TileClass,
    classes: Sequence[TileClass],
    places: Sequence[TilePlaces],
) -> CachePlaces:
    """Cache levels of a tile: its right neighbour and the stack's last tile decide (Q6)."""
    own = places[classes.index(tile)]
    rows = next(place.rows for each, place in zip(classes, places, strict=True) if each.very_last)
    # Middle and last columns decide alike, so any class to the right will do.
    right = next(
        (
            place.columns
            for each, place in zip(classes, places, strict=True)
            if not each.first_column
            and (each.first_row, each.last_row) == (tile.first_row, tile.last_row)
        ),
        None,
    )
    return CachePlaces(
        read_columns=own.columns if tile.reads_columns(mode) else None,
        fill_columns=right if tile.writes_columns(mode) else None,
        read_rows=rows if tile.reads_rows(mode) else None,
        fill_rows=rows if tile.writes_rows(mode) else None,
    )


def _schedule_tile(
    hardware: Hardware,
    stack: StackGraph,
    geometry: TileGeometry,
    tile_places: TilePlaces,
    caches: CachePlaces,
    memo: RaisingMapper,
    rules: RuleSet,
) -> ScheduledTile:
    inputs = tuple(_schedule_input(hardware, source, geometry) for source in stack.inputs)
    produced_at = {each.name: each.memory for each in inputs}
    pending: list[CopyAction] = []
    layers: list[ScheduledLayer] = []
    for layer in stack.layers:
        places, sizes, levels, mapped = _map_layer(
            hardware, stack, layer, geometry, tile_places, memo
        )
        arriving = copies_before(
            hardware,
            stack,
            layer,
            geometry=geometry,
            caches=caches,
            places=places,
            produced_at=produced_at,
            rules=rules,
        )
        layers.append(
            ScheduledLayer(
                name=layer.name,
                sizes=sizes,
                places=places,
                levels=tuple(levels.items()),
                mapped=mapped,
                copies=copy_phase(hardware, [*pending, *arriving]),
            )
        )
        produced_at[layer.name] = places.output
        pending = copies_after(layer, geometry=geometry, caches=caches, places=places)
    return ScheduledTile(
        tile=geometry.tile,
        places=tile_places,
        caches=caches,
        inputs=inputs,
        layers=tuple(layers),
    )


def _schedule_input(
    hardware: Hardware, source: StackInput, geometry: TileGeometry
) -> ScheduledInput:
    extent = geometry.sizes[source.name]
    memory = place_input(hardware, source, source.bits(extent))
    arrival = arrival_copy(hardware, source, geometry, memory)
    return ScheduledInput(
        name=source.name, extent=extent, memory=memory, copies=copy_phase(hardware, [arrival])
    )


def _map_layer(
    hardware: Hardware,
    stack: StackGraph,
    layer: Layer,
    geometry: TileGeometry,
    tile_places: TilePlaces,
    memo: RaisingMapper,
) -> tuple[LayerPlaces, tuple[tuple[str, int], ...], dict[Operand, int], MappedLayer]:
    """Place and map one layer; where nothing fits, its data move up with the levels."""
    extent = geometry.sizes[layer.name]
    sizes = resized(layer, extent).loops
    places = place_layer(
        hardware, layer, extent, is_last=layer is stack.last, weights=tile_places.weights
    )
    if not layer.computes:
        return places, sizes, levels_kept(hardware, places), NOTHING
    mapped, levels = memo.map_layer(layer, dict(sizes), levels_kept(hardware, places))
    raised = replace(
        places,
        inputs=hardware.chains[Operand.I][levels[Operand.I] - 1],
        output=hardware.chains[Operand.O][levels[Operand.O] - 1],
    )
    return raised, sizes, levels, mapped
