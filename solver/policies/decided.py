"""Fixed stacks as the reference's rules place them, costed like any schedule.

The rules give each tensor the lowest memory that it fits; mappings are those of least
energy. Where a rule set counts what shares a memory, the outcome may not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.reference_backward import effective_workload
from cost.reference_policy import NoMappingError, reference_schedule
from cost.reference_stacks import stacks_from_cuts
from cost.rules import RuleSet
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
    problem: Problem, ends: Sequence[int], tile: tuple[int, int], mode: OverlapMode
) -> UniformStacks:
    """Stacks that end after the layers numbered `ends`."""
    starts = [0, *(end + 1 for end in ends[:-1])]
    outputs = [problem.workload.layers[end].sizes for end in ends]
    return UniformStacks(
        tile,
        mode,
        tuple(
            FixedStack(start, end, min(tile[0], size["OX"]), min(tile[1], size["OY"]), mode)
            for start, end, size in zip(starts, ends, outputs, strict=True)
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
        # The rules do not share memories: bounds that do would be none for them.
        alone = replace(rules, joint_capacity=False)
        self.bounds = FixedStacks(problem, alone, objective) if rules.joint_capacity else fixed

    def best(self, name: str, points: Sequence[UniformStacks]) -> PolicyPoint:
        """The cheapest point; those whose bound is above a known cost are not mapped."""
        ranked = sorted(
            ((self.bounds.bound(point.stacks), n, point) for n, point in enumerate(points)),
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
        layers = self.problem.workload.layers
        cuts = tuple(layers[stack.last].name for stack in point.stacks)
        try:
            decided = reference_schedule(
                self.problem.hardware,
                self.problem.workload,
                mode=point.mode,
                tile=point.tile,
                mapper=self.mapper,
                rules=self.rules,
                stacks=stacks_from_cuts(self.workload, cuts),
            )
            schedule = write_policy(self.problem, decided, self.mapper, self.rules)
        except (NoMappingError, ValueError) as error:
            # The rules raise ValueError for a tensor that no memory of its chain holds.
            return no_point(name, str(error))
        costed = recost(self.problem, schedule, self.rules)
        joint = self.rules.joint_capacity
        note = note or describe(point.stacks)
        if costed.violations:
            more = len(costed.violations) - 1
            note += f"; {costed.violations[0]}" + (f" (and {more} more)" if more else "")
        return PolicyPoint(
            policy=name,
            legality=Legality.INFEASIBLE if costed.violations else Legality.FEASIBLE,
            # Under the reference's rules its own figures count, whatever they leave unused.
            energy_pj=costed.energy_pj if joint else decided.energy_pj,
            latency_cycles=costed.latency_cycles if joint else decided.latency_cycles,
            stacks=point.stacks,
            note=note,
        )
