"""Exact pruning of stack options by bounds through the whole network.

Stacks form a path over cut points. With the cheapest ways (in pJ, in cycles) from the
input to each cut and from each cut to the output, no schedule through an option costs
less than ways + option; if that cannot beat the incumbent, the option is out. Bounds come
in stages, each tighter and dearer, and only options still alive are refined.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cost.axis_tiles import axis_kinds, axis_layers
from cost.floor_tables import tile_floors
from cost.layer_model import MAX_LEVELS
from cost.mapping_search import least_bounds
from cost.overlap import OverlapMode
from problems.workload import Operand
from solver.objective import Objective
from solver.screen import ScreenedRange
from solver.stack_tables import StackOption, StackTables

Ways = dict[tuple[int, int], float]
"""Cheapest cost to or from each (cut, memory)."""
SAFETY = 1e-9
"""Relative margin of pruning by floats: an option within it of the incumbent stays."""


@dataclass(kw_only=True, eq=False)
class PoolRange:
    """A stack range with its current bounds and the options still alive (same shape)."""

    screened: ScreenedRange
    energy: np.ndarray
    latency: np.ndarray
    alive: np.ndarray
    refined: np.ndarray

    def options(self) -> list[tuple[tuple[int, ...], StackOption]]:
        """Options still alive with their indices."""
        return [
            (tuple(index), self.screened.option(tuple(index)))
            for index in np.argwhere(self.alive).tolist()
        ]


def weigh(weights: tuple[float, float], r: PoolRange) -> np.ndarray:
    """Weighted bounds of a range; what has no schedule stays infinite at weight zero."""
    never = np.isinf(r.energy) | np.isinf(r.latency)
    energy, latency = np.where(never, 0.0, r.energy), np.where(never, 0.0, r.latency)
    return np.where(never, np.inf, weights[0] * energy + weights[1] * latency)


@dataclass(kw_only=True, eq=False)
class Pool:
    """All stack options of a problem with their bounds."""

    tables: StackTables
    ranges: list[PoolRange]
    n_layers: int
    counts: dict[str, int] = field(default_factory=dict)

    def focus(self, chosen: list[tuple[int, tuple[int, ...]]]) -> Pool:
        """A pool of only the chosen (range number, index) options, with bounds of its own."""
        ranges = []
        for r in self.ranges:
            ranges.append(
                PoolRange(
                    screened=r.screened,
                    energy=r.energy.copy(),
                    latency=r.latency.copy(),
                    alive=np.zeros_like(r.alive),
                    refined=r.refined.copy(),
                )
            )
        for k, index in chosen:
            ranges[k].alive[index] = True
        return Pool(tables=self.tables, ranges=ranges, n_layers=self.n_layers)

    def most_promising(self, objective: Objective, count: int) -> list[tuple[int, tuple[int, ...]]]:
        """The `count` alive options of least objective bound through them."""
        by_energy, by_latency = self.ways((1.0, 0.0)), self.ways((0.0, 1.0))
        found = []
        for k, r in enumerate(self.ranges):
            bound = np.where(
                r.alive,
                objective.of(
                    self.through(r, (1.0, 0.0), by_energy), self.through(r, (0.0, 1.0), by_latency)
                ),
                np.inf,
            )
            flat = bound.ravel()
            best = np.argpartition(flat, min(count, flat.size - 1))[:count]
            found += [
                (float(flat[i]), k, tuple(int(n) for n in np.unravel_index(i, bound.shape)))
                for i in best.tolist()
                if np.isfinite(flat[i])
            ]
        return [(k, index) for _, k, index in sorted(found)[:count]]

    def alive(self) -> int:
        """Options not yet pruned."""
        return int(sum(r.alive.sum() for r in self.ranges))

    def ways(self, weights: tuple[float, float]) -> tuple[Ways, Ways]:
        """Cheapest weighted way from the input to, and from, every (cut, memory)."""
        we, wl = weights
        arcs = []
        for r in self.ranges:
            cost = np.where(r.alive, weigh((we, wl), r), np.inf).min(axis=(0, 1, 2))
            spec = r.screened.range
            for s, source in enumerate(spec.sources):
                for t, target in enumerate(spec.targets):
                    if np.isfinite(cost[s, t]):
                        arcs.append(
                            ((spec.first, source), (spec.last + 1, target), float(cost[s, t]))
                        )
        dram = self.tables.domains.dram
        ahead: dict[tuple[int, int], float] = {(0, dram): 0.0}
        for tail, head, cost_ in sorted(arcs):
            if tail in ahead:
                ahead[head] = min(ahead.get(head, np.inf), ahead[tail] + cost_)
        behind: dict[tuple[int, int], float] = {(self.n_layers, dram): 0.0}
        for tail, head, cost_ in sorted(arcs, key=lambda arc: arc[1], reverse=True):
            if head in behind:
                behind[tail] = min(behind.get(tail, np.inf), behind[head] + cost_)
        return ahead, behind

    def through(
        self, r: PoolRange, weights: tuple[float, float], ways: tuple[Ways, Ways]
    ) -> np.ndarray:
        """Weighted bound of any schedule through each option of `r`."""
        ahead, behind = ways
        spec = r.screened.range
        before = np.array([ahead.get((spec.first, s), np.inf) for s in spec.sources])
        after = np.array([behind.get((spec.last + 1, t), np.inf) for t in spec.targets])
        cost = weigh(weights, r)
        return cost + before[:, None] + after[None, :]

    def prune(self, objective: Objective, incumbent: float) -> int:
        """Drop options through which nothing beats `incumbent`; returns what is alive."""
        by_energy, by_latency = self.ways((1.0, 0.0)), self.ways((0.0, 1.0))
        for r in self.ranges:
            energy = self.through(r, (1.0, 0.0), by_energy)
            latency = self.through(r, (0.0, 1.0), by_latency)
            bound = objective.of(energy, latency)
            r.alive &= bound * (1 - SAFETY) <= incumbent
        return self.alive()

    def lower_bound(self, objective: Objective) -> float:
        """Bound on the objective over all schedules of alive options."""
        end = (self.n_layers, self.tables.domains.dram)
        energy = self.ways((1.0, 0.0))[0].get(end, np.inf)
        latency = self.ways((0.0, 1.0))[0].get(end, np.inf)
        return float(objective.of(energy, latency))


def make_pool(tables: StackTables, screened: tuple[ScreenedRange, ...]) -> Pool:
    """Wrap screened ranges; everything is alive."""
    ranges = []
    for s in screened:
        energy = s.energies()
        ranges.append(
            PoolRange(
                screened=s,
                energy=energy,
                latency=s.latencies().copy(),
                alive=np.ones(energy.shape, dtype=np.bool_),
                refined=np.zeros(energy.shape, dtype=np.bool_),
            )
        )
    return Pool(tables=tables, ranges=ranges, n_layers=len(tables.problem.workload.layers))


def refine_by_layer(pool: Pool, objective: Objective, incumbent: float) -> None:
    """Stage 2: bound the layer-tiles of alive options by their best lone mappings.

    Layer by layer, those with the most MACs first, dropping in between what cannot beat
    `incumbent` any more.
    """
    tables = pool.tables
    layers = tables.problem.workload.layers
    order = sorted(range(len(layers)), key=lambda i: -int(np.prod([n for _, n in layers[i].loops])))
    for layer in order:
        _refine_layer(pool, layer)
        pool.prune(objective, incumbent)


def _refine_layer(pool: Pool, layer: int) -> None:
    """Replace the floors of one layer in every alive option by its least bounds."""
    tables = pool.tables
    layers = tables.problem.workload.layers
    spans = tables.rules.true_spans
    wanted: dict[bool, set[tuple[int, int]]] = {False: set(), True: set()}
    terms = []
    for r in pool.ranges:
        spec = r.screened.range
        if not spec.first <= layer <= spec.last:
            continue
        chains = tuple(axis_layers(layers[spec.first : spec.last + 1], axis) for axis in "xy")
        last = layer == spec.last and spec.targets == (tables.domains.dram,)
        e = layer - spec.first
        kinds_x: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        kinds_y: dict[tuple[int, bool], list[tuple[int, int]]] = {}
        for m, w, h in np.argwhere(r.alive.any(axis=(3, 4))).tolist():
            mode = spec.modes[m]
            key_x = (w, mode is not OverlapMode.FULLY_RECOMPUTE)
            key_y = (h, mode is OverlapMode.FULLY_CACHED)
            if key_x not in kinds_x:
                kinds_x[key_x] = [
                    (k.count, k.outputs[e])
                    for k in axis_kinds(chains[0], spec.widths[w], key_x[1], spans)
                ]
            if key_y not in kinds_y:
                kinds_y[key_y] = [
                    (k.count, k.outputs[e])
                    for k in axis_kinds(chains[1], spec.heights[h], key_y[1], spans)
                ]
            columns, rows = kinds_x[key_x], kinds_y[key_y]
            wanted[last].update((x, y) for _, x in columns for _, y in rows)
            terms.append((r, (m, w, h), columns, rows, last))
    gains: dict[tuple[bool, int, int], tuple[float, float]] = {}
    for last, sizes in wanted.items():
        if not sizes:
            continue
        ordered = np.array(sorted(sizes))
        model, whole = tables.models[layer], tables.tile_sizes(layer, 1, 1)
        least = least_bounds(
            model, whole, ordered[:, 0], ordered[:, 1], usable_levels(tables, layer), to_top=last
        )
        floors = tile_floors(model, whole, ordered[:, 0], ordered[:, 1])
        for (x, y), more in zip(ordered.tolist(), (least - floors).tolist(), strict=True):
            gains[last, x, y] = (max(0.0, more[0]), max(0.0, more[1]))
    for r, index, columns, rows, last in terms:
        energy = latency = 0.0
        for nx, x in columns:
            for ny, y in rows:
                more_pj, more_cycles = gains[last, x, y]
                energy += nx * ny * more_pj
                latency += nx * ny * more_cycles
        # What the floors already hold of the way to and from DRAM must not count twice.
        spec = r.screened.range
        if layer == spec.last:
            energy = max(0.0, energy - float(r.screened.target_pj.max()))
        if layer == spec.first:
            energy = max(0.0, energy - float(r.screened.boundary_pj[index].max()))
        r.energy[index] += energy
        r.latency[index] += latency


def usable_levels(tables: StackTables, layer: int) -> np.ndarray:
    """[operand, level]: whether a tensor of a tile may rest at that level."""
    usable = np.zeros((3, MAX_LEVELS), dtype=np.bool_)
    hardware = tables.problem.hardware
    lone_weights = not tables.problem.workload.layers[layer].has_weights
    for o, (name, chain) in enumerate(
        zip(tables.models[layer].operands, tables.models[layer].chain, strict=True)
    ):
        for m, i in enumerate(chain):
            free = lone_weights and name == Operand.W.value
            usable[o, m] = hardware.memories[i].instances == 1 or free
    return usable


def refine_by_option(pool: Pool, limit: int | None = None) -> None:
    """Stage 3: bound alive options by their best placements, copies included.

    With `limit`, only that many options, those of the least product of bounds.
    """
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    todo = [
        (float(r.energy[index]) * float(r.latency[index]), k, index)
        for k, r in enumerate(pool.ranges)
        for index in map(tuple, np.argwhere(r.alive & ~r.refined).tolist())
    ]
    for _, k, index in sorted(todo)[:limit]:
        r = pool.ranges[k]
        energy, latency = pool.tables.option_bounds(r.screened.option(index), weights)
        r.energy[index] = max(r.energy[index], energy)
        r.latency[index] = max(r.latency[index], latency)
        r.refined[index] = True
        if not np.isfinite(energy):
            r.alive[index] = False
