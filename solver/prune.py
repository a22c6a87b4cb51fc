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
from cost.layer_model import MAX_LEVELS
from cost.mapping_search import least_bounds
from cost.overlap import OverlapMode
from problems.workload import Operand
from solver.objective import Objective
from solver.screen import ScreenedRange
from solver.stack_tables import StackOption, StackTables

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


@dataclass(kw_only=True, eq=False)
class Pool:
    """All stack options of a problem with their bounds."""

    tables: StackTables
    ranges: list[PoolRange]
    n_layers: int
    counts: dict[str, int] = field(default_factory=dict)

    def alive(self) -> int:
        """Options not yet pruned."""
        return int(sum(r.alive.sum() for r in self.ranges))

    def ways(self, weights: tuple[float, float]) -> tuple[dict, dict]:
        """Cheapest weighted way from the input to, and from, every (cut, memory)."""
        we, wl = weights
        arcs = []
        for r in self.ranges:
            cost = np.where(r.alive, we * r.energy + wl * r.latency, np.inf).min(axis=(0, 1, 2))
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

    def through(self, r: PoolRange, weights: tuple[float, float], ways: tuple[dict, dict]) -> np.ndarray:
        """Weighted bound of any schedule through each option of `r`."""
        ahead, behind = ways
        spec = r.screened.range
        before = np.array([ahead.get((spec.first, s), np.inf) for s in spec.sources])
        after = np.array([behind.get((spec.last + 1, t), np.inf) for t in spec.targets])
        cost = weights[0] * r.energy + weights[1] * r.latency
        return cost + before[:, None] + after[None, :]

    def prune(self, objective: Objective, incumbent: float) -> int:
        """Drop options through which nothing beats `incumbent`; returns what is alive."""
        by_energy, by_latency = self.ways((1.0, 0.0)), self.ways((0.0, 1.0))
        for r in self.ranges:
            energy = self.through(r, (1.0, 0.0), by_energy)
            latency = self.through(r, (0.0, 1.0), by_latency)
            bound = objective.value(energy, latency)
            r.alive &= bound * (1 - SAFETY) <= incumbent
        return self.alive()

    def lower_bound(self, objective: Objective) -> float:
        """Bound on the objective over all schedules of alive options."""
        end = (self.n_layers, self.tables.domains.dram)
        energy = self.ways((1.0, 0.0))[0].get(end, np.inf)
        latency = self.ways((0.0, 1.0))[0].get(end, np.inf)
        return float(objective.value(energy, latency))


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


def refine_by_layer(pool: Pool) -> None:
    """Stage 2: bound every layer-tile of the alive options by its best lone mapping."""
    tables = pool.tables
    wanted: dict[tuple[int, bool], set[tuple[int, int]]] = {}
    sums: list[tuple[PoolRange, tuple[int, int, int], list[tuple[int, bool, int, int, int]]]] = []
    layers = tables.problem.workload.layers
    spans = tables.rules.true_spans
    for r in pool.ranges:
        spec = r.screened.range
        stack = layers[spec.first : spec.last + 1]
        chains = axis_layers(stack, "x"), axis_layers(stack, "y")
        for m, w, h in np.argwhere(r.alive.any(axis=(3, 4))).tolist():
            mode = spec.modes[m]
            columns = axis_kinds(
                chains[0], spec.widths[w], mode is not OverlapMode.FULLY_RECOMPUTE, spans)
            rows = axis_kinds(
                chains[1], spec.heights[h], mode is OverlapMode.FULLY_CACHED, spans)
            terms = []
            for y in rows:
                for x in columns:
                    for e in range(len(stack)):
                        key = (spec.first + e, e == len(stack) - 1)
                        size = (x.outputs[e], y.outputs[e])
                        wanted.setdefault(key, set()).add(size)
                        terms.append((*key, *size, x.count * y.count))
            sums.append((r, (m, w, h), terms))
    found: dict[tuple[int, bool, int, int], tuple[float, float]] = {}
    for (layer, last), sizes in wanted.items():
        ordered = np.array(sorted(sizes))
        # Outputs leave through DRAM only if every target of the layer's stacks is DRAM.
        to_top = last and all(
            r.screened.range.targets == (tables.domains.dram,)
            for r in pool.ranges
            if r.screened.range.last == layer
        )
        bounds = least_bounds(
            tables.models[layer], tables.tile_sizes(layer, 1, 1), ordered[:, 0], ordered[:, 1],
            usable_levels(tables, layer), to_top=to_top)
        for (width, height), bound in zip(ordered.tolist(), bounds.tolist(), strict=True):
            found[layer, last, width, height] = (bound[0], bound[1])
    for r, index, terms in sums:
        energy = latency = 0.0
        for layer, last, width, height, count in terms:
            bound_pj, bound_cycles = found[layer, last, width, height]
            energy += count * bound_pj
            latency += count * bound_cycles
        into = r.screened.boundary_pj[index][:, None]
        r.energy[index] = np.maximum(r.energy[index], energy + into)
        r.latency[index] = np.maximum(r.latency[index], latency)


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
