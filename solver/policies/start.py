"""A schedule by rules alone, for a search whose own first schedule is far from its bound.

The reference's automatic cut, and each layer on its own; per stack the tile and mode of a coarse
grid, placed by the reference's rules, and what overfills a memory moved up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cost.recost import recost
from cost.schedule import Schedule
from solver.objective import Objective
from solver.policies.best_stack import Weights, best_stack, lifted_alone
from solver.policies.defines import GRID_HEIGHTS, GRID_WIDTHS, automatic_sets, scaled_grid
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.stack_sets import through_dram
from solver.space import StackRange
from solver.stack_tables import StackTables


def schedule_by_rules(
    tables: StackTables,
    ranges: tuple[StackRange, ...],
    objective: Objective,
    weights: Weights,
    pause: Callable[[], object],
) -> Schedule | None:
    """The best such schedule of a space, None if there is none; stacks are chosen by `weights`.

    `pause` is called often, and may raise.
    """
    layers = tables.problem.workload.layers
    if not tables.rules.joint_capacity or not all(layer.computes for layer in layers):
        return None  # such rules know no concats
    fixed = FixedStacks(tables.problem, tables.rules, objective, tables=tables)
    known = through_dram(r for r in ranges if r.dram in r.targets)
    best: Schedule | None = None
    least = math.inf
    alone = tuple((layer,) for layer in range(len(layers)))
    for sets in (automatic_sets(tables.problem), alone):
        if any(stack not in known for stack in sets):
            continue
        chosen = [
            best_stack(fixed, _candidates(known[stack]), weights, lifted_alone(fixed), pause=pause)
            for stack in sets
        ]
        stacks: Stacks = tuple(stack for stack in chosen if stack is not None)
        placed = fixed.lifted(stacks) if len(stacks) == len(chosen) else None
        if placed is not None and fixed.value(placed) < least:
            plans = [fixed.lifted_stack(stack) for stack in stacks]
            best = Schedule(stacks=tuple(plan for plan in plans if plan is not None))
            least = fixed.value(placed)
    if best is None or not recost(tables.problem, best, tables.rules).ok:
        return None
    return best


def _candidates(spec: StackRange) -> list[FixedStack]:
    """The stack in every mode with tiles of the sizes next to those of a coarse grid."""

    def coarse(sizes: tuple[int, ...], grid: tuple[int, ...]) -> list[int]:
        wanted = scaled_grid(grid, max(sizes))
        return sorted({min(sizes, key=lambda size: abs(size - each)) for each in wanted})

    return [
        FixedStack(spec.layers, width, height, mode)
        for mode in spec.modes
        for width in coarse(spec.widths, GRID_WIDTHS)
        for height in coarse(spec.heights, GRID_HEIGHTS)
    ]
