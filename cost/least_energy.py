"""The temporal mapping of least energy of a layer-tile, without a search over loop orders.

The energy of a mapping is a sum over its boundaries, so the least is that of a chain of
points of the lattice; the order of the loops in between does not matter to it. Energy is
exact: the least over all mappings that fit. Among chains of that energy, those that are
short in some view of the latency are tried, each with the best loop order that stepwise
improvement finds: the latency is the least of those tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.boundary_tables import SIZE
from cost.chain_order import order_chain
from cost.joint_room import joint_room
from cost.layer_model import LayerModel
from cost.least_chain import (
    FOUND,
    NOTHING,
    ROUNDING,
    TOO_MANY,
    cheapest_fitting_chain,
    on_cheap_chains,
    trace_chain,
)
from cost.mapping_search import MappingPoint, best_mapping
from cost.mapping_tables import (
    MappingTables,
    completion_table,
    energy_tables,
    latency_views,
    with_views,
)
from cost.memory_prices import memory_prices, priced
from cost.memory_use import memory_use, products_below
from problems.workload import LOOP_DIMS

FEW_LABELS = 4_000
"""Partial chains after which memories get prices, and a search among equals gives up."""
MOST_LABELS = 2_000_000
"""Partial chains after which the search over loop orders takes over."""
TIE_PJ = 1e-9
"""Share of the energy that the longest view may weigh where equal energies are told apart."""
VIEWS_TRIED = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ordered:
    """A chain with its loops, outermost first, and what they cost."""

    placed: np.ndarray
    energy_pj: float
    latency_cycles: float
    loops: np.ndarray
    cuts: np.ndarray
    flags: np.ndarray


class _Tile:
    """One layer-tile under one placement, with the tables that all its chains share."""

    def __init__(self, model: LayerModel, sizes: np.ndarray, levels: tuple[int, int, int]) -> None:
        self.model, self.sizes = model, sizes
        self.levels = np.array(levels, dtype=np.int64)
        self.bounds = self.levels - 1
        self.budget = model.memory[:, SIZE].copy()
        self.whole, self.amounts = energy_tables(model.arrays, sizes, self.levels)
        room = joint_room(model, self.whole, self.levels, self.budget)
        self.reserved, self.fits = room.reserved_bits, room.fits
        self.tables: MappingTables = room.tables
        self.possible = self.tables.pj < np.inf
        self.prices = np.zeros(len(self.budget))
        self.labels = 0

    def to_go(self, costs: np.ndarray) -> np.ndarray:
        t = self.tables
        return np.asarray(
            completion_table(costs, self.possible, self.bounds, t.axes, t.strides)
        )

    def cheapest(self, costs: np.ndarray, to_go: np.ndarray) -> np.ndarray:
        """The cheapest chain [o, m], whether it fits or not."""
        chain = np.zeros(costs.shape[:2], dtype=np.int64)
        trace_chain(costs, self.possible, to_go, self.bounds, self.tables.exponents, chain)
        return chain

    def root(self, to_go: np.ndarray) -> float:
        return float(to_go[tuple(self.bounds)][-1])

    def cost(self, chain: np.ndarray, costs: np.ndarray) -> float:
        """Sum of `costs` [o, m, i] over a chain."""
        return sum(
            float(costs[o, m, chain[o, m]]) for o in range(3) for m in range(self.bounds[o])
        )

    def energy(self, chain: np.ndarray) -> float:
        """pJ of all boundaries of a chain."""
        return self.cost(chain, self.tables.pj)

    def holds(self, chain: np.ndarray) -> bool:
        """Whether a chain fits all memories at once."""
        t = self.tables
        below = products_below(t.products, chain, self.levels)
        flags = np.zeros(chain.shape, dtype=np.bool_)
        use = memory_use(
            self.model.arrays, below, flags, self.levels, t.q, t.energy_factor, self.sizes
        )
        return bool((use <= self.budget).all())

    def search(
        self, costs: np.ndarray, to_go: np.ndarray, most: float, most_labels: int
    ) -> tuple[int, np.ndarray]:
        """(outcome, chain) of the search for the cheapest chain that fits."""
        mem_index = self.model.mem_index
        paying = priced(costs, self.tables.bits, mem_index, self.levels, self.prices)
        chain = np.zeros(costs.shape[:2], dtype=np.int64)
        outcome, _, labels = cheapest_fitting_chain(
            self.model.arrays,
            self.tables,
            self.levels,
            costs,
            to_go,
            self.to_go(paying) if self.prices.any() else to_go,
            self.prices,
            self.whole.bits,
            self.reserved,
            self.budget,
            most,
            most_labels,
            chain,
        )
        self.labels += labels
        return outcome, chain

    def set_prices(self) -> float:
        """Put prices on memories; returns the pJ of the cheapest chain met that fits."""
        pj = self.tables.pj
        room = self.budget - self.reserved
        self.prices, chains = memory_prices(
            self.model.arrays, self.tables, self.levels, pj, self.possible, room
        )
        return min((self.energy(chain) for chain in chains if self.holds(chain)), default=np.inf)

    def least(self, to_go: np.ndarray) -> tuple[int, np.ndarray]:
        """(outcome, chain) of least energy that fits, where the cheapest of all does not."""
        pj = self.tables.pj
        most = self.some_fitting() * (1 + ROUNDING)
        outcome, chain = self.search(pj, to_go, most, FEW_LABELS)
        if outcome == TOO_MANY:
            most = min(most, self.set_prices() * (1 + ROUNDING))
            outcome, chain = self.search(pj, to_go, most, MOST_LABELS)
        return outcome, chain

    def some_fitting(self) -> float:
        """pJ of a cheap chain that fits for certain; infinite if none is at hand."""
        room = joint_room(self.model, self.whole, self.levels, self.budget, shared_out=True)
        if not room.fits:
            return np.inf
        pj, t = room.tables.pj, self.tables
        to_go = completion_table(pj, pj < np.inf, self.bounds, t.axes, t.strides)
        root = self.root(to_go)
        if root == np.inf:
            return np.inf
        chain = np.zeros(pj.shape[:2], dtype=np.int64)
        trace_chain(pj, pj < np.inf, to_go, self.bounds, t.exponents, chain)
        return self.energy(chain) if self.holds(chain) else np.inf

    def ordered(self, chain: np.ndarray) -> _Ordered | None:
        """The chain with loops of little latency; None if it does not fit."""
        fits, cycles, loops, cuts, flags = order_chain(
            self.model.arrays, self.tables, self.sizes, self.levels, chain, self.budget
        )
        if not fits:
            return None
        return _Ordered(
            placed=chain,
            energy_pj=self.energy(chain) + float(self.tables.fixed_pj),
            latency_cycles=float(cycles),
            loops=loops,
            cuts=cuts,
            flags=flags,
        )


def least_energy_mapping(
    model: LayerModel, sizes: np.ndarray, levels: tuple[int, int, int]
) -> MappingPoint | None:
    """A mapping of least energy, of little latency among those; None if nothing fits."""
    tile = _Tile(model, sizes, levels)
    if not tile.fits:
        return None
    to_go = tile.to_go(tile.tables.pj)
    if tile.root(to_go) == np.inf:
        return None
    chain = tile.cheapest(tile.tables.pj, to_go)
    binds = not tile.holds(chain)
    if binds:
        outcome, chain = tile.least(to_go)
        if outcome == NOTHING:
            return None
        if outcome != FOUND:
            return best_mapping(model, sizes, levels, (1.0, 0.0), 0.0)
    best = tile.ordered(chain)
    if best is None:
        raise RuntimeError("a chain that fits must be orderable")
    return _written_out(tile, _faster(tile, to_go, best, binds=binds))


def _faster(tile: _Tile, to_go: np.ndarray, best: _Ordered, *, binds: bool) -> _Ordered:
    """A chain of the same energy and less latency, if one is found."""
    t, a = tile.tables, tile.model.arrays
    moving = best.energy_pj - float(t.fixed_pj)
    slack = ROUNDING * best.energy_pj
    cheap = on_cheap_chains(
        t.pj, tile.possible, to_go, tile.bounds, t.axes, t.strides, moving + slack
    )
    if int(cheap.sum()) == int(tile.bounds.sum()):
        return best
    views = with_views(a, tile.sizes, tile.levels, t, cheap, tile.amounts)
    costs, constants = latency_views(a, views, tile.levels, True)
    longest = float(costs.max())
    if longest <= 0:
        return best
    tie = TIE_PJ * best.energy_pj / longest
    masked = np.where(cheap, t.pj, np.inf)
    tried = {best.placed.tobytes()}
    chain, mixed, n = best.placed, np.zeros(t.pj.shape), 0
    for _ in range(VIEWS_TRIED):
        lengths = constants.copy()
        for o in range(3):
            for m in range(tile.bounds[o]):
                lengths += costs[:, o, m, chain[o, m]]
        mixed += costs[int(lengths.argmax())]
        n += 1
        weighted = masked + tie / n * mixed
        table = np.asarray(completion_table(weighted, cheap, tile.bounds, t.axes, t.strides))
        if binds:
            most = tile.cost(best.placed, weighted) * (1 + ROUNDING)
            outcome, chain = tile.search(weighted, table, most, FEW_LABELS)
            if outcome != FOUND:
                break
        else:
            chain = np.zeros(t.pj.shape[:2], dtype=np.int64)
            trace_chain(weighted, cheap, table, tile.bounds, t.exponents, chain)
        if chain.tobytes() in tried:
            break
        tried.add(chain.tobytes())
        if tile.energy(chain) > moving + slack:
            continue
        ordered = tile.ordered(chain)
        if ordered is not None and ordered.latency_cycles < best.latency_cycles:
            best = ordered
    return best


def _written_out(tile: _Tile, chain: _Ordered) -> MappingPoint:
    t = tile.tables
    below = products_below(t.products, chain.placed, tile.levels)
    held = memory_use(
        tile.model.arrays, below, chain.flags, tile.levels, t.q, t.energy_factor, tile.sizes
    )
    loops = [(LOOP_DIMS[t.axes[k, 0]], int(t.axes[k, 1])) for k in chain.loops[::-1]]
    n = len(loops)
    cuts, flags = {}, {}
    for o, name in enumerate(tile.model.operands):
        kept = int(tile.levels[o])
        cuts[name] = tuple(n - int(cut) for cut in chain.cuts[o, :kept])
        flags[name] = tuple(bool(flag) for flag in chain.flags[o, :kept])
    return MappingPoint(
        energy_pj=chain.energy_pj,
        latency_cycles=round(chain.latency_cycles),
        held_bits=tuple(round(bits) for bits in held),
        loops=tuple(loops),
        cuts=cuts,
        double_buffered=flags,
    )
