"""The search for a first schedule: it decides how fast the proof is, never the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.objective import Objective
from solver.option_plan import OptionPlan
from solver.plunge import plunge
from solver.prune import Pool, refine_by_option, weigh
from solver.space import StackRange
from solver.weighted import EAGER_RISES, FIRST_RISES, STUBBORN_RISES, WeightedSolver

FIRST_LOOKS, NEAR_ENOUGH = 60, 0.03
"""Looks that a search by close bounds may take, and the relative distance of what it finds to the
bounds at which dives are not worth it; only speed depends on them."""
WHOLE_TRIES, LARGEST_OCTAVE = 4, 11
"""Options tried per octave of tile areas, and of all, for a first schedule of little latency;
larger tiles take longer to try."""
TIE_BREAK = 0.02
"""Share of energy in the search for a first schedule of little latency."""
MOST_LOOKS = 800
"""Looks at options after which no further dive begins."""
CLOSE_LOOKS = 30
"""Such looks after which a dive with close mappings gives up."""
EAGER_DIVES = 3
"""Dives with rough mappings that look further than the first."""
PATIENCE = 5e3
"""Nodes of search after which a dive makes do with some mapping of a layer-tile."""
PROMISING = 64
"""Options bounded closely where mappings are too hard for dives."""
OPENING_SIZES, QUARTER = (1, 6), 4
"""Sizes per axis that tiles may take in the search for just any schedule, one after the other,
and how much smaller each is than the one before."""


def tangent(objective: Objective, energy: float, latency: float) -> tuple[float, float]:
    """Weights along which the objective falls fastest at a point."""
    if objective is Objective.ENERGY:
        return (1.0, 0.0)
    if objective is Objective.LATENCY:
        return (0.0, 1.0)
    return (latency / 1e6, energy / 1e6)


def floor_of(pool: Pool) -> tuple[float, float]:
    """Bounds on energy and on latency over all schedules of a pool; infinite if it has none."""
    return (
        float(pool.ways((1.0, 0.0))[0].get(pool.end, np.inf)),
        float(pool.ways((0.0, 1.0))[0].get(pool.end, np.inf)),
    )


def opening_ranges(ranges: tuple[StackRange, ...], count: int) -> tuple[StackRange, ...]:
    """A small part of a space in which some schedule is soon found.

    Every layer on its own, with `count` sizes of tiles per axis: the largest, and those that
    come next below a quarter of the one before. Where decisions are fixed it may lead nowhere.
    """

    def some(sizes: tuple[int, ...]) -> tuple[int, ...]:
        kept = [max(sizes)]
        while len(kept) < count and min(sizes) < kept[-1]:
            below = [size for size in sizes if size <= kept[-1] / QUARTER]
            kept.append(max(below, default=min(sizes)))
        return tuple(sorted(kept))

    return tuple(
        replace(
            r,
            widths=some(r.widths),
            heights=some(r.heights),
            modes=r.modes[:1],
            sources=(r.dram,),
            targets=(r.dram,),
        )
        for r in ranges
        if len(r.layers) == 1 and r.dram in r.sources and r.dram in r.targets
    )


class Scout:
    """Looks for good first schedules of a pool; `found` is called with each."""

    def __init__(
        self,
        pool: Pool,
        builder: ChoiceBuilder,
        limits: SearchLimits,
        objective: Objective,
        found: Callable[[tuple[OptionPlan, ...]], tuple[float, float]],
    ) -> None:
        self.pool, self.builder, self.limits = pool, builder, limits
        self.objective, self.found = objective, found
        self.point: tuple[float, float] | None = None
        """(pJ, cycles) of the best schedule so far."""

    def run(self) -> None:
        """Try what suits the rules and the objective."""
        energy, latency = floor_of(self.pool)
        if not np.isfinite(energy):
            return
        rough, close = (self._hasty(patience) for patience in (-1, PATIENCE))
        if not self.pool.tables.rules.joint_capacity:
            if self.objective is not Objective.LATENCY:
                self._dives(rough, (STUBBORN_RISES, EAGER_RISES))
            self._narrow()
            return
        if self.objective is Objective.LATENCY:
            exact = WeightedSolver(self.pool, self.builder, self.limits, self.found)
            if plunge(exact, (0.0, 1.0), most_looks=FIRST_LOOKS) <= NEAR_ENOUGH:
                return
            # With energy free most mappings tie: some weight on it finds good ones soon.
            for share in (1.0, TIE_BREAK):
                weights = (share * latency / energy, 1.0)
                for rises in (STUBBORN_RISES, FIRST_RISES, *[EAGER_RISES] * EAGER_DIVES):
                    if rough.looks <= MOST_LOOKS:
                        self._dive(rough, weights, rises)
            self._dive(close, weights, most_looks=CLOSE_LOOKS)
            for place in self._fastest_whole():
                alone = self._hasty(PATIENCE, self.pool.focus([place]))
                self._dive(alone, weights, most_looks=CLOSE_LOOKS)
            return
        # Rough mappings are soon found on whatever there is. What an eager dive has learnt leads
        # the next one further.
        self._dives(rough, (STUBBORN_RISES, FIRST_RISES, *[EAGER_RISES] * EAGER_DIVES))

    def _dives(self, solver: WeightedSolver, all_rises: Iterable[tuple[float, ...]]) -> None:
        """Dive after dive, each along the tangent at the best schedule so far."""
        for rises in all_rises:
            if solver.looks > MOST_LOOKS:
                break
            weights = tangent(self.objective, *(self.point or floor_of(self.pool)))
            self.point = self._dive(solver, weights, rises) or self.point

    def open(self) -> None:
        """Hand on some schedule, as soon as can be."""
        energy, latency = floor_of(self.pool)
        if np.isfinite(energy):
            self._dive(self._hasty(-1, in_place=True), tangent(self.objective, energy, latency))

    def place(self) -> None:
        """Hand on a schedule that uses the memories on chip, if one is soon found."""
        weights = tangent(self.objective, *floor_of(self.pool))
        self._dive(self._hasty(-1), weights, STUBBORN_RISES)

    def _hasty(
        self, patience: float, pool: Pool | None = None, *, in_place: bool = False
    ) -> WeightedSolver:
        """A solver for dives, of its own: what it takes for bounds is none."""
        builder = ChoiceBuilder(
            self.pool.tables,
            self.limits.left,
            patience,
            self.builder.mappings,
            in_place=in_place,
        )
        return WeightedSolver(pool or self.pool, builder, self.limits, self.found, hasty=True)

    def _dive(
        self,
        solver: WeightedSolver,
        weights: tuple[float, float],
        rises: tuple[float, ...] = FIRST_RISES,
        most_looks: float = np.inf,
    ) -> tuple[float, float] | None:
        """Hand on the schedule of a dive; the best (pJ, cycles) so far."""
        optimum = solver.dive(weights, rises, most_looks)
        return self.found(optimum.plans) if optimum is not None else None

    def _narrow(self) -> None:
        """Solve the one path that bounds find most promising.

        The reference's first tiles read their weights from DRAM: their mappings are hard to
        find, so only few options are worth it.
        """
        # Whatever the objective: the product ranks best while bounds are rough.
        focus = self.pool.focus(self.pool.most_promising(Objective.EDP, PROMISING))
        near = [(r.screened.range, r.alive) for r in focus.ranges]
        wanted = focus.screen.wanted(near)
        focus.screen.sharpen(wanted, wanted, self.limits.left)
        focus.refresh()
        focus = focus.focus(focus.most_promising(Objective.EDP, PROMISING // 8))
        refine_by_option(focus)
        energy, latency = floor_of(focus)
        if not np.isfinite(energy):
            # They do not make a path: all options may.
            focus = self.pool
            energy, latency = floor_of(focus)
        if self.objective is Objective.LATENCY:
            for share in (1.0, TIE_BREAK):
                weights = (share * latency / energy, 1.0)
                self._try(self._best_path(focus, weights), weights)
            for place in self._fastest_whole():
                self._try(self.pool.focus([place]), weights)
            return
        weights = tangent(self.objective, energy, latency)
        self._try(self._best_path(focus, weights), weights)

    def _best_path(self, pool: Pool, weights: tuple[float, float]) -> Pool:
        """The single cheapest path of a pool, by bounds."""
        ahead, _ = pool.ways(weights)
        node = pool.end
        chosen = []
        while node != pool.start:
            best = None
            for k, r in enumerate(pool.ranges):
                spec = r.screened.range
                heads = [spec.head_node(target) for target in spec.targets]
                if node not in heads:
                    continue
                t = heads.index(node)
                cost = np.where(r.alive, weigh(weights, r), np.inf)[..., t]
                for s, source in enumerate(spec.sources):
                    before = ahead.get(spec.tail_node(source), np.inf)
                    index = np.unravel_index(cost[..., s].argmin(), cost[..., s].shape)
                    total = before + cost[(*index, s)]
                    if np.isfinite(total) and (best is None or total < best[0]):
                        place = (*(int(i) for i in index), s, t)
                        best = (total, k, place, spec.tail_node(source))
            if best is None:
                return pool
            chosen.append((best[1], best[2]))
            node = best[3]
        return pool.focus(chosen)

    def _fastest_whole(self) -> list[tuple[int, tuple[int, ...]]]:
        """A few promising options that take all layers at once, for tiles of every size."""
        ranked = []
        for k, r in enumerate(self.pool.ranges):
            spec = r.screened.range
            if (spec.tail, spec.head) != (0, self.pool.end[0]):
                continue
            areas = np.outer(spec.widths, spec.heights)
            octaves = np.broadcast_to(
                np.log2(areas).astype(int)[None, :, :, None, None], r.alive.shape
            )
            for octave in range(LARGEST_OCTAVE + 1):
                floors = np.where(r.alive & (octaves == octave), r.latency, np.inf).ravel()
                for flat in np.argsort(floors, kind="stable")[:WHOLE_TRIES].tolist():
                    if np.isfinite(floors[flat]):
                        index = tuple(int(i) for i in np.unravel_index(flat, r.alive.shape))
                        option = r.screened.option(index)
                        bound = self.pool.tables.main_bound(option, np.array([[0.0, 1.0]]))[0]
                        ranked.append((float(bound), k, index))
        return [(k, index) for _, k, index in sorted(ranked)[:WHOLE_TRIES]]

    def _try(self, pool: Pool, weights: tuple[float, float]) -> None:
        """Hand on the best schedule of a small pool for a weight pair."""
        if np.isfinite(floor_of(pool)[0]):
            solver = WeightedSolver(pool, self.builder, self.limits, self.found)
            optimum = solver.minimise(weights, np.inf)
            if optimum.plans:
                self.found(optimum.plans)
