"""Prices on the bits of shared memories, for a bound on chains that must fit (compiled).

Charging every block for what it takes of a memory, less the price of all that is free,
bounds the cost of every chain that fits from below, at any prices. Prices at which the
cheapest chain about fills a memory bound it best.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.least_chain import trace_chain
from cost.mapping_tables import completion_table

ROUNDS, STEPS = 2, 8
"""How often each memory is priced anew, and chains tried for each price."""
CLOSE = 1e-4
"""Relative: a price is good enough if no chain lies further below the pieces known."""
FIRST, GROWTH = 1e-2, 10.0
"""Share of a chain's cost that the bits too many are to save at the first price tried, and
by how much prices grow until a chain fits."""


@njit(cache=True)
def priced(costs, bits, mem_index, levels, prices):
    """`costs` [o, m, i] with what every block pays for its bits."""
    out = costs.copy()
    for o in range(3):
        for m in range(levels[o] - 1):
            price = prices[mem_index[o, m]]
            if price > 0:
                out[o, m] += price * bits[o, m]
    return out


@njit(cache=True)
def _paid(costs, bits, a, levels, prices, chain):
    """Cost of a chain at `prices`."""
    cost = 0.0
    for o in range(3):
        for m in range(levels[o] - 1):
            i = chain[o, m]
            cost += costs[o, m, i] + prices[a.mem_index[o, m]] * bits[o, m, i]
    return cost


@njit(cache=True)
def _cheapest(costs, bits, possible, a, t, levels, prices, chain):
    """Bits [memory] that the cheapest chain at these prices takes; `chain` receives it."""
    bounds = levels - 1
    paying = priced(costs, bits, a.mem_index, levels, prices)
    to_go = completion_table(paying, possible, bounds, t.axes, t.strides)
    trace_chain(paying, possible, to_go, bounds, t.exponents, chain)
    taken = np.zeros(len(prices))
    for o in range(3):
        for m in range(bounds[o]):
            taken[a.mem_index[o, m]] += bits[o, m, chain[o, m]]
    return taken


@njit(cache=True)
def _price(costs, bits, possible, a, t, levels, prices, memory, room, chains, met, large, taken):
    """Best price of one memory, the others' as they are, and the chains met so far.

    The cheapest chain without this price, number `large`, has `taken` too many bits of the
    memory. The cheapest cost over the price is a concave line of straight pieces: from a chain
    that is too large and one that fits, go to where their pieces meet until no chain lies
    far below.
    """
    large_cost, large_bits = _paid(costs, bits, a, levels, prices, chains[large]), taken
    small_cost, small_bits = np.inf, 0.0
    price = FIRST * large_cost / (large_bits - room)
    for _ in range(STEPS):
        chain = chains[met]
        prices[memory] = price
        taken = _cheapest(costs, bits, possible, a, t, levels, prices, chain)[memory]
        prices[memory] = 0.0
        cost = _paid(costs, bits, a, levels, prices, chain)
        met += 1
        known = min(large_cost + price * large_bits, small_cost + price * small_bits)
        if small_cost < np.inf and cost + price * taken >= known * (1 - CLOSE):
            return price, met
        if taken <= room:
            small_cost, small_bits = cost, taken
        else:
            large_cost, large_bits = cost, taken
        if small_cost < np.inf:
            price = (small_cost - large_cost) / (large_bits - small_bits)
        else:
            price *= GROWTH
    return price if small_cost < np.inf else 0.0, met


@njit(cache=True)
def memory_prices(a, t, levels, costs, possible, room):
    """Prices [memory] of a bit, and the chains [chain, o, m] met on the way.

    `room` [memory]: bits free for what blocks take, `t.bits`.
    """
    n = len(room)
    prices = np.zeros(n)
    chains = np.zeros((ROUNDS * n * (STEPS + 1), *costs.shape[:2]), dtype=np.int64)
    met = 0
    taken, last = np.zeros(n), 0
    # How often prices changed, now, when `taken` was found and when each memory was priced.
    changes, found = 0, -1
    priced_at = np.full(n, -1, dtype=np.int64)
    for _ in range(ROUNDS):
        for k in range(n):
            if priced_at[k] == changes:
                continue
            before = prices[k]
            if before > 0 or found != changes:
                prices[k] = 0.0
                taken = _cheapest(costs, t.bits, possible, a, t, levels, prices, chains[met])
                last = met
                met += 1
                found = -1 if before > 0 else changes
            price = 0.0
            if taken[k] > room[k]:
                price, met = _price(
                    costs,
                    t.bits,
                    possible,
                    a,
                    t,
                    levels,
                    prices,
                    k,
                    room[k],
                    chains,
                    met,
                    last,
                    taken[k],
                )
            if price != before:
                changes += 1
            prices[k] = price
            priced_at[k] = changes
    return prices, chains[:met]
