"""Exact pruning of stack options by bounds through the whole network.

Stacks form a path over cuts. With the cheapest ways (in pJ, in cycles) from the
input to each cut and from each cut to the output, no schedule through an option costs
less than ways + option; if that cannot beat the incumbent, the option is out. Bounds come
in stages, each tighter and dearer, and only options still alive are refined.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from problems.workload import Layer
from solver.floor_sums import CYCLES, ENERGY, Weights
from solver.objective import Objective
from solver.screen import Screen, ScreenedRange
from solver.space import Node, StackRange
from solver.stack_option import StackOption
from solver.stack_tables import StackTables

Ways = dict[Node, float]
"""Cheapest cost to or from each node."""
SAFETY = 1e-9
"""Relative margin of pruning by floats: an option within it of the incumbent stays."""


@dataclass(kw_only=True, eq=False)
class PoolRange:
    """A stack range with its current bounds and the options still alive (same shape).

    What has no schedule, at infinite cost, is not alive.
    """

    screened: ScreenedRange
    energy: np.ndarray
    latency: np.ndarray
    alive: np.ndarray

    def options(self) -> list[tuple[tuple[int, ...], StackOption]]:
        """Options still alive with their indices."""
        return [
            (tuple(index), self.screened.option(tuple(index)))
            for index in np.argwhere(self.alive).tolist()
        ]


def weigh(weights: tuple[float, float], r: PoolRange) -> np.ndarray:
    """Weighted bounds of a range, of options alive."""
    both = zip(weights, (r.energy, r.latency), strict=True)
    # No product of zero and infinity, which is neither.
    parts = [bounds if weight == 1.0 else weight * bounds for weight, bounds in both if weight]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _least_product(
    energy: np.ndarray, latency: np.ndarray, both: np.ndarray, weights: tuple[float, float]
) -> np.ndarray:
    """Least E * L where E >= energy, L >= latency and weights @ (E, L) >= both."""
    a, b = weights
    never = ~(np.isfinite(energy) & np.isfinite(latency) & np.isfinite(both))
    energy, latency = np.where(never, 0.0, energy), np.where(never, 0.0, latency)
    cut = np.where(never, 0.0, both)
    steep = energy * np.maximum(latency, (cut - a * energy) / b)
    flat = latency * np.maximum(energy, (cut - b * latency) / a)
    return np.where(never, np.inf, np.minimum(steep, flat))


def _cuts(objective: Objective, weights: tuple[float, float]) -> bool:
    """Whether a bound on the weighted cost tells of the objective what others do not."""
    return objective is Objective.EDP and min(weights) > 0


@dataclass(kw_only=True, eq=False)
class Pool:
    """All stack options of a problem with their bounds."""

    tables: StackTables
    ranges: list[PoolRange]
    screen: Screen
    _ways: dict[tuple[float, float], tuple[Ways, Ways]] = field(default_factory=dict, init=False)
    """Those asked for since bounds or options last changed."""

    @property
    def start(self) -> Node:
        """Where every path starts: at the network's input."""
        return (0, self.tables.domains.dram, -1)

    @property
    def end(self) -> Node:
        """Where every path ends: at the network's output."""
        return (self.screen.last_cut, self.tables.domains.dram, -1)

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
                )
            )
        for k, index in chosen:
            ranges[k].alive[index] = True
        return Pool(tables=self.tables, screen=self.screen, ranges=ranges)

    def refresh(self, whats: tuple[Weights, ...] = (ENERGY, CYCLES)) -> None:
        """Take over what the screen has learnt, of pJ, cycles or both."""
        for what in whats:
            for r, floors in zip(self.ranges, self.screen.floors(what), strict=True):
                bounds = r.energy if what == ENERGY else r.latency
                np.maximum(bounds, floors, out=bounds)
                r.alive &= np.isfinite(bounds)
        self.changed()

    def changed(self) -> None:
        """Forget what followed from bounds and options before some changed."""
        self._ways.clear()

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

    @property
    def size(self) -> int:
        """Options in all, pruned or not."""
        return sum(r.alive.size for r in self.ranges)

    def alive(self) -> int:
        """Options not yet pruned."""
        return int(sum(r.alive.sum() for r in self.ranges))

    def ways(self, weights: tuple[float, float]) -> tuple[Ways, Ways]:
        """Cheapest weighted way from the input to, and from, every (cut, memory)."""
        if weights not in self._ways:
            self._ways[weights] = self._find_ways(weights)
        return self._ways[weights]

    def _find_ways(self, weights: tuple[float, float]) -> tuple[Ways, Ways]:
        arcs = []
        for r in self.ranges:
            cost = np.where(r.alive, weigh(weights, r), np.inf).min(axis=(0, 1, 2))
            spec = r.screened.range
            for s, source in enumerate(spec.sources):
                for t, target in enumerate(spec.targets):
                    if np.isfinite(cost[s, t]):
                        arcs.append(
                            (spec.tail_node(source), spec.head_node(target), float(cost[s, t]))
                        )
        ahead: Ways = {self.start: 0.0}
        for tail, head, cost_ in sorted(arcs):
            if tail in ahead:
                ahead[head] = min(ahead.get(head, np.inf), ahead[tail] + cost_)
        behind: Ways = {self.end: 0.0}
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
        before = np.array([ahead.get(spec.tail_node(s), np.inf) for s in spec.sources])
        after = np.array([behind.get(spec.head_node(t), np.inf) for t in spec.targets])
        cost = weigh(weights, r)
        return cost + before[:, None] + after[None, :]

    def bounds(
        self, objective: Objective, weights: tuple[float, float] | None = None
    ) -> list[np.ndarray]:
        """Bounds on the objective of every schedule through each option, by range.

        With `weights` a third bound counts for the product: where a bound on the weighted
        cost passes what those on energy and latency say, the product is least at an end
        of the edge that it cuts off (docs/formulation.md).
        """
        by_energy, by_latency = self.ways((1.0, 0.0)), self.ways((0.0, 1.0))
        by_both = self.ways(weights) if weights is not None and _cuts(objective, weights) else None
        found = []
        for r in self.ranges:
            energy = self.through(r, (1.0, 0.0), by_energy)
            latency = self.through(r, (0.0, 1.0), by_latency)
            bound = objective.of(energy, latency)
            if weights is not None and by_both is not None:
                both = self.through(r, weights, by_both)
                bound = np.maximum(bound, _least_product(energy, latency, both, weights))
            found.append(bound)
        return found

    def prune(
        self,
        objective: Objective,
        incumbent: float,
        weights: tuple[float, float] | None = None,
    ) -> int:
        """Drop options through which nothing beats `incumbent`; returns what is alive."""
        for r, bound in zip(self.ranges, self.bounds(objective, weights), strict=True):
            r.alive &= bound * (1 - SAFETY) <= incumbent
        self.changed()
        return self.alive()

    def lower_bound(
        self, objective: Objective, weights: tuple[float, float] | None = None
    ) -> float:
        """Bound on the objective over all schedules of alive options; see `bounds`."""

        def least(pair: tuple[float, float]) -> float:
            return float(self.ways(pair)[0].get(self.end, np.inf))

        energy, latency = least((1.0, 0.0)), least((0.0, 1.0))
        bound = float(objective.of(energy, latency))
        if weights is not None and _cuts(objective, weights):
            parts = (np.array(v) for v in (energy, latency, least(weights)))
            bound = max(bound, float(_least_product(*parts, weights)))
        return bound


