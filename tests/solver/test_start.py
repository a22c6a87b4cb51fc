"""Schedules by rules, for searches whose own first one is far from its bound."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import EXACT
from problems import Problem, load_problem
from solver.limits import StoppedError
from solver.objective import Objective
from solver.policies.start import schedule_by_rules
from solver.prepare import cost_tables
from solver.result import Result, Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import EFFICIENT, parse_tiles, stack_ranges
from solver.verify import verify
from tests.oracle.random_kinds import random_concat
from tests.oracle.random_problems import random_problem
from tests.solver.conftest import TILES

MODES = tuple(OverlapMode)


def no_pause() -> None:
    """Let a search go on."""


def test_it_runs_and_lies_in_the_space() -> None:
    """Tests stacks, sizes and modes against the ranges that it was made for."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, (OverlapMode.H_CACHED,), 4)
    schedule = schedule_by_rules(tables, ranges, Objective.ENERGY, (1.0, 0.0), no_pause)
    assert schedule is not None
    assert recost(problem, schedule, EXACT).ok
    names = {layer.name: i for i, layer in enumerate(problem.workload.layers)}
    by_layers = {r.layers: r for r in ranges}
    for stack in schedule.stacks:
        r = by_layers[tuple(names[name] for name in stack.layers)]
        assert stack.mode is OverlapMode.H_CACHED
        assert stack.tile_x in r.widths
        assert stack.tile_y in r.heights


def test_there_is_none_where_a_stack_of_its_cuts_is_missing(problem: Problem) -> None:
    """Tests spaces without the stacks that rules would take."""
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, parse_tiles(TILES), MODES, None)
    none_from_first = tuple(r for r in ranges if 0 not in r.layers)
    assert schedule_by_rules(tables, ranges, Objective.EDP, (1.0, 1.0), no_pause) is not None
    assert schedule_by_rules(tables, none_from_first, Objective.EDP, (1.0, 1.0), no_pause) is None
    pinned = tuple(replace(r, targets=tuple(t for t in r.targets if t != r.dram)) for r in ranges)
    assert schedule_by_rules(tables, pinned, Objective.EDP, (1.0, 1.0), no_pause) is None


def test_asking_always_changes_no_optimum(
    problem: Problem, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that the answer is the same whether rules are asked or not."""
    monkeypatch.setattr("solver.late_rules.FAR_OFF", -1.0)
    monkeypatch.setattr("solver.late_rules.PATIENT_STEPS", 0)
    asked = solve(problem, tiles=parse_tiles(TILES), workers=1)
    assert asked.status is Status.OPTIMAL
    assert asked.edp == pytest.approx(result.edp, rel=1e-9)


def test_a_search_that_finds_nothing_answers_with_it(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that the schedule by rules is written out as it is, and verifies."""

    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr("solver.search.Scout.run", lambda _: None)
    monkeypatch.setattr("solver.late_rules.PATIENT_STEPS", 0)
    monkeypatch.setattr("solver.search.plunge", lambda *_, **__: None)
    monkeypatch.setattr("solver.weighted.WeightedSolver.path", stop)
    found = solve(problem, tiles=parse_tiles(TILES), workers=1)
    assert found.schedule is not None
    assert found.gap is not None
    checked = verify(result_to_dict(found), problem)
    assert checked.ok, checked.problems


@pytest.mark.parametrize("seed", [0, 1, 2, 12, 71])
def test_what_it_finds_on_random_chains_runs(seed: int) -> None:
    """Tests tight memories, too: those of seeds 12 and 71 have no bit left beside some tiles."""
    problem = random_problem(Random(seed), 2)
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None)
    schedule = schedule_by_rules(tables, ranges, Objective.EDP, (1.0, 1.0), no_pause)
    if schedule is not None:
        assert recost(problem, schedule, EXACT).ok


def test_it_leaves_concats_alone() -> None:
    """Tests that networks which the rules do not know have none."""
    problem = random_concat(Random(0))
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None)
    assert schedule_by_rules(tables, ranges, Objective.EDP, (1.0, 1.0), no_pause) is None
