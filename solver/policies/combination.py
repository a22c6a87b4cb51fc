"""The reference's best combination: its automatic cut, each stack with a tile and mode of its own.

The best of the sampled points is taken stack by stack. Stacks meet in DRAM, so what they cost
adds up; for a product they are weighed as at the best point with one tile for all.
"""

from __future__ import annotations

from cost.overlap import OverlapMode
from cost.reference_graph import ReferenceRuleError
from cost.reference_policy import NoMappingError
from cost.schedule import Schedule
from problems.problem import Problem
from solver.policies.best_stack import PlaceOne, Weights, best_stack, lifted_alone
from solver.policies.decided import DecidedPoints
from solver.policies.defines import NAME, automatic_sets, grid_tiles
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import Legality, PolicyPoint, describe, no_point, point_of
from solver.scout import tangent


def combination_rows(
    problem: Problem, decided: DecidedPoints, fixed: FixedStacks, single: PolicyPoint
) -> list[PolicyPoint]:
    """The combination as the rules decide it; repaired if need be.

    `single`: the best point with one tile for all. Under the reference's own rules there is
    no such row: they cost a schedule as a whole.
    """
    if not fixed.rules.joint_capacity:
        return []
    name = f"{NAME}, a tile per stack"
    if single.energy_pj is None or single.latency_cycles is None:
        return [no_point(name, single.note)]
    weights = tangent(fixed.objective, single.energy_pj, single.latency_cycles)

    def by_rule(stack: FixedStack) -> Schedule | None:
        try:
            return fixed.by_rule((stack,))
        except (NoMappingError, ReferenceRuleError):
            return None

    chosen = _choose(problem, fixed, weights, by_rule, overfilled=True)
    if chosen is None:
        return [no_point(name, "some stack fits with no tile")]
    row = decided.cost_by_rule(name, chosen)
    if row.legality is not Legality.INFEASIBLE:
        return [row]
    repaired = f"{name}, repaired"
    able = _choose(problem, fixed, weights, lifted_alone(fixed), overfilled=False)
    if able is None:
        return [row, no_point(repaired, "some stack fits with no tile")]
    return [row, point_of(repaired, able, fixed.best(able), describe(able), Legality.REPAIRED)]


def _choose(
    problem: Problem, fixed: FixedStacks, weights: Weights, place: PlaceOne, *, overfilled: bool
) -> Stacks | None:
    """For each stack of the automatic cut the tile and mode of least weighted cost."""
    chosen = []
    for layers in automatic_sets(problem):
        candidates = _candidates(problem, layers)
        best = best_stack(fixed, candidates, weights, place, overfilled=overfilled)
        if best is None:
            return None
        chosen.append(best)
    return tuple(chosen)


def _candidates(problem: Problem, layers: tuple[int, ...]) -> list[FixedStack]:
    """The stack in every tile of the grid and in every mode."""
    size = problem.workload.layers[layers[-1]].sizes
    tiles = {(min(x, size["OX"]), min(y, size["OY"])) for x, y in grid_tiles(problem)}
    return [FixedStack(layers, x, y, mode) for mode in OverlapMode for x, y in sorted(tiles)]
