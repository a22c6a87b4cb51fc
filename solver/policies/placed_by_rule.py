"""The reference's rules of placement on true tiles: every tensor in the lowest memory it fits.

Where the rule set knows padding and branches, tiles are those of the solver, not the
reference's; the rules still look at one tensor at a time, so memories may be overfilled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost.exact_mapper import exact_mapper
from cost.policy_result import MappedLayer
from cost.recost_layer import (
    OperandCopies,
    copies_before,
    map_layer_tile,
    weight_arrival,
    writing_out,
)
from cost.recost_tiles import StackGeometry, edge_bits, stack_geometry
from cost.reference_graph import ReferenceRuleError
from cost.reference_levels import (
    LayerPlaces,
    TilePlaces,
    levels_kept,
    lowest_for_inputs,
    lowest_places,
    place_tensors,
)
from cost.reference_policy import NoMappingError, RaisingMapper
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, StackPlan, TilePlan
from cost.stack_graph import StackGraph
from cost.stack_tiles import StackTiling, TileKind
from problems.hardware import Hardware
from problems.problem import Problem
from problems.workload import Layer, Operand
from solver.kind_tables import fetching_edge
from solver.policies.room import Room, less_room
from solver.policies.written_policy import written_mapping
from solver.stack_option import StackOption
from solver.stack_tables import StackTables


def place_by_rule(tables: StackTables, option: StackOption, mappers: Mappers) -> StackPlan:
    """Place and map a stack as if each tensor had the memories for itself.

    Raises NoMappingError or ReferenceRuleError if something fits nowhere.
    """
    tiling = tables.tiling(option)
    places = _stack_places(tables, tiling)
    view = StackRules(
        tables=tables,
        tiling=tiling,
        geometry=_geometry(tables, option),
        places=places,
        weights=(places.weights,) * len(tiling.graph.layers),
        mappers=mappers,
        room=None,
    )
    return _stack_plan(view)


def place_within(
    tables: StackTables, option: StackOption, mappers: Mappers, *, weights_alone: bool
) -> StackPlan:
    """Place and map a stack by the same rules, and move up what overfills a memory.

    Each tensor takes the lowest memory with room beside all that is alive then, and mappings
    use that room only. Where nothing fits what takes the largest share of its memory moves up:
    tiles that wait, else a cache or a layer's weights. `weights_alone`: each layer's weights
    start in the lowest memory that holds them, not where all the stack's fit. Raises as
    `place_by_rule` does.
    """
    tiling = tables.tiling(option)
    geometry = _geometry(tables, option)
    places = _stack_places(tables, tiling)
    weights = [places.weights] * len(option.layers)
    if weights_alone:
        weights = [_lowest_for_weights(tables, layer) for layer in tiling.graph.layers]
    room = Room(tables, tiling, places, weights)
    while True:
        try:
            return _stack_plan(
                StackRules(
                    tables=tables,
                    tiling=tiling,
                    geometry=geometry,
                    places=room.places,
                    weights=tuple(room.weights),
                    mappers=mappers,
                    room=room,
                )
            )
        except (NoMappingError, ReferenceRuleError):
            if not room.make():
                raise


class Mappers:
    """Exact mappers onto the accelerator and onto what is left of its memories."""

    def __init__(self, problem: Problem, rules: RuleSet) -> None:
        self.problem, self.rules = problem, rules
        self._known: dict[Hardware, RaisingMapper] = {}

    def onto(self, hardware: Hardware) -> RaisingMapper:
        """The mapper onto `hardware`; it remembers what it was asked."""
        if hardware not in self._known:
            workload = self.problem.workload.name
            mapper = exact_mapper(hardware, workload, self.rules)
            self._known[hardware] = RaisingMapper(hardware, workload, self.rules, mapper)
        return self._known[hardware]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRules:
    """A stack, its tiles, and what the rules decide once for all of them.

    `weights`: memory in which each layer's stay. `room`: what is alive beside a tensor; None
    if tensors do not share memories.
    """

    tables: StackTables
    tiling: StackTiling
    geometry: StackGeometry
    places: TilePlaces
    weights: tuple[int, ...]
    mappers: Mappers
    room: Room | None

    @property
    def graph(self) -> StackGraph:
        """The stack's layers and tensors."""
        return self.tiling.graph

    def name(self, memory: int) -> str:
        """Name of a memory."""
        return self.tables.problem.hardware.memories[memory].name

    @property
    def dram(self) -> str:
        """Name of the outermost memory."""
        return self.name(self.tables.domains.dram)

    def left(self, kind: TileKind, e: int, lies_in: dict[int, int], *, landing: bool) -> Hardware:
        """The accelerator with what of its memories is free for layer `e` (or its fetches)."""
        if self.room is None:
            return self.tables.problem.hardware
        return self.room.left(kind, e, lies_in, landing=landing)


