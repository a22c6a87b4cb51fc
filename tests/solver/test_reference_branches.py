"""Shortcuts solved under the reference's rules, and what these rules refuse."""

from dataclasses import replace

import pytest

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import DEFINES
from problems import Layer, Padding, Problem, ProblemError, load_problem
from solver.cli import main
from solver.compare import compare
from solver.comparison import policy_point
from solver.objective import Objective
from solver.policies.decided import DecidedPoints, uniform_stacks
from solver.policies.defines import automatic_sets
from solver.policies.fixed_stacks import FixedStacks
from solver.policies.stack_sets import through_dram
from solver.result import Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import EFFICIENT, parse_tiles, stack_ranges
from solver.verify import verify
from tests.solver.conftest import DATA

PROBLEM = f"{DATA}/shortcut.yaml@{DATA}/three-memories.yaml"
TILES = "grid:4,8x5"
SLACK = 1 + 1e-9


@pytest.fixture(scope="module")
def block() -> Problem:
    """One residual block on a small accelerator."""
    return load_problem(PROBLEM)


@pytest.mark.parametrize("objective", list(Objective), ids=lambda objective: objective.value)
def test_optimum_is_verified_and_no_policy_is_better(block: Problem, objective: Objective) -> None:
    """Optimal, certified, and never above the reference's policy on the same tiles."""
    found = solve(block, rules=DEFINES, tiles=parse_tiles(TILES), objective=objective, workers=1)
    assert found.status is Status.OPTIMAL
    assert found.schedule is not None and found.value is not None
    assert verify(result_to_dict(found)).ok
    point = policy_point(block, found.schedule, DEFINES)
    assert point is not None
    assert found.value <= objective.of(point.energy_pj, point.latency_cycles) * SLACK


@pytest.mark.parametrize("mode", OverlapMode)
def test_fused_block_is_no_dearer_than_by_rule(block: Problem, mode: OverlapMode) -> None:
    """Tests one stack of all layers in each mode against the rules' own placements."""
    fused = solve(
        block, rules=DEFINES, tiles=parse_tiles(TILES), objective=Objective.ENERGY, modes=(mode,)
    )
    assert found_all(fused.space.notes)
    assert fused.schedule is not None and fused.value is not None
    assert recost(block, fused.schedule, DEFINES).violations == ()
    point = policy_point(block, fused.schedule, DEFINES)
    assert point is not None and fused.value <= point.energy_pj * SLACK


def found_all(notes: tuple[str, ...]) -> bool:
    """Whether the answer says what of the space the reference's rules leave out."""
    return any("the reference writes out no other" in note for note in notes)


def test_nothing_that_compare_knows_is_better(block: Problem) -> None:
    """Tests every policy on the block, those included that split and join stacks."""
    found = compare(
        block, Objective.ENERGY, DEFINES, tiles=parse_tiles(TILES), time_limit_s=60, workers=1
    )
    assert found.proven and found.contradictions == ()
    values = [row.value(Objective.ENERGY) for row in found.rows]
    assert found.optimum.value is not None and None not in values
    assert min(v for v in values if v is not None) * SLACK >= found.optimum.value


def test_no_stack_leaves_a_map_behind(block: Problem) -> None:
    """Tests that stacks which would have to write out a map inside are no options."""
    ranges = stack_ranges(block, DEFINES, EFFICIENT, tuple(OverlapMode), None)
    found = sorted(through_dram(ranges))
    assert found == [(0,), (0, 1, 2, 3), (1,), (1, 2), (1, 2, 3), (2,), (2, 3), (3,)]


@pytest.mark.parametrize("hardware", ["meta-proto-df", "tpu-like"])
def test_bounds_are_below_every_policy_point(hardware: str) -> None:
    """Tests the bounds of ResNet-18's stacks against what the rules decide."""
    problem = load_problem(f"resnet-18@{hardware}")
    fixed = FixedStacks(problem, DEFINES, Objective.ENERGY)
    decided = DecidedPoints(problem, DEFINES, Objective.ENERGY, fixed)
    for mode in OverlapMode:
        point = uniform_stacks(problem, automatic_sets(problem), (14, 7), mode)
        row = decided.cost("policy", point)
        assert row.energy_pj is not None
        assert 0 < fixed.bound(point.stacks, overfilled=True) <= row.energy_pj * SLACK


@pytest.mark.parametrize("command", ["solve", "compare"])
@pytest.mark.parametrize("workload", ["resnet-18", "mobilenet-v1"])
def test_padding_is_refused_with_what_to_take(
    command: str, workload: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and one line that names the catalogue's form without padding."""
    assert main([command, f"{workload}-padded@meta-proto-df", "--rules", "defines"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "know no padding" in err and f"take {workload}, " in err


def test_strange_graphs_are_refused(block: Problem) -> None:
    """What the reference's rules have no answer for is refused, not guessed at."""
    stem, one, two, add = block.workload.layers
    cases = {
        "layer two does not read one": [stem, one, replace(two, sources=("stem",)), add],
        "know no padding": [replace(stem, padding=Padding(left=1)), one, two, add],
        "know no dilation": [replace(stem, dilation_x=2), one, two, add],
        "stride that passes its kernel": [replace(stem, stride_x=4), one, two, add],
        "those after it need 10x7": [stem, resized(one, 9), two, add],
    }
    for text, layers in cases.items():
        problem = replace(block, workload=replace(block.workload, layers=tuple(layers)))
        with pytest.raises(ProblemError, match=text):
            solve(problem, rules=DEFINES)


def resized(layer: Layer, width: int) -> Layer:
    """The layer with another number of columns."""
    return replace(layer, loops=tuple((d, width if d == "OX" else n) for d, n in layer.loops))
