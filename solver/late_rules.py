"""Asking rules for a schedule late in a search, if its own stays far from the bound."""

from __future__ import annotations

from collections.abc import Callable

from cost.schedule import Schedule
from solver.limits import SearchLimits

FAR_OFF, PATIENT_STEPS = 0.05, 4000
"""Relative gap from which on rules are asked, and steps of the last phase that may close it first:
rules take longer than many a whole proof. Only speed depends on them."""
ASK_SHARE = 0.5
"""Share of the time left for the last phase in which they are asked at the latest."""

ByRules = Callable[[tuple[float, float]], Schedule | None]
"""Finds a schedule of the space, good along a weight pair."""


class LateRules:
    """Asks them once; made when the last phase begins."""

    def __init__(self, by_rules: ByRules | None, limits: SearchLimits) -> None:
        self._by_rules, self._limits = by_rules, limits
        self._steps = 0
        self._least_left_s = (limits.left() or 0.0) * ASK_SHARE

    def schedule(
        self, weights: tuple[float, float], bound: float, incumbent: float
    ) -> Schedule | None:
        """Another schedule, one step later; None if it is not time, or there is no need."""
        self._steps += 1
        left = self._limits.left()
        waits = self._steps < PATIENT_STEPS and (left is None or left > self._least_left_s)
        if self._by_rules is None or waits:
            return None
        by_rules, self._by_rules = self._by_rules, None
        return by_rules(weights) if bound <= (1 - FAR_OFF) * incumbent else None
