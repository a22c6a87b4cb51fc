"""What the reference's policy costs beside an optimum: a line of a report, quick to get."""

from __future__ import annotations

from dataclasses import dataclass

from cost.exact_mapper import exact_mapper
from cost.reference_policy import NoMappingError, reference_schedule
from cost.rules import RuleSet
from cost.schedule import Schedule
from problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """One policy's schedule of the same problem: pJ and cycles."""

    name: str
    energy_pj: float
    latency_cycles: float


def policy_point(problem: Problem, schedule: Schedule, rules: RuleSet) -> PolicyPoint | None:
    """Cost the reference's policy with the tile and mode of the longest stack of `schedule`.

    None if the policy finds no schedule. Mappings are the best ones for energy, as the
    reference chooses them.
    """
    longest = max(schedule.stacks, key=lambda stack: len(stack.layers))
    try:
        found = reference_schedule(
            problem.hardware,
            problem.workload,
            mode=longest.mode,
            tile=(longest.tile_x, longest.tile_y),
            mapper=exact_mapper(problem.hardware, problem.workload.name, rules),
            rules=rules,
        )
    except (NoMappingError, ValueError):
        # ValueError: some memory chain cannot hold a tensor where the policy wants it.
        return None
    return PolicyPoint(
        name=f"reference policy at {longest.tile_x} x {longest.tile_y}, {longest.mode}",
        energy_pj=found.energy_pj,
        latency_cycles=found.latency_cycles,
    )
