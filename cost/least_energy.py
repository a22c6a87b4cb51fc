"""The temporal mapping of least energy of a layer-tile, without a search over loop orders.

The energy of a mapping is a sum over its boundaries, so the least is that of a chain of
points of the lattice; the order of the loops in between does not matter to it. Energy is
exact: the least over all mappings that fit. Among chains of that energy, those that are
short in some view of the latency are tried, each with the best loop order that stepwise
improvement finds: the latency is the least of those tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np

from cost.best_mapping import best_mapping
from cost.boundary_tables import OUT, SIZE
from cost.chain_order import order_chain
from cost.chain_space import ChainSpace, KnownWidths, shared_out
from cost.layer_model import LayerModel
from cost.least_chain import FOUND, ROUNDING, TOO_MANY
from cost.mapping_search import MappingPoint
from cost.mapping_tables import MappingTables, energy_tables, with_views
from problems.workload import LOOP_DIMS

FEW_LABELS = 4_000
"""Partial chains after which a search among equals gives up."""
UNPRICED_LABELS = 100_000
"""Partial chains after which memories get prices."""
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Least:
    """A chain of least energy, and the space it was found in.

    `binds`: others may not fit; `labels`: partial chains that it took to find this one.
    """

    space: ChainSpace
    chain: np.ndarray
    binds: bool
    labels: int = 0


class TooManyChainsError(RuntimeError):
    """The search was given up."""


def least_energy_mapping(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    budget_bits: np.ndarray | None = None,
    give_up: int | None = None,
) -> MappingPoint | None:
    """A mapping of least energy, of little latency among those; None if nothing fits.

    `budget_bits` [memory]: what all blocks in it may take together, by default its size.
    With `give_up`, raises TooManyChainsError after so many partial chains.
    """
    counts = np.array(levels, dtype=np.int64)
    tables, amounts = energy_tables(model.arrays, sizes, counts)
    budget = model.memory[:, SIZE].copy() if budget_bits is None else budget_bits
    whole = ChainSpace(model, sizes, counts, tables, budget, budget)
    try:
        least = _least(whole, MOST_LABELS if give_up is None else give_up)
    except TooManyChainsError:
        if give_up is not None:
            raise
        return best_mapping(model, sizes, levels, (1.0, 0.0), 0.0, budget=budget_bits)
    if least is None:
        return None
    ordered = _ordered(least.space, least.chain)
    if ordered is None:
        raise RuntimeError("a chain that fits must be orderable")
    return _written_out(least.space, _faster(least, amounts, ordered))


def _least(whole: ChainSpace, most_labels: int) -> _Least | None:
    """A chain of least energy among all that fit."""
    if whole.least_pj == np.inf:
        return None
    chain = whole.cheapest(whole.tables.pj, whole.to_go)
    if whole.fits(chain):
        return _Least(space=whole, chain=chain, binds=False)
    widths = KnownWidths(whole)
    # Spaces by what their chains cost at least: first roughly, and once looked at exactly.
    waiting = [
        (bound, False, widest)
        for bound, widest in zip(widths.bounds_pj(), widths.widest, strict=True)
    ]
    heapify(waiting)
    spaces: dict[int, ChainSpace] = {}
    best, known = None, np.inf
    while waiting:
        bound, exact, widest = heappop(waiting)
        if bound == np.inf or bound > known * (1 + ROUNDING):
            break
        if not exact:
            space = widths.space(widest)
            if space is not None:
                spaces[widest] = space
                heappush(waiting, (space.least_pj, True, widest))
            continue
        found = _least_in(spaces[widest], known * (1 + ROUNDING), most_labels)
        if found is None:
            continue
        chain, labels = found
        energy = spaces[widest].energy_pj(chain)
        if energy < known:
            best = _Least(space=spaces[widest], chain=chain, binds=True, labels=labels)
            known = energy
    return best


def _least_in(space: ChainSpace, most: float, most_labels: int) -> tuple[np.ndarray, int] | None:
    """The chain of least energy of a space, if one costs at most `most`, and partial chains."""
    chain = space.cheapest(space.tables.pj, space.to_go)
    if space.fits(chain):
        return chain, 0
    most = min(most, shared_out(space) * (1 + ROUNDING))
    within = space.within(most)
    outcome, chain, labels = space.search(within, space.to_go, most, UNPRICED_LABELS)
    if outcome == TOO_MANY:
        most = min(most, space.set_prices() * (1 + ROUNDING))
        within = space.within(most)
        outcome, chain, labels = space.search(within, space.to_go, most, most_labels)
    if outcome == TOO_MANY:
        raise TooManyChainsError
    return (chain, labels) if outcome == FOUND else None


def _ordered(space: ChainSpace, chain: np.ndarray) -> _Ordered | None:
    """The chain with loops of little latency; None if it does not fit."""
    fits, cycles, loops, cuts, flags = order_chain(
        space.model.arrays, space.tables, space.sizes, space.levels, chain, space.budget
    )
    if not fits:
        return None
    return _Ordered(
        placed=chain,
        energy_pj=space.energy_pj(chain) + float(space.tables.fixed_pj),
        latency_cycles=float(cycles),
        loops=loops,
        cuts=cuts,
        flags=flags,
    )


def _faster(least: _Least, amounts: np.ndarray, best: _Ordered) -> _Ordered:
    """A chain of the same energy and less latency, if one is found."""
    if least.labels > FEW_LABELS:
        return best  # telling equal energies apart, too, would seldom end in time
    space = least.space
    t, a, bounds = space.tables, space.model.arrays, space.bounds
    most = best.energy_pj * (1 + ROUNDING) - float(t.fixed_pj)
    cheap = space.through_pj <= most
    if int(cheap.sum()) == int(bounds.sum()):
        return best
    views = with_views(a, space.sizes, space.levels, t, cheap, amounts)
    costs, constants = _lengths(space, views)
    longest = float(costs.max())
    if longest <= 0:
        return best
    tie = TIE_PJ * best.energy_pj / longest
    pj = np.where(cheap, t.pj, np.inf)
    tried = {best.placed.tobytes()}
    chain, mixed = best.placed, np.zeros(t.pj.shape)
    for n in range(1, VIEWS_TRIED + 1):
        lengths = constants.copy()
        for o in range(3):
            for m in range(bounds[o]):
                lengths += costs[:, o, m, chain[o, m]]
        mixed += costs[int(lengths.argmax())]
        weighted = pj + tie / n * mixed
        to_go = space.completion(weighted)
        if least.binds:
            known = space.cost(best.placed, weighted) * (1 + ROUNDING)
            outcome, chain, _ = space.search(weighted, to_go, known, FEW_LABELS)
            if outcome != FOUND:
                break
        else:
            chain = space.cheapest(weighted, to_go)
        if chain.tobytes() in tried:
            break
        tried.add(chain.tobytes())
        if space.energy_pj(chain) > most:
            continue
        ordered = _ordered(space, chain)
        if ordered is not None and ordered.latency_cycles < best.latency_cycles:
            best = ordered
    return best


def _lengths(space: ChainSpace, views: MappingTables) -> tuple[np.ndarray, np.ndarray]:
    """(costs [v, o, m, i], constants [v]): cycles of chains as each view sees them.

    Unlike in a bound the first block of both inputs counts on every link.
    """
    costs = views.views.copy()
    costs[:, :OUT] += views.first[:OUT]
    if space.model.arrays.drain and space.bounds[OUT] > 0:
        costs[:, OUT, space.bounds[OUT] - 1] += views.first[OUT, space.bounds[OUT] - 1]
    return costs, views.constants


def _written_out(space: ChainSpace, chain: _Ordered) -> MappingPoint:
    axes = space.tables.axes
    loops = tuple((LOOP_DIMS[axes[k, 0]], int(axes[k, 1])) for k in chain.loops[::-1])
    n = len(loops)
    cuts, flags = {}, {}
    for o, name in enumerate(space.model.operands):
        kept = int(space.levels[o])
        cuts[name] = tuple(n - int(cut) for cut in chain.cuts[o, :kept])
        flags[name] = tuple(bool(flag) for flag in chain.flags[o, :kept])
    return MappingPoint(
        energy_pj=chain.energy_pj,
        latency_cycles=round(chain.latency_cycles),
        held_bits=tuple(round(bits) for bits in space.held_bits(chain.placed, chain.flags)),
        loops=loops,
        cuts=cuts,
        double_buffered=flags,
    )
