"""The command line: exit codes, and one clear line for everything that cannot be done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from solver.cli import main
from tests.solver.conftest import PROBLEM, TILES

BROKEN = Path(__file__).parent.parent / "data" / "broken"
HARDWARE = PROBLEM.partition("@")[2]
SOLVE = ["solve", PROBLEM, "--tiles", TILES]
PARETO = ["pareto", PROBLEM, "--tiles", TILES]
EVALUATE = ["evaluate", PROBLEM]
POLICY = [*EVALUATE, "--policy", "defines"]

REFUSED = [
    ([], "required: COMMAND"),
    (["slove"], "did you mean 'solve'?"),
    (["solve"], "required: PROBLEM"),
    (["solve", "/nowhere/problem.yaml"], "/nowhere/problem.yaml: no such file"),
    (["solve", "fsrcn@meta-proto-df"], "did you mean 'fsrcnn'?"),
    (["solve", "fsrcnn@meta-proto-dff"], "did you mean 'meta-proto-df'?"),
    (["solve", "fsrcnn"], "expected WORKLOAD@HARDWARE"),
    (["solve", f"{BROKEN}/workload/unknown-key.yaml@{HARDWARE}"], "unknown-key.yaml: "),
    (["solve", f"{BROKEN}/workload/negative-size.yaml@{HARDWARE}"], "negative-size.yaml: "),
    (["solve", f"{BROKEN}/workload/cycle.yaml@{HARDWARE}"], "the layers form a cycle: b -> a -> b"),
    (["solve", f"{BROKEN}/workload/channel-mismatch.yaml@{HARDWARE}"], "channel"),
    (["show", f"{BROKEN}/workload/channel-mismatch.yaml@{HARDWARE}"], "channel"),
    (["solve", "resnet-18-padded@meta-proto-df", "--rules", "defines"], "take resnet-18, "),
    ([*SOLVE, "--tiles", "grid:0x3"], "--tiles 'grid:0x3': expected"),
    ([*SOLVE, "--tiles", "grid:2,,4x3"], "expected 'efficient', 'all' or 'grid:"),
    ([*SOLVE, "--tiles", "grid:-1x3"], "sizes of at least 1"),
    ([*SOLVE, "--tiles", "grids"], "expected 'efficient', 'all' or 'grid:"),
    ([*SOLVE, "--modes", "fully-cache"], "did you mean 'fully-cached'?"),
    ([*SOLVE, "--modes", ""], "'' is none of"),
    ([*SOLVE, "--objective", "edpp"], "did you mean 'edp'?"),
    ([*SOLVE, "--rules", "define"], "did you mean 'defines'?"),
    ([*SOLVE, "--time-limit", "0"], "'0', expected a number of seconds above 0"),
    ([*SOLVE, "--time-limit", "-3"], "expected a number of seconds above 0"),
    ([*SOLVE, "--time-limit", "nan"], "expected a number of seconds above 0"),
    ([*SOLVE, "--time-limit", "inf"], "expected a number of seconds above 0"),
    ([*SOLVE, "--time-limit", "soon"], "expected a number of seconds above 0"),
    ([*SOLVE, "--workers", "0"], "expected a whole number from 1 to 1000"),
    ([*SOLVE, "--workers", "two"], "expected a whole number from 1 to 1000"),
    ([*SOLVE, "--workers", "100000"], "expected a whole number from 1 to 1000"),
    ([*SOLVE, "--seed", "-1"], "expected a whole number from 0 to 2147483647"),
    ([*SOLVE, "--seed", "9" * 5000], "expected a whole number from 0 to 2147483647"),
    ([*SOLVE, "--seed", "1.5"], "expected a whole number from 0 to 2147483647"),
    ([*SOLVE, "--max-depth", "0"], "expected a whole number of at least 1"),
    ([*SOLVE, "--tile", "3x2"], "unknown option '--tile'; did you mean '--tiles'?"),
    ([*SOLVE, "extra"], "unknown argument 'extra'"),
    ([*PARETO, "--epsilon", "1"], "expected a number from 0 to below 1"),
    ([*PARETO, "--max-latency", "-1"], "expected a number above 0"),
    ([*PARETO, "--plot", "front.gif"], "expected a file name that ends in .svg"),
    ([*PARETO, "--objective", "edp"], "unknown option '--objective'"),
    ([*PARETO, "-o", "/nowhere/front.json"], "/nowhere/front.json: cannot be written"),
    (EVALUATE, "give --policy defines with --tile WxH, or --schedule"),
    ([*POLICY, "--tile", "0x2"], "expected WIDTHxHEIGHT of at least 1 each"),
    ([*POLICY, "--tile", "²x2"], "expected WIDTHxHEIGHT of at least 1 each"),
    ([*POLICY, "--tile", "7"], "expected WIDTHxHEIGHT of at least 1 each"),
    ([*POLICY, "--tile", "7x5", "--mode", "cached"], "did you mean 'fully-cached'?"),
    ([*POLICY, "--tile", "7x5", "--lpf-limit", "1"], "--lpf-limit 1: "),
    ([*POLICY, "--tile", "7x5", "--schedule", "x.json"], "--schedule goes without --policy"),
    ([*EVALUATE, "--schedule", "/nowhere.json"], "/nowhere.json: no such file"),
    (["verify", "/nowhere.json"], "/nowhere.json: no such file"),
    (["verify", str(BROKEN)], "broken: cannot be read: Is a directory"),
    (["verify", HARDWARE], "is not valid JSON"),
]


@pytest.mark.parametrize(("argv", "told"), REFUSED)
def test_bad_input_gets_one_line_and_code_2(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong is said in one line on standard error, and nothing is printed."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert told in err


@pytest.mark.parametrize("where", ["missing/x.json", ".", "a-file/x.json", "x\0y", "loop"])
def test_unwritable_output_is_refused_before_the_work(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output path is tried before the search starts, and nothing is left behind."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the search was started")

    monkeypatch.setattr("solver.solve.solve", never)
    (tmp_path / "a-file").write_text("kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.iterdir())
    for argv in ([*SOLVE, "-o", f"{tmp_path}/{where}"],):
        assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "cannot be written" in err and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "a-file").read_text() == "kept"


def test_unwritable_figures_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate --json` is treated like `solve -o`."""
    assert main([*POLICY, "--tile", "7x5", "--json", "/nowhere/x.json"]) == 2
    assert "/nowhere/x.json: cannot be written" in capsys.readouterr().err


