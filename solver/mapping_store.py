"""The temporal mappings found so far: the best, those that hold less, and some that will do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from cost.mapping_search import MappingPoint
from cost.quick_mapping import quick_mapping
from solver.mapping_searches import MappedTile, MappingSearches
from solver.pinned_inside import FREE
from solver.stack_tables import StackTables
from solver.staircase import EQUAL, Staircase, first_step
from solver.step_tables import Steps, steps_of

GENEROUS = 4
"""Times that more room is tried at the same cost; only speed depends on it."""


class MappingStore(MappingSearches):
    """Mappings of layer-tiles for what is free beside them; see `MappingSearches`."""

    def __init__(self, tables: StackTables, pause: Callable[[], object] | None = None) -> None:
        super().__init__(tables, pause)
        self._stairs: dict[MappedTile, Staircase] = {}
        self._tables: dict[MappedTile, tuple[Staircase, Steps | None]] = {}
        self._some: dict[tuple[MappedTile, bool], tuple[MappingPoint, ...]] = {}
        self._within: dict[tuple[MappedTile, tuple[float, ...]], tuple[MappingPoint, ...]] = {}

    def staircase(self, tile: MappedTile) -> Staircase:
        """What is known of mappings that hold less, of a tile whose best is known."""
        if tile.key.pinned != FREE:
            points = self._all_pinned(tile)
            return Staircase(tile.weights, self._weighed(tile), self._most(tile), points, ())
        known = self._steps_of(tile)
        return replace(known, points=self._turned(tile, known.points) or ())

    def steps(self, tile: MappedTile) -> Steps | None:
        """`staircase` as bounds read it; None where it says no more than the best mapping."""
        plain = self._plain(tile)
        stairs = self._stairs.get(plain)
        if stairs is None or tile.key.pinned != FREE:
            return None
        known = self._tables.get(plain)
        if known is None or known[0] is not stairs:
            known = self._tables[plain] = stairs, steps_of(stairs)
        return known[1]

    def _steps_of(self, tile: MappedTile) -> Staircase:
        """The same of the tile that stands for all alike."""
        plain = self._plain(tile)
        if plain not in self._stairs:
            shared, most = self._weighed(plain), self._most(plain)
            self._stairs[plain] = first_step(plain.weights, shared, most, self._best[plain][0])
        return self._stairs[plain]

    def _most(self, tile: MappedTile) -> tuple[float, ...]:
        """Bits [memory] that a mapping of a tile may take."""
        sizes = tile.budget or self.tables.domains.sizes_bits
        return tuple(float(size) for size in sizes)

    def find_within(
        self,
        budgets: Iterable[tuple[MappedTile, Sequence[float]]],
        effort: float = np.inf,
        patience: float = np.inf,
    ) -> bool:
        """Search the best mappings that take no more bits [memory], of tiles whose best is known.

        False if there was nothing to search. What is found is known to `staircase`, and about how
        much more could be taken at the same cost: what is asked next is seldom just the same. Each
        search takes so much `effort` at most, and none that is hard by `patience` goes on.
        """
        asked = []
        for tile, budget in budgets:
            if tile.key.pinned != FREE:
                continue  # all its mappings are known
            stairs = self._steps_of(tile)
            free = tuple(
                min(float(bits), most) if m in stairs.shared else most
                for m, (bits, most) in enumerate(zip(budget, stairs.most_bits, strict=True))
            )
            asked.append((self._plain(tile), free))
        rising, news = self._probe(asked, effort, patience)
        for _ in range(GENEROUS):
            wider = []
            for tile, free in asked:
                if (tile, free) in rising:
                    more = self._stairs[tile].widest(free)
                    if more != free:
                        wider.append((tile, more))
            if not wider:
                break
            self._probe(wider, effort, patience)
        return news

    def _probe(
        self,
        budgets: Iterable[tuple[MappedTile, tuple[float, ...]]],
        effort: float,
        patience: float,
    ) -> tuple[set[tuple[MappedTile, tuple[float, ...]]], bool]:
        """Search the best within budgets where it is not known.

        Those that cost more than was known, and whether anything was searched.
        """
        searched: dict[MappedTile, float] = {}
        narrow: dict[tuple[MappedTile, tuple[float, ...]], MappedTile] = {}
        for tile, free in budgets:
            least, known = self._stairs[tile].within(free)
            if known is None and np.isfinite(least):
                within = replace(tile, budget=free)
                if self.is_hard(within, patience):
                    continue
                searched[within] = least
                narrow[tile, free] = within
        self.find_all(searched, effort=effort)
        rising = set()
        for (tile, free), within in narrow.items():
            cost = self.costs(within.key, within.weights, free).get(within.memories, 0.0)
            found = self.best(within) or ()
            self._stairs[tile] = self._stairs[tile].narrowed(free, cost, found)
            if cost > searched[within] * (1 + EQUAL):
                rising.add((tile, free))
        return rising, bool(searched)

    def some(self, tile: MappedTile, *, soon: bool = False) -> tuple[MappingPoint, ...]:
        """A mapping of a hard tile that need not be the best; empty where none is soon found.

        With `soon` whatever is found first will do.
        """
        plain = self._plain(tile)
        key = plain, soon
        if key not in self._some:
            point = quick_mapping(*self._subject(plain), tile.weights, any_will_do=soon)
            self._some[key] = self._split(plain, point)
        return self._turned(tile, self._some[key]) or ()

    def some_within(self, tile: MappedTile, budget: np.ndarray) -> tuple[MappingPoint, ...]:
        """The same with so many bits [memory] free; of mappings fixed by hand the cheapest."""
        if tile.key.pinned != FREE:
            points = self._all_pinned(tile)
            return tuple(p for p in points if np.all(np.array(p.held_bits) <= budget))[:1]
        plain = self._plain(tile)
        key = plain, tuple(budget.tolist())
        if key not in self._within:
            point = quick_mapping(*self._subject(plain), tile.weights, budget)
            self._within[key] = self._split(plain, point)
        return self._turned(tile, self._within[key]) or ()

    def cheapest_within(self, tile: MappedTile, budget: np.ndarray) -> tuple[MappingPoint, ...]:
        """The best mapping that takes no more if it is known; else some mapping that does not."""
        if self.best(tile):
            point = self.staircase(tile).within(budget.tolist())[1]
            if point is not None:
                return (point,)
        return self.some_within(tile, budget)

    def _weighed(self, tile: MappedTile) -> tuple[int, ...]:
        """Shared memories on chip in which a mapping decides how much it holds."""
        resting = self._resting(tile)
        found = {m for chain, memory in resting for m in chain[: chain.index(memory)]}
        precision = self.tables.problem.workload.layers[tile.key.like[0]].precision
        if precision.partial_bits != precision.output_bits:
            # Outputs may wait where they rest for the last of their sums, which are wider.
            found.add(resting[-1][1])
        instances = [memory.instances for memory in self.tables.problem.hardware.memories]
        dram = self.tables.domains.dram
        return tuple(sorted(m for m in found if m != dram and instances[m] == 1))
