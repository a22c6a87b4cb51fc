"""A problem: one workload on one accelerator."""

from __future__ import annotations

from dataclasses import dataclass

from problems.hardware import Hardware
from problems.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One workload on one accelerator; `source` is the text it was loaded from."""

    name: str
    workload: Workload
    hardware: Hardware
    source: str
