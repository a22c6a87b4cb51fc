"""Searches for the best temporal mappings of layer-tiles, by size and placement."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from cost.best_mapping import BestSearch
from cost.layer_classes import turn
from cost.layer_model import LayerModel
from cost.least_energy import TooManyChainsError, least_energy_mapping
from cost.mapping_search import MappingPoint, weigh_point
from cost.merged_loops import MergedLoops, merged_loops
from solver.layer_tables import LayerTile, TileKey
from solver.limits import TooHardError
from solver.other_weights import KnownMinimum, carried_over
from solver.pinned_inside import FREE, Memories
from solver.stack_tables import StackTables

MOST_CHAINS = 200_000
"""Partial chains of a search for least energy after which one by steps takes over, which can be
stopped and left."""
MOST_BYTES = 1 << 29
"""Bytes of tables that unfinished searches may hold; those left longest make theirs anew."""


@dataclass(frozen=True, slots=True)
class MappedTile:
    """A layer-tile with its placement, and the weights (pJ, cycles) it is mapped for.

    `budget` [memory]: bits that its mapping may take; None: all that there are.
    """

    key: TileKey
    memories: Memories
    weights: tuple[float, float]
    budget: tuple[float, ...] | None = None


@cache
def threads() -> ThreadPoolExecutor:
    """The threads of bounds and searches, which run compiled code without Python's lock."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="mapping")


