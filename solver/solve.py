"""Solve a problem to a proven optimum: the space that is meant, and a search through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cost.overlap import OverlapMode
from cost.rules import EXACT, RuleSet
from cost.stack_graph import consumers
from problems.problem import Problem
from solver.objective import Objective
from solver.pin_file import pins_note, pins_to_dict
from solver.pinned_space import pinned_ranges
from solver.pins import Pins
from solver.prepare import cost_tables, search_limits, stated_space
from solver.result import Result, TracePoint
from solver.search import Search
from solver.space import EFFICIENT, StackRange, TileSpace, stack_ranges
from solver.stack_tables import StackTables


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
    search = Search(
        tables,
        ranges,
        objective,
        search_limits(time_limit_s, workers, seed),
        progress,
        space,
    )
    return search.run()


def evaluate_stacks(
    problem: Problem,
    rules: RuleSet,
    stacks: tuple[tuple[tuple[int, ...], int, int, OverlapMode], ...],
    objective: Objective,
    tables: StackTables | None = None,
    time_limit_s: float | None = None,
) -> Result:
    """Optimal placements and mappings for fixed stacks (layers, tile_x, tile_y, mode)."""
    tables = tables or cost_tables(problem, rules)
    layers = problem.workload.layers
    dram = tables.domains.dram
    users = consumers(problem.workload)
    ranges = tuple(
        StackRange(
            layers=stack,
            tail=number,
            head=number + 1,
            carried=-1,
            exports=tuple(p for p in stack[:-1] if any(u not in stack for u in users[p])),
            widths=(min(tile_x, layers[stack[-1]].sizes["OX"]),),
            heights=(min(tile_y, layers[stack[-1]].sizes["OY"]),),
            modes=(mode,),
            sources=(dram,),
            targets=(dram,),
            dram=dram,
            is_chain=problem.workload.is_chain,
        )
        for number, (stack, tile_x, tile_y, mode) in enumerate(stacks)
    )
    space = stated_space(problem, ranges, TileSpace(text="fixed"), tuple(OverlapMode), None, rules)
    limits = search_limits(time_limit_s, None, 0)
    return Search(tables, ranges, objective, limits, None, space).run()
