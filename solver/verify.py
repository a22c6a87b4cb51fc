"""Check a result document: its schedule, its figures, and the proof of its bound.

Nothing here is shared with the search: costs come from `cost.recost`, the bound from the
certificate's half-planes in exact fractions, the space from its definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cost.overlap import OverlapMode
from cost.recost import Recosted, recost
from cost.rules import RuleSet
from cost.schedule import Schedule
from problems.errors import ProblemError
from problems.hardware import Hardware
from problems.load import load_problem
from problems.problem import Problem
from problems.workload import Operand
from solver.certificate import RELATIVE_TOLERANCE, AnswerStack, Frame, certificate_faults
from solver.cuts import cuts
from solver.objective import Objective
from solver.pin_faults import pin_faults
from solver.pin_file import pins_from_dict
from solver.pinned_space import PinnedMappingError, pinned_ranges
from solver.pins import Pins
from solver.result import Status
from solver.schedule_file import (
    TOP_KEYS,
    choice_of,
    known_keys,
    list_of,
    number_of,
    object_of,
    rules_of,
    schedule_from_dict,
    text_of,
    whole_of,
)
from solver.space import Node, StackRange, node_text, parse_tiles, stack_ranges

OPTIMAL_GAP = 1e-6
"""Largest gap that may be called optimal, whatever tolerance a document states."""
SPACE_KEYS = ("tiles", "modes", "max_depth", "stack_ranges", "options", "notes", "pins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Outcome of a check: what is wrong, and the schedule's true cost (None without one).

    `checked` and `unchecked` say in words what the outcome rests on.
    """

    ok: bool
    problems: tuple[str, ...]
    recosted: Recosted | None
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]


def verify(document: Mapping[str, Any], problem: Problem | None = None) -> Verification:
    """Re-cost a result document's schedule and check its figures and its certificate.

    `problem` overrides the one that the document names. Raises ProblemError if the
    document is malformed or its problem cannot be loaded.
    """
    known_keys(document, TOP_KEYS)
    objective = choice_of(document, "objective", Objective)
    status = choice_of(document, "status", Status)
    rules = rules_of(document)
    name = text_of(document, "problem")
    if problem is None:
        problem = load_problem(name)
    faults = [*_name_faults(document, problem), *_record_faults(document)]
    pins = _stated_pins(document, problem)
    ranges = _stated_space(document, problem, rules, pins)
    faults += _count_faults(document, ranges)
    if status not in (Status.OPTIMAL, Status.FEASIBLE):
        faults += _empty_faults(document, status)
        return Verification(
            ok=not faults,
            problems=tuple(faults),
            recosted=None,
            checked=("the document's outline: it holds no schedule",),
            unchecked=("the bound, and why there is no schedule",),
        )
    if document.get("stacks") is None:
        raise ProblemError(f"is missing, though the status is {status.value}", key="stacks")
    schedule = schedule_from_dict(document)
    recosted = recost(problem, schedule, rules)
    faults += recosted.violations
    faults += _figure_faults(document, recosted)
    faults += _gap_faults(document, status, objective)
    faults += _space_faults(problem, schedule, ranges)
    faults += pin_faults(problem, rules, schedule, pins)
    answer = _answer(problem, schedule, recosted, ranges) if recosted.ok else ()
    faults += certificate_faults(document, objective, _frame(problem, answer))
    return Verification(
        ok=not faults,
        problems=tuple(faults),
        recosted=recosted,
        checked=_checked(document, schedule),
        unchecked=_unchecked(document),
    )


def _checked(document: Mapping[str, Any], schedule: Schedule) -> tuple[str, ...]:
    kinds = sum(len(stack.tiles) for stack in schedule.stacks)
    steps = len(list_of(document, "certificate"))
    return (
        f"the schedule: every mapping, placement, copy and memory budget costed anew, loop by "
        f"loop (stacks: {len(schedule.stacks)}, kinds of tiles: {kinds})",
        "the figures: energy, latency, EDP, gap and status follow from it",
        "the space: the schedule lies in it and keeps what is fixed by hand, and it has as many "
        "options as stated",
        f"the certificate: {steps} half-planes imply the bound (in exact fractions), their "
        "potentials run from 0 to it, and the schedule keeps to them",
    )


