"""Chains of boundaries of a layer-tile that may fit its memories, with their tables.

How wide a block of outputs is depends on two boundaries: it holds unfinished sums if
loops above the boundary below its level add to the same outputs again. Those loops lie
above all boundaries up to some level and above none beyond it; a space of chains with
that level given knows the width of every block beforehand.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cost.boundary_tables import OUT
from cost.joint_room import joint_room
from cost.layer_model import LayerModel
from cost.least_chain import ROUNDING, cheapest_fitting_chain, through_costs, trace_chain
from cost.mapping_tables import MappingTables, completion_table
from cost.memory_prices import memory_prices, priced
from cost.memory_use import memory_use, products_below


class ChainSpace:
    """Chains over some tables; `room` [memory]: bits free for what `tables.bits` says."""

    def __init__(
        self,
        model: LayerModel,
        sizes: np.ndarray,
        levels: np.ndarray,
        tables: MappingTables,
        budget: np.ndarray,
        room: np.ndarray,
    ) -> None:
        self.model, self.sizes, self.levels, self.tables = model, sizes, levels, tables
        self.budget, self.room = budget, room
        self.bounds = levels - 1
        self.possible = tables.pj < np.inf
        self.to_go = self.completion(tables.pj)
        self.least_pj = self.root(self.to_go)
        """No chain costs less, be it that it fits or not; infinite without any."""
        self._prices = np.zeros(len(budget))

    def completion(self, costs: np.ndarray) -> np.ndarray:
        """`completion_table` of `costs` [o, m, i], infinite where impossible."""
        t = self.tables
        return np.asarray(completion_table(costs, costs < np.inf, self.bounds, t.axes, t.strides))

    def root(self, to_go: np.ndarray) -> float:
        """Least cost of a whole chain."""
        return float(to_go[tuple(self.bounds)][-1])

    @cached_property
    def through_pj(self) -> np.ndarray:
        """[o, m, i]: pJ of the cheapest chain with that boundary, be it that it fits or not."""
        return self._through(self.tables.pj, self.to_go)

    def _through(self, costs: np.ndarray, to_go: np.ndarray) -> np.ndarray:
        t = self.tables
        return np.asarray(
            through_costs(costs, costs < np.inf, to_go, self.bounds, t.axes, t.strides)
        )

    def within(self, most: float) -> np.ndarray:
        """pJ [o, m, i] of boundaries that some chain of at most `most` may have."""
        pj = self.tables.pj
        kept = np.where(self.through_pj <= most, pj, np.inf)
        if not self._prices.any():
            return kept
        paid = self._priced(kept)
        most_paid = (most + float(self._prices @ self.room)) * (1 + ROUNDING)
        return np.where(self._through(paid, self.completion(paid)) <= most_paid, kept, np.inf)

    def _priced(self, costs: np.ndarray) -> np.ndarray:
        bits, memories = self.tables.bits, self.model.mem_index
        return np.asarray(priced(costs, bits, memories, self.levels, self._prices))

    def cheapest(self, costs: np.ndarray, to_go: np.ndarray) -> np.ndarray:
        """The cheapest chain [o, m], whether it fits or not."""
        chain = np.zeros(costs.shape[:2], dtype=np.int64)
        trace_chain(costs, costs < np.inf, to_go, self.bounds, self.tables.exponents, chain)
        return chain

    def cost(self, chain: np.ndarray, costs: np.ndarray) -> float:
        """Sum of `costs` [o, m, i] over a chain."""
        return sum(float(costs[o, m, chain[o, m]]) for o in range(3) for m in range(self.bounds[o]))

    def energy_pj(self, chain: np.ndarray) -> float:
        """What crosses the boundaries of a chain."""
        return self.cost(chain, self.tables.pj)

    def held_bits(self, chain: np.ndarray, flags: np.ndarray | None = None) -> np.ndarray:
        """Bits [memory] that a chain holds, with copies of the levels in `flags` [o, m]."""
        t = self.tables
        return np.asarray(
            memory_use(
                self.model.arrays,
                products_below(t.products, chain, self.levels),
                np.zeros(chain.shape, dtype=np.bool_) if flags is None else flags,
                self.levels,
                t.q,
                t.energy_factor,
                self.sizes,
            )
        )

    def fits(self, chain: np.ndarray) -> bool:
        """Whether a chain fits all memories at once."""
        return bool((self.held_bits(chain) <= self.budget).all())

    def search(
        self, costs: np.ndarray, to_go: np.ndarray, most: float, most_labels: int
    ) -> tuple[int, np.ndarray, int]:
        """(outcome, chain, partial chains) of the search for the cheapest chain that fits."""
        paid_to_go = to_go
        if self._prices.any():
            paid_to_go = self.completion(self._priced(costs))
        chain = np.zeros(costs.shape[:2], dtype=np.int64)
        outcome, _, labels = cheapest_fitting_chain(
            self.model.arrays,
            self.tables,
            self.levels,
            costs,
            to_go,
            paid_to_go,
            self._prices,
            self.room,
            most,
            most_labels,
            chain,
        )
        return outcome, chain, labels

    def set_prices(self) -> float:
        """Put prices on memories; returns the pJ of the cheapest chain met that fits."""
        self._prices, chains = memory_prices(
            self.model.arrays, self.tables, self.levels, self.tables.pj, self.possible, self.room
        )
        return min((self.energy_pj(chain) for chain in chains if self.fits(chain)), default=np.inf)


class KnownWidths:
    """Spaces that hold every chain of a space that fits, blocks of outputs at their width.

    Loops that add to the same outputs lie above the boundaries below level `widest`.
    """

    def __init__(self, whole: ChainSpace) -> None:
        self._whole = whole
        t, a = whole.tables, whole.model.arrays
        ignored = a.rel[OUT] == 0
        self._sums = (t.products[:, ignored] < t.q[ignored]).any(axis=1)
        self._highest = int(whole.levels[OUT]) - 1
        self.widest = tuple(range(self._highest + 1)) if self._sums[0] else (-1,)

    def _apart(self, widest: int, m: int) -> np.ndarray:
        """Points [i] where boundary m of O does not lie."""
        return np.asarray(self._sums if m >= widest else ~self._sums)

    def bounds_pj(self) -> list[float]:
        """For each of `widest` a lower bound of what its chains cost."""
        whole = self._whole
        through = whole.through_pj[OUT]
        least = (1 - ROUNDING) * whole.least_pj
        return [
            max(
                (
                    (1 - ROUNDING) * float(through[m, ~self._apart(widest, m)].min(initial=np.inf))
                    for m in range(self._highest)
                ),
                default=least,
            )
            for widest in self.widest
        ]

    def space(self, widest: int) -> ChainSpace | None:
        """The space of one width; None if nothing fits."""
        whole, highest = self._whole, self._highest
        t = whole.tables
        wide, narrow = whole.model.arrays.precision[OUT]
        pj, bits, resting = t.pj.copy(), t.bits.copy(), t.tensor_bits.copy()
        for m in range(highest):
            pj[OUT, m, self._apart(widest, m)] = np.inf
        if 0 < widest < highest:
            bits[OUT, widest] = bits[OUT, widest] / narrow * wide
        if widest == highest:
            resting[OUT] = resting[OUT] / narrow * wide
        own = t._replace(pj=pj, bits=bits, tensor_bits=resting)
        room = joint_room(whole.model, own, whole.levels, whole.budget)
        if not room.fits:
            return None
        return ChainSpace(
            whole.model,
            whole.sizes,
            whole.levels,
            room.tables,
            whole.budget,
            whole.budget - room.reserved_bits,
        )


def shared_out(space: ChainSpace) -> float:
    """pJ of the cheapest chain in which no block takes more than its share of the room."""
    t = space.tables
    pj = t.pj.copy()
    boundaries = [
        (o, m, int(space.model.mem_index[o, m])) for o in range(3) for m in range(space.bounds[o])
    ]
    sharers = np.bincount([memory for *_, memory in boundaries], minlength=len(space.room))
    for o, m, memory in boundaries:
        pj[o, m, t.bits[o, m] * sharers[memory] > space.room[memory]] = np.inf
    return space.root(space.completion(pj))
