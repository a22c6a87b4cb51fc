"""Why not? Which limits leave nothing, and what a forced decision or more memory would bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from cost.rules import RuleSet
from problems.errors import FuseproofError, InfeasibleError, ProblemError
from problems.problem import Problem
from solver.conflict import Conflict, ConflictError
from solver.cost_conflict import CostLimits, find_cost_conflict
from solver.find_conflict import find_conflict
from solver.limits import StoppedError
from solver.pinned_space import NoDivisionError, check_mappings
from solver.pins import Pins, joined
from solver.prepare import search_limits
from solver.restrictions import Narrowing, restricted_ranges, restrictions
from solver.result import Result, Status
from solver.space import StackRange

REASON_SECONDS = 60.0
"""How long the reason is looked for once a solve has proven that there is no schedule."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One forced change and the best answer under it; without a `result`, why there is none."""

    change: str
    result: Result | None
    reason: str = ""


Solve = Callable[[Problem, Pins], Result]
"""Solves a problem with some decisions fixed."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: limits that have to be kept, and changes whose price is wanted.

    `more_memory` in percent, `fused` and `split` by position; None: not asked.
    """

    problem: Problem
    rules: RuleSet
    narrowing: Narrowing
    max_energy_pj: float | None = None
    max_latency_cycles: float | None = None
    fused: tuple[tuple[int, ...], ...] = ()
    split: tuple[int, ...] = ()
    more_memory: float | None = None
    time_limit_s: float | None = None

    @property
    def costs(self) -> CostLimits:
        """The limits on cost."""
        return CostLimits(
            energy_pj=self.max_energy_pj or np.inf, latency_cycles=self.max_latency_cycles or np.inf
        )

    @property
    def changes(self) -> bool:
        """Whether any change is asked about."""
        return bool(self.fused or self.split or self.more_memory)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Limits in conflict; or none are, and `best` beside what changes would make of it."""

    question: Question
    conflict: Conflict | None = None
    best: Result | None = None
    cases: tuple[Case, ...] = ()

    @property
    def optimal(self) -> bool:
        """Whether all figures are proven."""
        shown = [self.best, *(case.result for case in self.cases)]
        return all(result.status is Status.OPTIMAL for result in shown if result is not None)


def explain(question: Question, solve: Solve) -> Answer:
    """Answer a question; `solve` finds best answers in the question's space.

    Raises StoppedError if time ran out before it was clear whether there is a schedule, and
    ProblemError if there is one and nothing was asked about it.
    """
    problem, pins = question.problem, question.narrowing.pins
    costs = question.costs
    check_mappings(problem, question.rules, _narrowed(question), pins)
    if costs.asked or not question.changes:
        conflict = _conflict(question)
        if conflict is not None:
            return Answer(question=question, conflict=conflict)
    if not question.changes:
        if costs.asked or pins != Pins():
            return Answer(question=question)
        raise ProblemError(
            "explain: there are schedules; give --fuse A,B, --split LAYER or "
            "--more-memory PERCENT, or limits: --pin, --max-latency, --max-energy"
        )
    try:
        best = solve(problem, pins)
    except (InfeasibleError, NoDivisionError):
        conflict = _conflict(question)
        if conflict is None:
            raise
        return Answer(question=question, conflict=conflict)

    def changed(problem: Problem, more: Pins) -> Result:
        return solve(problem, joined(pins, more))

    cases = forced_cases(problem, changed, question.fused, question.split)
    if question.more_memory:
        cases += memory_cases(problem, changed, question.more_memory)
    return Answer(question=question, best=best, cases=tuple(cases))


def _narrowed(question: Question) -> tuple[StackRange, ...]:
    """The space that all limits of a question leave."""
    problem, rules, narrowing = question.problem, question.rules, question.narrowing
    limits = restrictions(problem, narrowing)
    return restricted_ranges(problem, rules, narrowing, limits, limits)


def _conflict(question: Question) -> Conflict | None:
    """The conflict among all limits of a question, if there is one."""
    problem, rules, narrowing = question.problem, question.rules, question.narrowing
    search = search_limits(question.time_limit_s, None, 0)
    conflict = find_conflict(problem, rules, narrowing, search)
    if conflict is None and question.costs.asked:
        conflict = find_cost_conflict(problem, rules, narrowing, question.costs, search)
    return conflict


def with_all_limits(
    error: FuseproofError, problem: Problem, rules: RuleSet, narrowing: Narrowing
) -> FuseproofError:
    """What a solve that proved a space empty should say: the same with all limits in conflict."""
    try:
        conflict = find_conflict(problem, rules, narrowing, search_limits(REASON_SECONDS, None, 0))
    except StoppedError:
        return error
    return error if conflict is None else ConflictError(conflict)


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
