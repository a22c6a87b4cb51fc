"""Lower-bound tables of stack options: layer-tiles and copy phases by placement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cost.capacity_bound import Occupancy, capacity_prices
from cost.copy_tables import WITHIN_W, build_copy_tables, copy_energy, phase_latency
from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP, tile_floors
from cost.kind_paths import kind_bounds, weigh_table
from cost.layer_classes import is_symmetric, layer_classes
from cost.layer_model import MAX_LEVELS, LayerModel, build_layer_model
from cost.mapping_bounds import least_bounds, lower_bounds
from cost.mapping_search import size_vector
from cost.overlap import OverlapMode
from cost.phase_tables import PhaseChoices, phase_table
from cost.rules import RuleSet
from cost.stack_tiles import StackTiling, TileKind, tile_stack
from problems.problem import Problem
from problems.workload import Operand
from solver.placements import (
    MemoryDomains,
    h_memories,
    memory_domains,
    v_memories,
    weight_memories,
)

PRICE_ROUNDS = 60
"""Rounds of the price search in capacity bounds; more are tighter, any number is valid."""


@dataclass(frozen=True, slots=True, order=True)
class StackOption:
    """A run of layers [first, last] cut into tiles in one overlap mode.

    `source` and `target` are the memories (indices) that its input comes from and its
    output goes to.
    """

    first: int
    last: int
    tile_x: int
    tile_y: int
    mode: OverlapMode
    source: int
    target: int


@dataclass(frozen=True, kw_only=True, eq=False)
class KindTables:
    """Tables of one kind of tile; see `kind_bounds` for the axes of f and g.

    Axis values: `weights[layer]`, `inputs`, `outputs`, `producers` list memory indices;
    `h_use_key` / `h_make_key` name the shared H-cache choices (None: no neighbour).
    """

    kind: TileKind
    f: np.ndarray
    g: np.ndarray
    weights: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producers: tuple[tuple[int, ...], ...]
    h_use: tuple[tuple[int, ...], ...]
    h_make: tuple[tuple[int, ...], ...]
    v: tuple[tuple[int, ...], ...]
    h_use_key: tuple[int, bool] | None
    h_make_key: tuple[int, bool] | None


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

    def tiling(self, option: StackOption) -> StackTiling:
        """Tiles of `option`."""
        layers = self.problem.workload.layers[option.first : option.last + 1]
        return tile_stack(
            self.problem.workload, layers, option.tile_x, option.tile_y, option.mode, self.rules
        )

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
    ) -> np.ndarray:
        """[tile, (pJ, cycles)] least bounds over placements; see `least_bounds`."""
        keys = [
            self.tile_key(layer, w, h).like
            for w, h in zip(widths.tolist(), heights.tolist(), strict=True)
        ]
        known = self._least.setdefault((self._classes[layer], usable.tobytes(), variant), {})
        missing = np.array(sorted({key for key in keys if key not in known}), dtype=np.int64)
        if len(missing):
            bounds = least_bounds(
                self.models[layer],
                self.tile_sizes(layer, 1, 1),
                missing[:, 1],
                missing[:, 2],
                usable,
                from_top=variant in (FROM_TOP, FROM_AND_TO_TOP),
                to_top=variant in (TO_TOP, FROM_AND_TO_TOP),
            )
            known.update(zip(map(tuple, missing.tolist()), bounds, strict=True))
        return np.array([known[key] for key in keys])

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

    def kind_tables(self, option: StackOption, tiling: StackTiling) -> tuple[KindTables, ...]:
        """Tables of every kind of tile of `option`."""
        return self._kinds(option, tiling, tiling.kinds)

    def _kinds(
        self, option: StackOption, tiling: StackTiling, kinds: tuple[TileKind, ...]
    ) -> tuple[KindTables, ...]:
        """Tables of some kinds of tile of `option`."""
        domains = self.domains
        rows = {kind.row: i for i, kind in reversed(list(enumerate(tiling.kinds)))}
        h_allowed: dict[tuple[int, bool], tuple[int, ...]] = {}
        for kind in tiling.kinds:
            if kind.column.uses:
                key = self._h_key(rows[kind.row], kind.column.is_last)
                h_allowed[key] = h_memories(domains, kind, self.rules)
        v_allowed = v_memories(domains, tiling, self.rules)
        return tuple(
            self._kind(option, tiling, kind, rows[kind.row], h_allowed, v_allowed) for kind in kinds
        )

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
        domains, n = self.domains, len(tiling.layers)
        use_key = self._h_key(row, kind.column.is_last) if kind.column.uses else None
        make_key = self._h_key(row, kind.column.next_is_last) if kind.column.makes else None
        uses_v, makes_v = kind.row.uses, kind.row.makes
        weights, producers, h_use, h_make, v = [], [], [], [], []
        for e in range(n):
            layer_index = option.first + e
            weights.append(self._weight_domain(layer_index, kind))
            producers.append(domains.inputs if e == 0 else domains.outputs)
            x_overlap = kind.column.cached[e] > 0
            y_overlap = kind.row.cached[e] > 0
            h_use.append(h_allowed[use_key] if use_key and x_overlap else (-1,))
            h_make.append(h_allowed[make_key] if make_key and x_overlap else (-1,))
            v.append(v_allowed if (uses_v or makes_v) and y_overlap else (-1,))
        width = max(len(w) for w in weights)
        f = np.full((n, width, len(domains.inputs), len(domains.outputs), 2), np.inf)
        shape = [max(len(p) for p in axis) for axis in (producers, h_use, h_make, v)]
        n_producers = max(len(domains.inputs), len(domains.outputs))
        g = np.full((n, n_producers, len(domains.inputs), *shape[1:], 2), np.inf)
        for e in range(n):
            self._fill_layer(f[e], option, kind, e, weights[e], last=e == n - 1)
            source = option.source if e == 0 else -1
            choices = PhaseChoices(
                producer=producers[e],
                operand=domains.inputs,
                h_use=h_use[e],
                h_make=h_make[e],
                v=v[e],
            )
            key = (kind.edges[e], choices, source, uses_v, makes_v, use_key == make_key)
            table = self._phases.get(key)
            if table is None:
                table = phase_table(self.copies, kind.edges[e], choices, source, uses_v, makes_v)
                if e == 0:
                    for p, memory in enumerate(producers[e]):
                        # The input tile has to fit where it is put down.
                        if kind.edges[0].fresh_bits > domains.sizes_bits[memory]:
                            table[p] = np.inf
                if use_key is not None and use_key == make_key and x_overlap:
                    # One memory per edge holds the columns of all tiles.
                    for a, _ in enumerate(h_use[e]):
                        for b, _ in enumerate(h_make[e]):
                            if h_use[e][a] != h_make[e][b]:
                                table[:, :, a, b] = np.inf
                self._phases[key] = table
            a, b, c, d, k, _ = table.shape
            g[e, :a, :b, :c, :d, :k] = table
        return KindTables(
            kind=kind,
            f=f,
            g=g,
            weights=tuple(weights),
            inputs=domains.inputs,
            outputs=domains.outputs,
            producers=tuple(producers),
            h_use=tuple(h_use),
            h_make=tuple(h_make),
            v=tuple(v),
            h_use_key=use_key,
            h_make_key=make_key,
        )

    def _weight_domain(self, layer: int, kind: TileKind) -> tuple[int, ...]:
        hardware = self.problem.hardware
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
        layer_index = option.first + e
        bounds = self.layer_bounds(layer_index, *kind.sizes[e])
        domains, levels = self.domains, self._levels
        for w, weight_memory in enumerate(weights):
            a = levels[Operand.W][weight_memory]
            for i, input_memory in enumerate(domains.inputs):
                if kind.edges[e].input_bits > domains.sizes_bits[input_memory]:
                    continue
                b = levels[Operand.I][input_memory]
                for o, output_memory in enumerate(domains.outputs):
                    if last and output_memory != option.target:
                        continue
                    out[w, i, o] = bounds[a, b, levels[Operand.O][output_memory]]

    def option_bounds(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """Lower bounds of the option's cost for every weight pair [k, (pJ, cycles)]."""
        tiling = self.tiling(option)
        tables = self.kind_tables(option, tiling)
        total = np.zeros(len(weights))
        main = main_kind(tiling)
        for i, kind in enumerate(tables):
            if i == main and self.rules.joint_capacity:
                f = self.with_arrival(option, kind)
                occupancy = self.occupancy(option, tiling, kind)
                total += kind.kind.count * np.array(
                    [
                        capacity_prices(
                            weigh_table(f, we, wl),
                            weigh_table(kind.g, we, wl),
                            occupancy,
                            PRICE_ROUNDS,
                        )[0]
                        for we, wl in weights.tolist()
                    ]
                )
                continue
            f = self.with_arrival(option, kind) if i == main else kind.f
            total += kind.kind.count * kind_bounds(f, kind.g, weights)
        return total

    def main_bound(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """`option_bounds` in which only the commonest kind of tile is looked at closely."""
        tiling = self.tiling(option)
        main = main_kind(tiling)
        total = np.zeros(len(weights))
        for i, kind in enumerate(tiling.kinds):
            if i == main:
                table = self._kinds(option, tiling, (kind,))[0]
                f = self.with_arrival(option, table)
                total += kind.count * kind_bounds(f, table.g, weights)
            else:
                for e, (width, height) in enumerate(kind.sizes):
                    total += kind.count * (weights @ self._floor(option.first + e, width, height))
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

    def occupancy(self, option: StackOption, tiling: StackTiling, kind: KindTables) -> Occupancy:
        """What placements of `kind` occupy, for bounds that know memories are shared."""
        n = len(tiling.layers)
        weight_mem = np.full((n, kind.f.shape[1]), -1, dtype=np.int64)
        h_mem = np.full((n, kind.g.shape[3]), -1, dtype=np.int64)
        v_mem = np.full((n, kind.g.shape[5]), -1, dtype=np.int64)
        for e in range(n):
            weight_mem[e, : len(kind.weights[e])] = kind.weights[e]
            h_mem[e, : len(kind.h_use[e])] = kind.h_use[e]
            v_mem[e, : len(kind.v[e])] = kind.v[e]
        room = np.array(self.domains.sizes_bits, dtype=np.float64)
        room[self.domains.dram] = np.inf
        h_bits = np.array(tiling.h_cache_bits, dtype=np.float64)
        v_bits = np.array(tiling.v_cache_bits, dtype=np.float64)
        input_bits = np.array([edge.input_bits for edge in kind.kind.edges], dtype=np.float64)
        output_bits = np.array(kind.kind.output_bits, dtype=np.float64)
        # Whole maps take room of their own, and tensors read or written in place take none.
        if option.source != self.domains.dram:
            h_bits[0] = v_bits[0] = input_bits[0] = 0.0
        if option.target != self.domains.dram:
            output_bits[n - 1] = 0.0
        weight_bits = np.array(
            [layer.weight_volume_bits if layer.has_weights else 0 for layer in tiling.layers],
            dtype=np.float64,
        )
        return Occupancy(
            weight_mem=weight_mem,
            input_mem=np.array(kind.inputs),
            output_mem=np.array(kind.outputs),
            h_mem=h_mem,
            v_mem=v_mem,
            weight_bits=weight_bits,
            input_bits=input_bits,
            output_bits=output_bits,
            h_bits=h_bits,
            v_bits=v_bits,
            room=room,
        )

    def with_arrival(self, option: StackOption, kind: KindTables) -> np.ndarray:
        """f of `kind` with the weights' arrival shared out over its tiles."""
        f = kind.f.copy()
        for e, memories in enumerate(kind.weights):
            for w, memory in enumerate(memories):
                energy, cycles = self.arrival(option.first + e, memory)
                f[e, w, :, :, 0] += energy / kind.kind.count
                f[e, w, :, :, 1] += cycles / kind.kind.count
        return f
