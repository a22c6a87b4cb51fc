"""Solve a problem to a proven optimum: the space that is meant, and a search through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cost.overlap import OverlapMode
from cost.rules import EXACT, RuleSet
from problems.problem import Problem
from solver.objective import Objective
from solver.pin_file import pins_note, pins_to_dict
from solver.pinned_space import pinned_ranges
from solver.pins import Pins
from solver.policies.start import schedule_by_rules
from solver.prepare import cost_tables, search_limits, stated_space
from solver.result import Result, TracePoint
from solver.search import Search
from solver.space import EFFICIENT, TileSpace, stack_ranges


def solve(
    problem: Problem,
    *,
    objective: Objective = Objective.EDP,
    rules: RuleSet = EXACT,
    tiles: TileSpace = EFFICIENT,
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode),
    max_depth: int | None = None,
    pins: Pins | None = None,
    time_limit_s: float | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Callable[[TracePoint], None] | None = None,
) -> Result:
    """Find the schedule of least objective in the stated space, with proof.

    Parameters follow design and command line: `tiles` names the tile sizes, `modes` the
    overlap modes, `max_depth` caps the layers of a stack, `pins` fixes decisions. A time
    limit gives the best schedule found and a valid bound. Raises InfeasibleError if the
    space holds no schedule, ProblemError for what the rules do not know (branches, padding).
    """
    inside = () if pins is None else pins.inside
    timed = objective is not Objective.ENERGY
    tables = cost_tables(problem, rules, timed=timed, inside=inside)
    ranges = stack_ranges(problem, rules, tiles, modes, max_depth)
    if pins is not None:
        ranges = pinned_ranges(problem, rules, ranges, pins)
    space = stated_space(problem, ranges, tiles, modes, max_depth, rules)
    if pins is not None and pins != Pins():
        notes = (pins_note(problem, pins), *space.notes)
        space = replace(space, notes=notes, pins=pins_to_dict(problem, pins))
    limits = search_limits(time_limit_s, workers, seed)
    search = Search(tables, ranges, objective, limits, progress, space)
    if not inside:
        search.by_rules = lambda weights: schedule_by_rules(
            tables, ranges, objective, weights, limits.left
        )
    return search.run()
