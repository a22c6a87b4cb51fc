"""Lower-bound tables of kinds of tile, each tensor with the memories for itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from cost.axis_tiles import AxisKind, axis_kinds
from cost.copy_tables import WITHIN_W, build_copy_tables, copy_energy, phase_latency
from cost.overlap import OverlapMode
from cost.phase_tables import Arrival, PhaseChoices, phase_table
from cost.rules import RuleSet
from cost.stack_graph import StackGraph, stack_graph
from cost.stack_tiles import StackTiling, TileKind, tile_stack
from problems.problem import Problem
from problems.workload import Operand
from solver.export_costs import export_costs
from solver.kind_tables import KindTables, fetched_places, fetching_edge
from solver.layer_tables import LayerTables, LayerTile, TileKey
from solver.pinned_inside import FREE, PinnedInside
from solver.pins import LayerOfStack
from solver.placements import (
    MemoryDomains,
    h_memories,
    memory_domains,
    v_memories,
    weight_memories,
)
from solver.stack_option import StackOption

Ways = tuple[tuple[int, ...], ...]
"""Memories in which weights may rest, by the way that they take."""
KEPT_AXES, KEPT_TILINGS = 16384, 16384
"""Tilings of one axis and of stacks remembered at a time."""


class _Caches(NamedTuple):
    """Memories in which the caches of a tiling may lie.

    `rows`: the first kind of tile in each row; `h` by `_h_key`.
    """

    rows: dict[AxisKind, int]
    h: dict[tuple[int, bool], tuple[int, ...]]
    v: tuple[int, ...]


class _WaysIn(NamedTuple):
    """How tensors come to the layers of a stack; see `KindTables`."""

    primary: tuple[int, ...]
    linked: np.ndarray
    producers: tuple[tuple[int, ...], ...]
    seconds: tuple[tuple[int, ...], ...]


class PlacedTables(LayerTables):
    """Caches tables of stacks, too: tilings, copy phases, and layer-tiles by placement.

    `inside`: what is fixed by hand of the layers of stacks.
    """

    def __init__(
        self,
        problem: Problem,
        rules: RuleSet,
        *,
        timed: bool = True,
        inside: Iterable[LayerOfStack] = (),
    ) -> None:
        super().__init__(problem, rules, timed=timed)
        self.inside = PinnedInside(problem, rules, inside)
        self.domains: MemoryDomains = memory_domains(problem.hardware)
        self.weight_places: tuple[tuple[int, ...], ...] = tuple(
            weight_memories(self.domains, problem.hardware, layer)
            for layer in problem.workload.layers
        )
        """Memories where weights may stay from tile to tile, by layer."""
        self.copies = build_copy_tables(problem.hardware)
        self._phases: dict[tuple[object, ...], np.ndarray] = {}
        self._graphs: dict[tuple[int, ...], StackGraph] = {}
        self._placed: dict[tuple[object, ...], np.ndarray] = {}
        self.least: dict[tuple[int, Ways], dict[LayerTile, np.ndarray]] = {}
        """What `solver.least_by_rest` has found, by the layer that stands for all alike."""
        self.quick: dict[tuple[int, Ways], dict[LayerTile, np.ndarray]] = {}
        """The same without stalls."""
        self._into: dict[tuple[int, ...], _WaysIn] = {}
        self._along = lru_cache(KEPT_AXES)(axis_kinds)
        self._tiling = lru_cache(KEPT_TILINGS)(self._cut)
        self._caches = lru_cache(KEPT_TILINGS)(self._find_caches)

    def graph(self, layers: tuple[int, ...]) -> StackGraph:
        """The graph of a stack of the layers at these positions."""
        found = self._graphs.get(layers)
        if found is None:
            found = stack_graph(self.problem.workload, layers, self.rules)
            self._graphs[layers] = found
        return found

    def tiling(self, option: StackOption) -> StackTiling:
        """Tiles of `option`."""
        return self._tiling(option.layers, option.tile_x, option.tile_y, option.mode)

    def _cut(
        self, layers: tuple[int, ...], tile_x: int, tile_y: int, mode: OverlapMode
    ) -> StackTiling:
        return tile_stack(self.graph(layers), tile_x, tile_y, mode, self.rules, self._along)

    def key_of(self, option: StackOption, kind: TileKind, e: int) -> TileKey:
        """What stands for layer e of a kind of tile wherever only its cost and mapping matter."""
        layer, size = option.layers[e], kind.sizes[e]
        own_weights = self._maps_own_weights(layer, kind)
        number = self.inside.number(option.layers, layer, size, own_weights=own_weights)
        return (
            self.tile_key(layer, *size)
            if number == FREE
            else TileKey((layer, *size), pinned=number)
        )

    def source_of(self, option: StackOption, graph: StackGraph, tensor: int) -> int:
        """Memory of the whole map of a tensor from outside, -1 for one made in the stack."""
        if tensor < len(graph.layers):
            return -1
        producer = graph.tensors[tensor].producer
        return option.source if producer == option.carried else self.domains.dram

    @cached_property
    def levels(self) -> dict[Operand, dict[int, int]]:
        chains = self.problem.hardware.chains
        return {op: {m: k for k, m in enumerate(chain)} for op, chain in chains.items()}

    def arrival(self, layer: int, memory: int) -> tuple[float, int]:
        """(pJ, cycles) of bringing the weights of `layer` from DRAM to stay in `memory`."""
        workload_layer = self.problem.workload.layers[layer]
        dram = self.domains.dram
        if not self.rules.charge_weight_arrival or memory == dram or not workload_layer.has_weights:
            return 0.0, 0
        bits = workload_layer.weight_volume_bits
        tables = self.copies
        actions = np.array([[WITHIN_W, dram, memory, bits]], dtype=np.int64)
        return (
            copy_energy(tables.hops, tables.ports, tables.costs, WITHIN_W, dram, memory, bits),
            phase_latency(tables.hops, tables.ports, tables.n_ports, actions, 1),
        )

    def lone_kind(self, option: StackOption, tiling: StackTiling, number: int) -> KindTables:
        """Tables of a kind of tile whose tensors have the memories for themselves."""
        domains, graph, n = self.domains, tiling.graph, len(tiling.graph.layers)
        kind = tiling.kinds[number]
        rows, h_allowed, v_allowed = self._caches(
            option.layers, option.tile_x, option.tile_y, option.mode
        )
        row = rows[kind.row]
        use_key = self._h_key(row, kind.column.is_last) if kind.column.uses else None
        make_key = self._h_key(row, kind.column.next_is_last) if kind.column.makes else None
        uses_v, makes_v = kind.row.uses, kind.row.makes
        primary, linked, producers, seconds = self._ways_in(option.layers)
        weights = [self._weight_domain(layer, kind) for layer in option.layers]
        h_use, h_make, v = [], [], []
        runs = tuple(kind.runs(e) for e in range(n))
        for e in range(n):
            into = graph.edges_into[e]
            steps_x = [kind.column.edges[i] for i in into]
            steps_y = [kind.row.edges[i] for i in into]
            used = any(s.reused for s in steps_x)
            made = any(s.kept for s in steps_x)
            rows = any(s.reused or s.kept for s in steps_y)
            h_use.append(h_allowed[use_key] if use_key and used else (-1,))
            h_make.append(h_allowed[make_key] if make_key and made else (-1,))
            v.append(v_allowed if (uses_v or makes_v) and rows else (-1,))
        exports = export_costs(self.copies, domains, graph, kind)
        width = max(len(w) for w in weights)
        f = np.full((n, width, len(domains.inputs), len(domains.outputs), 2), np.inf)
        shape = [max(len(p) for p in axis) for axis in (h_use, h_make, v)]
        n_producers = max(len(domains.inputs), len(domains.outputs))
        g = np.full((n, n_producers, len(domains.inputs), *shape, 2), np.inf)
        pairs: list[np.ndarray | None] = []
        for e in range(n):
            if not runs[e]:
                f[e, : len(weights[e])] = exports[e][None, None]
                g[e] = 0.0
                pairs.append(None)
                continue
            self._fill_layer(f[e], option, kind, e, weights[e], last=e == n - 1)
            self.inside.keep_layer(
                f[e, : len(weights[e])],
                option.layers,
                option.layers[e],
                kind.sizes[e],
                (weights[e], domains.inputs, domains.outputs),
                own_weights=self._maps_own_weights(option.layers[e], kind),
            )
            f[e] += exports[e][None, None]
            edges = (primary[e], *(i for i in graph.edges_into[e] if i != primary[e]))
            table = self._phase(
                option,
                graph,
                kind,
                edges,
                PhaseChoices(
                    producer=producers[e],
                    second=seconds[e],
                    operand=domains.inputs,
                    h_use=h_use[e],
                    h_make=h_make[e],
                    v=v[e],
                ),
                same_h=use_key is not None and use_key == make_key,
            )
            if self.inside.holds(option.layers, option.layers[e]):
                caches = (3, "H", h_use[e]), (4, "H", h_make[e]), (5, "V", v[e])
                fetched = fetched_places(graph, kind, edges, (producers[e], seconds[e]))
                at = option.layers, option.layers[e]
                table = self.inside.kept_phase(table, *at, (*caches, *fetched))
            pairs.append(table if seconds[e] != (-1,) else None)
            least = table.min(axis=1)
            a, b, c, d, k, _ = least.shape
            g[e, :a, :b, :c, :d, :k] = least
        return KindTables(
            kind=kind,
            f=f,
            g=g,
            weights=tuple(weights),
            inputs=domains.inputs,
            outputs=domains.outputs,
            producers=producers,
            seconds=seconds,
            pairs=tuple(pairs),
            primary=primary,
            linked=linked,
            exports=exports,
            runs=runs,
            h_use=tuple(h_use),
            h_make=tuple(h_make),
            v=tuple(v),
            h_use_key=use_key,
            h_make_key=make_key,
            occupancy=None,
        )

    def _h_key(self, row: int, last: bool) -> tuple[int, bool]:
        """Which shared H-cache choice a boundary follows: one for all, or Q6's many."""
        return (0, False) if self.rules.joint_capacity else (row, last)

    def _find_caches(
        self, layers: tuple[int, ...], tile_x: int, tile_y: int, mode: OverlapMode
    ) -> _Caches:
        tiling = self._tiling(layers, tile_x, tile_y, mode)
        rows = {kind.row: i for i, kind in reversed(list(enumerate(tiling.kinds)))}
        h: dict[tuple[int, bool], tuple[int, ...]] = {}
        for kind in tiling.kinds:
            if kind.column.uses:
                key = self._h_key(rows[kind.row], kind.column.is_last)
                h[key] = h_memories(self.domains, kind, self.rules)
        return _Caches(rows, h, v_memories(self.domains, tiling, self.rules))

    def _ways_in(self, layers: tuple[int, ...]) -> _WaysIn:
        found = self._into.get(layers)
        if found is None:
            graph = self.graph(layers)
            primary, producers, seconds = [], [], []
            for e, into in enumerate(graph.edges_into):
                first = next((i for i in into if graph.edges[i].tensor == e - 1), into[0])
                others = [i for i in into if i != first]
                primary.append(first)
                producers.append(self._tile_places(graph, first))
                seconds.append(self._tile_places(graph, others[0]) if others else (-1,))
            linked = [e > 0 and graph.edges[i].tensor == e - 1 for e, i in enumerate(primary)]
            found = _WaysIn(tuple(primary), np.array(linked), tuple(producers), tuple(seconds))
            self._into[layers] = found
        return found

    def _tile_places(self, graph: StackGraph, edge: int) -> tuple[int, ...]:
        """Memories in which the producer's tile on an edge may be."""
        inside = graph.edges[edge].tensor < len(graph.layers)
        return self.domains.outputs if inside else self.domains.inputs

    def _phase(
        self,
        option: StackOption,
        graph: StackGraph,
        kind: TileKind,
        edges: tuple[int, ...],
        choices: PhaseChoices,
        *,
        same_h: bool,
    ) -> np.ndarray:
        """The copy phase of a layer into which `edges` lead; see `phase_table`."""
        uses_v, makes_v = kind.row.uses, kind.row.makes
        arrivals = tuple(
            Arrival(
                edge=kind.edges[i],
                source=self.source_of(option, graph, graph.edges[i].tensor),
                fetches=fetching_edge(graph, kind, graph.edges[i].tensor) == i,
            )
            for i in edges
        )
        key = (arrivals, choices, uses_v, makes_v, same_h)
        table = self._phases.get(key)
        if table is not None:
            return table
        one_by_one = not self.rules.true_branches
        table = phase_table(self.copies, arrivals, choices, uses_v, makes_v, one_by_one=one_by_one)
        for k, (arrival, places) in enumerate(
            zip(arrivals, (choices.producer, choices.second), strict=False)
        ):
            if arrival.fetches:
                for p, memory in enumerate(places):
                    # An input tile has to fit where it is put down.
                    if arrival.edge.fresh_bits > self.domains.sizes_bits[memory]:
                        table[(slice(None),) * k + (p,)] = np.inf
        if same_h and choices.h_use != (-1,) and choices.h_make != (-1,):
            # One memory per layer holds the columns of all tiles.
            for a, _ in enumerate(choices.h_use):
                for b, _ in enumerate(choices.h_make):
                    if choices.h_use[a] != choices.h_make[b]:
                        table[:, :, :, a, b] = np.inf
        self._phases[key] = table
        return table

    def _weight_domain(self, layer: int, kind: TileKind) -> tuple[int, ...]:
        if self.problem.workload.layers[layer].kind.joins:
            return (-1,)
        if self._maps_own_weights(layer, kind):
            return (self.domains.dram,)
        return self.weight_places[layer]

    def _maps_own_weights(self, layer: int, kind: TileKind) -> bool:
        """Whether weights are mapped over the whole chain: the reference's in its first tile."""
        if self.rules.charge_weight_arrival or not kind.loads_weights:
            return False
        return self.problem.workload.layers[layer].has_weights

    def _fill_layer(
        self,
        out: np.ndarray,
        option: StackOption,
        kind: TileKind,
        e: int,
        weights: tuple[int, ...],
        *,
        last: bool,
    ) -> None:
        layer_index = option.layers[e]
        if not self.problem.workload.layers[layer_index].computes:
            self._fill_concat(out, option, kind, e, last=last)
            return
        target = option.target if last else -1
        key = (layer_index, kind.sizes[e], kind.operand_bits[e], weights, target)
        found = self._placed.get(key)
        if found is None:
            bounds = self.layer_bounds(layer_index, *kind.sizes[e])
            found = self._by_memory(bounds, kind.operand_bits[e], weights, target)
            self._placed[key] = found
        out[: len(weights)] = found

    def _by_memory(
        self, bounds: np.ndarray, operand_bits: int, weights: tuple[int, ...], target: int
    ) -> np.ndarray:
        """`layer_bounds` by memories [W, I, O, (pJ, cycles)], infinite where tensors cannot be.

        `target`: the one memory for the output, -1 for any.
        """
        domains, levels = self.domains, self.levels
        b = [levels[Operand.I][memory] for memory in domains.inputs]
        o = [levels[Operand.O][memory] for memory in domains.outputs]
        if weights and weights[0] < 0:
            # Both operands of an add rest in one memory.
            found = bounds[b, b][None][:, :, o]
        else:
            found = bounds[[levels[Operand.W][memory] for memory in weights]][:, b][:, :, o]
        for i, memory in enumerate(domains.inputs):
            if operand_bits > domains.sizes_bits[memory]:
                found[:, i] = np.inf
        if target >= 0:
            found[:, :, [memory != target for memory in domains.outputs]] = np.inf
        return found

    def _fill_concat(
        self, out: np.ndarray, option: StackOption, kind: TileKind, e: int, *, last: bool
    ) -> None:
        """A concat costs nothing where its parts are, and is nowhere else."""
        domains = self.domains
        for i, memory in enumerate(domains.inputs):
            fits = kind.operand_bits[e] <= domains.sizes_bits[memory]
            if fits and memory in domains.outputs and (not last or memory == option.target):
                out[0, i, domains.outputs.index(memory)] = 0.0
