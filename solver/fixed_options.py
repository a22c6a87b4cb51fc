"""The best placements and mappings of stacks that are given, tiles and modes included."""

from __future__ import annotations

from cost.overlap import OverlapMode
from cost.rules import RuleSet
from cost.stack_graph import consumers
from problems.problem import Problem
from solver.objective import Objective
from solver.prepare import cost_tables, search_limits, stated_space
from solver.result import Result
from solver.search import Search
from solver.space import StackRange, TileSpace
from solver.stack_tables import StackTables


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
