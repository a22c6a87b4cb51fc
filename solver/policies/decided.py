"""Fixed stacks as the reference's rules place them, costed like any schedule.

The rules give each tensor the lowest memory that it fits; mappings are those of least
energy. Under the reference's rule set its own geometry and figures count; under others the
rules place the true tiles. Where a rule set counts what shares a memory, the outcome may
not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.policy_result import PolicyResult
from cost.recost import recost
from cost.reference_backward import effective_workload
from cost.reference_policy import NoMappingError, reference_schedule
from cost.reference_stacks import stacks_from_cuts
from cost.rules import RuleSet
from cost.schedule import Schedule
from problems.problem import Problem
from solver.objective import Objective
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import Legality, PolicyPoint, describe, no_point
from solver.policies.written_policy import write_policy


@dataclass(frozen=True, slots=True)
class UniformStacks:
    """Stacks that all have the same tile, clipped to each output, and the same mode."""

    tile: tuple[int, int]
    mode: OverlapMode
    stacks: Stacks


def uniform_stacks(
    problem: Problem,
    sets: Sequence[tuple[int, ...]],
    tile: tuple[int, int],
    mode: OverlapMode,
) -> UniformStacks:
    """Stacks of the layers at the given positions."""
    outputs = [problem.workload.layers[layers[-1]].sizes for layers in sets]
    return UniformStacks(
        tile,
        mode,
        tuple(
            FixedStack(layers, min(tile[0], size["OX"]), min(tile[1], size["OY"]), mode)
            for layers, size in zip(sets, outputs, strict=True)
        ),
    )


class DecidedPoints:
    """Costs stacks as the reference's rules decide them."""

    def __init__(
        self, problem: Problem, rules: RuleSet, objective: Objective, fixed: FixedStacks
    ) -> None:
        self.problem, self.rules, self.objective = problem, rules, objective
        self.workload = effective_workload(problem.workload)
        self.mapper = exact_mapper(problem.hardware, problem.workload.name, rules)
        self.fixed = fixed

    def best(self, name: str, points: Sequence[UniformStacks]) -> PolicyPoint:
        """The cheapest point; those whose bound is above a known cost are not mapped."""
        ranked = sorted(
            (
                (self.fixed.bound(point.stacks, overfilled=True), n, point)
                for n, point in enumerate(points)
            ),
            key=lambda entry: entry[:2],
        )
        found: PolicyPoint | None = None
        least = math.inf
        failure = "no tile fits"
        for bound, _, point in ranked:
            if bound >= least or math.isinf(bound):
                break
            row = self.cost(name, point)
            value = row.value(self.objective)
            if value is None:
                failure = row.note
            elif value < least:
                found, least = row, value
        return found or no_point(name, failure)

    def cost(self, name: str, point: UniformStacks, note: str = "") -> PolicyPoint:
        """The row of one point; the note says what its stacks are."""
        if self.rules.joint_capacity:
            return self.cost_by_rule(name, point.stacks, note)
        try:
            decided = self._as_the_reference(point)
            schedule = write_policy(self.problem, decided, self.rules)
        except (NoMappingError, ValueError) as error:
            # The rules raise ValueError for a tensor that no memory of its chain holds.
            return no_point(name, str(error))
        # The reference's own figures count, whatever they leave unused.
        return self._row(name, point.stacks, note, schedule, decided)

    def cost_by_rule(self, name: str, stacks: Stacks, note: str = "") -> PolicyPoint:
        """The row of stacks with tiles of their own, where true tiles are placed."""
        try:
            schedule = self.fixed.by_rule(stacks)
        except (NoMappingError, ValueError) as error:
            return no_point(name, str(error))
        return self._row(name, stacks, note, schedule, None)

    def _row(
        self,
        name: str,
        stacks: Stacks,
        note: str,
        schedule: Schedule,
        decided: PolicyResult | None,
    ) -> PolicyPoint:
        costed = recost(self.problem, schedule, self.rules)
        figures = decided or costed
        note = note or describe(stacks)
        if costed.violations:
            more = len(costed.violations) - 1
            note += f"; {costed.violations[0]}" + (f" (and {more} more)" if more else "")
        return PolicyPoint(
            policy=name,
            legality=Legality.INFEASIBLE if costed.violations else Legality.FEASIBLE,
            energy_pj=figures.energy_pj,
            latency_cycles=figures.latency_cycles,
            stacks=stacks,
            note=note,
        )

    def _as_the_reference(self, point: UniformStacks) -> PolicyResult:
        cuts = tuple(self.problem.workload.layers[stack.last].name for stack in point.stacks)
        return reference_schedule(
            self.problem.hardware,
            self.problem.workload,
            mode=point.mode,
            tile=point.tile,
            mapper=self.mapper,
            rules=self.rules,
            stacks=stacks_from_cuts(self.workload, cuts),
        )
