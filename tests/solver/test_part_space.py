"""Searches that begin in a part of the space and go on with what bounds leave of it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import InfeasibleError, Problem, load_problem
from solver.objective import Objective
from solver.part_space import MANY_OPTIONS, efficient_part, survivors
from solver.prepare import cost_tables
from solver.prune import make_pool
from solver.result import Result, Status
from solver.schedule_file import result_to_dict
from solver.screen import Screen
from solver.solve import solve
from solver.space import EFFICIENT, StackRange, parse_tiles, stack_ranges
from solver.verify import verify
from tests.oracle.random_problems import random_graph, random_problem

ALL = parse_tiles("all")
MODES = tuple(OverlapMode)


def smallest_tiles(_: Problem, ranges: tuple[StackRange, ...]) -> tuple[StackRange, ...]:
    """The options with the smallest tile of each range."""
    return tuple(replace(r, widths=r.widths[:1], heights=r.heights[:1]) for r in ranges)


def outcome(problem: Problem, objective: Objective) -> Result | None:
    """The answer over all tile sizes; None if there is no schedule."""
    try:
        return solve(problem, objective=objective, tiles=ALL, workers=1)
    except InfeasibleError:
        return None


@pytest.mark.parametrize("seed", range(12))
def test_a_part_to_begin_with_changes_no_answer(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that the optimum is that of the whole space, and that its proof holds."""
    rng = Random(seed)
    problem = (
        random_graph(rng, size=3, levels=3, tight=2)
        if seed % 2
        else random_problem(rng, 2, size=4, levels=3)
    )
    objective = tuple(Objective)[seed % len(Objective)]
    plain = outcome(problem, objective)
    monkeypatch.setattr("solver.search.efficient_part", smallest_tiles)
    monkeypatch.setattr("solver.search.MANY_OPTIONS", 1)
    monkeypatch.setattr("solver.part_space.MANY_OPTIONS", 1)
    monkeypatch.setattr("solver.part_space.SPARSE_FROM", 1)
    begun = outcome(problem, objective)
    if plain is None or begun is None:
        assert plain is begun
        return
    assert begun.status is Status.OPTIMAL
    assert begun.value == pytest.approx(plain.value, rel=1e-9)
    assert begun.space == plain.space
    assert "after floors" in begun.option_counts
    checked = verify(result_to_dict(begun), problem)
    assert checked.ok, checked.problems


def test_only_large_spaces_begin_with_a_part() -> None:
    """Tests when a part is taken, and that it is the space of efficient sizes."""
    problem = load_problem("fsrcnn@meta-proto-df")
    every = stack_ranges(problem, EXACT, ALL, MODES, None)
    assert sum(r.options for r in every) > MANY_OPTIONS
    efficient = stack_ranges(problem, EXACT, EFFICIENT, MODES, None)
    assert efficient_part(problem, every) == efficient
    assert efficient_part(problem, efficient) == ()
    # A size fixed by hand is kept.
    fixed = tuple(replace(r, widths=(7,)) for r in every)
    assert {r.widths for r in efficient_part(problem, fixed)} <= {(7,)}


def test_survivors_keep_their_bounds() -> None:
    """Tests that a pool of what is left has the same options with the same bounds."""
    problem = load_problem("mobilenet-v1@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, MODES, 4)
    pool = make_pool(Screen(tables, ranges))
    bound = pool.lower_bound(Objective.EDP)
    pool.prune(Objective.EDP, bound * 1.02)
    left = survivors(pool)
    assert 0 < left.alive() == pool.alive()
    assert left.size < pool.size
    assert left.lower_bound(Objective.EDP) == pool.lower_bound(Objective.EDP)
    kept = {
        option: (r.energy[index], r.latency[index])
        for r in left.ranges
        for index, option in r.options()
    }
    assert kept == {
        option: (r.energy[index], r.latency[index])
        for r in pool.ranges
        for index, option in r.options()
    }
    before = [r.energy.copy() for r in left.ranges]
    left.refresh()
    assert all(np.array_equal(a, r.energy) for a, r in zip(before, left.ranges, strict=True))