def _geometry(tables: StackTables, option: StackOption) -> StackGeometry:
    graph = tables.graph(option.layers)
    names = tuple(layer.name for layer in graph.layers)
    exports = frozenset(names[e] for e in graph.exports)
    size = (option.tile_x, option.tile_y)
    workload = tables.problem.workload
    return stack_geometry(workload, names, size, option.mode, exports, tables.rules)


def _stack_plan(view: StackRules) -> StackPlan:
    hardware, graph, tiling = view.tables.problem.hardware, view.graph, view.tiling
    kept = tuple(
        view.name(memory) if layer.has_weights else None
        for layer, memory in zip(graph.layers, view.weights, strict=True)
    )
    energy, cycles = 0.0, 0
    for layer, memory in zip(graph.layers, kept, strict=True):
        if memory not in (None, view.dram):
            arrival = weight_arrival(hardware, layer, memory)
            energy, cycles = energy + arrival.energy_pj, cycles + arrival.latency_cycles
    return StackPlan(
        layers=tuple(layer.name for layer in graph.layers),
        tile_x=tiling.tile_x,
        tile_y=tiling.tile_y,
        mode=tiling.mode,
        source=view.dram,
        carried=None,
        target=view.dram,
        weights=kept,
        arrival_energy_pj=energy,
        arrival_latency_cycles=cycles,
        tiles=tuple(_tile(view, kind) for kind in tiling.kinds),
    )


def _stack_places(tables: StackTables, tiling: StackTiling) -> TilePlaces:
    """Caches and weights: one memory each for all tiles of a stack.

    As in the reference the tiles that read columns say where columns lie (Q4), the last tile
    says where rows do (Q6), and all have a say about weights.
    """
    hardware, graph = tables.problem.hardware, tiling.graph
    each = [
        lowest_places(
            hardware,
            tiling.mode,
            alive=_peak_bits(graph, kind),
            columns_bits=sum(tiling.h_cache_bits) if kind.column.uses else 0,
            rows_bits=sum(tiling.v_cache_bits),
            corner_bits=0,
            weight_bits=sum(layer.weight_volume_bits for layer in graph.layers),
        )
        for kind in tiling.kinds
    ]
    readers = [p for p, kind in zip(each, tiling.kinds, strict=True) if kind.column.uses] or each
    last = next(
        p
        for p, kind in zip(each, tiling.kinds, strict=True)
        if kind.column.is_last and kind.row.is_last
    )
    # Weights for all the array cannot stay in one unit's own memory.
    chain = hardware.chains[Operand.W]
    weights = max(hardware.level_of(Operand.W, places.weights) for places in each)
    columns = [places.columns for places in readers if places.columns is not None]
    return TilePlaces(
        features=last.features,
        columns=max(columns, key=lambda m: hardware.level_of(Operand.O, m), default=None),
        rows=last.rows,
        weights=next(m for m in chain[weights:] if m in tables.domains.weights),
    )


def _lowest_for_weights(tables: StackTables, layer: Layer) -> int:
    """The lowest memory in which the layer's weights could stay."""
    bits, domains = layer.weight_volume_bits, tables.domains
    return next(m for m in domains.weights if m == domains.dram or bits <= domains.sizes_bits[m])


def _peak_bits(graph: StackGraph, kind: TileKind) -> int:
    """Peak of the feature maps alive in one tile: operands, output, and tiles that wait."""
    peak = 0
    for e in range(len(graph.layers)):
        if kind.runs(e):
            waiting = (kind.tensor_bits[t] for t, span in enumerate(graph.waits) if e in span)
            peak = max(peak, kind.operand_bits[e] + kind.output_bits[e] + sum(waiting))
    return peak


def _tile(view: StackRules, kind: TileKind) -> TilePlan:
    graph = view.graph
    lies_in: dict[int, int] = {}  # memory of the tile of each tensor, as far as known
    plans = []
    for e in range(len(graph.layers)):
        if not kind.runs(e):
            continue
        fetched = [
            graph.edges[i].tensor
            for i in graph.edges_into[e]
            if fetching_edge(graph, kind, graph.edges[i].tensor) == i
        ]
        free = view.left(kind, e, lies_in, landing=True)
        places, mapped = _map(view, kind, e, lies_in)
        for t in fetched:
            lies_in[t] = _landing(view, free, kind, t, places.inputs)
            free = less_room(free, {lies_in[t]: kind.tensor_bits[t]})
        lies_in[e] = places.output
        plans.append(_costed(view, kind, e, _plan(view, kind, e, places, mapped, lies_in)))
    return TilePlan(columns=kind.column.runs, rows=kind.row.runs, layers=tuple(plans))


