"""The optimum beside policies: what the table promises."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from rich.console import Console

from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.reference_graph import ReferenceRuleError
from cost.reference_policy import NoMappingError, reference_schedule
from cost.rules import DEFINES, EXACT, RULE_SETS
from problems import LayerKind, load_problem
from problems.problem import Problem
from solver.compare import Comparison, compare
from solver.objective import Objective
from solver.policies import fixed_stacks
from solver.policies.defines import GRID_HEIGHTS, GRID_WIDTHS, grid_points, scaled_grid
from solver.policies.fixed_stacks import FixedStack, FixedStacks
from solver.policies.point import Legality
from solver.policies.stack_sets import joined, runnable, split
from solver.policies.written_policy import write_policy
from solver.result import Status
from tests.oracle.random_problems import random_graph, random_problem

SEED = 0
"""Under the exact rules the reference's best point of this problem does not fit."""


@pytest.fixture(scope="module", autouse=True)
def short_limits() -> Iterator[None]:
    """Repair only the most promising tile of each mode: others may take long.

    Placements take a second or two here, but half a minute where code has yet to be compiled.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixed_stacks, "PLACEMENT_LIMIT_S", 200.0)
        patch.setattr(fixed_stacks, "CHOICE_LIMIT_S", 0.0)
        yield


def problem() -> Problem:
    """Two layers on a small accelerator."""
    return random_problem(Random(SEED), 2, size=3)


@cache
def comparison(rules: str) -> Comparison:
    """The comparison of the small problem."""
    return compare(problem(), Objective.EDP, RULE_SETS[rules], workers=1)


def printed(found: Comparison) -> str:
    """The table as text."""
    console = Console(file=io.StringIO(), width=240, color_system=None, legacy_windows=False)
    console.print(found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("rules", ["exact", "defines"])
def test_no_policy_beats_the_optimum(rules: str) -> None:
    """Tests that whatever can run costs at least the optimum."""
    found = comparison(rules)
    assert found.optimum.status is Status.OPTIMAL
    assert found.contradictions == found.better_outside == ()
    for row in found.rows:
        regret = found.regret(row)
        if row.legality in (Legality.FEASIBLE, Legality.REPAIRED):
            assert regret is not None and regret >= -1e-7, row


@pytest.mark.parametrize("rules", ["exact", "defines"])
def test_rows(rules: str) -> None:
    """Tests that every policy is there, each overlap mode by itself, the optimum on top."""
    found = comparison(rules)
    names = [row.policy for row in found.rows]
    assert names[0] == "layer by layer"
    assert names[-2:] == ["greedy fusion", "annealing"]
    for mode in OverlapMode:
        assert f"DeFiNES {mode.value}" in names
    lines = printed(found).splitlines()
    assert next(n for n, line in enumerate(lines) if "optimum" in line) == min(
        n for n, line in enumerate(lines) if "yes" in line
    )
    assert "BUG" not in printed(found)


def test_schedules_that_cannot_run_are_labelled_and_repaired() -> None:
    """Tests that joint capacity rejects the reference's best point and that it is repaired."""
    rows = {row.policy: row for row in comparison("exact").rows}
    points = len(grid_points(problem()))
    best, able = rows[f"DeFiNES best of {points}"], rows["DeFiNES best that runs"]
    assert best.legality is Legality.INFEASIBLE
    assert "bits of" in best.note
    assert able.legality in (Legality.FEASIBLE, Legality.REPAIRED)
    assert rows["DeFiNES fully-cached, repaired"].legality is Legality.REPAIRED


def test_reference_rules_call_every_policy_feasible() -> None:
    """Tests that the reference's schedules are points of its own space."""
    for row in comparison("defines").rows:
        assert row.legality is Legality.FEASIBLE, row


def test_a_policy_below_the_bound_is_called_a_bug() -> None:
    """Tests that an optimum worse than a policy of its space does not pass in silence."""
    found = comparison("defines")
    value = found.optimum.value
    assert value is not None
    too_high = replace(found.optimum, best_bound=2 * value)
    inside = replace(found, optimum=too_high)
    assert "greedy fusion" in inside.contradictions
    assert "BUG" in printed(inside)
    outside = replace(found, optimum=too_high, ranges=())
    assert outside.contradictions == ()
    assert "greedy fusion" in outside.better_outside


def test_written_policy_costs_no_more_than_the_policy() -> None:
    """Tests that a grid point written out is legal and costs what the policy says, or less.

    Less, since the reference fetches input tiles that it then reads from DRAM instead.
    """
    small = problem()
    for point in grid_points(small):
        mapper = exact_mapper(small.hardware, small.workload.name, DEFINES)
        decided = reference_schedule(
            small.hardware, small.workload, mode=point.mode, tile=point.tile, mapper=mapper
        )
        costed = recost(small, write_policy(small, decided, DEFINES), DEFINES)
        assert costed.violations == (), point
        assert costed.energy_pj <= decided.energy_pj * (1 + 1e-9), point
        assert costed.latency_cycles <= decided.latency_cycles, point