class MappingSearches:
    """Best mappings of layer-tiles, and their bounds until they are known.

    Mappings fixed by hand are known from the beginning.
    """

    def __init__(self, tables: StackTables, pause: Callable[[], object] | None = None) -> None:
        self.tables = tables
        self.pause = pause
        self.budget = np.inf
        """Nodes that searches may look at before they raise TooHardError."""
        self._costs: dict[
            tuple[LayerTile, tuple[float, float], tuple[float, ...] | None], dict[Memories, float]
        ] = {}
        self._searches: dict[MappedTile, BestSearch] = {}
        self._awake: dict[MappedTile, int] = {}
        """Bytes of tables of unfinished searches, those left longest first."""
        self._best: dict[MappedTile, tuple[MappingPoint, ...]] = {}
        self._minima: dict[
            tuple[LayerTile, tuple[float, ...] | None], dict[Memories, list[KnownMinimum]]
        ] = {}
        """What is known under all weights."""
        self._efforts: dict[tuple[object, ...], dict[Memories, int]] = {}
        self._merged: dict[tuple[int, int, int], MergedLoops] = {}

    def costs(
        self,
        key: TileKey,
        weights: tuple[float, float],
        budget: tuple[float, ...] | None = None,
    ) -> Mapping[Memories, float]:
        """Lower bounds of the weighted cost by placement, exact where the best is known."""
        if key.pinned != FREE:
            return {
                memories: min(weigh_point(weights, point) for point in points)
                for memories, points in self._pinned(key).items()
            }
        at = key.like, weights, budget
        if at not in self._costs and (key.like, budget) in self._minima:
            self._costs[at] = self._carry_over(key, weights, budget)
        return self._costs.get(at, {})

    def _carry_over(
        self, key: TileKey, weights: tuple[float, float], budget: tuple[float, ...] | None
    ) -> dict[Memories, float]:
        """`costs` by what is known under other weights."""
        found = {}
        for memories, known in self._minima[key.like, budget].items():
            tile = MappedTile(key.plain, memories, weights, budget)
            floor = self.tables.layer_bounds(*key.like)
            for chain, memory in self._resting(tile):
                floor = np.take(floor, chain.index(memory), axis=0)
            cost, point = carried_over(weights, (float(floor[0]), float(floor[1])), known)
            if point is not None:
                self._best[tile] = (point,)
                cost = weigh_point(weights, point)
            found[memories] = cost
        return found

    def known(
        self, weights: tuple[float, float]
    ) -> Iterator[tuple[LayerTile, Mapping[Memories, float]]]:
        """Layer-tiles, each for all alike, with their `costs` where memories are free for them."""
        for like, budget in list(self._minima):
            if budget is None:
                self.costs(TileKey(like), weights)  # what other weights tell
        for (like, for_weights, budget), costs in self._costs.items():
            if for_weights == weights and budget is None:
                yield like, costs

    def best(self, tile: MappedTile) -> tuple[MappingPoint, ...] | None:
        """The best mapping if it is known; empty where nothing fits."""
        if tile.key.pinned != FREE:
            return self._all_pinned(tile)[:1]
        return self._turned(tile, self._best.get(self._plain(tile)))

    def step(self, tile: MappedTile, bound: float) -> bool:
        """Look closer at a tile's best mapping; False if it is known."""
        tile = self._plain(tile)
        if self.best(tile) is not None:
            return False
        costs = self._costs.setdefault((tile.key.like, tile.weights, tile.budget), {})
        if tile.memories not in costs and tile.weights[1] > 0:
            # What it is bounded by may do, without a search.
            search = self._search_of(tile, bound)
            costs[tile.memories] = search.bound
            if search.done:
                self._end(tile, search)
        else:
            self._search(tile, bound)
        return True

    def _search_of(self, tile: MappedTile, bound: float) -> BestSearch:
        """The search for a tile's best mapping, begun with a bound if it is new."""
        search = self._searches.get(tile)
        if search is None:
            budget = None if tile.budget is None else np.array(tile.budget)
            most = min(
                (weigh_point(tile.weights, one.point) for one in self._known_minima(tile)),
                default=np.inf,
            )
            search = BestSearch(*self._subject(tile), tile.weights, bound, budget, most)
            self._searches[tile] = search
        return search

    def _end(self, tile: MappedTile, search: BestSearch) -> None:
        """Remember what a search ended with."""
        del self._searches[tile]
        self._efforts.get((*tile.key.like, tile.budget), {}).pop(tile.memories, None)
        costs = self._costs[tile.key.like, tile.weights, tile.budget]
        points = self._split(tile, search.point)
        if not points:
            # Nothing is better than what is best under other weights.
            known = (one.point for one in self._known_minima(tile))
            best = min(known, key=lambda p: weigh_point(tile.weights, p), default=None)
            points = () if best is None else (best,)
        costs[tile.memories] = self._keep(tile, points)

    def _known_minima(self, tile: MappedTile) -> Sequence[KnownMinimum]:
        """What is known of a tile under all weights."""
        return self._minima.get((tile.key.like, tile.budget), {}).get(tile.memories, ())

    def step_all(self, bounds: Mapping[MappedTile, float]) -> bool:
        """`step` for tiles with their bounds, on all cores; False if all are known.

        No step depends on another, so the order in which they end does not matter.
        """
        waiting: dict[MappedTile, float] = {}
        for tile, bound in bounds.items():
            if self.best(tile) is None:
                waiting.setdefault(self._plain(tile), bound)
        if len(waiting) < 2 or np.isfinite(self.budget):
            try:
                for tile, bound in waiting.items():
                    self.step(tile, bound)
            finally:
                self._let_rest(waiting)
            return bool(waiting)

        def step(item: tuple[MappedTile, float]) -> None:
            self._spend(0)  # those that wait end soon where the search is stopped
            self.step(*item)

        running = [threads().submit(step, item) for item in waiting.items()]
        wait(running)
        self._let_rest(waiting)
        for done in running:
            done.result()
        return True

    def _let_rest(self, stepped: Iterable[MappedTile]) -> None:
        """Have searches left for long give up their tables if all together hold too much."""
        for tile in stepped:
            self._awake.pop(tile, 0)
            if tile in self._searches:
                self._awake[tile] = self._searches[tile].held_bytes
        total = sum(self._awake.values())
        for tile in list(self._awake):
            if total <= MOST_BYTES:
                break
            total -= self._awake.pop(tile)
            if tile in self._searches:
                self._searches[tile].rest()

    def is_hard(self, tile: MappedTile, patience: float) -> bool:
        """Whether the tile's best mapping is still unknown after `patience` nodes of search."""
        efforts = self._efforts.get((*tile.key.like, tile.budget), {})
        return efforts.get(tile.memories, 0) > patience and self.best(tile) is None

    def find_all(
        self,
        bounds: Mapping[MappedTile, float],
        patience: float = np.inf,
        effort: float = np.inf,
    ) -> None:
        """Search the best mappings of tiles with their bounds, on all cores.

        Each to the end, or until it counts as hard, or took so much `effort` in nodes this time:
        what it then costs at least is known.
        """
        begun = {tile: self._effort(tile) for tile in bounds}

        def goes_on(tile: MappedTile) -> bool:
            return not self.is_hard(tile, patience) and self._effort(tile) < begun[tile] + effort

        while self.step_all({t: bound for t, bound in bounds.items() if goes_on(t)}):
            pass

    def _effort(self, tile: MappedTile) -> float:
        """Nodes of the search for a tile's best mapping so far, if it has not ended."""
        return self._efforts.get((*tile.key.like, tile.budget), {}).get(tile.memories, 0)

    def _pinned(self, key: TileKey) -> Mapping[Memories, tuple[MappingPoint, ...]]:
        """The mappings fixed for a tile, by placement."""
        return self.tables.inside.points(key.pinned, key.like[1:])

    def _all_pinned(self, tile: MappedTile) -> tuple[MappingPoint, ...]:
        """The mappings fixed for a tile as it is placed, cheapest first."""
        points = self._pinned(tile.key).get(tile.memories, ())
        return tuple(sorted(points, key=lambda point: weigh_point(tile.weights, point)))

    def _resting(self, tile: MappedTile) -> list[tuple[tuple[int, ...], int]]:
        """The chain of each operand, and the memory in which its tensor rests."""
        w, i, o = tile.memories
        chains = self.tables.models[tile.key.like[0]].chain
        # Both operands of an add rest where its input does.
        return list(zip(chains, (w if w >= 0 else i, i, o), strict=True))

    def _search(self, tile: MappedTile, bound: float) -> int:
        """One step of the search for a tile's best mapping; the nodes looked at."""
        costs = self._costs.setdefault((tile.key.like, tile.weights, tile.budget), {})
        budget = None if tile.budget is None else np.array(tile.budget)
        if tile.weights[1] <= 0 and tile not in self._searches:
            # The order of loops, which is what takes searching, matters to latency alone.
            with suppress(TooManyChainsError):
                point = least_energy_mapping(*self._subject(tile), budget, MOST_CHAINS)
                costs[tile.memories] = self._keep(tile, self._split(tile, point))
                self._spend(0)
                return 0
        known = max(bound, costs.get(tile.memories, 0.0))
        search = self._search_of(tile, known)
        effort = search.step()
        efforts = self._efforts.setdefault((*tile.key.like, tile.budget), {})
        efforts[tile.memories] = efforts.get(tile.memories, 0) + effort
        costs[tile.memories] = max(known, search.bound)
        if search.done:
            self._end(tile, search)
        self._spend(effort)
        return effort

    def _keep(self, tile: MappedTile, points: tuple[MappingPoint, ...]) -> float:
        """Remember the best mapping that a search ended with, or none; its weighted cost."""
        self._best[tile] = points
        if not points:
            return np.inf
        cost = weigh_point(tile.weights, points[0])
        by_place = self._minima.setdefault((tile.key.like, tile.budget), {})
        minima = by_place.setdefault(tile.memories, [])
        minima.append(KnownMinimum(tile.weights, cost, points[0]))
        return cost

    def _spend(self, nodes: int) -> None:
        """Take note of search; between turns others may have their say."""
        if self.pause is not None:
            self.pause()
        self.budget -= nodes
        if self.budget < 0:
            raise TooHardError

    def _plain(self, tile: MappedTile) -> MappedTile:
        """The tile under which all that are like it are remembered."""
        return replace(tile, key=tile.key.plain) if tile.key.turned else tile

    def _turned(
        self, tile: MappedTile, points: tuple[MappingPoint, ...] | None
    ) -> tuple[MappingPoint, ...] | None:
        if points is None or not tile.key.turned:
            return points
        return tuple(turn(point) for point in points)

    def _subject(self, tile: MappedTile) -> tuple[LayerModel, np.ndarray, tuple[int, int, int]]:
        w, i, o = (chain.index(m) + 1 for chain, m in self._resting(tile))
        return self.tables.models[tile.key.like[0]], self._loops(tile).sizes, (w, i, o)

    def _loops(self, tile: MappedTile) -> MergedLoops:
        """The loops of a tile, those that act alike together."""
        like = tile.key.like
        if like not in self._merged:
            sizes = self.tables.tile_sizes(*like)
            self._merged[like] = merged_loops(self.tables.models[like[0]], sizes)
        return self._merged[like]

    def _split(self, tile: MappedTile, point: MappingPoint | None) -> tuple[MappingPoint, ...]:
        """What a search found with loops taken together, as a mapping of the tile; or nothing."""
        return () if point is None else (self._loops(tile).split(point),)
