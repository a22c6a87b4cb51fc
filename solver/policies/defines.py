"""The reference tool's policy: its automatic cut, one tile and one mode for all stacks.

Its tile sizes are a 6 x 6 grid in each overlap mode. A grid point as the policy itself
decides it is written out and costed like any schedule; where the rules count what shares a
memory it may not fit. The repaired point keeps cuts, tile and mode, and takes the best
placements and mappings that fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cost.axis_tiles import efficient_sizes
from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.reference_policy import NoMappingError, reference_schedule
from cost.reference_stacks import automatic_stacks
from cost.rules import RuleSet
from problems.problem import Problem
from solver.objective import Objective
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import Legality, PolicyPoint, describe, no_point, point_of
from solver.policies.written_policy import write_policy

GRID_WIDTHS, GRID_HEIGHTS = (1, 4, 16, 60, 240, 960), (1, 4, 18, 72, 270, 540)
"""DeFiNES's tile sizes for FSRCNN, whose last feature map is 960 x 540 (case study 1)."""
NAME = "DeFiNES"


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One tile of the grid in one mode, with the stacks that it makes."""

    tile: tuple[int, int]
    mode: OverlapMode
    stacks: Stacks


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


def grid_points(problem: Problem) -> tuple[GridPoint, ...]:
    """The grid over the automatic cut's largest stack output (the last one of FSRCNN)."""
    position = {layer.name: i for i, layer in enumerate(problem.workload.layers)}
    stacks = automatic_stacks(problem.hardware, problem.workload)
    runs = [sorted(position[layer.name] for layer in stack.layers) for stack in stacks]
    ends = [problem.workload.layers[run[-1]].sizes for run in runs]
    width, height = max(end["OX"] for end in ends), max(end["OY"] for end in ends)
    return tuple(
        GridPoint(
            (x, y),
            mode,
            tuple(
                FixedStack(run[0], run[-1], min(x, end["OX"]), min(y, end["OY"]), mode)
                for run, end in zip(runs, ends, strict=True)
            ),
        )
        for mode in OverlapMode
        for x in scaled_grid(GRID_WIDTHS, width)
        for y in scaled_grid(GRID_HEIGHTS, height)
    )


def defines_rows(
    problem: Problem,
    rules: RuleSet,
    objective: Objective,
    fixed: FixedStacks,
    progress: Callable[[str], None],
) -> list[PolicyPoint]:
    """Best of the grid, over all modes and in each: as decided, and repaired if need be."""
    points = grid_points(problem)
    decided = _Decided(problem, rules, objective, fixed)
    rows: list[PolicyPoint] = []
    for mode in OverlapMode:
        progress(f"{NAME} grid, {mode.value}")
        rows.append(decided.best(f"{NAME} {mode.value}", _of_mode(points, mode)))
    if rules.joint_capacity:
        for mode in OverlapMode:
            progress(f"{NAME} grid repaired, {mode.value}")
            name = f"{NAME} {mode.value}, repaired"
            found = fixed.best_of(point.stacks for point in _of_mode(points, mode))
            if found is None:
                rows.append(no_point(name, "no tile of the grid fits"))
            else:
                rows.append(point_of(name, *found, describe(found[0]), Legality.REPAIRED))
    return [*_overall(rows, objective, len(points)), *rows]


def _of_mode(points: Sequence[GridPoint], mode: OverlapMode) -> list[GridPoint]:
    return [point for point in points if point.mode is mode]


def _overall(rows: Sequence[PolicyPoint], objective: Objective, points: int) -> list[PolicyPoint]:
    """The best row of each legality, named as the best of all points."""
    best: dict[Legality, PolicyPoint] = {}
    for row in rows:
        value = row.value(objective)
        if value is None:
            continue
        known = best.get(row.legality)
        if known is None or value < (known.value(objective) or math.inf):
            best[row.legality] = row
    suffix = {Legality.REPAIRED: ", repaired"}
    return [
        replace(row, policy=f"{NAME} best of {points}{suffix.get(row.legality, '')}")
        for row in best.values()
    ]


class _Decided:
    """Costs grid points as the policy decides them."""

    def __init__(
        self, problem: Problem, rules: RuleSet, objective: Objective, fixed: FixedStacks
    ) -> None:
        self.problem, self.rules, self.objective = problem, rules, objective
        self.mapper = exact_mapper(problem.hardware, problem.workload.name, rules)
        # The policy does not share memories: bounds that do would be none for it.
        alone = replace(rules, joint_capacity=False)
        self.bounds = FixedStacks(problem, alone, objective) if rules.joint_capacity else fixed

    def best(self, name: str, points: Sequence[GridPoint]) -> PolicyPoint:
        """The cheapest point; those whose bound is above a known cost are not mapped."""
        ranked = sorted(
            ((self.bounds.bound(point.stacks), n, point) for n, point in enumerate(points)),
            key=lambda entry: entry[:2],
        )
        found: PolicyPoint | None = None
        least = math.inf
        failure = "no tile of the grid fits"
        for bound, _, point in ranked:
            if bound >= least or math.isinf(bound):
                break
            try:
                row = self._cost(name, point)
            except (NoMappingError, ValueError) as error:
                failure = str(error)
                continue
            value = row.value(self.objective)
            if value is not None and value < least:
                found, least = row, value
        return found or no_point(name, failure)

    def _cost(self, name: str, point: GridPoint) -> PolicyPoint:
        decided = reference_schedule(
            self.problem.hardware,
            self.problem.workload,
            mode=point.mode,
            tile=point.tile,
            mapper=self.mapper,
            rules=self.rules,
        )
        schedule = write_policy(self.problem, decided, self.mapper, self.rules)
        costed = recost(self.problem, schedule, self.rules)
        note = describe(point.stacks)
        if costed.violations:
            more = len(costed.violations) - 1
            note += f"; {costed.violations[0]}" + (f" (and {more} more)" if more else "")
        return PolicyPoint(
            policy=name,
            legality=Legality.INFEASIBLE if costed.violations else Legality.FEASIBLE,
            energy_pj=costed.energy_pj,
            latency_cycles=costed.latency_cycles,
            stacks=point.stacks,
            note=note,
        )
