"""What forced decisions cost, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from solver.explain import Case
from solver.result import Result


def explain_report(answer: Result, cases: Sequence[Case]) -> RenderableType:
    """The answer beside what it would be under each change."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("change")
    for column in (answer.objective.unit, "at least", "against the answer"):
        table.add_column(column, justify="right")
    table.add_row("none", *_figures(answer), "")
    for case in cases:
        if case.result is None:
            table.add_row(case.change, "-", "-", "impossible")
        else:
            table.add_row(case.change, *_figures(case.result), _against(answer, case.result))
    reasons = [Text(f"{case.change}: {case.reason}") for case in cases if case.reason]
    title = f"{answer.problem}, {answer.objective.value}, rules {answer.rules}"
    return Group(Text(title), table, *reasons)


def _figures(result: Result) -> tuple[str, str]:
    value = "none found" if result.value is None else f"{result.value:.7g}"
    return value, f"{result.best_bound:.7g}"


def _against(answer: Result, result: Result) -> str:
    """The relative change: proven where both ends of it agree, else the range it is in."""
    if answer.value is None or result.value is None or answer.best_bound <= 0:
        return "unknown"
    least, most = result.best_bound / answer.value - 1, result.value / answer.best_bound - 1
    if most - least <= 4 * answer.tolerance:
        return f"{result.value / answer.value - 1:+.3%}"
    return f"{least:+.2%} to {most:+.2%}"
