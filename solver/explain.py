"""Why not? What an answer would cost if a decision were forced, or a memory larger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from problems.errors import InfeasibleError, ProblemError
from problems.problem import Problem
from solver.pins import Pins
from solver.result import Result


@dataclass(frozen=True, kw_only=True)
class Case:
    """One forced change and the best answer under it; without a `result`, why there is none."""

    change: str
    result: Result | None
    reason: str = ""


Solve = Callable[[Problem, Pins], Result]
"""Solves a problem with some decisions fixed."""


def forced_cases(
    problem: Problem,
    solve: Solve,
    fused: Iterable[tuple[int, ...]] = (),
    split: Iterable[int] = (),
) -> list[Case]:
    """The best answers where layers (positions) must share a stack, or one must end there."""
    names = [layer.name for layer in problem.workload.layers]
    cases = []
    for group in fused:
        text = "fused: " + ", ".join(names[p] for p in group)
        cases.append(_case(text, problem, Pins(fused=(group,)), solve))
    for position in split:
        text = f"a stack ends after {names[position]}"
        cases.append(_case(text, problem, Pins(cut_after=(position,)), solve))
    return cases


def memory_cases(problem: Problem, solve: Solve, percent: float) -> list[Case]:
    """The best answers with each memory on chip in turn larger by so many percent.

    Energies and bandwidths stay as they are: this is what room alone brings.
    """
    hardware = problem.hardware
    cases = []
    for i, memory in enumerate(hardware.memories[:-1]):
        if memory.instances > 1:
            continue
        size = int(memory.size_bits * (1 + percent / 100))
        grown = replace(memory, size_bits=size)
        memories = (*hardware.memories[:i], grown, *hardware.memories[i + 1 :])
        changed = replace(problem, hardware=replace(hardware, memories=memories))
        text = f"{memory.name}: {memory.size_bits} -> {size} bits"
        cases.append(_case(text, changed, Pins(), solve))
    return cases


def _case(text: str, problem: Problem, pins: Pins, solve: Solve) -> Case:
    try:
        return Case(change=text, result=solve(problem, pins))
    except (InfeasibleError, ProblemError) as error:
        return Case(change=text, result=None, reason=str(error))
