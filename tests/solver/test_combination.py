"""The reference's best combination, a tile and mode per stack."""

from __future__ import annotations

import pytest

from cost.rules import DEFINES, EXACT
from problems import load_problem
from solver.compare import silent
from solver.objective import Objective
from solver.policies.combination import combination_rows
from solver.policies.decided import DecidedPoints
from solver.policies.defines import automatic_sets, defines_rows
from solver.policies.fixed_stacks import FixedStacks
from solver.policies.point import Legality


@pytest.mark.parametrize("objective", [Objective.ENERGY, Objective.LATENCY])
def test_it_costs_no_more_than_one_tile_for_all(objective: Objective) -> None:
    """Tests sums over stacks, as decided, against the best single tile, as decided."""
    problem = load_problem("mobilenet-v1@tpu-like")
    fixed = FixedStacks(problem, EXACT, objective, 2.0)
    decided = DecidedPoints(problem, EXACT, objective, fixed)
    single = defines_rows(decided, fixed, silent)[0]
    rows = combination_rows(problem, decided, fixed, single)
    least, best = rows[0].value(objective), single.value(objective)
    assert least is not None
    assert best is not None
    assert least <= best * (1 + 1e-9)
    assert tuple(stack.layers for stack in rows[0].stacks) == automatic_sets(problem)
    if rows[0].legality is Legality.INFEASIBLE:
        assert rows[1].legality is Legality.REPAIRED


def test_the_reference_costs_a_schedule_as_a_whole() -> None:
    """Tests that its own rules have no such row."""
    problem = load_problem("fsrcnn@meta-proto-df")
    fixed = FixedStacks(problem, DEFINES, Objective.ENERGY, 2.0)
    decided = DecidedPoints(problem, DEFINES, Objective.ENERGY, fixed)
    single = defines_rows(decided, fixed, silent)[0]
    assert combination_rows(problem, decided, fixed, single) == []