def _map(
    view: StackRules, kind: TileKind, e: int, lies_in: dict[int, int]
) -> tuple[LayerPlaces, MappedLayer]:
    """Place and map a layer; where nothing fits, its data move up with the levels."""
    layer = view.graph.layers[e]
    hardware = view.left(kind, e, lies_in, landing=False)
    is_last = e == len(view.graph.layers) - 1
    places = place_tensors(
        hardware,
        layer,
        kind.operand_bits[e],
        None if is_last else kind.output_bits[e],
        view.weights[e] if layer.has_weights else hardware.chains[Operand.W][0],
    )
    if view.room is not None:
        places = replace(places, output=view.room.at_least(kind, e, places.output))
    wanted = levels_kept(hardware, places)
    mapped, levels = view.mappers.onto(hardware).map_layer(layer, _sizes(layer, kind, e), wanted)
    return (
        replace(
            places,
            inputs=hardware.chains[Operand.I][levels[Operand.I] - 1],
            output=hardware.chains[Operand.O][levels[Operand.O] - 1],
        ),
        mapped,
    )


def _sizes(layer: Layer, kind: TileKind, e: int) -> dict[str, int]:
    """Loop sizes of a layer-tile."""
    own = {"OX": kind.sizes[e][0], "OY": kind.sizes[e][1]}
    return {dim: own.get(dim, size) for dim, size in layer.loops}


def _landing(view: StackRules, free: Hardware, kind: TileKind, tensor: int, read_in: int) -> int:
    """Where a tile from outside is put: not below the memory where it is read first."""
    bits = kind.tensor_bits[tensor]
    chain = free.chains[Operand.I]
    lowest = free.level_of(Operand.I, read_in)
    if view.room is not None:
        lowest = max(lowest, view.room.least_level(kind, tensor))
    return lowest_for_inputs(free, bits, f"a tile of {bits} bits", chain[lowest:])


def _plan(
    view: StackRules,
    kind: TileKind,
    e: int,
    places: LayerPlaces,
    mapped: MappedLayer,
    lies_in: dict[int, int],
) -> LayerTilePlan:
    graph, layer = view.graph, view.graph.layers[e]
    into = graph.edges_into[e]
    # A producer without a tile here has nothing to hand over: any memory will do.
    producers = [view.name(lies_in.get(graph.edges[i].tensor, places.inputs)) for i in into]
    across = [kind.column.edges[i] for i in into]
    down = [kind.row.edges[i] for i in into]

    def cache(memory: int | None, needed: bool) -> str | None:
        return view.name(memory) if needed and memory is not None else None

    return LayerTilePlan(
        layer=layer.name,
        width=kind.sizes[e][0],
        height=kind.sizes[e][1],
        producer=producers[0],
        second=producers[1] if len(producers) > 1 else None,
        weights=view.name(view.weights[e]) if layer.has_weights else None,
        operand=view.name(places.inputs),
        output=view.name(places.output),
        h_use=cache(view.places.columns, any(step.reused for step in across)),
        h_make=cache(view.places.columns, any(step.kept for step in across)),
        v=cache(view.places.rows, any(step.reused or step.kept for step in down)),
        mapping=written_mapping(mapped.mapping, layer),
        energy_pj=0.0,
        latency_cycles=0,
        copy_energy_pj=0.0,
        copy_latency_cycles=0,
        export_energy_pj=0.0,
        export_latency_cycles=0,
    )


def _costed(view: StackRules, kind: TileKind, e: int, plan: LayerTilePlan) -> LayerTilePlan:
    tables, graph, layer = view.tables, view.graph, view.graph.layers[e]
    hardware, workload, rules = tables.problem.hardware, tables.problem.workload, tables.rules
    unroll = hardware.unrolling(workload.name, layer)
    cost = map_layer_tile(hardware, unroll, layer, plan, kind.sizes[e], rules).cost
    column = view.geometry.columns[kind.column.runs[0][0]]
    row = view.geometry.rows[kind.row.runs[0][0]]
    names = tuple(each.name for each in graph.layers)
    operands = []
    for i, source, place in zip(
        graph.edges_into[e], layer.sources, (plan.producer, plan.second), strict=False
    ):
        tensor = graph.edges[i].tensor
        assert place is not None
        operands.append(
            OperandCopies(
                bits=edge_bits(workload, names, (source, layer.name), column, row, rules),
                place=place,
                source=None if tensor < len(graph.layers) else view.dram,
                fetches=fetching_edge(graph, kind, tensor) == i,
            )
        )
    copies = copies_before(hardware, plan, operands, rules)
    export = writing_out(hardware, kind.export_bits[e] if e in graph.exports else 0, plan.output)
    return replace(
        plan,
        energy_pj=cost.energy_pj,
        latency_cycles=cost.latency_cycles,
        copy_energy_pj=copies.energy_pj,
        copy_latency_cycles=copies.latency_cycles,
        export_energy_pj=export.energy_pj,
        export_latency_cycles=export.latency_cycles,
    )
