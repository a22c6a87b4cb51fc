"""One search for the best schedule: screen, prune, decide, and put the proof together."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from cost.schedule import Schedule
from problems.errors import InfeasibleError
from solver.choices import ChoiceBuilder
from solver.infeasible import explain_infeasible
from solver.late_rules import ByRules, LateRules
from solver.limits import SearchLimits, StoppedError
from solver.objective import Objective
from solver.option_plan import OptionPlan
from solver.option_steps import plan_cost
from solver.part_space import MANY_OPTIONS, efficient_part, is_sparse, survivors, thinned_part
from solver.plunge import plunge
from solver.proof import Proof
from solver.prune import Pool, make_pool
from solver.refine import refine_by_layer, refine_within
from solver.result import Result, Space, Status, TracePoint
from solver.scout import OPENING_SIZES, Scout, floor_of, opening_ranges, tangent
from solver.screen import Screen
from solver.space import StackRange, has_path
from solver.stack_tables import StackTables
from solver.weighted import WeightedOptimum, WeightedSolver
from solver.write_out import write_out

TOLERANCE = 1e-6
"""Relative gap at which an answer counts as optimal."""
NEAR, FAR = (0.01, 0.05), (0.1, 0.2)
"""How far above the bound of all an option's may be for its layer-tiles to be bounded, before and
after the search for a first schedule; only speed depends on it."""
CLOSE = 5e-3
"""Relative gap at which no search for a first schedule is needed; only speed depends on it."""
PART_SHARE, PART_WORTH_S = 0.4, 30.0
"""Share of a time limit that a search in a part of a large space may take, and the seconds left
for which it is worth it."""


class Search:
    """One run of `solve`: incumbent, bound, trace and clock."""

    def __init__(
        self,
        tables: StackTables,
        ranges: tuple[StackRange, ...],
        objective: Objective,
        limits: SearchLimits,
        progress: Callable[[TracePoint], None] | None,
        space: Space,
    ) -> None:
        self.tables, self.ranges, self.objective = tables, ranges, objective
        self.limits, self.progress, self.space = limits, progress, space
        self.started = time.monotonic()
        self.builder = ChoiceBuilder(tables, limits.left)
        self.plans: tuple[OptionPlan, ...] = ()
        self.point: tuple[float, float] | None = None
        self.bound = 0.0
        self.proof = Proof(tables.problem, objective)
        self.trace: list[TracePoint] = []
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self._phase_start = self.started
        self._heard: WeightedOptimum | None = None
        self.opening: Scout | None = None
        """Who found the schedule to have before the clock may run out."""
        self.by_rules: ByRules | None = None
        self._late_rules: LateRules | None = None
        self.given: Schedule | None = None
        """The best schedule, where it came from there."""
        self.is_whole = True
        """Whether this is no search in a part of the space."""
        self.decides = True
        """Whether the gap is to be closed, or a first schedule will do."""
        self.slants: list[tuple[float, float]] = []
        """Weights along which the bounds of options were compared."""

    @property
    def incumbent(self) -> float:
        """Objective value of the best schedule so far."""
        return np.inf if self.point is None else float(self.objective.of(*self.point))

    def run(self) -> Result:
        """Screen, find a first schedule, prune, and decide what is left."""
        with self.limits.remembering_interrupts():
            return self.run_on()

    def run_on(self) -> Result:
        """As `run`, where interrupts are remembered already."""
        status = Status.OPTIMAL
        pool = None
        try:
            left = self.limits.left()
            if self.is_whole and (left is None or left > PART_WORTH_S):
                part = efficient_part(self.tables.problem, self.ranges)
                self._search_part(part or thinned_part(self.ranges), decides=bool(part))
                self.limits.left()  # an interrupt there ends it all
            if self.point is None and self.limits.deadline is not None:
                self._open()
            pool = make_pool(Screen(self.tables, self.ranges))
            self.counts["all"] = pool.alive()
            self._phase("screen")
            self._raise_bound(pool.lower_bound(self.objective))
            if not np.isfinite(pool.lower_bound(self.objective)):
                raise self._infeasible()
            if self.point is not None and pool.size >= MANY_OPTIONS:
                pool = self._left_of(pool, self.point)
            if self.opening is not None and self.tables.rules.joint_capacity:
                # Elsewhere the search for a first schedule begins with the same dive.
                self.opening.place()
                self._phase("opening")
            pool = self._bound_layers(pool, NEAR)
            if self.point is None and not np.isfinite(floor_of(pool)[0]):
                raise self._infeasible()
            scout = Scout(pool, self.builder, self.limits, self.objective, self._consider)
            if pool.lower_bound(self.objective) < (1 - CLOSE) * self.incumbent:
                scout.run()
            self._phase("first schedule")
            if not self.decides:
                return self._result(status)
            pool = self._prune(pool)
            if not self.tables.rules.joint_capacity and np.isfinite(floor_of(pool)[0]):
                # The one path solved was chosen by floors: these bounds choose better.
                scout.run()
                self._phase("first schedule")
                pool = self._prune(pool)
            self._decide(pool)
            self._phase("decide")
            if self.point is None:
                raise self._infeasible()
        except (StoppedError, KeyboardInterrupt):
            if pool is not None and not self.proof.steps:
                self._raise_bound(pool.lower_bound(self.objective))
            self._phase("stopped")
            if pool is not None and not self.proof.steps:
                self.proof.add_floors(pool, self.slants)
            if self._heard is not None:
                # The bound so far has its potentials, too.
                self.proof.add(self._heard)
            status = Status.FEASIBLE if self.point is not None else Status.UNKNOWN
        return self._result(status)

    def _search_part(self, part: tuple[StackRange, ...], *, decides: bool) -> None:
        """Have a schedule that is the best of a part of the space, or as good as time allows.

        Without `decides` what first dives find will do. Nothing is done for no part.
        """
        if not part:
            return
        limits = self.limits
        if limits.deadline is not None:
            begun = time.monotonic()
            limits = replace(limits, deadline=begun + PART_SHARE * (limits.deadline - begun))
        search = Search(self.tables, part, self.objective, limits, None, self.space)
        search.builder, search.is_whole, search.decides = self.builder, False, decides
        search.by_rules = self.by_rules
        with suppress(InfeasibleError):  # the rest of the space may hold a schedule
            search.run_on()
        if search.given is not None:
            self._take_given(search.given)
        elif search.plans:
            self._consider(search.plans)
        self._phase("efficient sizes" if decides else "few sizes")

    def _take_given(self, schedule: Schedule) -> None:
        """Keep a schedule that is written out already if it beats the incumbent."""
        point = schedule.energy_pj, float(schedule.latency_cycles)
        if float(self.objective.of(*point)) < self.incumbent:
            self.point, self.plans, self.given = point, (), schedule
            self._report("schedule")

    def _left_of(self, pool: Pool, point: tuple[float, float]) -> Pool:
        """What of a pool may be better than a schedule, (pJ, cycles)."""
        alive = pool.prune(self.objective, self.incumbent, tangent(self.objective, *point))
        self.counts.setdefault("after floors", alive)
        left = survivors(pool) if is_sparse(pool) else pool
        self._phase("screen")
        return left

    def _open(self) -> None:
        """Have some schedule before the clock may run out."""
        for count in OPENING_SIZES:
            small = opening_ranges(self.ranges, count)
            if not has_path(small, max(r.head for r in self.ranges)):
                return
            pool = make_pool(Screen(self.tables, small))
            scout = Scout(pool, self.builder, self.limits, self.objective, self._consider)
            scout.open()
            if self.point is not None:
                self.opening = scout
                break
        self._phase("opening")

    def _bound_layers(self, pool: Pool, reaches: tuple[float, ...]) -> Pool:
        """Bound the layer-tiles of the most promising options, and of those a little less so.

        The pool of what is left if that is little of it, else the same.
        """
        widens = reaches is FAR  # a good schedule is known by then
        found = refine_within(
            pool, self.objective, self.point, reaches, widens=widens, pause=self.limits.left
        )
        for pool, slant in found:
            self.slants.append(slant)
            self._raise_bound(pool.lower_bound(self.objective, slant))
        self._phase("bound layers")
        return pool

    def _prune(self, pool: Pool) -> Pool:
        """Drop what cannot beat the best schedule; the pool of what is left."""
        weights = tangent(self.objective, *(self.point or floor_of(pool)))
        alive = pool.prune(self.objective, self.incumbent, weights)
        self.counts.setdefault("after floors", alive)
        if is_sparse(pool):
            pool = survivors(pool)
        pool = self._bound_layers(pool, FAR)
        if not self.tables.rules.joint_capacity or self.objective is Objective.LATENCY:
            # Floors are low where first tiles read their weights from DRAM, and those of latency.
            refine_by_layer(
                pool, self.objective, self.incumbent, weights, FAR[-1], pause=self.limits.left
            )
            self._phase("bound layers")
        self.counts["after layer bounds"] = pool.prune(self.objective, self.incumbent, weights)
        self._raise_bound(pool.lower_bound(self.objective))
        return pool

    def _decide(self, pool: Pool) -> None:
        """Close the gap by weighted solves over the options left."""
        solver = WeightedSolver(pool, self.builder, self.limits, self._consider, self._hear_bound)
        proof = self.proof
        self._late_rules = LateRules(self.by_rules, self.limits)
        if pool.alive() == 0:
            self._raise_bound(self.incumbent)
        energy, _ = floor_of(pool)
        if np.isfinite(energy):
            proof.add_floors(pool, self.slants)
        while np.isfinite(energy) and self.bound < self.incumbent * (1 - TOLERANCE / 10):
            self._raise_bound(proof.bound())
            if self.bound >= self.incumbent * (1 - TOLERANCE / 10):
                break
            weights = proof.turn(self.point)
            if not solver.options.states:
                plunge(solver, weights, known=self._cost_of_best(weights))
                pool.prune(self.objective, self.incumbent, weights)
                if is_sparse(pool):
                    solver = solver.over(survivors(pool))
            left_out = proof.left_out(solver, weights, self.point)
            optimum = solver.minimise(weights, proof.enough(weights, self.point), left_out)
            if not np.isfinite(optimum.bound):
                break  # nothing fits
            self._take(optimum)
            proof.add(optimum)
            if self.objective is not Objective.EDP:
                self._raise_bound(optimum.bound)
                break
            if proof.is_attained(optimum):
                # It is the best there is.
                self._raise_bound(proof.bound())
                break
            proof.remember(solver, weights)

    def _take(self, optimum: WeightedOptimum) -> None:
        """Keep the schedule of a weighted solve if it beats the incumbent."""
        if optimum.plans:
            self._consider(optimum.plans)

    def _consider(self, plans: tuple[OptionPlan, ...]) -> tuple[float, float]:
        """Keep a schedule if it beats the incumbent; (pJ, cycles) of the better one."""
        point = plan_cost(self.builder, plans)
        if float(self.objective.of(*point)) < self.incumbent:
            self.point, self.plans, self.given = point, plans, None
            self._report("schedule")
        return point if self.point is None else self.point

    def _hear_bound(self, so_far: WeightedOptimum) -> float:
        """Take the rising bound of a weighted solve; weighted cost of the best schedule known."""
        if self.objective is not Objective.EDP:
            if so_far.bound > self.bound:
                self._heard = so_far
                self._raise_bound(so_far.bound)
        elif (bound := self.proof.bound(so_far)) > self.bound:
            self._heard = so_far
            self._raise_bound(bound)
        if self._late_rules is not None:
            late = self._late_rules.schedule(so_far.weights, self.bound, self.incumbent)
            if late is not None:
                self._take_given(late)
        return self.proof.enough(so_far.weights, self.point)

    def _cost_of_best(self, weights: tuple[float, float]) -> float:
        if self.point is None:
            return np.inf
        return weights[0] * self.point[0] + weights[1] * self.point[1]

    def _raise_bound(self, bound: float) -> None:
        """Raise the proven bound; nothing beats the incumbent beyond it."""
        bound = min(bound, self.incumbent)
        if bound > self.bound:
            self.bound = bound
            self._report("bound")

    def _report(self, phase: str) -> None:
        point = TracePoint(
            seconds=time.monotonic() - self.started,
            phase=phase,
            objective=None if self.point is None else self.incumbent,
            bound=self.bound,
        )
        self.trace.append(point)
        if self.progress is not None:
            self.progress(point)

    def _phase(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._phase_start
        self._phase_start = now

    def _infeasible(self) -> InfeasibleError:
        return explain_infeasible(self.tables)

    def _result(self, status: Status) -> Result:
        problem = self.tables.problem
        schedule: Schedule | None = None
        energy = edp = gap = None
        cycles: int | None = None
        if self.point is not None:
            schedule = self.given or write_out(self.tables, self.plans)
            energy, cycles = schedule.energy_pj, schedule.latency_cycles
            edp = energy * cycles
            value = float(self.objective.of(energy, cycles))
            gap = max(0.0, (value - self.bound) / value)
            # An interrupt may come after the last bound: what is proven stays proven.
            status = Status.OPTIMAL if gap <= TOLERANCE else Status.FEASIBLE
        result = Result(
            problem=problem.source,
            workload=problem.workload.name,
            hardware=problem.hardware.name,
            objective=self.objective,
            rules=self.tables.rules.name,
            status=status,
            schedule=schedule,
            energy_pj=energy,
            latency_cycles=cycles,
            edp=edp,
            best_bound=self.bound,
            gap=gap,
            tolerance=TOLERANCE,
            seconds=0.0,
            space=self.space,
            proof=tuple(self.proof.steps),
            phase_seconds=self.seconds,
            option_counts=self.counts,
            trace=tuple(self.trace),
        )
        return replace(result, seconds=time.monotonic() - self.started)
