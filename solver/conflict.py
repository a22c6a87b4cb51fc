"""Limits that cannot be kept together, each with what it would have to be."""

from __future__ import annotations

from dataclasses import dataclass

from problems.errors import InfeasibleError
from solver.smallest_conflict import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictingLimit:
    """One limit of a conflict.

    `limit` and `demand` are in `unit`: the least that would do with all other limits as they
    are, or if those cannot be kept either, with the others of this conflict; at least that if
    `demand_is_bound`. What is no number has a `text` in place of `limit`, no demand and no unit.
    `lever` says how to give way.
    """

    name: str
    lever: str
    limit: float | None = None
    demand: float | None = None
    unit: str = ""
    text: str = ""
    demand_is_bound: bool = False

    def limit_text(self) -> str:
        """The limit without its unit."""
        return self.text if self.limit is None else f"{self.limit:,.12g}"

    def demand_text(self) -> str:
        """What would do, without its unit; a dash where it is no number, or unknown."""
        if self.demand is None:
            return "-"
        return f"{'at least ' if self.demand_is_bound else ''}{self.demand:,.12g}"

    def sentence(self) -> str:
        """Demand and limit in words."""
        if self.limit is None:
            return f"{self.name}: {self.text}"
        needs = "needs more" if self.demand is None else f"needs {self.demand_text()} {self.unit}"
        return f"{self.name} {needs}, the limit is {self.limit_text()} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Limits no schedule keeps together; `why` in a few words, `size` what is proven of it.

    `others`: conflicts that share no limit with this one nor with each other, so that giving
    way here is not enough.
    """

    problem: str
    rules: str
    why: str
    limits: tuple[ConflictingLimit, ...]
    size: Size
    others: tuple[Conflict, ...] = ()


class ConflictError(InfeasibleError):
    """No schedule exists; the line names every limit of the `conflict`.

    `demand`, `limit` and `unit` are those of its first limit that is a number.
    """

    def __init__(self, conflict: Conflict) -> None:
        first = next((x for x in conflict.limits if x.limit is not None), None)
        super().__init__(
            f"no schedule of {conflict.problem} fits; {conflict.why}",
            demand=0.0 if first is None or first.demand is None else first.demand,
            limit=0.0 if first is None or first.limit is None else first.limit,
            unit="" if first is None else first.unit,
            levers=(x.lever for x in conflict.limits),
        )
        self.conflict = conflict
        if conflict.limits:
            parts = "; and ".join(x.sentence() for x in conflict.limits)
            self.args = (f"{self.what}: {parts}; {' or '.join(self.levers)}",)
