"""Schedules whose stacks are fixed: bounds in milliseconds, best placements in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cost.overlap import OverlapMode
from cost.rules import RuleSet
from problems.errors import InfeasibleError
from problems.problem import Problem
from solver.objective import Objective
from solver.result import Result
from solver.solve import evaluate_stacks
from solver.stack_tables import StackOption, StackTables

PLACEMENT_LIMIT_S = 30.0
"""Seconds for the placements and mappings of one set of fixed stacks."""
CHOICE_LIMIT_S = 90.0
"""Seconds for the choice among many sets of fixed stacks."""
_EACH_ALONE = np.array([[1.0, 0.0], [0.0, 1.0]])


class FixedStack(NamedTuple):
    """A run of layers [first, last], its tile and its overlap mode."""

    first: int
    last: int
    tile_x: int
    tile_y: int
    mode: OverlapMode


Stacks = tuple[FixedStack, ...]


class Choice(NamedTuple):
    """The best of many fixed stacks; `complete`: none that could be better was left out."""

    stacks: Stacks
    result: Result
    complete: bool


class FixedStacks:
    """Costs of fixed stacks of one problem, feature maps between them in DRAM.

    Remembers bounds and results.
    """

    def __init__(self, problem: Problem, rules: RuleSet, objective: Objective) -> None:
        self.problem = problem
        self.rules = rules
        self.objective = objective
        self.tables = StackTables(problem, rules)
        self._bounds: dict[FixedStack, tuple[float, float]] = {}
        self._results: dict[Stacks, Result | None] = {}

    def option(self, stack: FixedStack) -> StackOption:
        """The solver's option; tiles are cut to the size of the stack's output."""
        dram = self.tables.domains.dram
        output = self.problem.workload.layers[stack.last].sizes
        return StackOption(
            tuple(range(stack.first, stack.last + 1)),
            min(stack.tile_x, output["OX"]),
            min(stack.tile_y, output["OY"]),
            stack.mode,
            dram,
            dram,
            -1,
        )

    def stack_bound(self, stack: FixedStack) -> tuple[float, float]:
        """(pJ, cycles) that no placement and no mapping of a stack goes below."""
        if stack not in self._bounds:
            energy, latency = self.tables.option_bounds(self.option(stack), _EACH_ALONE).tolist()
            self._bounds[stack] = (energy, latency)
        return self._bounds[stack]

    def bound(self, stacks: Stacks) -> float:
        """Lower bound of the objective; infinite if some stack fits nowhere."""
        each = [self.stack_bound(stack) for stack in stacks]
        energy, latency = sum(e for e, _ in each), sum(c for _, c in each)
        if not (np.isfinite(energy) and np.isfinite(latency)):
            return np.inf
        return float(self.objective.of(energy, latency))

    def best(self, stacks: Stacks) -> Result | None:
        """Optimal placements and mappings, None if nothing fits.

        Stopped after `PLACEMENT_LIMIT_S` it is the best found, with status FEASIBLE.
        """
        if stacks not in self._results:
            try:
                found = evaluate_stacks(
                    self.problem,
                    self.rules,
                    tuple(
                        (tuple(range(s.first, s.last + 1)), s.tile_x, s.tile_y, s.mode)
                        for s in stacks
                    ),
                    self.objective,
                    self.tables,
                    PLACEMENT_LIMIT_S,
                )
            except InfeasibleError:
                self._results[stacks] = None
            else:
                self._results[stacks] = found if found.value is not None else None
        return self._results[stacks]

    def best_of(self, candidates: Iterable[Stacks]) -> Choice | None:
        """The best of all candidates; those whose bound is above a known cost are not solved.

        After `CHOICE_LIMIT_S` the best of those tried; None if nothing was found.
        """
        started = time.monotonic()
        ranked = sorted((self.bound(stacks), n, stacks) for n, stacks in enumerate(candidates))
        found: Choice | None = None
        least = np.inf
        for tried, (bound, _, stacks) in enumerate(ranked):
            if bound >= least or not np.isfinite(bound):
                break
            if tried and time.monotonic() - started >= CHOICE_LIMIT_S:
                return found and found._replace(complete=False)
            result = self.best(stacks)
            if result is not None and result.value is not None and result.value < least:
                found, least = Choice(stacks, result, True), result.value
        return found
