"""Bounds on a kind of tile where memories are shared, with whole tensors in place of fractions.

Prices on memories bound placements as if a tensor could lie partly in one memory and partly
in another (`capacity_bound`). Where a few large ones compete for a memory, the weights of a
deep stack, say, that may be far too low. Here the tensor that is most torn between lying in a
memory and elsewhere is put there, and then kept away from there: no placement is lost, and each
half has a bound of its own. The half of least bound is divided further.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.capacity_bound import ascend, least_makes, no_counts

ROUNDS = 15
"""Rounds of prices for every half, from those of the whole on."""
MOST_DEPTH = 24
"""Decisions of a part after which it is divided no further."""
TRIAL_PARTS, TRIAL_RISE = 4, 1e-5
"""Parts after which the bound has to have risen by so much, or no more are made."""
WEIGHT, INPUT, OUTPUT, H_CACHE, V_CACHE = range(5)


@njit(cache=True)
def _restrict(f, g, x, what, e, memory, there):
    """Leave layer e only entries with `what` in `memory`, or only those without; in place."""
    if what == WEIGHT:
        for w in range(f.shape[1]):
            if (x.weight_mem[e, w] == memory) != there:
                f[e, w] = np.inf
    elif what == INPUT:
        for i in range(f.shape[2]):
            if (x.input_mem[i] == memory) != there:
                f[e, :, i] = np.inf
    elif what == OUTPUT:
        for o in range(f.shape[3]):
            if (x.output_mem[o] == memory) != there:
                f[e, :, :, o] = np.inf
    elif what == H_CACHE:
        for a in range(g.shape[3]):
            if (x.h_mem[e, a] == memory) != there:
                g[e, :, :, a] = np.inf
    else:
        for c in range(g.shape[5]):
            if (x.v_mem[e, c] == memory) != there:
                g[e, :, :, :, :, c] = np.inf


@njit(cache=True)
def _most_torn(seen_f, seen_g, x, decision):
    """Fill `decision` (what, layer, memory) with what is most torn; False if nothing is.

    By how often paths under changing prices took it there and elsewhere, and by its share of
    the memory.
    """
    best = 0.0
    for e in range(seen_f.shape[0]):
        rounds = seen_f[e, 0].sum()
        for what in range(5):
            if what <= OUTPUT:
                counts = seen_f[e, what]
            else:
                counts = seen_g[e, what - H_CACHE]
            for memory in range(x.room.shape[0]):
                if np.isinf(x.room[memory]) or x.room[memory] <= 0:
                    continue
                there = 0
                bits = 0.0
                for k in range(counts.shape[0]):
                    if counts[k] == 0:
                        continue
                    if what == WEIGHT:
                        at, size = x.weight_mem[e, k], x.weight_bits[e]
                    elif what == INPUT:
                        at, size = x.input_mem[k], x.input_bits[e, k]
                    elif what == OUTPUT:
                        at, size = x.output_mem[k], x.output_bits[e, k]
                    elif what == H_CACHE:
                        at, size = x.h_mem[e, k], x.h_bits[e, k]
                    else:
                        at, size = x.v_mem[e, k], x.v_bits[e, k]
                    if at == memory:
                        there += counts[k]
                        bits = max(bits, size)
                torn = min(there, rounds - there) / rounds * bits / x.room[memory]
                if torn > best:
                    best = torn
                    decision[0], decision[1], decision[2] = what, e, memory
    return best > 0.0


@njit(cache=True, nogil=True)
def divided_bound(cost_f, cost_g, x, rounds, most_parts, enough, start):
    """Lower bound of the cost of one tile under shared capacities, tensors being whole.

    Tables and occupancy as for `capacity_prices`, whose bound this one starts from, with prices
    `start` [layer, memory] to begin with. Ends where the bound reaches `enough`, does not rise any
    more, or `most_parts` were looked at. Returns (bound, picks [layer, (w, i, o)] of the part of
    least bound, bits [layer, memory] that they leave to mappings).
    """
    least_g = least_makes(cost_g)
    n, n_mem = cost_f.shape[0], x.room.shape[0]
    size = most_parts + 2
    bounds = np.full(size, np.inf)
    prices = np.zeros((size, n, n_mem))
    prices[0] = start
    picks = np.zeros((size, n, 3), dtype=np.int64)
    frees = np.zeros((size, n, n_mem))
    decisions = np.zeros((size, MOST_DEPTH, 4), dtype=np.int64)
    depths = np.zeros(size, dtype=np.int64)
    torn = np.zeros((size, 3), dtype=np.int64)
    divisible = np.zeros(size, dtype=np.bool_)
    seen_f, seen_g = no_counts(cost_f, cost_g)
    bounds[0], prices[0], picks[0], frees[0] = ascend(
        cost_f, least_g, x, rounds, prices[0], seen_f, seen_g
    )
    whole = bounds[0]
    if np.isfinite(whole):
        divisible[0] = _most_torn(seen_f, seen_g, x, torn[0])
    used = 1
    while True:
        part = int(np.argmin(bounds[:used]))
        is_vain = used > TRIAL_PARTS and bounds[part] <= whole * (1 + TRIAL_RISE)
        if bounds[part] >= enough or not divisible[part] or used + 2 > size or is_vain:
            return bounds[part], picks[part], frees[part]
        depth = depths[part]
        least = bounds[part]
        for there in range(2):
            decisions[used, :depth] = decisions[part, :depth]
            decisions[used, depth, :3] = torn[part]
            decisions[used, depth, 3] = there
            f, g = cost_f.copy(), least_g.copy()
            for k in range(depth + 1):
                what, e, memory, where = decisions[used, k]
                _restrict(f, g, x, what, e, memory, where == 1)
            seen_f[:] = 0
            seen_g[:] = 0
            value, price, pick, free = ascend(f, g, x, ROUNDS, prices[part], seen_f, seen_g)
            if np.isinf(value):
                continue
            bounds[used] = max(value, least)
            prices[used], picks[used], frees[used] = price, pick, free
            depths[used] = depth + 1
            divisible[used] = depth + 1 < MOST_DEPTH and _most_torn(seen_f, seen_g, x, torn[used])
            used += 1
        # Both halves take its place.
        bounds[part] = np.inf
        if used == 1 or not np.isfinite(bounds[:used].min()):
            return np.inf, picks[part], frees[part]
