"""Refinement by layer-tiles: it ends, whatever is left."""

from __future__ import annotations

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import load_problem
from solver.objective import Objective
from solver.prepare import cost_tables
from solver.prune import Pool, make_pool
from solver.refine import refine_near
from solver.screen import Screen
from solver.space import parse_tiles, stack_ranges


def fresh_pool() -> Pool:
    """A few options of a network whose layer-tiles are not bounded yet."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, parse_tiles("grid:60,4x72,8"), tuple(OverlapMode), 2)
    return make_pool(Screen(tables, ranges))


@pytest.mark.parametrize("share", [1.0, 1.5, np.inf])
def test_widening_ends_where_all_tiles_are_too_many(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that it ends though some options stay out of reach, above the schedule known."""
    monkeypatch.setattr("solver.refine.TILES_AN_OPTION_LEFT", 0.0)
    pool = fresh_pool()
    weights = (2e7, 2e9)
    least = pool.lower_bound(Objective.EDP, weights)
    passes = 0

    def pause() -> None:
        nonlocal passes
        passes += 1
        assert passes < 50

    before = [r.energy.copy() for r in pool.ranges]
    refine_near(
        pool, Objective.EDP, least * share, weights, 0.1, widens=True, timed=True, pause=pause
    )
    assert passes > 0
    assert all(np.array_equal(a, r.energy) for a, r in zip(before, pool.ranges, strict=True))
