"""The options whose cheapest schedules are cheapest by bounds, while these rise."""

from __future__ import annotations

import numpy as np

KEPT = 1024
"""Options kept at hand; only speed depends on it."""


class Nearest:
    """Finds the cheapest of very many options again and again.

    Bounds may only rise from one question to the next. So all that is not at hand stays beyond
    what it cost when some were last taken there, and need not be looked at before those cost more.
    `sizes`: options of every arc.
    """

    def __init__(self, sizes: np.ndarray) -> None:
        self._arcs = np.repeat(np.arange(len(sizes)), sizes)
        self._at_hand = np.zeros(0, dtype=np.int64)
        self._beyond = -np.inf

    def find(self, bounds: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
        """Numbers of `count` options that cost least with what else their arcs need.

        `bounds` [option], `others` [arc]; all if there are no more.
        """
        found = self._among(self._at_hand, bounds, others, count)
        through = bounds[found] + others[self._arcs[found]]
        if len(found) == min(count, len(bounds)) and through.max(initial=-np.inf) <= self._beyond:
            return found
        whole = bounds + others[self._arcs]
        self._at_hand, self._beyond = np.arange(len(bounds)), np.inf
        kept = max(KEPT, count)
        if len(bounds) > kept:
            order = np.argpartition(whole, kept)
            self._at_hand, self._beyond = order[:kept], float(whole[order[kept]])
        return self._among(self._at_hand, bounds, others, count)

    def _among(
        self, some: np.ndarray, bounds: np.ndarray, others: np.ndarray, count: int
    ) -> np.ndarray:
        """The `count` cheapest of some options."""
        if len(some) <= count:
            return some
        through = bounds[some] + others[self._arcs[some]]
        found: np.ndarray = some[np.argpartition(through, count)[:count]]
        return found
