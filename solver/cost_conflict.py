"""Limits on energy and latency in conflict: with each other, or with what the user fixed.

The hardware is taken as it is. A limit is out of reach where a proven line
a * pJ + b * cycles >= c lies above it, and within reach where a schedule keeps it. Two limits
at once may lie between the two, beside a schedule that no weighted sum prefers: then it
stays open, and `UndecidedError` says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cost.rules import RuleSet
from problems.problem import Problem
from solver.choices import ChoiceBuilder
from solver.conflict import Conflict, ConflictingLimit
from solver.limits import SearchLimits, StoppedError
from solver.objective import Objective
from solver.option_plan import OptionPlan
from solver.option_steps import plan_cost
from solver.prepare import cost_tables
from solver.prune import Pool, make_pool
from solver.restrictions import Narrowing, kept_inside, restricted_ranges, restrictions
from solver.scout import Scout, floor_of
from solver.screen import Screen
from solver.smallest_conflict import smallest_conflict
from solver.weighted import WeightedOptimum, WeightedSolver

CLOSE = 1e-9
"""Relative slack of comparisons: sums in another order differ."""
STEPS = 60
"""Weighted solves after which two limits at once stay undecided."""
Weights = tuple[float, float]
Point = tuple[float, float]


class UndecidedError(StoppedError):
    """Neither a schedule that keeps both limits was found, nor a proof that there is none."""


class _DoneError(Exception):
    """The question is answered in the middle of a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLimits:
    """Limits on energy in pJ and latency in cycles; infinite ones are none."""

    energy_pj: float = np.inf
    latency_cycles: float = np.inf

    @property
    def asked(self) -> bool:
        """Whether there is any."""
        return bool(np.isfinite(self.energy_pj) or np.isfinite(self.latency_cycles))

    def kept_by(self, point: Point) -> bool:
        """Whether a schedule of this cost keeps both."""
        return point[0] <= self.energy_pj and point[1] <= self.latency_cycles

    def excluded_by(self, weights: Weights, bound: float) -> bool:
        """Whether nothing on or above a line keeps both."""
        ends = (self.energy_pj, self.latency_cycles)
        if any(w > 0 and np.isinf(end) for w, end in zip(weights, ends, strict=True)):
            return False
        reach = sum(w * end for w, end in zip(weights, ends, strict=True) if w > 0)
        return reach < bound * (1 - CLOSE)


