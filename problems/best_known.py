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
WITHDRAWN = ("0.1.0",)
"""Versions that may have left out mappings that hold less (CHANGELOG): their values stand, as all
are verified schedules, their bounds may be too high."""
HEAD = """\
# Best known values and bounds by pair and objective: exact rules, efficient tile sizes, all
# overlap modes. EDP in pJ cycles, energy in pJ, latency in cycles.
# Written by benchmarks/catalogue.py from verified results; a value only falls, a bound only rises,
# unless it is of a version whose bounds are withdrawn. `version` is that of the bound.
"""


class Known(BaseModel):
    """What is known of the least value of one objective; `value` None without a schedule.

    `version` is that of the program that the bound is from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float | None
    bound: float
    date: str
    version: str

    @property
    def gap(self) -> float | None:
        """Relative distance of bound and value."""
        return None if self.value is None else max(0.0, 1 - self.bound / self.value)

    @property
    def stands(self) -> bool:
        """Whether the bound is of a version that is relied on."""
        return self.version not in WITHDRAWN

    def agrees(self, other: Known) -> bool:
        """Whether no value of either lies below a bound of the other that stands."""
        pairs = ((self.value, other), (other.value, self))
        return all(
            value is None or not known.stands or known.bound <= value * (1 + SLACK)
            for value, known in pairs
        )

    def merged(self, new: Known) -> Known:
        """The better of both sides, dated by the newer where that improved anything.

        A bound that stands takes the place of one that does not.
        """
        values = [v for v in (self.value, new.value) if v is not None]
        value = min(values, default=None)
        best = max((self, new), key=lambda known: (known.stands, known.bound))
        if (value, best) == (self.value, self):
            return self
        return best.model_copy(update={"value": value, "date": new.date})


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
