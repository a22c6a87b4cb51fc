"""The options whose turn in a lazy search is near, looked at many at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from solver.nearest import Nearest
from solver.open_options import OpenOptions, OptionState
from solver.option_steps import PLACED, PROGRESS, SHARPENED, OptionSteps
from solver.prune import SAFETY

BOUNDED_AT_ONCE, SHARPENED_AT_ONCE, DIVIDED_AT_ONCE = 16, 8, 2
"""Options bounded, options that have their mappings searched, and options whose placements are
divided, at a time; only speed depends on it."""
REACH = 256
"""Options, the cheapest, up to the dearest of which mappings are searched; only speed depends on
it."""


class Frontier:
    """Looks at the cheapest options of one weighted search.

    Once some on the cheapest path were not looked at yet their turn has come, and that of others as
    cheap soon will: together they take less time. `bounds` [option] may only rise from one look to
    the next, and are raised; `others` [arc]: what else a path through an arc costs.
    """

    def __init__(
        self, options: OpenOptions, steps: OptionSteps, weights: tuple[float, float]
    ) -> None:
        self._options, self._steps, self._weights = options, steps, weights
        self._nearest = Nearest(options.sizes)

    def bound(
        self, bounds: np.ndarray, others: np.ndarray, cutoff: float, rough: list[int]
    ) -> list[int]:
        """Bound the placements of `rough` options and of others; all that it looked at."""
        options = self._options
        near = {
            i: float(bounds[i] + others[options.arc_of(i)])
            for i in self._nearest.find(bounds, others, BOUNDED_AT_ONCE).tolist()
        }
        near = {i: through for i, through in near.items() if through < cutoff * (1 - SAFETY)}
        most = max(near.values(), default=0.0)
        least: dict[int, float] = {}
        for i in [*rough, *near]:
            first, other = int(options.twins(i)[0]), float(others[options.arc_of(i)])
            least[first] = min(other, least.get(first, np.inf))
        states = [(i, options.state(options.arc_of(i), i)) for i in least]
        asked = [
            (i, state, most - least[i])
            for i, state in states
            if state.stage.get(self._weights, 0) < PLACED
        ]
        self._bound(asked)
        numbers = [i for i, _, _ in asked]
        self._taken(bounds, numbers)
        return numbers

    def sharpen(
        self, bounds: np.ndarray, others: np.ndarray, cutoff: float, dull: list[int]
    ) -> None:
        """Search the mappings of `dull` options and of the cheapest of others.

        Each until it is dearer than many others are: the few that are a little cheaper, and have
        their turn then, would only have it come back soon.
        """
        options, weights = self._options, self._weights
        through = {
            i: float(bounds[i] + others[options.arc_of(i)])
            for i in self._nearest.find(bounds, others, REACH + 1).tolist()
        }
        near = sorted(through, key=lambda i: through[i])
        most = min(cutoff, through[near.pop()]) if len(near) > REACH else cutoff
        asked: dict[int, tuple[int, OptionState, float]] = {}
        for i in [*dull, *(i for i in near if through[i] < cutoff * (1 - SAFETY))]:
            first, arc = int(options.twins(i)[0]), options.arc_of(i)
            state = options.state(arc, i)
            if first not in asked and state.stage.get(weights, 0) < SHARPENED:
                enough = max(most - float(others[arc]), state.bound(weights) * (1 + PROGRESS))
                asked[first] = first, state, enough
            if len(asked) >= max(len(dull), SHARPENED_AT_ONCE):
                break
        self._bound([ask for ask in asked.values() if ask[1].stage.get(weights, 0) < PLACED])
        placed = [
            (state, enough)
            for _, state, enough in asked.values()
            if state.stage[weights] == PLACED and state.bound(weights) < enough
        ]
        self._steps.sharpen(placed, weights)
        self._taken(bounds, asked)

    def divide(
        self, bounds: np.ndarray, others: np.ndarray, cutoff: float, torn: list[int]
    ) -> None:
        """Divide the placements of `torn` options and of the cheapest of others sharpened."""
        options, weights = self._options, self._weights
        near = self._nearest.find(bounds, others, REACH).tolist()
        near.sort(key=lambda i: float(bounds[i] + others[options.arc_of(i)]))
        asked: dict[int, tuple[OptionState, float]] = {}
        for i in [*torn, *near]:
            first, arc = int(options.twins(i)[0]), options.arc_of(i)
            state, enough = options.state(arc, i), cutoff - float(others[arc])
            is_next = (
                state.stage.get(weights, 0) >= SHARPENED
                and weights not in state.solved
                and weights not in state.divided
                and bounds[i] < enough * (1 - SAFETY)
            )
            if i in torn or is_next:
                asked.setdefault(first, (state, enough))
            if len(asked) >= max(len(torn), DIVIDED_AT_ONCE):
                break
        self._steps.divide(list(asked.values()), weights)
        self._taken(bounds, asked)

    def _bound(self, asked: list[tuple[int, OptionState, float]]) -> None:
        """Bound the placements of options until they reach what is enough, or all are seen."""
        enough = np.array([most for _, _, most in asked])
        self._steps.bound([state for _, state, _ in asked], self._weights, enough)

    def _taken(self, bounds: np.ndarray, numbers: Iterable[int]) -> None:
        """Raise `bounds` by what was found out about options."""
        for i in numbers:
            self._options.take_bound(bounds, i, self._weights)
