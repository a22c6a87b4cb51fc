"""The search for just any schedule, on a network of which most tiles fit nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.quick_mapping import short_search
from cost.rules import EXACT
from problems import load_problem
from problems.problem import Problem
from solver.choices import ChoiceBuilder
from solver.objective import Objective
from solver.option_plan import OptionPlan
from solver.prepare import cost_tables, search_limits
from solver.prune import make_pool
from solver.scout import OPENING_SIZES, Scout, opening_ranges
from solver.screen import Screen
from solver.space import EFFICIENT, stack_ranges
from solver.stack_tables import StackTables


@pytest.fixture(scope="module")
def problem() -> Problem:
    """A network with adds and pools of which a full array's step does not fit 1 KB."""
    return load_problem("resnet-18@tesla-npu-like-df")


@pytest.fixture(scope="module")
def tables(problem: Problem) -> StackTables:
    """Its tables."""
    return cost_tables(problem, EXACT)


def test_opening_tries_large_tiles_and_small_ones(problem: Problem) -> None:
    """Tests that sizes fall by a factor of four or more, from the whole map on."""
    ranges = stack_ranges(problem, EXACT, EFFICIENT, tuple(OverlapMode), None)
    for r in opening_ranges(ranges, OPENING_SIZES[-1]):
        layer = problem.workload.layers[r.last]
        assert r.widths[-1] == layer.sizes["OX"]
        assert len(r.widths) <= OPENING_SIZES[-1]
        steps = zip(r.widths, r.widths[1:], strict=False)
        assert all(4 * less <= more or less == r.widths[0] for less, more in steps)


def test_opening_finds_a_schedule_where_little_fits(problem: Problem, tables: StackTables) -> None:
    """Tests that every layer on its own is soon placed, with some tile or another."""
    ranges = stack_ranges(problem, EXACT, EFFICIENT, tuple(OverlapMode), None)
    limits = search_limits(None, 1, 0)
    found: list[tuple[OptionPlan, ...]] = []

    def take(plans: tuple[OptionPlan, ...]) -> tuple[float, float]:
        found.append(plans)
        return 1.0, 1.0

    pool = make_pool(Screen(tables, opening_ranges(ranges, OPENING_SIZES[-1])))
    Scout(pool, ChoiceBuilder(tables), limits, Objective.EDP, take).open()
    (plans,) = found
    covered = [p for plan in plans for p in plan.choices.option.layers]
    assert sorted(covered) == list(range(len(problem.workload.layers)))


def test_short_search_where_equal_shares_hold_none(tables: StackTables) -> None:
    """Tests that memories may be shared out unequally where nothing fits otherwise."""
    model = tables.models[0]
    levels = (len(model.chain[0]), len(model.chain[1]), len(model.chain[2]))
    point = short_search(model, tables.tile_sizes(0, 1, 1), levels, (1.0, 1.0))
    assert point is not None
    assert np.isfinite(point.energy_pj) and point.latency_cycles > 0
