"""Schedules whose stacks are fixed: bounds in milliseconds, best placements in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from cost.kind_paths import kind_bounds
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.reference_graph import ReferenceRuleError
from cost.reference_policy import NoMappingError
from cost.rules import RuleSet
from cost.schedule import Schedule, StackPlan
from problems.errors import InfeasibleError
from problems.problem import Problem
from solver.fixed_options import evaluate_stacks
from solver.objective import Objective
from solver.policies.placed_by_rule import Mappers, place_by_rule, place_within
from solver.result import Status
from solver.stack_option import StackOption, tiles_that_run
from solver.stack_tables import StackTables

PLACEMENT_LIMIT_S = 30.0
"""Seconds for the placements and mappings of one set of fixed stacks."""
CHOICE_LIMIT_S = 60.0
"""Seconds for the choice among many sets of fixed stacks."""
PATIENCE = 1.5
"""Multiple of the seconds after which a choice is given up with nothing found."""
SHORTEST_S = 2.0
"""No search for placements is cut shorter."""
_EACH_ALONE = np.array([[1.0, 0.0], [0.0, 1.0]])


class FixedStack(NamedTuple):
    """A set of layers (positions, ascending), its tile and its overlap mode."""

    layers: tuple[int, ...]
    tile_x: int
    tile_y: int
    mode: OverlapMode

    @property
    def last(self) -> int:
        """Position of the layer whose output is tiled."""
        return self.layers[-1]


Stacks = tuple[FixedStack, ...]
"""Stacks in the order in which they run."""


class Placed(NamedTuple):
    """Cost of fixed stacks with placements and mappings; `note`: where these are not the best."""

    energy_pj: float
    latency_cycles: float
    note: str


class Choice(NamedTuple):
    """The best of many fixed stacks; `complete`: none that could be better was left out."""

    stacks: Stacks
    placed: Placed
    complete: bool


class FixedStacks:
    """Costs of fixed stacks of one problem, feature maps between them in DRAM.

    Remembers bounds and results. `limit_s` shortens the limits on searching placements;
    `tables` are those of the problem, if there are any yet.
    """

    def __init__(
        self,
        problem: Problem,
        rules: RuleSet,
        objective: Objective,
        limit_s: float | None = None,
        tables: StackTables | None = None,
    ) -> None:
        self.problem = problem
        self.rules = rules
        self.objective = objective
        self.tables = tables or StackTables(problem, rules)
        self.mappers = Mappers(problem, rules)
        self.placement_limit_s, self.choice_limit_s = PLACEMENT_LIMIT_S, CHOICE_LIMIT_S
        if limit_s is not None:
            self.placement_limit_s = min(limit_s, PLACEMENT_LIMIT_S)
            self.choice_limit_s = min(limit_s, CHOICE_LIMIT_S)
        self._bounds: dict[tuple[FixedStack, bool], tuple[float, float]] = {}
        self._plans: dict[FixedStack, StackPlan | None] = {}
        self._lifted: dict[Stacks, Placed | None] = {}
        self._results: dict[Stacks, Placed | None] = {}

    def option(self, stack: FixedStack) -> StackOption:
        """The solver's option; tiles are cut to the size of the stack's output."""
        dram = self.tables.domains.dram
        output = self.problem.workload.layers[stack.last].sizes
        return StackOption(
            stack.layers,
            min(stack.tile_x, output["OX"]),
            min(stack.tile_y, output["OY"]),
            stack.mode,
            dram,
            dram,
            -1,
        )

    def stack_bound(self, stack: FixedStack, *, overfilled: bool = False) -> tuple[float, float]:
        """(pJ, cycles) that no placement and no mapping of a stack goes below.

        `overfilled`: placements that together pass a memory's size count, too.
        """
        key = (stack, overfilled)
        if key not in self._bounds:
            option = self.option(stack)
            bound = (
                self._alone(option)
                if overfilled
                else self.tables.option_bounds(option, _EACH_ALONE)
            )
            energy, latency = bound.tolist()
            self._bounds[key] = (energy, latency)
        return self._bounds[key]

    def _alone(self, option: StackOption) -> np.ndarray:
        """`option_bounds` as if each tensor had the memories for itself."""
        tiling = self.tables.tiling(option)
        total = np.zeros(2)
        for kind in self.tables.lone_tables(option):
            f = self.tables.with_arrival(option, kind, tiles_that_run(tiling))
            total += kind.kind.count * kind_bounds(f, kind.g, kind.linked, _EACH_ALONE)
        return total

    def bound(self, stacks: Stacks, *, overfilled: bool = False) -> float:
        """Lower bound of the objective; infinite if some stack fits nowhere."""
        each = [self.stack_bound(stack, overfilled=overfilled) for stack in stacks]
        energy, latency = sum(e for e, _ in each), sum(c for _, c in each)
        if not (np.isfinite(energy) and np.isfinite(latency)):
            return np.inf
        return float(self.objective.of(energy, latency))

    def by_rule(self, stacks: Stacks) -> Schedule:
        """The schedule of the reference's rules on true tiles; memories may be overfilled.

        Raises NoMappingError or ReferenceRuleError if something fits nowhere.
        """
        return Schedule(
            stacks=tuple(
                place_by_rule(self.tables, self.option(stack), self.mappers) for stack in stacks
            )
        )

    def lifted(self, stacks: Stacks) -> Placed | None:
        """The rules' placements with all that overfills a memory moved up; None if that fails."""
        if stacks not in self._lifted:
            self._lifted[stacks] = self._lift(stacks)
        return self._lifted[stacks]

    def _lift(self, stacks: Stacks) -> Placed | None:
        if not self.rules.joint_capacity:
            return None
        plans = [self.lifted_stack(stack) for stack in stacks]
        if None in plans:
            return None
        schedule = Schedule(stacks=tuple(plan for plan in plans if plan is not None))
        if not recost(self.problem, schedule, self.rules).ok:
            return None
        return Placed(
            schedule.energy_pj,
            schedule.latency_cycles,
            "placed by rule, what overfilled a memory moved up",
        )

    def lifted_stack(self, stack: FixedStack) -> StackPlan | None:
        """One stack as `lifted` places it."""
        if stack not in self._plans:
            self._plans[stack] = self._lift_stack(stack)
        return self._plans[stack]

    def _lift_stack(self, stack: FixedStack) -> StackPlan | None:
        """A stack moved up; where weights end in DRAM, the better of two ways to start."""
        dram = self.problem.hardware.memories[self.tables.domains.dram].name
        best: StackPlan | None = None
        for weights_alone in (False, True):
            if best is not None and dram not in best.weights:
                break
            try:
                plan = place_within(
                    self.tables, self.option(stack), self.mappers, weights_alone=weights_alone
                )
            except (NoMappingError, ReferenceRuleError):
                continue
            if best is None or self._plan_value(plan) < self._plan_value(best):
                best = plan
        return best

    def _plan_value(self, plan: StackPlan) -> float:
        alone = Schedule(stacks=(plan,))
        return float(self.objective.of(alone.energy_pj, alone.latency_cycles))

    def solved(self, stacks: Stacks, seconds: float | None = None) -> Placed | None:
        """Optimal placements and mappings, the best found in time, or None."""
        if stacks not in self._results:
            self._results[stacks] = self._solve(stacks, seconds or self.placement_limit_s)
        return self._results[stacks]

    def _solve(self, stacks: Stacks, seconds: float) -> Placed | None:
        try:
            found = evaluate_stacks(
                self.problem, self.rules, stacks, self.objective, self.tables, seconds
            )
        except InfeasibleError:
            return None
        if found.energy_pj is None or found.latency_cycles is None:
            return None
        gap = f"placements stopped, at most {100 * (found.gap or 0.0):.2g} % above their best"
        done = found.status is Status.OPTIMAL
        return Placed(found.energy_pj, found.latency_cycles, "" if done else gap)

    def value(self, placed: Placed | None) -> float:
        """Objective value, infinite without placements."""
        if placed is None:
            return np.inf
        return float(self.objective.of(placed.energy_pj, placed.latency_cycles))

    def best(self, stacks: Stacks, seconds: float | None = None) -> Placed | None:
        """The better of moved up and solved, the latter in `seconds`; None if nothing fits."""
        return min((self.solved(stacks, seconds), self.lifted(stacks)), key=self.value)

    def best_of(self, candidates: Iterable[Stacks], seconds: float | None = None) -> Choice | None:
        """The best of all candidates; those whose bound is above a known cost are left out.

        First each is placed by rule and moved up, then solved, each kind of placement for at
        most half of `seconds` (but one is always tried, and longer while nothing is found);
        None if nothing was.
        """
        seconds = seconds or self.choice_limit_s
        ranked = sorted((self.bound(stacks), n, stacks) for n, stacks in enumerate(candidates))
        found: Choice | None = None
        least = np.inf
        complete = True
        each = min(self.placement_limit_s, max(SHORTEST_S, seconds / 2))
        for place in (self.lifted, partial(self.solved, seconds=each)):
            started = time.monotonic()
            complete = True
            for tried, (bound, _, stacks) in enumerate(ranked):
                if bound >= least or not np.isfinite(bound):
                    break
                patience = seconds / 2 if found else PATIENCE * seconds
                if tried and time.monotonic() - started >= patience:
                    complete = False
                    break
                placed = place(stacks)
                if placed is not None and self.value(placed) < least:
                    found, least = Choice(stacks, placed, True), self.value(placed)
        return found and found._replace(complete=complete)
