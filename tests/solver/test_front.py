"""The front from the command line, and the arithmetic of its distance."""

import json
from pathlib import Path

import pytest

from solver.cli import main
from solver.front import corner_epsilons, lower_hull
from solver.result import Result
from tests.solver.conftest import PROBLEM, TILES


def test_front_is_written_and_drawn(
    tmp_path: Path, result: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table, JSON and plot; the least EDP is one of the points."""
    out, plot = tmp_path / "front.json", tmp_path / "front.svg"
    assert result.edp is not None and result.latency_cycles is not None
    code = main(
        ["pareto", PROBLEM, "--tiles", TILES, "--workers", "1", "--epsilon", "0"]
        + ["-o", str(out), "--plot", str(plot), "--max-latency", "1"]
        + ["--max-energy", "1e12"]
    )
    text = capsys.readouterr().out
    assert code == 0
    assert "With at most 1 cycles: no schedule (proven)." in " ".join(text.split())
    front = json.loads(out.read_text())
    edps = [p["energy_pj"] * p["latency_cycles"] for p in front["points"]]
    assert min(edps) == pytest.approx(result.edp, rel=1e-6)
    energies = [p["energy_pj"] for p in front["points"]]
    cycles = [p["latency_cycles"] for p in front["points"]]
    assert energies == sorted(energies) and cycles == sorted(cycles, reverse=True)
    assert front["complete"] is True and 0 <= front["epsilon"] < 1
    assert plot.read_text().lstrip().startswith("<?xml")


def test_time_limit_gives_an_honest_distance(capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped early: exit code 3, and what is unknown is not claimed."""
    assert main(["pareto", PROBLEM, "--time-limit", "0.05"]) == 3
    assert "stopped early" in " ".join(capsys.readouterr().out.split())


def test_distance_of_a_known_front() -> None:
    """Two points on the line E + L = 3 with both ends proven."""
    points = [(1.0, 2.0), (2.0, 1.0)]
    lines = [(1.0, 1.0, 3.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0)]
    assert corner_epsilons(points, lines) == [0.0, pytest.approx(1 / 3), 0.0]
    assert lower_hull([(1.0, 4.0), (2.0, 3.5), (3.0, 1.0)]) == [(1.0, 4.0), (3.0, 1.0)]
