"""What a search has proven: half-planes that hold for every schedule better than the best.

Round by round the corner of their region with the least objective is taken, and schedules around it
are sought or excluded (docs/formulation.md, EDP).
"""

from __future__ import annotations

import numpy as np

from problems.problem import Problem
from solver.halfplanes import HalfPlanes, Point, weights_along
from solver.objective import Objective
from solver.prune import SAFETY, Pool
from solver.result import Limit, WeightedBound
from solver.scout import tangent
from solver.space import node_text
from solver.weighted import WeightedOptimum, WeightedSolver

Weights = tuple[float, float]
AXES: tuple[Weights, ...] = ((1.0, 0.0), (0.0, 1.0))
"""Weights of energy alone, and of latency alone."""


class Proof:
    """Steps of a certificate, and the corner whose turn it is."""

    def __init__(self, problem: Problem, objective: Objective) -> None:
        self.steps: list[WeightedBound] = []
        self._problem, self._objective = problem, objective
        self._planes = HalfPlanes()
        self._corner: Point = (0.0, 0.0)
        self._through: list[tuple[Weights, np.ndarray]] = []
        """Weighted bounds of all schedules through options, by weights that were minimised."""
        self._limits: dict[Weights, tuple[Limit, ...]] = {}

    def add(self, optimum: WeightedOptimum) -> None:
        """Take over what a weighted solve has proven, or had when it was stopped."""
        self._planes.add(*optimum.weights, optimum.bound)
        self.steps.append(
            WeightedBound(
                energy_weight=optimum.weights[0],
                latency_weight=optimum.weights[1],
                bound=optimum.bound,
                potentials={
                    node_text(self._problem, node): value
                    for node, value in sorted(optimum.potentials.items())
                },
                survivors=optimum.survivors,
                limits=self._limits.get(optimum.weights, ()),
            )
        )

    def add_floors(self, pool: Pool, slants: list[Weights]) -> None:
        """Take over a pool's bounds on energy, on latency, and on both along `slants`."""
        for weights in dict.fromkeys([*AXES, *slants]):
            ahead, _ = pool.ways(weights)
            floor = ahead.get(pool.end, np.inf)
            if np.isfinite(floor):
                self.add(
                    WeightedOptimum(
                        weights=weights,
                        bound=floor,
                        cost=np.inf,
                        plans=(),
                        potentials=ahead,
                        survivors=0,
                    )
                )

    def bound(self, so_far: WeightedOptimum | None = None) -> float:
        """Bound on the objective of all schedules, by `so_far`, too; 0 before the first step."""
        planes = self._planes
        if so_far is not None:
            planes = planes.with_plane(*so_far.weights, so_far.bound)
        if not self._planes.planes or not np.isfinite(planes.planes[-1][2]):
            return 0.0
        return float(self._objective.of(*planes.best_corner(self._objective)))

    def turn(self, best: Point | None) -> Weights:
        """Turn to the best corner; weights along which schedules around it are to be excluded.

        `best`: (pJ, cycles) of the best schedule, if there is one.
        """
        self._corner = self._planes.best_corner(self._objective)
        region = self._region(best)
        return (
            weights_along(region, self._corner)
            if region
            else tangent(self._objective, *self._corner)
        )

    def enough(self, weights: Weights, best: Point | None) -> float:
        """Weighted cost from which on no schedule is of interest.

        None is better than the best there, or none of those around the corner.
        """
        if best is None:
            return np.inf
        around = (_weigh(weights, point) for point in self._region(best))
        return min(_weigh(weights, best), max(around, default=np.inf))

    def is_attained(self, optimum: WeightedOptimum) -> bool:
        """Whether a weighted solve has found nothing beyond the corner: a schedule is there."""
        return optimum.bound <= _weigh(optimum.weights, self._corner) * (1 + 1e-12)

    def left_out(
        self, solver: WeightedSolver, weights: Weights, best: Point | None
    ) -> np.ndarray | None:
        """Options [option] that no schedule around the corner takes, if any are known.

        By what schedules through them cost at least under other weights. So the step that follows
        says nothing of such options, but its half-plane holds by what was proven before: it cuts
        off nothing but what is around the corner.
        """
        region = self._region(best)
        if not region:
            return None
        out = np.zeros(len(solver.options.energy), dtype=np.bool_)
        limits = []
        for other, through in [*((axis, solver.through(axis)) for axis in AXES), *self._through]:
            most = max(_weigh(other, point) for point in region) * (1 + SAFETY)
            beyond = through > most
            if len(through) == len(out) and beyond.any():
                out |= beyond
                limits.append(Limit(energy_weight=other[0], latency_weight=other[1], most=most))
        self._limits[weights] = tuple(limits)
        return out

    def remember(self, solver: WeightedSolver, weights: Weights) -> None:
        """Keep what a weighted solve has found out about schedules through each option."""
        self._through.append((weights, solver.through(weights)))

    def _region(self, best: Point | None) -> list[Point]:
        """Vertices around the corner of the region of better schedules; none if all are sought."""
        if self._objective is not Objective.EDP or best is None or min(self._corner) <= 0:
            return []
        return self._planes.below(self._corner, float(self._objective.of(*best)))


def _weigh(weights: Weights, point: Point) -> float:
    return weights[0] * point[0] + weights[1] * point[1]