def _unchecked(document: Mapping[str, Any]) -> tuple[str, ...]:
    steps = list_of(document, "certificate")
    decided = max((int(number_of(step, "survivors")) for step in steps), default=0)
    return (
        "that no stack option costs less than its potentials differ, but for those with which a "
        "schedule passes a step's limits, and that it does: this rests on the "
        f"solver's tables and on CP-SAT (options it decided in a step: up to {decided})",
        "seconds, option counts and trace: they are only a record",
    )


def _name_faults(document: Mapping[str, Any], problem: Problem) -> Iterator[str]:
    for what, known in (("workload", problem.workload.name), ("hardware", problem.hardware.name)):
        given = text_of(document, what)
        if given != known:
            yield f"{what} is stated as {given}, the problem has {known}"


def _record_faults(document: Mapping[str, Any]) -> Iterator[str]:
    """Figures that only tell how the solve went: their kinds are checked, no more."""
    if number_of(document, "seconds") < 0:
        yield "seconds are below 0"
    for key in ("phase_seconds", "option_counts"):
        entries = object_of(document, key)
        for name in entries:
            if number_of(entries, name, key) < 0:
                yield f"{key}.{name} is below 0"
    for number, point in enumerate(list_of(document, "trace")):
        if not isinstance(point, list) or len(point) != 4:
            raise ProblemError(
                "expected [seconds, phase, objective, bound]", key=f"trace[{number}]"
            )


def _empty_faults(document: Mapping[str, Any], status: Status) -> Iterator[str]:
    for key in ("stacks", "energy_pj", "latency_cycles", "edp", "gap"):
        if key not in document:
            raise ProblemError("is missing", key=key)
        if document[key] is not None:
            yield f"status is {status.value}, yet {key} is given"
    number_of(document, "best_bound")
    list_of(document, "certificate")


def _figure_faults(document: Mapping[str, Any], recosted: Recosted) -> Iterator[str]:
    energy, latency = recosted.energy_pj, recosted.latency_cycles
    for key, true in (
        ("energy_pj", energy),
        ("latency_cycles", latency),
        ("edp", energy * latency),
    ):
        stated = number_of(document, key)
        if not _close(stated, true):
            yield f"{key} is stated as {stated!r}, the schedule costs {true!r}"


def _gap_faults(document: Mapping[str, Any], status: Status, objective: Objective) -> Iterator[str]:
    value = float(
        objective.of(number_of(document, "energy_pj"), number_of(document, "latency_cycles"))
    )
    bound, gap = number_of(document, "best_bound"), number_of(document, "gap")
    tolerance = number_of(document, "tolerance")
    if bound > value * (1 + RELATIVE_TOLERANCE):
        yield f"the bound {bound!r} is above the schedule's value {value!r}"
    true_gap = (value - bound) / value if value else 0.0
    if abs(gap - true_gap) > RELATIVE_TOLERANCE:
        yield f"gap is stated as {gap!r}, bound and value make it {true_gap!r}"
    if not 0 <= tolerance <= OPTIMAL_GAP:
        yield f"tolerance {tolerance!r} is not from 0 to {OPTIMAL_GAP!r}"
    optimal = true_gap <= tolerance + RELATIVE_TOLERANCE
    if optimal != (status is Status.OPTIMAL):
        yield f"status is {status.value}, but the gap is {true_gap!r} at tolerance {tolerance!r}"


def _stated_space(
    document: Mapping[str, Any], problem: Problem, rules: RuleSet, pins: Pins
) -> tuple[StackRange, ...]:
    """Every run of layers in the space that the document states."""
    space = object_of(document, "space")
    known_keys(space, SPACE_KEYS, "space")
    try:
        tiles = parse_tiles(text_of(space, "tiles", "space"))
    except ProblemError as error:
        raise ProblemError(error.message, key="space.tiles") from None
    modes = []
    for number, name in enumerate(list_of(space, "modes", "space")):
        modes.append(choice_of({"mode": name}, "mode", OverlapMode, f"space.modes[{number}]"))
    for number, note in enumerate(list_of(space, "notes", "space")):
        text_of({"note": note}, "note", f"space.notes[{number}]")
    depth = None
    if space.get("max_depth", 0) is not None:
        depth = whole_of(space, "max_depth", "space")
    ranges = stack_ranges(problem, rules, tiles, tuple(modes), depth)
    if pins == Pins():
        return ranges
    try:
        return pinned_ranges(problem, rules, ranges, pins)
    except PinnedMappingError as error:
        raise ProblemError(error.message, key=f"space.pins.{error.key}") from None


