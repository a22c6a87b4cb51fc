"""Limits and interrupts: the best answer so far, honestly labelled, and no traceback."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from problems import Problem
from solver.cli import main
from solver.objective import Objective
from solver.progress import LiveProgress, gap_of
from solver.result import Result, Status, TracePoint
from solver.solve import solve
from tests.solver.conftest import PROBLEM, TILES

ROOT = Path(__file__).parent.parent.parent
LONG = ["solve", "fsrcnn@meta-proto-df", "--objective", "latency", "--rules", "defines"]
"""Takes longer than any test waits."""


def test_time_limit_before_any_schedule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped too early for a schedule: said in one line, code 3, JSON without figures."""
    path = tmp_path / "answer.json"
    assert main(["solve", PROBLEM, "--time-limit", "0.001", "-o", str(path)]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "before any schedule was found" in err
    document = json.loads(path.read_text())
    assert document["status"] == "unknown"
    for key in ("stacks", "energy_pj", "latency_cycles", "edp", "gap"):
        assert document[key] is None
    assert main(["verify", str(path)]) == 0


def test_interrupt_between_bounds_gives_the_incumbent(problem: Problem, result: Result) -> None:
    """Ctrl-C once there is a schedule: it is returned with a bound that the optimum keeps."""

    def interrupt(point: TracePoint) -> None:
        if point.objective is not None:
            raise KeyboardInterrupt

    from solver.space import parse_tiles

    found = solve(problem, tiles=parse_tiles(TILES), workers=1, progress=interrupt)
    assert found.status is Status.FEASIBLE
    assert found.value is not None and found.gap is not None and result.value is not None
    assert found.best_bound <= result.value <= found.value
    assert found.gap == pytest.approx(1 - found.best_bound / found.value)
    assert found.gap > found.tolerance


def test_interrupted_command_writes_report_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C the command ends with code 3, the report and the file of the incumbent."""

    def interrupt(self: LiveProgress, point: TracePoint) -> None:
        if point.objective is not None:
            raise KeyboardInterrupt

    monkeypatch.setattr(LiveProgress, "show", interrupt)
    path = tmp_path / "answer.json"
    assert main(["solve", PROBLEM, "--tiles", TILES, "-o", str(path)]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    assert "feasible" in out and "stopped before the proof was complete" in out
    document = json.loads(path.read_text())
    assert document["status"] == "feasible"
    assert document["gap"] > 1e-6
    assert document["stacks"]


def test_interrupt_outside_the_search(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while nothing can be returned yet ends with code 3 and one line."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("solver.solve.solve", interrupt)
    assert main(["solve", PROBLEM]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err == "stopped by Ctrl-C before there was an answer\n"


def watch(*argv: str, until: bytes) -> tuple[subprocess.Popen[str], bytes]:
    """Start the command with standard error on a terminal; return when that shows `until`."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "solver", *argv],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERM": "xterm"},
        # Whatever started the tests may ignore interrupts, and children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while until not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 1 << 16)
            except OSError:
                break
    return process, seen


def test_interrupt_on_a_terminal_before_a_schedule() -> None:
    """A true SIGINT early in a long solve: live progress is there, then code 3."""
    process, seen = watch(*LONG, until=b"gap -")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert b"best -" in seen and b"gap -" in seen
    assert process.returncode == 3
    assert "Traceback" not in out


def test_interrupt_on_a_terminal_with_a_schedule(tmp_path: Path) -> None:
    """A true SIGINT after the first schedule: report, JSON, code 3."""
    path = tmp_path / "answer.json"
    process, seen = watch(*LONG, "-o", str(path), until=b"schedule")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert b"cycles" in seen
    assert process.returncode == 3
    assert "feasible" in out
    assert json.loads(path.read_text())["gap"] > 1e-6


def test_progress_line_shows_everything() -> None:
    """Phase, incumbent, bound, gap and time are on the line."""
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=80, color_system=None)
    with LiveProgress(Objective.ENERGY, console) as progress:
        progress.show(TracePoint(seconds=1.0, phase="bound", objective=None, bound=80.0))
        progress.show(TracePoint(seconds=2.0, phase="schedule", objective=100.0, bound=80.0))
    shown = text.getvalue()
    assert "best -" in shown and "gap -" in shown
    for part in ("schedule", "best 100 pJ", "bound 80", "gap 20.00%", " s "):
        assert part in shown


def test_progress_is_silent_without_a_terminal() -> None:
    """Nothing is written to a pipe or a file."""
    text = StringIO()
    with LiveProgress(Objective.EDP, Console(file=text, force_terminal=False)) as progress:
        progress.show(TracePoint(seconds=1.0, phase="bound", objective=None, bound=80.0))
    assert text.getvalue() == ""


def test_piped_solve_writes_nothing_to_standard_error() -> None:
    """The command in a pipe: the report on standard output, not a byte beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "solver", "solve", PROBLEM, "--tiles", TILES],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("objective", "bound", "gap"), [(None, 5.0, 1.0), (10.0, 5.0, 0.5), (10.0, 11.0, 0.0)]
)
def test_gap_of_a_point(objective: float | None, bound: float, gap: float) -> None:
    """The gap is relative to the incumbent, and everything without one."""
    assert gap_of(TracePoint(seconds=0.0, phase="", objective=objective, bound=bound)) == gap
