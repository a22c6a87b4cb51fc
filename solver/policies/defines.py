"""The reference tool's policy: its automatic cut, one tile and one mode for all stacks.

Its tile sizes are a 6 x 6 grid in each overlap mode. A grid point is costed as the policy
decides it; and, where that may not fit, repaired: cuts, tile and mode stay, placements and
mappings are the best that fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from cost.axis_tiles import efficient_sizes
from cost.overlap import OverlapMode
from cost.reference_stacks import automatic_stacks
from problems.problem import Problem
from solver.objective import Objective
from solver.policies.decided import DecidedPoints, UniformStacks, uniform_stacks
from solver.policies.fixed_stacks import FixedStacks, Stacks
from solver.policies.point import Legality, PolicyPoint, describe, no_point, point_of

GRID_WIDTHS, GRID_HEIGHTS = (1, 4, 16, 60, 240, 960), (1, 4, 18, 72, 270, 540)
"""DeFiNES's tile sizes for FSRCNN, whose last feature map is 960 x 540 (case study 1)."""
NAME = "DeFiNES"


def scaled_grid(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    """Scale a grid to an axis of `total` outputs.

    An axis as long as the grid's own keeps it. On another one every size keeps its place
    between 1 and the whole on a logarithmic axis, and moves to the nearest size that cuts
    the axis evenly.
    """
    if total == sizes[-1]:
        return tuple(sizes)
    even = efficient_sizes(total, 1)
    whole = math.log(sizes[-1])
    wanted = [total ** (math.log(size) / whole) for size in sizes]
    return tuple(sorted({min(even, key=lambda size: abs(size - each)) for each in wanted}))


def automatic_sets(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Positions of the layers of each of the automatic cut's stacks."""
    position = {layer.name: i for i, layer in enumerate(problem.workload.layers)}
    stacks = automatic_stacks(problem.hardware, problem.workload)
    return tuple(tuple(sorted(position[layer.name] for layer in s.layers)) for s in stacks)


def grid_tiles(problem: Problem) -> tuple[tuple[int, int], ...]:
    """The grid over the largest stack output of the automatic cut (the last of FSRCNN).

    Classifiers end in one pixel, which would leave nothing of the grid.
    """
    outputs = [problem.workload.layers[each[-1]].sizes for each in automatic_sets(problem)]
    return tuple(
        (x, y)
        for x in scaled_grid(GRID_WIDTHS, max(size["OX"] for size in outputs))
        for y in scaled_grid(GRID_HEIGHTS, max(size["OY"] for size in outputs))
    )


def grid_points(problem: Problem) -> tuple[UniformStacks, ...]:
    """Every tile of the grid in every mode, with the automatic cut."""
    sets = automatic_sets(problem)
    return tuple(
        uniform_stacks(problem, sets, tile, mode)
        for mode in OverlapMode
        for tile in grid_tiles(problem)
    )


def defines_rows(
    decided: DecidedPoints, fixed: FixedStacks, progress: Callable[[str], None]
) -> list[PolicyPoint]:
    """Best of the grid, over all modes and in each: as decided, and repaired if need be."""
    points = grid_points(fixed.problem)
    rows: list[PolicyPoint] = []
    repaired: list[PolicyPoint] = []
    for mode in OverlapMode:
        progress(f"{NAME} grid, {mode.value}")
        row = decided.best(f"{NAME} {mode.value}", _of_mode(points, mode))
        rows.append(row)
        if row.legality in (Legality.INFEASIBLE, Legality.NONE):
            progress(f"{NAME} grid repaired, {mode.value}")
            repaired.append(_repaired(fixed, row, [p.stacks for p in _of_mode(points, mode)]))
    total = f"{NAME} best of {len(points)}"
    best = [_least(rows, fixed.objective, total)]
    if repaired:
        able = [row for row in rows if row.legality is Legality.FEASIBLE]
        best.append(_least([*able, *repaired], fixed.objective, f"{NAME} best that runs"))
    return [*best, *rows, *repaired]


def _repaired(fixed: FixedStacks, row: PolicyPoint, candidates: list[Stacks]) -> PolicyPoint:
    """The best of the candidates with placements and mappings that fit."""
    name = f"{row.policy}, repaired"
    found = fixed.best_of(candidates)
    if found is None:
        return no_point(name, "nothing fits, or nothing found in time")
    note = describe(found.stacks)
    if not found.complete:
        note += "; other tiles were not tried for lack of time"
    return point_of(name, found.stacks, found.placed, note, Legality.REPAIRED)


def _least(rows: Sequence[PolicyPoint], objective: Objective, name: str) -> PolicyPoint:
    """The best row under another name."""
    costed = [(value, n) for n, row in enumerate(rows) if (value := row.value(objective))]
    if not costed:
        return no_point(name, "no tile of the grid fits")
    return replace(rows[min(costed)[1]], policy=name)


def _of_mode(points: Sequence[UniformStacks], mode: OverlapMode) -> list[UniformStacks]:
    return [point for point in points if point.mode is mode]