def make_pool(screen: Screen) -> Pool:
    """All options of a screen; everything that can be is alive, of twins the first."""
    tables = screen.tables
    ranges = []
    for s in screen.screen():
        alive = np.isfinite(s.energy) & np.isfinite(s.latency)
        if tables.rules.joint_capacity:
            alive &= ~_twins(s.range, tables.problem.workload.layers[s.range.last])[..., None, None]
        ranges.append(PoolRange(screened=s, energy=s.energy, latency=s.latency, alive=alive))
    return Pool(tables=tables, screen=screen, ranges=ranges)


def _twins(r: StackRange, last: Layer) -> np.ndarray:
    """[mode, width, height]: whether a mode before is the same.

    Along an axis that tiles take whole there is nothing to cache. The reference's rules look at
    modes all the same.
    """
    across = np.array([width < last.sizes["OX"] for width in r.widths])
    down = np.array([height < last.sizes["OY"] for height in r.heights])
    caches = np.array(
        [
            2 * (mode.caches_columns & across)[:, None] + (mode.caches_rows & down)[None, :]
            for mode in r.modes
        ]
    )
    found = np.zeros(caches.shape, dtype=np.bool_)
    for m in range(len(r.modes)):
        found[m] = (caches[:m] == caches[m]).any(axis=0)
    return found


def refine_by_option(pool: Pool) -> None:
    """Stage 3: bound alive options by their best placements, copies included."""
    weights = np.array([[1.0, 0.0], [0.0, 1.0]])
    for r in pool.ranges:
        for index in map(tuple, np.argwhere(r.alive).tolist()):
            energy, latency = pool.tables.option_bounds(r.screened.option(index), weights)
            r.energy[index] = max(r.energy[index], energy)
            r.latency[index] = max(r.latency[index], latency)
            if not np.isfinite(energy):
                r.alive[index] = False
    pool.changed()
