"""Decisions fixed by hand, and what forcing one costs."""

from pathlib import Path

import pytest

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import EXACT
from problems import Problem, load_problem
from solver.cli import main
from solver.objective import Objective
from solver.pin_file import read_pins
from solver.pins import PinnedStack, Pins
from solver.result import Result, Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import parse_tiles
from solver.verify import verify
from tests.solver.conftest import PROBLEM, TILES


def pinned(problem: Problem, pins: Pins) -> Result:
    """The least EDP with some decisions fixed."""
    return solve(problem, tiles=parse_tiles(TILES), pins=pins, workers=1)


def test_fixing_the_answer_changes_nothing(problem: Problem, result: Result) -> None:
    """The optimum's own stacks, tiles and modes, fixed by hand."""
    assert result.schedule is not None and result.value is not None
    order = [layer.name for layer in problem.workload.layers]
    stacks = tuple(
        PinnedStack(
            layers=tuple(sorted(order.index(name) for name in stack.layers)),
            tile=(stack.tile_x, stack.tile_y),
            mode=stack.mode,
        )
        for stack in result.schedule.stacks
    )
    found = pinned(problem, Pins(stacks=stacks))
    assert found.value == pytest.approx(result.value, rel=1e-9)
    assert found.space.notes[0].startswith("fixed by hand: stack first, second in tiles 7x5")
    assert verify(result_to_dict(found), problem).problems == ()


def test_a_fixed_decision_is_kept_and_never_helps(problem: Problem, result: Result) -> None:
    """Another tile and mode, outside of the space's sizes; and a cut."""
    assert result.value is not None
    stack = PinnedStack(layers=(0, 1), tile=(5, 3), mode=OverlapMode.H_CACHED)
    found = pinned(problem, Pins(stacks=(stack,)))
    assert found.status is Status.OPTIMAL and found.schedule is not None
    (only,) = found.schedule.stacks
    assert (only.tile_x, only.tile_y, only.mode) == (5, 3, OverlapMode.H_CACHED)
    cut = pinned(problem, Pins(cut_after=(0,)))
    assert cut.schedule is not None and cut.value is not None
    assert [len(s.layers) for s in cut.schedule.stacks] == [1, 1]
    assert cut.value >= result.value * (1 - 1e-9)
    fused = pinned(problem, Pins(fused=((0, 1),)))
    assert fused.value is not None
    assert min(fused.value, cut.value) == pytest.approx(result.value, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cut_after: [frst]", "cut_after[0]: no layer 'frst' in workload two-layers; did you mean"),
        ("cuts: [first]", "unknown key 'cuts'; allowed: stacks, cut_after, fused"),
        ("stacks: [{layers: [first], tile: [0, 3]}]", "stacks[0].tile[0]: must be at least 1"),
        ("stacks: [{layers: [first], tile: [99, 3]}]", "stacks[0].tile: [99, 3] is larger than"),
        ("stacks: [{layers: [first, first]}]", "stacks[0].layers: names a layer twice"),
        ("stacks: [{layers: [first], output_in: bufer}]", "no memory 'bufer'"),
    ],
)
def test_bad_pins_get_one_line(
    text: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names file and key, exit code 2."""
    file = tmp_path / "pins.yaml"
    file.write_text(text)
    assert main(["solve", PROBLEM, "--pin", str(file)]) == 2
    error = capsys.readouterr().err
    assert wanted in error and error.count("\n") == 1


def test_pins_are_read_whole(problem: Problem, tmp_path: Path) -> None:
    """Every key of the format."""
    file = tmp_path / "pins.yaml"
    file.write_text(
        "stacks:\n  - {layers: [second, first], tile: [7, 5], mode: fully-cached}\n"
        "cut_after: [second]\nfused: [[first, second]]\n"
    )
    pins = read_pins(file, problem)
    stack = PinnedStack(layers=(0, 1), tile=(7, 5), mode=OverlapMode.FULLY_CACHED)
    assert pins.stacks == (stack,)
    assert (pins.cut_after, pins.fused) == ((1,), ((0, 1),))


def test_explain_says_what_a_cut_costs(
    problem: Problem, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forced fusing, a forced cut and a larger buffer, against the answer."""
    command = ["explain", PROBLEM, "--tiles", TILES, "--workers", "1", "--objective", "energy"]
    changes = ["--fuse", "first,second", "--split", "first", "--more-memory", "50"]
    assert main([*command, *changes]) == 0
    lines = capsys.readouterr().out.splitlines()
    base = solve(problem, objective=Objective.ENERGY, tiles=parse_tiles(TILES), workers=1)
    assert any(line.startswith("none") and f"{base.value:.7g}" in line for line in lines)
    assert any(line.startswith("fused: first, second") for line in lines)
    assert any(line.startswith("a stack ends after first") for line in lines)
    assert any(line.startswith("buffer: 6000 -> 9000 bits") for line in lines)
    assert main(command) == 2
    assert "give --fuse A,B, --split LAYER or --more-memory PERCENT" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fixed", [PinnedStack(layers=(1, 2)), PinnedStack(layers=(0,), target=2)], ids=["end", "memory"]
)
def test_a_time_limit_keeps_what_is_fixed(data: Path, fixed: PinnedStack) -> None:
    """The schedule to have before the clock runs out: whole, and with every pin."""
    problem = load_problem(f"{data / 'three-layers.yaml'}@{PROBLEM.partition('@')[2]}")
    pins = Pins(stacks=(fixed,))
    found = solve(problem, tiles=parse_tiles(TILES), pins=pins, time_limit_s=600, workers=1)
    wanted = solve(problem, tiles=parse_tiles(TILES), pins=pins, workers=1)
    assert found.schedule is not None and found.value == pytest.approx(wanted.value, rel=1e-9)
    assert recost(problem, found.schedule, EXACT).violations == ()
    stacks = [tuple(stack.layers) for stack in found.schedule.stacks]
    assert tuple("abc"[p] for p in fixed.layers) in stacks