def test_written_policy_is_the_policy_on_a_real_problem() -> None:
    """Tests that nothing is lost when the reference's best point for FSRCNN is written out."""
    real = load_problem("fsrcnn@meta-proto-df")
    mapper = exact_mapper(real.hardware, real.workload.name, DEFINES)
    decided = reference_schedule(
        real.hardware, real.workload, mode=OverlapMode.FULLY_CACHED, tile=(4, 72), mapper=mapper
    )
    costed = recost(real, write_policy(real, decided, DEFINES), DEFINES)
    assert costed.violations == ()
    assert costed.energy_pj == pytest.approx(decided.energy_pj, rel=1e-9)
    assert costed.latency_cycles == decided.latency_cycles


@pytest.mark.parametrize("seed", range(6))
def test_rules_on_true_tiles_fail_at_nothing_but_capacities(seed: int) -> None:
    """Tests on branches and padding that rules overfill memories at worst, and repairs do not."""
    found = random_graph(Random(seed), size=4, tight=(1, 2)[seed % 2])
    fixed = FixedStacks(found, EXACT, Objective.ENERGY)
    for point in grid_points(found):
        try:
            schedule = fixed.by_rule(point.stacks)
        except (NoMappingError, ReferenceRuleError):
            continue
        costed = recost(found, schedule, EXACT)
        assert all("bits of" in fault for fault in costed.violations), point
        value = costed.energy_pj
        assert value >= fixed.bound(point.stacks, overfilled=True) * (1 - 1e-9), point
        lifted = fixed.lifted(point.stacks)
        if not costed.violations:
            assert lifted is not None and fixed.value(lifted) <= value * (1 + 1e-9), point
        if lifted is not None:
            assert fixed.value(lifted) >= fixed.bound(point.stacks) * (1 - 1e-9), point


@pytest.mark.parametrize("seed", [7, 11])
def test_no_policy_beats_the_optimum_of_a_graph(seed: int) -> None:
    """Tests a whole comparison where branches join."""
    branched = random_graph(Random(seed), size=3, tight=4)
    assert any(layer.kind is LayerKind.ADD for layer in branched.workload.layers)
    found = compare(branched, Objective.EDP, EXACT, workers=1)
    assert found.proven and found.contradictions == found.better_outside == ()
    assert all(row.value(Objective.EDP) for row in found.rows if "repaired" in row.policy)
    assert {row.policy: row for row in found.rows}["annealing"].legality is Legality.FEASIBLE


def test_an_unproven_optimum_is_no_yardstick_for_regrets() -> None:
    """Tests that the table then gives both ends between which a regret lies."""
    found = comparison("exact")
    value = found.optimum.value
    assert value is not None
    stopped = replace(found.optimum, status=Status.FEASIBLE, best_bound=value / 2, gap=0.5)
    text = printed(replace(found, optimum=stopped))
    assert "best found" in text and " bound " in text and "+100 %" in text
    assert " bound " not in printed(found)


DIAMOND = ((), (0,), (0,), (1, 2))
"""What each layer reads: two branches that join."""


def stack(*layers: int) -> FixedStack:
    """A stack of layers, all in one tile."""
    return FixedStack(layers, 1, 1, OverlapMode.FULLY_RECOMPUTE)


def test_stacks_split_and_join_as_convex_sets() -> None:
    """Tests parts of a diamond, and that stacks which need each other cannot run."""
    assert split((0, 1, 2, 3), 1, DIAMOND) == ((0, 1), (2, 3))
    assert split((0, 1, 2, 3), 2, DIAMOND) == ((0, 2), (1, 3))
    apart = (stack(0), stack(1), stack(2), stack(3))
    assert joined(apart, 1, apart[3], stack(1, 3), DIAMOND) == (stack(0), stack(2), stack(1, 3))
    # 0 -> 1 -> 3 and 2 -> 3, 2 -> 4: a stack of 0 and 4 needs 2, which 1 and 3 need, too.
    reads = ((), (0,), (), (1, 2), (2, 0))
    assert runnable((stack(0, 4), stack(1, 2, 3)), reads) is None


def test_grid_scales_with_the_feature_map() -> None:
    """Tests that FSRCNN's grid is the published one, and that other axes are covered."""
    assert scaled_grid(GRID_WIDTHS, 960) == GRID_WIDTHS
    assert scaled_grid(GRID_HEIGHTS, 540) == GRID_HEIGHTS
    assert scaled_grid(GRID_WIDTHS, 1) == (1,)
    for total in (7, 28, 112, 1280):
        sizes = scaled_grid(GRID_WIDTHS, total)
        assert sizes[0] == 1 and sizes[-1] == total
        assert all(size == -(-total // -(-total // size)) for size in sizes)
    points = grid_points(load_problem("fsrcnn@meta-proto-df"))
    assert len(points) == 108
    assert points[0].stacks == (FixedStack(tuple(range(8)), 1, 1, OverlapMode.FULLY_RECOMPUTE),)