def test_solve_writes_what_verify_and_evaluate_accept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way of a user: solve to a file, verify it, cost it again."""
    path = tmp_path / "answer.json"
    path.write_text("an older answer")
    assert main([*SOLVE, "--objective", "energy", "-o", str(path)]) == 0
    report = capsys.readouterr().out
    assert "optimal" in report
    document = json.loads(path.read_text())
    assert [file.name for file in tmp_path.iterdir()] == ["answer.json"]
    assert main(["verify", str(path)]) == 0
    told = capsys.readouterr().out
    assert "verified" in told and "Not checked" in told
    assert main([*EVALUATE, "--schedule", str(path), "--json", f"{tmp_path}/cost.json"]) == 0
    figures = json.loads((tmp_path / "cost.json").read_text())
    assert figures["energy_pj"] == pytest.approx(document["energy_pj"], rel=1e-12)
    assert figures["latency_cycles"] == document["latency_cycles"]
    assert figures["rules"] == "exact"
    # A schedule of one problem is no schedule of another.
    assert main(["evaluate", "fsrcnn@meta-proto-df", "--schedule", str(path)]) == 2
    assert "VIOLATION: the stacks hold layers" in capsys.readouterr().out
    # A claim that is not true.
    document["energy_pj"] *= 0.99
    path.write_text(json.dumps(document))
    assert main(["verify", str(path)]) == 3
    assert "FAULT: energy_pj is stated as" in capsys.readouterr().out


def test_output_may_be_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    """Writing to /dev/null must not replace it by a file."""
    assert main([*POLICY, "--tile", "7x5", "--json", os.devnull]) == 0
    assert not Path(os.devnull).is_file()
    assert "energy_pj: " in capsys.readouterr().out


def test_policy_that_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Registers too small for a partial sum: code 4 and the layer that does not fit."""
    workload, _, hardware = PROBLEM.partition("@")
    small = tmp_path / "small.yaml"
    small.write_text(Path(hardware).read_text().replace("size_bits: 16\n", "size_bits: 8\n"))
    argv = ["evaluate", f"{workload}@{small}", "--policy", "defines", "--tile", "7x5"]
    assert main(argv) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("infeasible: the policy finds no schedule") and "layer first" in err


def test_verify_takes_another_problem_on_request(
    document: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result whose problem file has moved can still be verified."""
    document["problem"] = "/moved/away.yaml"
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(document))
    assert main(["verify", str(path)]) == 2
    assert "/moved/away.yaml: no such file" in capsys.readouterr().err
    assert main(["verify", str(path), "--problem", PROBLEM]) == 0


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    """The catalogue is listed; a problem is shown with all layers and memories."""
    assert main(["list"]) == 0
    assert "fsrcnn" in capsys.readouterr().out
    assert main(["show", PROBLEM]) == 0
    shown = capsys.readouterr().out
    for name in ("first", "second", "w_regs", "o_regs", "buffer", "dram"):
        assert name in shown


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` prints the options and ends with code 0."""
    assert main(["--help"]) == 0
    assert main(["solve", "--help"]) == 0
    assert "--time-limit" in capsys.readouterr().out


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    root = str(Path(__file__).parent.parent.parent)
    return subprocess.run(
        [sys.executable, "-m", "solver", *argv],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
        check=False,
    )


def test_exit_codes_of_the_process() -> None:
    """The process ends with the code that `main` returns, without a traceback."""
    done = run("list")
    assert (done.returncode, done.stderr) == (0, "")
    bad = run("solve", "fsrcn@meta-proto-df")
    assert bad.returncode == 2
    assert bad.stdout == "" and bad.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_crash() -> None:
    """`fuseproof show ... | head -1` ends without a traceback."""
    root = str(Path(__file__).parent.parent.parent)
    line = f"'{sys.executable}' -m solver show fsrcnn@meta-proto-df | head -1 > {os.devnull}"
    done = subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
