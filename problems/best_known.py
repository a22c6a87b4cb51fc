"""Best known values and bounds of the catalogue's pairs, as earlier solves left them.

They hold for the `exact` rules, efficient tile sizes and all overlap modes, and are verified
results of `benchmarks/catalogue.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from problems.read_yaml import read_yaml

PATH = Path(__file__).parent / "library" / "best-known.yaml"
SLACK = 1e-6
"""Relative difference at which two values or bounds contradict each other."""
HEAD = """\
# Best known values and bounds by pair and objective: exact rules, efficient tile sizes, all
# overlap modes. EDP in pJ cycles, energy in pJ, latency in cycles.
# Written by benchmarks/catalogue.py from verified results; a value only falls, a bound only rises.
"""


class Known(BaseModel):
    """What is known of the least value of one objective; `value` None without a schedule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    bound: float
    date: str
    version: str

    @property
    def gap(self) -> float | None:
        """Relative distance of bound and value."""
        return None if self.value is None else max(0.0, 1 - self.bound / self.value)

    def agrees(self, other: Known) -> bool:
        """Whether no value of either lies below a bound of the other."""
        pairs = ((self.value, other.bound), (other.value, self.bound))
        return all(value is None or bound <= value * (1 + SLACK) for value, bound in pairs)

    def merged(self, new: Known) -> Known:
        """The better of both sides, dated by the newer where that improved anything."""
        values = [v for v in (self.value, new.value) if v is not None]
        value, bound = min(values, default=None), max(self.bound, new.bound)
        if (value, bound) == (self.value, self.bound):
            return self
        return new.model_copy(update={"value": value, "bound": bound})


BestKnown = dict[str, dict[str, Known]]
"""By pair (workload@hardware) and objective."""


@cache
def best_known(path: Path = PATH) -> Mapping[str, Mapping[str, Known]]:
    """Everything known; empty if there is no such file."""
    if not path.exists():
        return {}
    return {
        name: {objective: Known.model_validate(known) for objective, known in entry.items()}
        for name, entry in read_yaml(path).items()
    }


def write_best_known(entries: BestKnown, path: Path = PATH) -> None:
    """Write the file anew, sorted."""
    lines = [HEAD]
    for name, by in sorted(entries.items()):
        lines.append(f"{name}:\n")
        for objective, known in sorted(by.items()):
            value = "null" if known.value is None else repr(known.value)
            lines.append(
                f"  {objective}: {{value: {value}, bound: {known.bound!r}, "
                f"date: '{known.date}', version: '{known.version}'}}\n"
            )
    path.write_text("".join(lines), encoding="utf-8")
    best_known.cache_clear()
