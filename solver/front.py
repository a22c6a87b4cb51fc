"""The front of energy and latency: nondominated schedules, and how much they can miss.

Every weighted solve proves a line a * E + b * L >= c below all schedules of the space and
may find a schedule on it. The lines say how far any schedule can be below the points
found, so the front is stated to an epsilon that holds for points on no line, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import EXACT, RuleSet
from cost.schedule import Schedule
from problems.problem import Problem
from solver.choices import ChoiceBuilder
from solver.infeasible import explain_infeasible
from solver.limits import SearchLimits, StoppedError
from solver.objective import Objective
from solver.option_plan import OptionPlan
from solver.option_steps import plan_cost
from solver.prepare import cost_tables, search_limits, stated_space
from solver.prune import make_pool
from solver.result import Space
from solver.scout import Scout, floor_of
from solver.screen import Screen
from solver.space import EFFICIENT, StackRange, TileSpace, stack_ranges
from solver.stack_tables import StackTables
from solver.weighted import WeightedOptimum, WeightedSolver
from solver.write_out import write_out

LEEWAY = 1e-9
"""Relative slack in saying that a point lies on a line."""
FINEST = 1e-6
"""Weight on the other cost when one is minimised, times the ratio of the two: among equals
the better one is found, at a price of at most this much."""

Line = tuple[float, float, float]
"""(a, b, c): a * pJ + b * cycles >= c for every schedule of the space."""
Point = tuple[float, float]
"""(pJ, cycles)."""


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A schedule that no other found dominates; `supported`: it lies on a proven line.

    Nothing dominates a supported point. Figures are those of the independent re-costing.
    """

    energy_pj: float
    latency_cycles: float
    supported: bool
    schedule: Schedule


@dataclass(frozen=True, kw_only=True)
class Front:
    """Nondominated schedules, by energy.

    For every schedule of the space one of `points` is at most `epsilon` (relative) worse
    in energy and in latency. `complete`: the search ended by itself, and further weighted
    solves would not lower `epsilon` or it is as small as asked for.
    """

    problem: str
    rules: str
    points: tuple[FrontPoint, ...]
    lines: tuple[Line, ...]
    epsilon: float
    asked: float
    complete: bool
    seconds: float
    space: Space


def corner_epsilons(points: list[Point], lines: list[Line]) -> list[float]:
    """How far schedules between neighbouring points may beat both, relatively, at most.

    One entry before the first point (by energy), one per pair of neighbours, one after
    the last. A schedule that both neighbours miss by a factor above 1 + e has less energy
    than the right one / (1 + e) and less latency than the left one / (1 + e); a line
    through or above that corner rules it out.
    """
    found = []
    rights = [e for e, _ in points] + [np.inf]
    lefts = [np.inf] + [cycles for _, cycles in points]
    for energy, cycles in zip(rights, lefts, strict=True):
        least = np.inf
        for a, b, c in lines:
            if c <= 0 or (a > 0 and np.isinf(energy)) or (b > 0 and np.isinf(cycles)):
                continue
            reach = (a * energy if a > 0 else 0.0) + (b * cycles if b > 0 else 0.0)
            least = min(least, reach / c - 1.0)
        found.append(max(0.0, least))
    return found


def nondominated(points: dict[Point, tuple[OptionPlan, ...]]) -> list[Point]:
    """The points that no other is at most equal to in both costs, by energy."""
    kept: list[Point] = []
    for point in sorted(points):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """Least cost within a limit on the other: best found (None: none) and lower bound.

    An infinite bound proves that no schedule keeps the limit.
    """

    value: float | None
    bound: float


def within(
    front: Front, *, max_energy_pj: float = np.inf, max_latency_cycles: float = np.inf
) -> Limited:
    """Least latency under a limit on energy, or least energy under one on latency."""
    if np.isfinite(max_energy_pj) == np.isfinite(max_latency_cycles):
        raise ValueError("give one limit, on energy or on latency")
    on_energy = bool(np.isfinite(max_energy_pj))
    bound, values = 0.0, []
    for a, b, c in front.lines:
        limited, free = (a, b) if on_energy else (b, a)
        rest = c - limited * (max_energy_pj if on_energy else max_latency_cycles)
        if free > 0:
            bound = max(bound, rest / free)
        elif rest > 0:
            bound = np.inf
    for point in front.points:
        costs = (point.energy_pj, point.latency_cycles)
        if costs[not on_energy] <= (max_energy_pj if on_energy else max_latency_cycles):
            values.append(costs[on_energy])
    return Limited(value=min(values, default=None), bound=float(bound))


def lower_hull(points: list[Point]) -> list[Point]:
    """Those of nondominated points, by energy, that a weighted sum may prefer."""
    chain: list[Point] = []
    for point in points:
        while len(chain) > 1:
            (x, y), (u, v) = chain[-2:]
            if (u - x) * (point[1] - y) > (v - y) * (point[0] - x):
                break
            chain.pop()
        chain.append(point)
    return chain


