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
from solver.policies.decided import DecidedPoints, UniformStacks, uniform_stacks
from solver.policies.fixed_stacks import FixedStacks
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


def grid_points(problem: Problem) -> tuple[UniformStacks, ...]:
    """The grid over the automatic cut's largest stack output (the last one of FSRCNN)."""
    layers = problem.workload.layers
    position = {layer.name: i for i, layer in enumerate(layers)}
    stacks = automatic_stacks(problem.hardware, problem.workload)
    ends = [max(position[layer.name] for layer in stack.layers) for stack in stacks]
    width = max(layers[end].sizes["OX"] for end in ends)
    height = max(layers[end].sizes["OY"] for end in ends)
    return tuple(
        uniform_stacks(problem, ends, (x, y), mode)
        for mode in OverlapMode
        for x in scaled_grid(GRID_WIDTHS, width)
        for y in scaled_grid(GRID_HEIGHTS, height)
    )


def defines_rows(
    decided: DecidedPoints, fixed: FixedStacks, progress: Callable[[str], None]
) -> list[PolicyPoint]:
    """Best of the grid, over all modes and in each: as decided, and repaired if need be."""
    points = grid_points(fixed.problem)
    rows: list[PolicyPoint] = []
    for mode in OverlapMode:
        progress(f"{NAME} grid, {mode.value}")
        rows.append(decided.best(f"{NAME} {mode.value}", _of_mode(points, mode)))
    if fixed.rules.joint_capacity:
        for mode in OverlapMode:
            progress(f"{NAME} grid repaired, {mode.value}")
            name = f"{NAME} {mode.value}, repaired"
            found = fixed.best_of(point.stacks for point in _of_mode(points, mode))
            if found is None:
                rows.append(no_point(name, "no tile of the grid fits"))
            else:
                rows.append(point_of(name, *found, describe(found[0]), Legality.REPAIRED))
    return [*_overall(rows, fixed, len(points)), *rows]


def _of_mode(points: Sequence[UniformStacks], mode: OverlapMode) -> list[UniformStacks]:
    return [point for point in points if point.mode is mode]


def _overall(rows: Sequence[PolicyPoint], fixed: FixedStacks, points: int) -> list[PolicyPoint]:
    """The best row as decided and the best repaired one, named as the best of all points."""
    best: dict[bool, tuple[float, PolicyPoint]] = {}
    for row in rows:
        value = row.value(fixed.objective)
        repaired = row.legality is Legality.REPAIRED
        if value is not None and (repaired not in best or value < best[repaired][0]):
            best[repaired] = (value, row)
    return [
        replace(row, policy=f"{NAME} best of {points}{', repaired' if repaired else ''}")
        for repaired, (_, row) in sorted(best.items(), key=lambda item: item[0])
    ]