@dataclass(kw_only=True)
class _Question:
    """One search for a schedule that keeps limits, or for lines that exclude it."""

    pool: Pool
    builder: ChoiceBuilder
    search: SearchLimits
    limits: CostLimits
    early: bool = True
    """Whether to stop as soon as it is decided."""
    points: list[Point] = field(default_factory=list)
    lines: list[tuple[Weights, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.solver = WeightedSolver(
            self.pool, self.builder, self.search, self.found, lambda so_far: self.hear(so_far)
        )

    def found(self, plans: tuple[OptionPlan, ...]) -> Point:
        """Remember a schedule."""
        point = plan_cost(self.builder, plans)
        self.points.append(point)
        if self.early and self.limits.kept_by(point):
            raise _DoneError
        return point

    def hear(self, so_far: WeightedOptimum) -> None:
        """Remember a proven line."""
        if self.lines and self.lines[-1][0] == so_far.weights:
            self.lines.pop()
        self.lines.append((so_far.weights, so_far.bound))
        if self.early and self.limits.excluded_by(*self.lines[-1]):
            raise _DoneError

    def minimise(self, weights: Weights) -> tuple[Point, float]:
        """The cheapest schedule under `weights`, and its line; _DoneError if there is none."""
        optimum = self.solver.minimise(weights, self._cheapest(weights)[0])
        self.hear(optimum)
        if optimum.plans:
            self.found(optimum.plans)
        _, point = self._cheapest(weights)
        if point is None:
            raise _DoneError
        return point, optimum.bound

    def _cheapest(self, weights: Weights) -> tuple[float, Point | None]:
        """The cheapest schedule found so far under `weights`, and its cost."""
        costs = [(weights[0] * e + weights[1] * cycles, (e, cycles)) for e, cycles in self.points]
        return min(costs, default=(np.inf, None))

    def between(self, limited: int) -> None:
        """Follow the hull of all schedules to where the limit on one cost is (0: energy).

        Ends with lines that bound the other cost within it as well as lines can.
        """
        end = (self.limits.energy_pj, self.limits.latency_cycles)[limited]
        inside, _ = self.minimise((1.0, 0.0) if limited == 0 else (0.0, 1.0))
        outside, _ = self.minimise((0.0, 1.0) if limited == 0 else (1.0, 0.0))
        for _ in range(STEPS):
            if inside[limited] > end or outside[limited] <= end:
                return
            scale = 1.0 / inside[0]
            weights = (
                abs(inside[1] - outside[1]) * scale,
                abs(outside[0] - inside[0]) * scale,
            )
            point, bound = self.minimise(weights)
            ends = weights[0] * inside[0] + weights[1] * inside[1]
            if bound >= ends * (1 - CLOSE) or point in (inside, outside):
                return
            if point[limited] <= end:
                inside = point
            else:
                outside = point

    def verdict(self) -> bool | None:
        """Whether the limits can be kept, None if unknown."""
        if any(self.limits.kept_by(point) for point in self.points):
            return True
        return False if any(self.limits.excluded_by(*line) for line in self.lines) else None


@dataclass(kw_only=True)
class CostQuestions:
    """Whether limits can be kept, over the spaces that some of the restrictions make."""

    problem: Problem
    rules: RuleSet
    narrowing: Narrowing
    search: SearchLimits

    def __post_init__(self) -> None:
        self.restrictions = restrictions(self.problem, self.narrowing)
        self._builders: dict[frozenset[int], ChoiceBuilder] = {}

    def _builder(self, kept: frozenset[int]) -> ChoiceBuilder:
        """Who builds choices under the restrictions `kept`; one for all that fix alike inside."""
        numbers = frozenset(n for n in kept if self.restrictions[n].inside is not None)
        if numbers not in self._builders:
            inside = kept_inside(self.restrictions[n] for n in sorted(numbers))
            tables = cost_tables(self.problem, self.rules, inside=inside)
            self._builders[numbers] = ChoiceBuilder(tables, self.search.left)
        return self._builders[numbers]

    def _pool(self, kept: frozenset[int], limits: CostLimits) -> Pool:
        """Options of the space of the restrictions `kept` that may keep the limits."""
        active = [self.restrictions[n] for n in sorted(kept)]
        ranges = restricted_ranges(
            self.problem, self.rules, self.narrowing, active, self.restrictions
        )
        pool = make_pool(Screen(self._builder(kept).tables, ranges))
        pool.prune(Objective.ENERGY, limits.energy_pj)
        pool.prune(Objective.LATENCY, limits.latency_cycles)
        return pool

    def _ask(
        self, kept: frozenset[int], pool: Pool, limits: CostLimits, *, early: bool = True
    ) -> _Question:
        builder = self._builder(kept)
        return _Question(pool=pool, builder=builder, search=self.search, limits=limits, early=early)

    def keeps(self, kept: frozenset[int], limits: CostLimits) -> bool:
        """Whether some schedule within the restrictions `kept` keeps the limits."""
        pool = self._pool(kept, limits)
        if not np.isfinite(floor_of(pool)[0]):
            return False
        question = self._ask(kept, pool, limits)
        objective = Objective.EDP
        if not np.isfinite(limits.energy_pj):
            objective = Objective.LATENCY
        elif not np.isfinite(limits.latency_cycles):
            objective = Objective.ENERGY
        try:
            Scout(pool, question.builder, self.search, objective, question.found).run()
            if objective is Objective.EDP:
                question.between(0)
            else:
                question.minimise((1.0, 0.0) if objective is Objective.ENERGY else (0.0, 1.0))
        except _DoneError:
            pass
        verdict = question.verdict()
        if verdict is None:
            if not question.points:
                return False  # the options left have been gone through, and none has a schedule
            raise UndecidedError(
                "each limit on cost can be kept alone; for both at once neither a schedule was "
                "found nor a proof that there is none"
            )
        return verdict

    def least(self, kept: frozenset[int], limits: CostLimits, axis: int) -> tuple[float, bool]:
        """Least energy (axis 0) or latency (1) within the limit on the other.

        And whether it is only a bound below it. Infinite where the other cannot be kept.
        """
        other = CostLimits(
            energy_pj=np.inf if axis == 0 else limits.energy_pj,
            latency_cycles=limits.latency_cycles if axis == 0 else np.inf,
        )
        pool = self._pool(kept, other)
        if not np.isfinite(floor_of(pool)[0]):
            return float("inf"), False
        question = self._ask(kept, pool, limits, early=False)
        stopped = False
        try:
            if other.asked:
                question.between(1 - axis)
            else:
                question.minimise((1.0, 0.0) if axis == 0 else (0.0, 1.0))
        except (StoppedError, _DoneError):
            stopped = True
        if other.asked and any(other.excluded_by(*line) for line in question.lines):
            return float("inf"), False
        bound = floor_of(pool)[axis]
        ends = (other.energy_pj, other.latency_cycles)
        for weights, line in question.lines:
            rest = line - (weights[1 - axis] * ends[1 - axis] if weights[1 - axis] > 0 else 0.0)
            if weights[axis] > 0 and np.isfinite(rest):
                bound = max(bound, rest / weights[axis])
        best = min((p[axis] for p in question.points if other.kept_by(p)), default=np.inf)
        exact = not stopped and best <= bound * (1 + CLOSE)
        if exact:
            return best, False
        # Cycles are whole.
        return (float(np.ceil(bound * (1 - CLOSE))) if axis else float(bound)), True


def find_cost_conflict(
    problem: Problem,
    rules: RuleSet,
    narrowing: Narrowing,
    asked: CostLimits,
    search: SearchLimits,
) -> Conflict | None:
    """A smallest set of limits on cost and restrictions that no schedule keeps, None if all are.

    The space that the restrictions leave must hold some schedule. Raises StoppedError, or
    UndecidedError, if it was not found out.
    """
    questions = CostQuestions(problem=problem, rules=rules, narrowing=narrowing, search=search)
    n = len(questions.restrictions)
    energy, latency = n, n + 1

    def split(kept: frozenset[int]) -> tuple[frozenset[int], CostLimits]:
        limits = CostLimits(
            energy_pj=asked.energy_pj if energy in kept else np.inf,
            latency_cycles=asked.latency_cycles if latency in kept else np.inf,
        )
        return frozenset(i for i in kept if i < n), limits

    def keeps(kept: frozenset[int]) -> bool:
        restricted, limits = split(kept)
        return not limits.asked or questions.keeps(restricted, limits)

    numbers = [*range(n)]
    numbers += [energy] if np.isfinite(asked.energy_pj) else []
    numbers += [latency] if np.isfinite(asked.latency_cycles) else []
    found = smallest_conflict(numbers, keeps)
    if found is None:
        return None
    restricted, limits = split(found.members)
    entries = []
    for axis, number, name, unit in (
        (1, latency, "--max-latency", "cycles"),
        (0, energy, "--max-energy", "pJ"),
    ):
        if number in found.members:
            demand, is_bound = questions.least(frozenset(range(n)), asked, axis)
            if not np.isfinite(demand):
                demand, is_bound = questions.least(restricted, limits, axis)
            entries.append(
                ConflictingLimit(
                    name=name,
                    limit=asked.latency_cycles if axis else asked.energy_pj,
                    demand=demand,
                    demand_is_bound=is_bound,
                    unit=unit,
                    lever=f"raise {name}",
                )
            )
    for i in sorted(restricted):
        entries.append(
            ConflictingLimit(
                name=questions.restrictions[i].name,
                text=questions.restrictions[i].value,
                lever=questions.restrictions[i].lever,
            )
        )
    return Conflict(
        problem=problem.source,
        rules=rules.name,
        why=_why(len(entries), len(restricted)),
        limits=tuple(entries),
        size=found.size,
    )


def _why(n: int, restricted: int) -> str:
    """What goes wrong, in a few words."""
    if n == 1:
        return "no schedule is so cheap"
    if restricted == 0:
        return "each can be kept alone, both together not"
    return "no schedule within these restrictions is so cheap"
