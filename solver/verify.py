"""Check a result document: its schedule, its figures, and the proof of its bound.

Nothing here is shared with the search: costs come from `cost.recost`, the bound from the
certificate's half-planes in exact fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

from cost.recost import Recosted, recost
from cost.rules import RULE_SETS
from problems.errors import ProblemError, nearest
from problems.load import load_problem
from problems.problem import Problem
from solver.objective import Objective
from solver.result import Status
from solver.schedule_file import (
    choice_of,
    list_of,
    number_of,
    schedule_from_dict,
    text_of,
)

RELATIVE_TOLERANCE = 1e-9
BOUND_ROUNDING = Fraction(1, 10**12)
HalfPlane = tuple[Fraction, Fraction, Fraction]
"""energy weight * E + latency weight * L >= bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Outcome of a check: what is wrong, and the schedule's true cost (None without one)."""

    ok: bool
    problems: tuple[str, ...]
    recosted: Recosted | None


def verify(document: Mapping[str, Any], problem: Problem | None = None) -> Verification:
    """Re-cost a result document's schedule and check its figures and its certificate.

    `problem` overrides the one that the document names. Raises ProblemError if the
    document is malformed or its problem cannot be loaded.
    """
    objective = choice_of(document, "objective", Objective)
    status = choice_of(document, "status", Status)
    name = text_of(document, "rules")
    if name not in RULE_SETS:
        raise ProblemError(
            f"is '{name}', expected one of {', '.join(RULE_SETS)}{nearest(name, RULE_SETS)}",
            key="rules",
        )
    if problem is None:
        problem = load_problem(text_of(document, "problem"))
    faults: list[str] = []
    for what, given, known in (
        ("workload", text_of(document, "workload"), problem.workload.name),
        ("hardware", text_of(document, "hardware"), problem.hardware.name),
    ):
        if given != known:
            faults.append(f"{what} is stated as {given}, the problem has {known}")
    recosted = None
    if document.get("stacks") is not None:
        recosted = recost(problem, schedule_from_dict(document), RULE_SETS[name])
        faults += recosted.violations
        faults += _figure_faults(document, objective, recosted)
    faults += _status_faults(document, status, objective)
    if status in (Status.OPTIMAL, Status.FEASIBLE):
        faults += certificate_faults(document, objective)
    return Verification(ok=not faults, problems=tuple(faults), recosted=recosted)


def _figure_faults(
    document: Mapping[str, Any], objective: Objective, recosted: Recosted
) -> Iterator[str]:
    energy, latency = recosted.energy_pj, recosted.latency_cycles
    for key, true in (
        ("energy_pj", energy),
        ("latency_cycles", latency),
        ("edp", energy * latency),
    ):
        stated = number_of(document, key)
        if not _close(stated, true):
            yield f"{key} is stated as {stated!r}, the schedule costs {true!r}"


def _status_faults(
    document: Mapping[str, Any], status: Status, objective: Objective
) -> Iterator[str]:
    has_schedule = document.get("stacks") is not None
    if has_schedule != (status in (Status.OPTIMAL, Status.FEASIBLE)):
        yield f"status {status.value} {'with' if has_schedule else 'without'} a schedule"
        return
    if not has_schedule:
        return
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
    if tolerance < 0:
        yield f"tolerance {tolerance!r} is negative"
    if status is Status.OPTIMAL and true_gap > tolerance + RELATIVE_TOLERANCE:
        yield f"status is optimal, but the gap {true_gap!r} passes the tolerance {tolerance!r}"


def certificate_faults(document: Mapping[str, Any], objective: Objective) -> Iterator[str]:
    """Name everything that keeps the certificate from proving the document's best bound.

    What is checked: each step's potentials give its bound, and the steps together give
    the best bound. That stack options cost at least the difference of the potentials is
    for the lower-bound tables to show.
    """
    planes: list[HalfPlane] = []
    for number, step in enumerate(list_of(document, "certificate")):
        where = f"certificate[{number}]"
        if not isinstance(step, dict):
            raise ProblemError("expected an object", key=where)
        energy = number_of(step, "energy_weight", where)
        latency = number_of(step, "latency_weight", where)
        bound = number_of(step, "bound", where)
        if min(energy, latency) < 0 or max(energy, latency) == 0:
            yield f"{where}: weights {energy!r} and {latency!r} prove nothing"
            continue
        yield from _potential_faults(step, bound, where)
        planes.append((Fraction(energy), Fraction(latency), Fraction(bound)))
    stated = Fraction(number_of(document, "best_bound"))
    proven = proven_bound(planes, objective)
    if proven < stated * (1 - BOUND_ROUNDING):
        yield (
            f"best bound is stated as {float(stated)!r}, the certificate proves {float(proven)!r}"
        )


def _potential_faults(step: Mapping[str, Any], bound: float, where: str) -> Iterator[str]:
    potentials = step.get("potentials")
    if not isinstance(potentials, dict):
        raise ProblemError("expected an object", key=f"{where}.potentials")
    ends: dict[int, list[float]] = {}
    for key in potentials:
        cut = str(key).partition(":")[0]
        if not cut.isdecimal():
            raise ProblemError("expected LAYERS:MEMORY", key=f"{where}.potentials.{key}")
        value = number_of(potentials, key, f"{where}.potentials")
        ends.setdefault(int(cut), []).append(value)
    if len(ends) < 2:
        yield f"{where}: the potentials name no start and end"
        return
    # Whatever memory the chain may start and end in, the bound must hold.
    difference = min(ends[max(ends)]) - max(ends[min(ends)])
    if bound - difference > RELATIVE_TOLERANCE * max(abs(bound), abs(difference)):
        yield f"{where}: bound {bound!r} passes what the potentials give, {difference!r}"


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
    everything = [
        *planes,
        (Fraction(1), Fraction(0), Fraction(0)),
        (Fraction(0), Fraction(1), Fraction(0)),
    ]
    products = [
        energy * latency
        for energy, latency in _crossings(everything)
        if all(a * energy + b * latency >= bound for a, b, bound in everything)
    ]
    # Rays of the polygon run along the axes, where the product does not fall.
    return min(products)


def _crossings(planes: Sequence[HalfPlane]) -> Iterator[tuple[Fraction, Fraction]]:
    for (a, b, c), (d, e, f) in combinations(planes, 2):
        determinant = a * e - b * d
        if determinant != 0:
            yield (c * e - b * f) / determinant, (a * f - c * d) / determinant


def _close(one: float, two: float) -> bool:
    return abs(one - two) <= RELATIVE_TOLERANCE * max(abs(one), abs(two))
