"""Results of a solve: status, schedule, bound, proof, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cost.schedule import Schedule
from solver.objective import Objective


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    """Nothing in the stated space is better by more than the tolerance."""
    FEASIBLE = "feasible"
    """A schedule and a bound, stopped before they met."""
    INFEASIBLE = "infeasible"
    """Proven: the stated space holds no schedule."""
    UNKNOWN = "unknown"
    """Stopped before any schedule was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A weighted cost of at `most` so much, in weighted pJ and cycles."""

    energy_weight: float
    latency_weight: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedBound:
    """Proof step: energy_weight * pJ + latency_weight * cycles >= bound for every schedule
    of the space that is better than the answer.

    `potentials` maps a cut "LAYER:MEMORY" (layers before it, memory of the map there) to
    a number; every stack option's weighted lower bound is at least the difference of the
    potentials at its ends. That is so for options with which a schedule may keep to all `limits`:
    by the steps before, one that does not costs at least the bound. `survivors` are the options
    that the tables alone could not discard and CP-SAT decided.
    """

    energy_weight: float
    latency_weight: float
    bound: float
    potentials: dict[str, float]
    survivors: int
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The space that an answer is optimal in, as printed with it.

    `pins`: what was fixed by hand, as in a pin file (`solver.pins`).
    """

    tiles: str
    modes: tuple[str, ...]
    max_depth: int | None
    stack_ranges: int
    options: int
    notes: tuple[str, ...]
    pins: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePoint:
    """One step of the search: best objective and bound so far."""

    seconds: float
    phase: str
    objective: float | None
    bound: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Answer of `solve`. Without a schedule, its figures are None."""

    problem: str
    workload: str
    hardware: str
    objective: Objective
    rules: str
    status: Status
    schedule: Schedule | None
    energy_pj: float | None
    latency_cycles: int | None
    edp: float | None
    best_bound: float
    gap: float | None
    tolerance: float
    seconds: float
    space: Space
    proof: tuple[WeightedBound, ...] = ()
    phase_seconds: dict[str, float] = field(default_factory=dict)
    option_counts: dict[str, int] = field(default_factory=dict)
    trace: tuple[TracePoint, ...] = ()

    @property
    def value(self) -> float | None:
        """Objective value of the schedule."""
        if self.energy_pj is None or self.latency_cycles is None:
            return None
        return float(self.objective.of(self.energy_pj, self.latency_cycles))
