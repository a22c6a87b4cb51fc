"""The report: every fact is there, and no line passes the width of the terminal."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from cost.recost import recost
from cost.rules import EXACT
from problems import Problem, load_problem
from solver.comparison import policy_point
from solver.report import problem_report, result_report, verification_report
from solver.result import Result, Status
from solver.verify import verify
from tests.solver.conftest import TILES


def draw(renderable: RenderableType, width: int) -> str:
    """The renderable as text."""
    text = StringIO()
    Console(file=text, width=width, color_system=None, legacy_windows=False).print(renderable)
    return text.getvalue()


@pytest.fixture(scope="module")
def report(problem: Problem, result: Result) -> RenderableType:
    """The report of the small problem's optimum."""
    assert result.schedule is not None
    recosted = recost(problem, result.schedule, EXACT)
    return result_report(problem, result, recosted, policy_point(problem, result.schedule, EXACT))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_passes_the_width(report: RenderableType, width: int) -> None:
    """Nothing is cut off either: rich marks that by an ellipsis."""
    text = draw(report, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_report_says_what_was_found(
    report: RenderableType, result: Result, problem: Problem, width: int
) -> None:
    """Space, figures, proof, stacks, places, loops and shares are all there."""
    text = draw(report, width)
    assert result.schedule is not None and result.latency_cycles is not None
    assert "two-layers@three-memories: least EDP" in text
    for fact in (
        "optimal",
        "exact",
        f"{result.space.options:,} stack options in 3 runs of layers",
        TILES,
        f"{result.energy_pj:,.0f} pJ",
        f"{result.latency_cycles:,} cycles",
        f"{result.edp:.6e} pJ*cycles",
        f"{result.best_bound:.9g}",
        "nothing in the space is below",
        "(optimal: at most 1e-06)",
        "reference policy at 7 x 5",
        "fuseproof compare",
        "Stacks",
        "first .. second",
        "7 x 5",
        "fully-cached",
        "which memory holds what",
        "temporal loops, innermost first",
        "Energy by memory",
        "Energy by operand",
        "Latency by cause",
        "weight arrival",
        "Effort",
        "Notes",
        "--tiles all",
    ):
        assert fact in text, fact
    for memory in problem.hardware.memories:
        assert re.search(rf"^{memory.name} +[\d,.]+ +\d", text, re.MULTILINE), memory.name
    for layer in problem.workload.layers:
        assert re.search(rf"^{layer.name} +\d+ x \d+ +buffer", text, re.MULTILINE), layer.name
        assert re.search(rf"^{layer.name} +([A-Z]+\d+ ?)+", text, re.MULTILINE), layer.name


def test_shares_add_up(report: RenderableType, result: Result) -> None:
    """Energy by memory, MACs included, and energy by operand both sum to the energy."""
    totals = re.findall(r"^all +([\d,]+) +100.0%", draw(report, 80), re.MULTILINE)
    assert totals == [f"{result.energy_pj:,.0f}"] * 2 + [f"{result.latency_cycles:,}"]


def test_stopped_result_says_so(problem: Problem, result: Result) -> None:
    """A result with a gap is not called optimal, and the gap is shown as a share."""
    assert result.edp is not None
    stopped = replace(result, status=Status.FEASIBLE, best_bound=result.edp * 0.75, gap=0.25)
    text = draw(result_report(problem, stopped, None), 80)
    assert "feasible" in text and "25.00%" in text
    assert "a better schedule may exist" in text


def test_result_without_schedule(problem: Problem, result: Result) -> None:
    """A result without a schedule is reported without figures."""
    nothing = replace(
        result,
        status=Status.UNKNOWN,
        schedule=None,
        energy_pj=None,
        latency_cycles=None,
        edp=None,
        gap=None,
    )
    text = draw(result_report(problem, nothing, None), 80)
    assert "unknown" in text and "Stacks" not in text and "None" not in text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["fsrcnn@meta-proto-df", "resnet-18@tpu-like"])
def test_problem_report_fits(name: str, width: int) -> None:
    """A problem of the catalogue is shown in full at every width."""
    problem = load_problem(name)
    text = draw(problem_report(problem), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for memory in problem.hardware.memories:
        assert f"{memory.size_bits:,}" in text
    for layer in problem.workload.layers:
        assert layer.name in text


def test_verification_report(document: dict[str, object]) -> None:
    """What was checked and what was not is told, unless the result is rejected."""
    good = draw(verification_report("x.json", verify(document)), 80)
    assert good.startswith("Checked\n") and "Not checked\n" in good
    assert good.endswith("x.json: verified\n")
    assert max(map(len, good.splitlines())) <= 80
    document["gap"] = 0.5
    bad = draw(verification_report("x.json", verify(document)), 80)
    assert bad == "x.json: rejected\n"