def _stated_pins(document: Mapping[str, Any], problem: Problem) -> Pins:
    """What the document says was fixed by hand."""
    space = object_of(document, "space")
    if space.get("pins") is None:
        return Pins()
    pins = pins_from_dict(problem, object_of(space, "pins", "space"), prefix="space.pins.")
    if pins == Pins():
        raise ProblemError("fixes nothing: null is how that is written", key="space.pins")
    return pins


def _count_faults(document: Mapping[str, Any], ranges: tuple[StackRange, ...]) -> Iterator[str]:
    space = object_of(document, "space")
    for key, true in (("stack_ranges", len(ranges)), ("options", sum(r.options for r in ranges))):
        stated = whole_of(space, key, "space")
        if stated != true:
            yield f"space.{key} is stated as {stated}, it is {true}"


def _stack_ranges(
    problem: Problem, schedule: Schedule, ranges: tuple[StackRange, ...]
) -> list[StackRange | None]:
    """The range of the stated space that each stack of a schedule lies in, None for none."""
    position = {layer.name: i for i, layer in enumerate(problem.workload.layers)}
    names = [memory.name for memory in problem.hardware.memories]
    number = {cut: i for i, cut in enumerate(cuts(problem.workload))}
    by_stack: dict[tuple[int, tuple[int, ...]], list[StackRange]] = {}
    for r in ranges:
        by_stack.setdefault((r.tail, r.layers), []).append(r)
    found: list[StackRange | None] = []
    done: frozenset[int] = frozenset()
    for stack in schedule.stacks:
        layers = tuple(position.get(name, -1) for name in stack.layers)
        carried = -1 if stack.carried is None else position.get(stack.carried, -1)
        inside = [
            r
            for r in by_stack.get((number.get(done, -1), layers), ())
            if stack.tile_x in r.widths
            and stack.tile_y in r.heights
            and stack.mode in r.modes
            and stack.source in {names[m] for m in r.sources}
            and stack.target in {names[m] for m in r.targets}
            and carried in (-1, r.carried)
        ]
        found.append(inside[0] if inside else None)
        done |= set(layers)
    return found


def _space_faults(
    problem: Problem, schedule: Schedule, ranges: tuple[StackRange, ...]
) -> Iterator[str]:
    """Stacks that are no options of the space in which the answer claims to be best."""
    for number, found in enumerate(_stack_ranges(problem, schedule, ranges)):
        if found is None:
            yield f"stack {number} lies outside the space that is stated"


def _frame(problem: Problem, answer: tuple[AnswerStack, ...]) -> Frame:
    hardware = problem.hardware
    return Frame(
        first=(0, _top(hardware, Operand.I)),
        last=(len(cuts(problem.workload)) - 1, _top(hardware, Operand.O)),
        memories=frozenset(memory.name for memory in hardware.memories),
        answer=answer,
    )


def _top(hardware: Hardware, operand: Operand) -> str:
    return hardware.memories[hardware.chains[operand][-1]].name


def _answer(
    problem: Problem, schedule: Schedule, recosted: Recosted, ranges: tuple[StackRange, ...]
) -> tuple[AnswerStack, ...]:
    """The stacks of the schedule with their true costs."""
    stacks = []
    energy, latency = recosted.breakdown.energy_by_layer, recosted.breakdown.latency_by_layer
    names = [memory.name for memory in problem.hardware.memories]
    found = _stack_ranges(problem, schedule, ranges)
    for stack, r in zip(schedule.stacks, found, strict=True):
        if r is None:
            return ()
        stacks.append(
            AnswerStack(
                tail=_named(problem, r.tail_node(names.index(stack.source))),
                head=_named(problem, r.head_node(names.index(stack.target))),
                energy_pj=sum(energy.get(layer, 0.0) for layer in stack.layers),
                latency_cycles=sum(latency.get(layer, 0) for layer in stack.layers),
            )
        )
    return tuple(stacks)


def _named(problem: Problem, node: Node) -> tuple[int, str]:
    cut, _, place = node_text(problem, node).partition(":")
    return int(cut), place


def _close(one: float, two: float) -> bool:
    return abs(one - two) <= RELATIVE_TOLERANCE * max(abs(one), abs(two))
