"""What a dive takes the options of a pool to cost: their bounds times rises that it learns."""

from __future__ import annotations

import numpy as np

from solver.open_options import OpenOptions
from solver.option_steps import SOLVED

LEARNING = 1 / 8
"""Weight of what is seen once in a learnt rise."""


class Guesses:
    """Guessed costs of all options along one weight pair.

    An option not solved yet counts as dearer than its bound, by its stage and the octave of its
    tile's area. Most options of a pool are never looked at: the least guess of those is known
    group by group (arc and octave), so that a look at one costs little however large the pool.
    """

    def __init__(
        self, options: OpenOptions, weights: tuple[float, float], rises: tuple[float, ...]
    ) -> None:
        self.arcs, self._options = options.arcs, options
        self.octaves = options.octaves
        self.bounds = options.bounds(weights)
        self.stages = np.zeros(len(self.bounds), dtype=np.int64)
        for i, state in options.states.items():
            self.stages[options.twins(i)] = (
                SOLVED if weights in state.solved else state.stage.get(weights, 0)
            )
        n_octaves = int(self.octaves.max(initial=0)) + 1
        self.rise = np.tile(np.array(rises, dtype=np.float64), (n_octaves, 1))
        self._wary = np.ones(len(self.bounds))
        """How much dearer options are taken to be because others like them were too hard."""
        self._arc_of = np.zeros(len(self.bounds), dtype=np.int64)
        for k, arc in enumerate(self.arcs):
            self._arc_of[arc.start : arc.end] = k
        self._group_of = self._arc_of * n_octaves + self.octaves
        self._order = np.argsort(self._group_of, kind="stable")
        groups = np.arange(len(self.arcs) * n_octaves + 1)
        self._cuts = np.searchsorted(self._group_of[self._order], groups)
        self._seen = np.flatnonzero(self.stages > 0)
        self._least_unseen = np.full(len(self.arcs) * n_octaves, np.inf)
        self._sum_up()

    def _unseen(self, at: np.ndarray) -> np.ndarray:
        """Bounds of options `at`, warily, infinite where they were looked at."""
        return np.where(self.stages[at] == 0, self.bounds[at] * self._wary[at], np.inf)

    def _sum_up(self) -> None:
        """Find the least of every group."""
        filled = np.flatnonzero(np.diff(self._cuts))
        if len(filled):
            values = self._unseen(self._order)
            self._least_unseen[filled] = np.minimum.reduceat(values, self._cuts[filled])

    def _guess(self, at: np.ndarray | slice) -> np.ndarray:
        """Guessed costs of options `at`."""
        guess: np.ndarray = (
            self.bounds[at] * self.rise[self.octaves[at], self.stages[at]] * self._wary[at]
        )
        return guess

    def least(self) -> np.ndarray:
        """Least guess of every arc."""
        by_octave = self._least_unseen.reshape(len(self.arcs), -1) * self.rise[:, 0]
        least: np.ndarray = by_octave.min(axis=1, initial=np.inf)
        np.minimum.at(least, self._arc_of[self._seen], self._guess(self._seen))
        return least

    def cheapest(self, arc: int) -> int:
        """Number of the option of least guess of an arc."""
        span = self.arcs[arc]
        return span.start + int(self._guess(slice(span.start, span.end)).argmin())

    def take(self, index: int, bound: float, stage: int) -> None:
        """Take over a new bound and stage of an option, and what they say of others like it."""
        known, before = float(self.bounds[index]), int(self.stages[index])
        for twin in self._options.twins(index).tolist():
            self._take_one(twin, bound, stage)
        if known > 0 and np.isfinite(bound) and stage != before:
            risen = self.rise[self.octaves[index]]
            risen[before] += (bound / known * risen[stage] - risen[before]) * LEARNING

    def _take_one(self, index: int, bound: float, stage: int) -> None:
        before = self.stages[index]
        self.bounds[index], self.stages[index] = bound, stage
        if before == 0:
            if stage > 0:
                self._seen = np.append(self._seen, index)
            group = self._group_of[index]
            members = self._order[self._cuts[group] : self._cuts[group + 1]]
            self._least_unseen[group] = self._unseen(members).min()

    def be_wary(self, wary: np.ndarray) -> None:
        """Take options to be dearer by factors [option]."""
        self._wary *= wary
        self._sum_up()

    def be_reluctant(self, factor: float) -> None:
        """Take all that is not solved to be dearer."""
        self.rise[:, :SOLVED] *= factor
