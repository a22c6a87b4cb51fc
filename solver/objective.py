"""Objectives: energy, latency, and their product."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Objective(StrEnum):
    """What a schedule is minimised for."""

    ENERGY = "energy"
    LATENCY = "latency"
    EDP = "edp"

    @property
    def unit(self) -> str:
        """Unit of the objective's value."""
        return {"energy": "pJ", "latency": "cycles", "edp": "pJ*cycles"}[self.value]

    def of(self, energy_pj: Any, latency_cycles: Any) -> Any:
        """Value of a point, or of arrays of points."""
        if self is Objective.ENERGY:
            return energy_pj
        if self is Objective.LATENCY:
            return latency_cycles
        return energy_pj * latency_cycles
