"""Lower-bound tables of stack options: layer-tiles and copy phases by placement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from cost.capacity_bound import capacity_prices, close_misfits
from cost.copy_tables import WITHIN_O, WITHIN_W, build_copy_tables, copy_energy, phase_latency
from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP, tile_floors
from cost.kind_paths import kind_bounds, weigh_table
from cost.layer_classes import is_symmetric, layer_classes
from cost.layer_model import MAX_LEVELS, LayerModel, build_layer_model
from cost.mapping_bounds import least_bounds, lower_bounds, many_lower_bounds
from cost.mapping_search import size_vector
from cost.overlap import OverlapMode
from cost.phase_tables import Arrival, PhaseChoices, phase_table
from cost.rules import RuleSet
from cost.stack_graph import StackGraph, stack_graph
from cost.stack_tiles import StackTiling, TileKind, tile_stack
from problems.problem import Problem
from problems.workload import Operand
from solver.kind_tables import KindTables, fetching_edge
from solver.occupancy import occupancy
from solver.placements import (
    MemoryDomains,
    h_memories,
    memory_domains,
    v_memories,
    weight_memories,
)

PRICE_ROUNDS = 60
"""Rounds of the price search in capacity bounds; more are tighter, any number is valid."""
KEPT_TILINGS = 1024
"""Tilings of stacks and tables of options remembered at a time."""
TILES_A_TURN = 32
"""Sizes of layer-tiles bounded between two looks at the clock."""


@dataclass(frozen=True, slots=True, order=True)
class StackOption:
    """A set of layers (positions) cut into tiles in one overlap mode.

    `source` and `target` are the memories (indices) that the map of layer `carried` comes
    from and its output goes to; other maps come from DRAM, and so do all if it is -1.
    """

    layers: tuple[int, ...]
    tile_x: int
    tile_y: int
    mode: OverlapMode
    source: int
    target: int
    carried: int

    @property
    def first(self) -> int:
        """Position of the first layer."""
        return self.layers[0]

    @property
    def last(self) -> int:
        """Position of the last layer."""
        return self.layers[-1]


@dataclass(frozen=True, slots=True)
class TileKey:
    """A layer-tile by what it costs: `like` (layer, width, height) stands for all alike.

    `turned`: the tile is the transpose of the one that stands for it.
    """

    like: tuple[int, int, int]
    turned: bool = False

    @property
    def plain(self) -> TileKey:
        """The key of the tile that stands for all alike."""
        return TileKey(self.like)


def main_kind(tiling: StackTiling) -> int:
    """Number of the commonest kind of tile, on which bounds look closest."""
    return max(range(len(tiling.kinds)), key=lambda i: tiling.kinds[i].count)


def tiles_that_run(tiling: StackTiling) -> list[int]:
    """In how many tiles each layer of a stack computes anything."""
    return [
        sum(kind.count for kind in tiling.kinds if kind.runs(e))
        for e in range(len(tiling.graph.layers))
    ]


class StackTables:
    """Caches models, layer-tile bounds and phase tables of one problem and rule set."""

    def __init__(self, problem: Problem, rules: RuleSet) -> None:
        self.problem = problem
        self.rules = rules
        hardware, workload = problem.hardware, problem.workload
        self.domains: MemoryDomains = memory_domains(hardware)
        self.copies = build_copy_tables(hardware)
        self.models: tuple[LayerModel, ...] = tuple(
            build_layer_model(hardware, hardware.unrolling(workload.name, layer), layer, rules)
            for layer in workload.layers
        )
        self._full_sizes = tuple(size_vector(layer.sizes) for layer in workload.layers)
        self._classes = layer_classes(self.models, self._full_sizes)
        self._symmetric = tuple(
            is_symmetric(model, sizes)
            for model, sizes in zip(self.models, self._full_sizes, strict=True)
        )
        self._bounds: dict[tuple[int, int, int], np.ndarray] = {}
        self._phases: dict[tuple[object, ...], np.ndarray] = {}
        self._least: dict[tuple[int, bytes, int], dict[tuple[int, ...], np.ndarray]] = {}
        self._floors: dict[tuple[int, int, int], np.ndarray] = {}
        self._graphs: dict[tuple[int, ...], StackGraph] = {}
        self._tiling = lru_cache(KEPT_TILINGS)(self._cut)
        self._tables = lru_cache(KEPT_TILINGS)(self._all_kinds)

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
        return tile_stack(self.graph(layers), tile_x, tile_y, mode, self.rules)

    def source_of(self, option: StackOption, graph: StackGraph, tensor: int) -> int:
        """Memory of the whole map of a tensor from outside, -1 for one made in the stack."""
        if tensor < len(graph.layers):
            return -1
        producer = graph.tensors[tensor].producer
        return option.source if producer == option.carried else self.domains.dram

    def tile_sizes(self, layer: int, width: int, height: int) -> np.ndarray:
        """Loop sizes of a layer-tile of layer number `layer`."""
        sizes = self._full_sizes[layer].copy()
        sizes[5], sizes[4] = width, height
        return sizes

    def alike(self, layer: int) -> int:
        """The first layer whose tiles cost what those of `layer` do."""
        return self._classes[layer]

    def tile_key(self, layer: int, width: int, height: int) -> TileKey:
        """What stands for a tile of layer number `layer` wherever only its cost matters."""
        turned = self._symmetric[layer] and width > height
        size = (height, width) if turned else (width, height)
        return TileKey((self._classes[layer], *size), turned)

    def layer_bounds(self, layer: int, width: int, height: int) -> np.ndarray:
        """[W, I, O levels, (pJ, cycles)] lower bounds of a layer-tile, over whole chains."""
        key = self.tile_key(layer, width, height).like
        found = self._bounds.get(key)
        if found is None:
            found = lower_bounds(self.models[key[0]], self.tile_sizes(*key))
            self._bounds[key] = found
        return found

    def least_tiles(
        self,
        layer: int,
        widths: np.ndarray,
        heights: np.ndarray,
        usable: np.ndarray,
        variant: int,
        pause: Callable[[], object],
    ) -> np.ndarray:
        """[tile, (pJ, cycles)] least bounds over placements; see `least_bounds`.

        `pause` is called between a few tiles and the next, and may raise.
        """
        keys = [
            self.tile_key(layer, w, h).like
            for w, h in zip(widths.tolist(), heights.tolist(), strict=True)
        ]
        known = self._least.setdefault((self._classes[layer], usable.tobytes(), variant), {})
        missing = np.array(sorted({key for key in keys if key not in known}), dtype=np.int64)
        for start in range(0, len(missing), TILES_A_TURN):
            pause()
            some = missing[start : start + TILES_A_TURN]
            bounds = least_bounds(
                self.models[layer],
                self.tile_sizes(layer, 1, 1),
                some[:, 1],
                some[:, 2],
                usable,
                from_top=variant in (FROM_TOP, FROM_AND_TO_TOP),
                to_top=variant in (TO_TOP, FROM_AND_TO_TOP),
            )
            known.update(zip(map(tuple, some.tolist()), bounds, strict=True))
        return np.array([known[key] for key in keys])

    def map_bits(self, option: StackOption) -> dict[int, int]:
        """Bits by memory of the whole maps that rest on chip beside a stack."""
        bits: dict[int, int] = {}
        layers = self.problem.workload.layers
        for position, memory in ((option.carried, option.source), (option.last, option.target)):
            if memory != self.domains.dram:
                made = layers[position]
                elements = made.sizes["B"] * made.channels * made.sizes["OX"] * made.sizes["OY"]
                bits[memory] = bits.get(memory, 0) + elements * made.precision.output_bits
        return bits

    @cached_property
    def _levels(self) -> dict[Operand, dict[int, int]]:
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

    def kind_tables(self, option: StackOption) -> tuple[KindTables, ...]:
        """Tables of every kind of tile of `option`."""
        return self._tables(option)

    def lone_tables(self, option: StackOption) -> tuple[KindTables, ...]:
        """The same as if each tensor had the memories for itself."""
        tiling = self.tiling(option)
        self._bound_all(option, tiling)
        return self._kinds(option, tiling, tiling.kinds, shared=False)

    def _all_kinds(self, option: StackOption) -> tuple[KindTables, ...]:
        tiling = self.tiling(option)
        self._bound_all(option, tiling)
        return self._kinds(option, tiling, tiling.kinds, shared=self.rules.joint_capacity)

    def _bound_all(self, option: StackOption, tiling: StackTiling) -> None:
        """Have `layer_bounds` of all tiles of an option, those of one layer at once."""
        missing: dict[int, set[tuple[int, int, int]]] = {}
        for e, layer in enumerate(option.layers):
            if tiling.graph.layers[e].computes:
                for kind in tiling.kinds:
                    key = self.tile_key(layer, *kind.sizes[e]).like
                    if kind.runs(e) and key not in self._bounds:
                        missing.setdefault(key[0], set()).add(key)
        for like, keys in missing.items():
            at = np.array(sorted(keys), dtype=np.int64)
            sizes = self.tile_sizes(like, 1, 1)
            found = many_lower_bounds(self.models[like], sizes, at[:, 1], at[:, 2])
            self._bounds.update(zip(map(tuple, at.tolist()), found, strict=True))

    def _kinds(
        self,
        option: StackOption,
        tiling: StackTiling,
        kinds: tuple[TileKind, ...],
        *,
        shared: bool,
    ) -> tuple[KindTables, ...]:
        """Tables of some kinds of tile of `option`, whose tensors share memories or do not."""
        domains = self.domains
        rows = {kind.row: i for i, kind in reversed(list(enumerate(tiling.kinds)))}
        h_allowed: dict[tuple[int, bool], tuple[int, ...]] = {}
        for kind in tiling.kinds:
            if kind.column.uses:
                key = self._h_key(rows[kind.row], kind.column.is_last)
                h_allowed[key] = h_memories(domains, kind, self.rules)
        v_allowed = v_memories(domains, tiling, self.rules)
        found = tuple(
            self._kind(option, tiling, kind, rows[kind.row], h_allowed, v_allowed) for kind in kinds
        )
        return tuple(self._beside(option, tiling, kind) for kind in found) if shared else found

    def _beside(self, option: StackOption, tiling: StackTiling, kind: KindTables) -> KindTables:
        """The tables of a kind of tile whose tensors share memories with each other and maps."""
        graph = tiling.graph
        room = np.array(self.domains.sizes_bits, dtype=np.float64)
        for memory, bits in self.map_bits(option).items():
            room[memory] -= bits
        room[self.domains.dram] = np.inf
        sources = [self.source_of(option, graph, edge.tensor) for edge in graph.edges]
        taken = occupancy(tiling, kind, room, sources, option.target)
        close_misfits(kind.f, kind.g, taken)
        return replace(kind, occupancy=taken)

    def _h_key(self, row: int, last: bool) -> tuple[int, bool]:
        """Which shared H-cache choice a boundary follows: one for all, or Q6's many."""
        return (0, False) if self.rules.joint_capacity else (row, last)

    def _kind(
        self,
        option: StackOption,
        tiling: StackTiling,
        kind: TileKind,
        row: int,
        h_allowed: dict[tuple[int, bool], tuple[int, ...]],
        v_allowed: tuple[int, ...],
    ) -> KindTables:
        domains, graph, n = self.domains, tiling.graph, len(tiling.graph.layers)
        use_key = self._h_key(row, kind.column.is_last) if kind.column.uses else None
        make_key = self._h_key(row, kind.column.next_is_last) if kind.column.makes else None
        uses_v, makes_v = kind.row.uses, kind.row.makes
        weights, producers, seconds, h_use, h_make, v = [], [], [], [], [], []
        primary = []
        linked = np.zeros(n, dtype=np.bool_)
        runs = tuple(kind.runs(e) for e in range(n))
        for e in range(n):
            into = graph.edges_into[e]
            first = next((i for i in into if graph.edges[i].tensor == e - 1), into[0])
            others = [i for i in into if i != first]
            primary.append(first)
            linked[e] = e > 0 and graph.edges[first].tensor == e - 1
            weights.append(self._weight_domain(option.layers[e], kind))
            producers.append(self._tile_places(graph, first))
            seconds.append(self._tile_places(graph, others[0]) if others else (-1,))
            steps_x = [kind.column.edges[i] for i in into]
            steps_y = [kind.row.edges[i] for i in into]
            used = any(s.reused for s in steps_x)
            made = any(s.kept for s in steps_x)
            rows = any(s.reused or s.kept for s in steps_y)
            h_use.append(h_allowed[use_key] if use_key and used else (-1,))
            h_make.append(h_allowed[make_key] if make_key and made else (-1,))
            v.append(v_allowed if (uses_v or makes_v) and rows else (-1,))
        exports = self._exports(graph, kind)
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
            f[e] += exports[e][None, None]
            table = self._phase(
                option,
                graph,
                kind,
                (primary[e], *(i for i in graph.edges_into[e] if i != primary[e])),
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
            producers=tuple(producers),
            seconds=tuple(seconds),
            pairs=tuple(pairs),
            primary=tuple(primary),
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

    def _tile_places(self, graph: StackGraph, edge: int) -> tuple[int, ...]:
        """Memories in which the producer's tile on an edge may be."""
        inside = graph.edges[edge].tensor < len(graph.layers)
        return self.domains.outputs if inside else self.domains.inputs

    def _exports(self, graph: StackGraph, kind: TileKind) -> np.ndarray:
        """[layer, O, (pJ, cycles)] of writing out what is read outside of the stack, too."""
        outputs, dram, tables = self.domains.outputs, self.domains.dram, self.copies
        out = np.zeros((len(graph.layers), len(outputs), 2))
        for e in graph.exports:
            bits = kind.export_bits[e]
            for o, memory in enumerate(outputs):
                if memory == dram or bits == 0:
                    continue
                actions = np.array([[WITHIN_O, memory, dram, bits]], dtype=np.int64)
                out[e, o] = (
                    copy_energy(
                        tables.hops, tables.ports, tables.costs, WITHIN_O, memory, dram, bits
                    ),
                    phase_latency(tables.hops, tables.ports, tables.n_ports, actions, 1),
                )
        return out

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
        hardware = self.problem.hardware
        if self.problem.workload.layers[layer].kind.joins:
            return (-1,)
        if not self.rules.charge_weight_arrival and kind.loads_weights:
            # The reference maps the first tile's weights over the whole chain.
            workload_layer = self.problem.workload.layers[layer]
            if workload_layer.has_weights:
                return (self.domains.dram,)
        return weight_memories(self.domains, hardware, self.problem.workload.layers[layer])

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
        bounds = self.layer_bounds(layer_index, *kind.sizes[e])
        domains, levels = self.domains, self._levels
        for w, weight_memory in enumerate(weights):
            for i, input_memory in enumerate(domains.inputs):
                if kind.operand_bits[e] > domains.sizes_bits[input_memory]:
                    continue
                b = levels[Operand.I][input_memory]
                # Both operands of an add rest in one memory.
                a = levels[Operand.W][weight_memory] if weight_memory >= 0 else b
                for o, output_memory in enumerate(domains.outputs):
                    if last and output_memory != option.target:
                        continue
                    out[w, i, o] = bounds[a, b, levels[Operand.O][output_memory]]

    def _fill_concat(
        self, out: np.ndarray, option: StackOption, kind: TileKind, e: int, *, last: bool
    ) -> None:
        """A concat costs nothing where its parts are, and is nowhere else."""
        domains = self.domains
        for i, memory in enumerate(domains.inputs):
            fits = kind.operand_bits[e] <= domains.sizes_bits[memory]
            if fits and memory in domains.outputs and (not last or memory == option.target):
                out[0, i, domains.outputs.index(memory)] = 0.0

    def option_bounds(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """Lower bounds of the option's cost for every weight pair [k, (pJ, cycles)]."""
        tiling = self.tiling(option)
        tables = self.kind_tables(option)
        total = np.zeros(len(weights))
        for kind in tables:
            f = self.with_arrival(option, kind, tiles_that_run(tiling))
            total += kind.kind.count * self._kind_bounds(f, kind, weights)
        return total

    @staticmethod
    def _kind_bounds(f: np.ndarray, kind: KindTables, weights: np.ndarray) -> np.ndarray:
        """Least weighted cost of one tile for every weight pair, with f in place of its own."""
        if kind.occupancy is None:
            return np.asarray(kind_bounds(f, kind.g, kind.linked, weights))
        bounds = np.zeros(len(weights))
        for k, (we, wl) in enumerate(weights.tolist()):
            cost_f, cost_g = weigh_table(f, we, wl), weigh_table(kind.g, we, wl)
            bounds[k] = capacity_prices(cost_f, cost_g, kind.occupancy, PRICE_ROUNDS)[0]
        return bounds

    def main_bound(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """`option_bounds` in which only the commonest kind of tile is looked at closely."""
        tiling = self.tiling(option)
        graph, main = tiling.graph, main_kind(tiling)
        total = np.zeros(len(weights))
        for i, kind in enumerate(tiling.kinds):
            if i == main:
                table = self._kinds(option, tiling, (kind,), shared=self.rules.joint_capacity)[0]
                f = self.with_arrival(option, table, [kind.count] * len(kind.sizes))
                total += kind.count * self._kind_bounds(f, table, weights)
            else:
                for e, (width, height) in enumerate(kind.sizes):
                    if kind.runs(e) and graph.layers[e].computes:
                        floor = self._floor(option.layers[e], width, height)
                        total += kind.count * (weights @ floor)
        return total

    def _floor(self, layer: int, width: int, height: int) -> np.ndarray:
        """(pJ, cycles) floor of a layer-tile."""
        key = self.tile_key(layer, width, height).like
        found = self._floors.get(key)
        if found is None:
            found = tile_floors(
                self.models[layer],
                self.tile_sizes(layer, 1, 1),
                np.array([width]),
                np.array([height]),
                self.usable_levels(layer),
            )[AS_PLACED, 0]
            self._floors[key] = found
        return found

    def usable_levels(self, layer: int) -> np.ndarray:
        """[operand, level]: whether a tensor of a tile may rest at that level."""
        usable = np.zeros((3, MAX_LEVELS), dtype=np.bool_)
        model = self.models[layer]
        lone_weights = not self.problem.workload.layers[layer].has_weights
        for o, (name, chain) in enumerate(zip(model.operands, model.chain, strict=True)):
            for m, i in enumerate(chain):
                free = lone_weights and name == Operand.W.value
                usable[o, m] = self.problem.hardware.memories[i].instances == 1 or free
        return usable

    def with_arrival(
        self, option: StackOption, kind: KindTables, tiles: Sequence[int]
    ) -> np.ndarray:
        """f of `kind` with the arrival of each layer's weights shared out over so many `tiles`.

        Whatever the shares, bounds of all kinds together hold: weights lie in one memory for
        all tiles.
        """
        f = kind.f.copy()
        for e, memories in enumerate(kind.weights):
            for w, memory in enumerate(memories):
                energy, cycles = self.arrival(option.layers[e], memory)
                if kind.runs[e] and energy + cycles > 0:
                    f[e, w, :, :, 0] += energy / tiles[e]
                    f[e, w, :, :, 1] += cycles / tiles[e]
        return f