def pareto_front(
    problem: Problem,
    *,
    rules: RuleSet = EXACT,
    tiles: TileSpace = EFFICIENT,
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode),
    max_depth: int | None = None,
    epsilon: float = 0.0,
    time_limit_s: float | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Front:
    """The front of energy and latency in the stated space, to a stated epsilon.

    Ends once `epsilon` is reached, weighted solves bring nothing more, or at the time
    limit. `progress` is called with the number of points and the epsilon so far. Raises
    InfeasibleError if the space holds no schedule, ProblemError as `solve` does.
    """
    started = time.monotonic()
    tables = cost_tables(problem, rules)
    ranges = stack_ranges(problem, rules, tiles, modes, max_depth)
    limits = search_limits(time_limit_s, workers, seed)
    search = _FrontSearch(tables, limits, epsilon, progress)
    with limits.remembering_interrupts():
        complete = search.run(ranges)
    return Front(
        problem=problem.source,
        rules=rules.name,
        points=search.front_points(),
        lines=tuple(search.lines),
        epsilon=search.epsilon(),
        asked=epsilon,
        complete=complete,
        seconds=time.monotonic() - started,
        space=stated_space(problem, ranges, tiles, modes, max_depth, rules),
    )


class _FrontSearch:
    """One run of `pareto_front`: points and lines so far."""

    def __init__(
        self,
        tables: StackTables,
        limits: SearchLimits,
        asked: float,
        progress: Callable[[int, float], None] | None,
    ) -> None:
        self.tables, self.limits, self.asked, self.progress = tables, limits, asked, progress
        self.builder = ChoiceBuilder(tables, limits.left)
        self.found: dict[Point, tuple[OptionPlan, ...]] = {}
        self.lines: list[Line] = []
        self._heard: Line | None = None

    def run(self, ranges: tuple[StackRange, ...]) -> bool:
        """Search until done; False if stopped."""
        try:
            pool = make_pool(Screen(self.tables, ranges))
            energy, latency = floor_of(pool)
            if not np.isfinite(energy):
                raise explain_infeasible(self.tables)
            self.lines += [(1.0, 0.0, energy), (0.0, 1.0, latency)]
            Scout(pool, self.builder, self.limits, Objective.EDP, self._consider).run()
            solver = WeightedSolver(
                pool, self.builder, self.limits, self._consider, self._hear_bound
            )
            ratio = latency / energy
            self._solve(solver, (ratio, FINEST))
            self._solve(solver, (ratio * FINEST, 1.0))
            # Only lines that the other cost has no part in bound the ends of the front.
            self._solve(solver, (1.0, 0.0))
            self._solve(solver, (0.0, 1.0))
            if not self.found:
                raise explain_infeasible(self.tables)
            self._refine(solver)
        except (StoppedError, KeyboardInterrupt):
            if self._heard is not None:
                self.lines.append(self._heard)
            return False
        return True

    def _refine(self, solver: WeightedSolver) -> None:
        """Solve along the edge of the hull that may miss most, while that helps."""
        tried: set[tuple[Point, Point]] = set()
        while True:
            points = nondominated(self.found)
            gaps = corner_epsilons(points, self.lines)
            hull = lower_hull(points)
            todo = []
            for pair in zip(hull[:-1], hull[1:], strict=True):
                first, last = points.index(pair[0]), points.index(pair[1])
                gap = max(gaps[first + 1 : last + 1])
                if gap > self.asked and pair not in tried:
                    todo.append((gap, pair))
            if not todo:
                return
            _, (left, right) = max(todo)
            tried.add((left, right))
            scale = 1.0 / left[0]
            self._solve(solver, ((left[1] - right[1]) * scale, (right[0] - left[0]) * scale))

    def _solve(self, solver: WeightedSolver, weights: tuple[float, float]) -> None:
        self._heard = None
        cutoff = min(
            (weights[0] * e + weights[1] * cycles for e, cycles in self.found), default=np.inf
        )
        optimum = solver.minimise(weights, cutoff)
        if optimum.plans:
            self._consider(optimum.plans)
        if np.isfinite(optimum.bound):
            self.lines.append((*weights, optimum.bound))
        self._heard = None
        self._tell()

    def _consider(self, plans: tuple[OptionPlan, ...]) -> Point:
        """Keep a schedule; (pJ, cycles) of it."""
        point = plan_cost(self.builder, plans)
        if point not in self.found:
            self.found[point] = plans
            self._tell()
        return point

    def _hear_bound(self, so_far: WeightedOptimum) -> None:
        """Remember the rising bound of the weighted solve under way."""
        if np.isfinite(so_far.bound):
            self._heard = (*so_far.weights, so_far.bound)

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(len(nondominated(self.found)), self.epsilon())

    def epsilon(self) -> float:
        """What the points found may miss at most; infinite while there are none."""
        if not self.found:
            return float("inf")
        return float(max(corner_epsilons(nondominated(self.found), self.lines)))

    def front_points(self) -> tuple[FrontPoint, ...]:
        """The nondominated schedules, re-costed by independent code."""
        out = []
        for point in nondominated(self.found):
            schedule = write_out(self.tables, self.found[point])
            seen = recost(self.tables.problem, schedule, self.tables.rules)
            if seen.violations:
                raise RuntimeError(f"a schedule fails its re-costing: {seen.violations[0]}")
            out.append(
                FrontPoint(
                    energy_pj=seen.energy_pj,
                    latency_cycles=seen.latency_cycles,
                    supported=any(
                        a > 0 and b > 0 and a * point[0] + b * point[1] <= c * (1 + LEEWAY)
                        for a, b, c in self.lines
                    ),
                    schedule=schedule,
                )
            )
        return tuple(out)
