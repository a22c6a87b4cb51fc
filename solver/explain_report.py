"""Limits in conflict, and what forced decisions cost, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from solver.conflict import Conflict
from solver.explain import Answer, Case
from solver.result import Result
from solver.smallest_conflict import Size
from solver.write_file import write_whole

PROVEN = {
    Size.SMALLEST: "smallest: no conflict has fewer limits, and giving way on any one resolves it",
    Size.IRREDUCIBLE: "irreducible: giving way on any one limit resolves it; "
    "another conflict may have fewer",
    Size.UNREDUCED: "not reduced: time ran out, some of these limits may play no part",
}


def answer_report(answer: Answer) -> RenderableType:
    """What `explain` found, for reading."""
    if answer.conflict is not None:
        return conflict_report(answer.conflict)
    if answer.best is not None:
        return explain_report(answer.best, answer.cases)
    return Text(f"{answer.question.problem.source}: some schedule keeps all limits")


def write_answer(path: Path, answer: Answer) -> None:
    """Write what `explain` found as JSON; the file appears whole or not at all."""
    out: dict[str, Any] = {
        "problem": answer.question.problem.source,
        "rules": answer.question.rules.name,
        "status": "feasible" if answer.conflict is None else "infeasible",
    }
    if answer.conflict is not None:
        out |= _conflict_to_dict(answer.conflict)
    if answer.best is not None:
        out["answer"] = _result_to_dict(answer.best)
        out["cases"] = [
            {"change": case.change, "reason": case.reason}
            | ({} if case.result is None else _result_to_dict(case.result))
            for case in answer.cases
        ]
    write_whole(path, json.dumps(out, indent=1) + "\n")


def _result_to_dict(result: Result) -> dict[str, Any]:
    return {
        "objective": result.objective.value,
        "status": result.status.value,
        "value": result.value,
        "best_bound": result.best_bound,
    }


def _conflict_to_dict(conflict: Conflict) -> dict[str, Any]:
    return {
        "why": conflict.why,
        "size": conflict.size.value,
        "limits": [
            {
                "name": x.name,
                "demand": x.demand,
                "demand_is_bound": x.demand_is_bound,
                "limit": x.text if x.limit is None else x.limit,
                "unit": x.unit,
                "lever": x.lever,
            }
            for x in conflict.limits
        ],
        "others": [_conflict_to_dict(other) for other in conflict.others],
    }


def conflict_report(conflict: Conflict) -> RenderableType:
    """The limits in conflict, each with what would do and how to give way."""
    parts: list[RenderableType] = [
        Text(f"{conflict.problem}, rules {conflict.rules}: no schedule"),
        Text(conflict.why),
        Text(""),
        _limits_table(conflict),
        Text(""),
        Text(PROVEN[conflict.size]),
    ]
    if conflict.others:
        parts.append(Text("in conflict apart from that:"))
    for other in conflict.others:
        parts += [Text(""), Text(f"{other.why} ({other.size.value})"), _limits_table(other)]
    return Group(*parts)


def _limits_table(conflict: Conflict) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("limit")
    table.add_column("demand", justify="right")
    table.add_column("limit is", justify="right")
    table.add_column("unit")
    table.add_column("lever")
    for x in conflict.limits:
        table.add_row(x.name, x.demand_text(), x.limit_text(), x.unit, x.lever)
    return table


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
