"""The mapping of least weighted cost of a layer-tile, found in steps of growing reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor

import numpy as np

from cost.chain_state import TOLERANCE
from cost.layer_model import LayerModel
from cost.mapping_search import MappingPoint, Walk, weigh_point
from cost.met_soon import met_soon
from cost.search_bounds import root_bound
from cost.search_input import Aim, Prepared, SearchInput, budget_of, prepare, search_tables

NODES_A_STEP = 2_000
"""Nodes after which a search for a best mapping waits to be asked again."""
WIDENING = (1e-9, 1e-4, 1e-3, 5e-3, 2e-2, 1e-1, 0.5, np.inf)
"""Relative distances from the lower bound at which a best mapping is looked for in turn."""
WIDEST = 0.5
"""The last but one where cycles alone count: distances begin with a few, and grow fourfold."""
NEAR = 0.05
"""Relative distance from the lower bound within which a known mapping is the reach at once: most
such are the best, or close."""
LEAP = 50_000
"""Nodes after which a search that reaches so far at once begins anew in steps, as some take far
longer so; only speed depends on it."""


class BestSearch:
    """The search for the mapping of least weighted cost, in steps of growing reach.

    `bound` is a lower bound of that cost and rises with every step that finds nothing;
    a step that finds anything has found the best.
    """

    def __init__(
        self,
        model: LayerModel,
        sizes: np.ndarray,
        levels: tuple[int, int, int],
        weights: tuple[float, float],
        bound: float,
        budget: np.ndarray | None = None,
        known: float = np.inf,
    ) -> None:
        """Bound the cost by a mix of views; `bound` is what the caller knows of it.

        `budget` [memory]: bits free for the layer-tile, all there are if None. `known`: what some
        mapping costs that the caller has; if none is cheaper, there may be no `point` in the end.
        """
        self._model, self._levels = model, levels
        self._sizes, self._weights, self._budget = sizes, weights, budget
        counts = np.array(levels, dtype=np.int64)
        room = budget_of(model, budget)
        self._prepared: Prepared | None = prepare(model, sizes, counts, weights, room)
        """What the first tables are made of."""
        self._ready: SearchInput | None = None
        self._walk: Walk | None = None
        self._turn = 0
        mixed = self._prepared.bound if weights[1] > 0 or not self._prepared.fits else 0.0
        self._least = self.bound = self._whole(max(bound, mixed))
        self.done = not np.isfinite(self._least)
        self.point: MappingPoint | None = None
        """The best mapping, once `done`; None if nothing fits, or costs less than what is known."""
        self._known = known
        self._met: MappingPoint | None = None
        """One that does for a beginning."""
        self._leaps = True
        """Whether the reach may be that of a known mapping at once."""

    def step(self) -> int:
        """Look further until it took some effort; returns the nodes looked at.

        Afterwards `done`, or `bound` may be higher.
        """
        effort = 0
        if self._ready is None and not self.done:
            self._ready = self._tables()
            if self._walk is None and self._turn == 0:
                root = root_bound(self._ready.tables, np.array(self._levels, dtype=np.int64))
                self._least = self.bound = self._whole(max(self._least, root))
                self.done = not np.isfinite(root)
                if self._is_whole and self._met is None and not self.done:
                    # With energy of no account good mappings abound.
                    subject = self._model, self._sizes, self._levels
                    self._met = met_soon(*subject, self._weights, self._budget)
            if self._walk is not None:
                self._walk.resume(self._within(self._ready, self._cutoff))
        while not self.done and self._ready is not None and effort < NODES_A_STEP:
            cutoff = self._cutoff
            if self._walk is None:
                ready = self._within(self._ready, cutoff)
                self._walk = Walk(self._model, ready, self._levels, 256)
            before = self._walk.nodes
            ended = self._walk.turn()
            effort += self._walk.nodes - before
            if not ended:
                if self._leaps and self._is_near and self._walk.nodes >= LEAP:
                    self._leaps, self._walk = False, None
                continue
            points = self._walk.points()
            self._walk = None
            self._turn += 1
            if points:
                self.point = points[0]
            elif cutoff >= self._most and self._most < self._known:
                self.point = self._met
            self.done = bool(points) or cutoff >= self._most
            self.bound = max(self.bound, self._beyond(cutoff))
        if self.done:
            self._ready = None
        return effort

    @property
    def held_bytes(self) -> int:
        """Bytes of the tables at hand, and of the state that goes with them."""
        if self._ready is not None:
            parts = [*self._ready.tables, *self._ready.tables.tables]
        elif self._prepared is not None:
            parts = [*self._prepared.tables, self._prepared.costs]
        else:
            return 0
        tables = sum(part.nbytes for part in parts if isinstance(part, np.ndarray))
        return tables + (0 if self._walk is None else self._walk.held_bytes)

    def rest(self) -> None:
        """Give up the tables until the next step, which makes them anew and goes on from here."""
        self._ready = self._prepared = None
        if self._walk is not None:
            self._walk.rest()

    @property
    def _most(self) -> float:
        """What the best mapping costs at most."""
        met = np.inf if self._met is None else weigh_point(self._weights, self._met)
        return min(met, self._known)

    @property
    def _is_near(self) -> bool:
        """Whether a known mapping is close to what the best one costs at least."""
        return self._most <= self._least * (1 + NEAR)

    @property
    def _cutoff(self) -> float:
        most = self._most
        if self._leaps and self._is_near:
            return most
        if not self._is_whole:
            return min(self._least * (1 + WIDENING[self._turn]), most)
        cutoff = self._least + self._weights[1] * (4**self._turn - 1)
        return min(cutoff, most) if cutoff <= self._least * (1 + WIDEST) else most

    @property
    def _is_whole(self) -> bool:
        """Whether cycles alone count, which are whole."""
        return self._weights[0] <= 0 < self._weights[1]

    def _whole(self, bound: float) -> float:
        """What costs that are at least `bound` are at least."""
        if not self._is_whole or not np.isfinite(bound):
            return bound
        cycle = self._weights[1]
        return max(bound, cycle * ceil(bound / cycle * (1 - TOLERANCE)))

    def _beyond(self, cutoff: float) -> float:
        """What a mapping costs at least if none costs at most `cutoff`."""
        if not self._is_whole or cutoff == np.inf:
            return cutoff
        cycle = self._weights[1]
        return max(cutoff, cycle * (floor(cutoff / cycle) + 1))

    @staticmethod
    def _within(ready: SearchInput, cutoff: float) -> SearchInput:
        """Tables for what costs at most `cutoff`."""
        return replace(ready, tables=ready.tables._replace(weighted_cutoff=cutoff))

    def _tables(self) -> SearchInput:
        aim = Aim(weights=self._weights, weighted_only=True)
        counts = np.array(self._levels, dtype=np.int64)
        budget = budget_of(self._model, self._budget)
        prepared, self._prepared = self._prepared, None
        return search_tables(self._model, self._sizes, counts, aim, budget, prepared)


def best_mapping(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
    bound: float,
    pause: Callable[[], object] | None = None,
    budget: np.ndarray | None = None,
) -> MappingPoint | None:
    """The mapping of least weighted cost; None if nothing fits.

    `bound` is a lower bound of that cost: a narrow search around it usually succeeds.
    `budget` [memory]: bits free for the layer-tile, all there are if None.
    """
    search_ = BestSearch(model, sizes, levels, weights, bound, budget)
    while not search_.done:
        search_.step()
        if pause is not None:
            pause()
    return search_.point
