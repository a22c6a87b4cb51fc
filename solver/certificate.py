"""The proof of a result's bound, checked in exact fractions without the solver's tables.

Each step of a certificate claims energy_weight * E + latency_weight * L >= bound for every
schedule at least as good as the answer, and gives potentials at the cuts between stacks.
Together the steps bound the objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

from problems.errors import ProblemError
from solver.objective import Objective
from solver.schedule_file import LIMIT_KEYS, STEP_KEYS, known_keys, list_of, number_of

RELATIVE_TOLERANCE = 1e-9
BOUND_ROUNDING = Fraction(1, 10**12)
HalfPlane = tuple[Fraction, Fraction, Fraction]
"""energy weight * E + latency weight * L >= bound."""
AXES: tuple[HalfPlane, ...] = (
    (Fraction(1), Fraction(0), Fraction(0)),
    (Fraction(0), Fraction(1), Fraction(0)),
)
"""No cost is below 0."""
Node = tuple[int, str]
"""Number of a cut, and the memory that the map there lies in (MEMORY or MEMORY:LAYER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStack:
    """A stack of the answer between two nodes, with its true cost in pJ and cycles."""

    tail: Node
    head: Node
    energy_pj: float
    latency_cycles: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What a certificate must fit: the network's first and last node, memories, the answer."""

    first: Node
    last: Node
    memories: frozenset[str]
    answer: tuple[AnswerStack, ...]


def certificate_faults(
    document: Mapping[str, Any], objective: Objective, frame: Frame
) -> Iterator[str]:
    """Name everything that keeps the certificate from proving the document's best bound.

    Checked per step: weights are nonnegative; potentials name cuts and memories of the
    problem, start at zero at the input and give the bound at the output; all that the step
    cuts off from what those before leave keeps to its limits; if the answer does, none of its
    stacks costs less than the potentials at its ends differ. Over all steps: they imply the
    best bound. That *no other* stack option costs less than the difference of its
    potentials is not checked. Raises ProblemError if the certificate is malformed.
    """
    planes: list[HalfPlane] = []
    for number, step in enumerate(list_of(document, "certificate")):
        where = f"certificate[{number}]"
        if not isinstance(step, dict):
            raise ProblemError("expected an object", key=where)
        known_keys(step, STEP_KEYS, where)
        energy = number_of(step, "energy_weight", where)
        latency = number_of(step, "latency_weight", where)
        bound = number_of(step, "bound", where)
        if number_of(step, "survivors", where) < 0:
            yield f"{where}: fewer than no survivors"
        if min(energy, latency) < 0 or max(energy, latency) == 0:
            yield f"{where}: weights {energy!r} and {latency!r} prove nothing"
            continue
        plane = Fraction(energy), Fraction(latency), Fraction(bound)
        limits = _limits(step, where)
        yield from _limit_faults(limits, plane, planes, where)
        yield from _potential_faults(_potentials(step, where), bound, frame, where)
        yield from _answer_faults(step, (energy, latency), frame, limits, where)
        planes.append(plane)
    stated = Fraction(number_of(document, "best_bound"))
    proven = proven_bound(planes, objective)
    if proven < stated * (1 - BOUND_ROUNDING):
        yield (
            f"best bound is stated as {float(stated)!r}, the certificate proves {float(proven)!r}"
        )


def _potentials(step: Mapping[str, Any], where: str) -> dict[Node, float]:
    found = step.get("potentials")
    if not isinstance(found, dict):
        raise ProblemError("expected an object", key=f"{where}.potentials")
    potentials = {}
    for key in found:
        cut, colon, memory = key.partition(":")
        # Few digits: Python refuses to read some thousands.
        if not (cut.isascii() and cut.isdecimal() and len(cut) < 10 and colon and memory):
            raise ProblemError("expected CUT:MEMORY", key=f"{where}.potentials.{key}")
        potentials[int(cut), memory] = number_of(found, key, f"{where}.potentials")
    return potentials


def _limits(step: Mapping[str, Any], where: str) -> list[HalfPlane]:
    """The limits of a step: weighted costs, and how high they may be."""
    found = []
    for number, limit in enumerate(list_of(step, "limits", where) if "limits" in step else ()):
        here = f"{where}.limits[{number}]"
        if not isinstance(limit, dict):
            raise ProblemError("expected an object", key=here)
        known_keys(limit, LIMIT_KEYS, here)
        energy, latency, most = (Fraction(number_of(limit, key, here)) for key in LIMIT_KEYS)
        found.append((energy, latency, most))
    return found


def _limit_faults(
    limits: Sequence[HalfPlane], plane: HalfPlane, before: Sequence[HalfPlane], where: str
) -> Iterator[str]:
    """Schedules that a step says nothing of must cost its bound by the steps before."""
    if not limits:
        return
    cut_off = list(_vertices([*before, *AXES], plane))
    if min(plane[:2]) == 0:
        yield f"{where}: limits, though it is about one cost alone"
        return
    for number, (energy, latency, most) in enumerate(limits):
        if min(energy, latency) < 0:
            yield f"{where}.limits[{number}]: weights below 0"
        elif any(energy * e + latency * c > most for e, c in cut_off):
            yield (
                f"{where}.limits[{number}]: schedules beyond {float(most)!r} may cost less than "
                f"the bound for all that the steps before prove"
            )


def _potential_faults(
    potentials: Mapping[Node, float], bound: float, frame: Frame, where: str
) -> Iterator[str]:
    """Ends, names and range of a step's potentials."""
    for cut, memory in potentials:
        if memory.partition(":")[0] not in frame.memories:
            yield f"{where}: a potential in {memory}, which is no memory of the hardware"
        if cut > frame.last[0]:
            yield f"{where}: a potential at cut {cut}, the last one is {frame.last[0]}"
        for end in (frame.first, frame.last):
            if cut == end[0] and memory != end[1]:
                yield f"{where}: a potential at {cut}:{memory}, the network ends at {end[1]}"
    if potentials.get(frame.first) != 0:
        yield f"{where}: the potential at the input is not 0"
    if frame.last not in potentials:
        yield f"{where}: no potential at the output"
        return
    if min(potentials.values()) < 0:
        yield f"{where}: a potential below 0, though no stack costs less than nothing"
    given = potentials[frame.last]
    if bound - given > RELATIVE_TOLERANCE * max(abs(bound), abs(given)):
        yield f"{where}: bound {bound!r} passes what the potentials give, {given!r}"


def _answer_faults(
    step: Mapping[str, Any],
    weights: tuple[float, float],
    frame: Frame,
    limits: Sequence[HalfPlane],
    where: str,
) -> Iterator[str]:
    """The answer is a schedule like any other: what a step claims must hold for it too.

    Of single stacks it claims something only where the schedule keeps to its limits.
    """
    potentials = _potentials(step, where)
    costs = [weights[0] * s.energy_pj + weights[1] * s.latency_cycles for s in frame.answer]
    slack = RELATIVE_TOLERANCE * sum(costs)
    bound = number_of(step, "bound", where)
    if frame.answer and bound > sum(costs) + slack:
        yield f"{where}: bound {bound!r}, but the answer itself costs {sum(costs)!r}"
    total_pj = sum(Fraction(stack.energy_pj) for stack in frame.answer)
    total_cycles = sum(Fraction(stack.latency_cycles) for stack in frame.answer)
    if any(a * total_pj + b * total_cycles > most for a, b, most in limits):
        return
    for stack, cost in zip(frame.answer, costs, strict=True):
        ends = [f"{cut}:{memory}" for cut, memory in (stack.tail, stack.head)]
        if stack.tail not in potentials or stack.head not in potentials:
            yield f"{where}: no potentials at {ends[0]} and {ends[1]}, where the answer cuts"
        elif potentials[stack.head] - potentials[stack.tail] > cost + slack:
            yield (
                f"{where}: potentials at {ends[0]} and {ends[1]} differ by more than the "
                f"answer's stack there costs, {cost!r}"
            )


def proven_bound(planes: Sequence[HalfPlane], objective: Objective) -> Fraction:
    """Largest bound on the objective that the half-planes imply, over E, L >= 0.

    A sum is bounded by a half-plane of its own weights. The product is quasi-concave:
    over the polygon its least value lies on a vertex.
    """
    if objective is Objective.ENERGY:
        sums = [bound / energy for energy, latency, bound in planes if latency == 0]
        return max([Fraction(0), *sums])
    if objective is Objective.LATENCY:
        sums = [bound / latency for energy, latency, bound in planes if energy == 0]
        return max([Fraction(0), *sums])
    # Rays of the polygon run along the axes, where the product does not fall.
    return min(energy * latency for energy, latency in _vertices([*planes, *AXES]))


def _vertices(
    planes: Sequence[HalfPlane], below: HalfPlane | None = None
) -> Iterator[tuple[Fraction, Fraction]]:
    """Vertices of the polygon beyond half-planes, and on or below another."""
    sides = list(planes) if below is None else [*planes, below]
    for energy, latency in _crossings(sides):
        if below is not None and below[0] * energy + below[1] * latency > below[2]:
            continue
        if all(a * energy + b * latency >= bound for a, b, bound in planes):
            yield energy, latency


def _crossings(planes: Sequence[HalfPlane]) -> Iterator[tuple[Fraction, Fraction]]:
    for (a, b, c), (d, e, f) in combinations(planes, 2):
        determinant = a * e - b * d
        if determinant != 0:
            yield (c * e - b * f) / determinant, (a * f - c * d) / determinant
