"""Placements of all kinds of tile of a stack that fit, improved step by step (compiled).

Weights and caches lie where they do for all kinds alike. Given those, each kind of tile is alone:
its cheapest path over the memories of inputs and outputs, of entries that fit beside what stays,
takes one pass. So what all share is moved, one tensor at a time or two that change places, as long
as that makes all kinds together cheaper. It proves nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.capacity_bound import occupied
from cost.kind_paths import cheapest
from cost.shared_prices import occupancy_of

MOST_SWEEPS = 12
"""Passes over all that is shared."""
RETRIES = 4
"""Paths tried for a kind of tile, each time with one place less for a tile from outside."""
GAIN = 1e-9
"""Least relative gain of a move."""


@njit(cache=True)
def _staying(x, spots):
    """Bits [memory] that weights and caches take, at `spots` [W/H/V, layer] (entries)."""
    out = np.zeros(x.room.shape[0])
    for e in range(spots.shape[1]):
        m = x.weight_mem[e, spots[0, e]]
        if m >= 0:
            out[m] += x.weight_bits[e]
        m = x.h_mem[e, spots[1, e]]
        if m >= 0:
            out[m] += x.h_bits[e, spots[1, e]]
        m = x.v_mem[e, spots[2, e]]
        if m >= 0:
            out[m] += x.v_bits[e, spots[2, e]]
    return out


@njit(cache=True)
def _room_left(x, k, e, i, o, stays, left):
    """Write the bits `left` [memory] to a mapping beside its tensors; False if these do not fit."""
    for m in range(left.shape[0]):
        left[m] = x.room[m] - stays[m]
    left[x.input_mem[i]] -= x.input_bits[k, e, i]
    left[x.output_mem[o]] -= x.output_bits[k, e, o]
    for m in range(left.shape[0]):
        if left[m] < 0:
            return False
    return True


@njit(cache=True)
def _entry_cost(x, k, at, stair, beyond, left):
    """Cost of the entry `at` (e, w, i, o) with the best mapping, or step of one, that fits."""
    e, w, i, o = at
    cost = x.f[k, e, w, i, o]
    fits = True
    for m in range(left.shape[0]):
        if beyond[k, e, w, i, o, m] > left[m]:
            fits = False
    if fits:
        return cost
    least = np.inf
    if stair >= 0:
        for step in range(x.stairs[k, stair, 4], x.stairs[k, stair, 5]):
            if x.step_costs[step] >= least:
                continue
            fits = True
            for m in range(left.shape[0]):
                if x.step_bits[step, m] > left[m]:
                    fits = False
            if fits:
                least = x.step_costs[step]
    return cost + least


@njit(cache=True)
def _inside(x, k, stair_at, beyond, spots, stays, picks):
    """Least cost of kind `k` where what is shared lies at `spots`; its `picks` [layer, 8].

    Infinite where nothing fits, or where the cheapest path would not, tiles that wait included.
    """
    n, _, n_i, n_o = x.f.shape[1:]
    f = np.full((n, 1, n_i, n_o), np.inf)
    g = np.empty((n, x.g.shape[2], n_i, 1, 1, 1))
    left = np.empty(x.room.shape[0])
    for e in range(n):
        w = spots[0, e]
        g[e, :, :, 0, 0, 0] = x.g[k, e, :, :, spots[1, e], 0, spots[2, e]]
        for i in range(n_i):
            for o in range(n_o):
                if np.isinf(x.f[k, e, w, i, o]):
                    continue
                if not x.runs[k, e]:
                    f[e, 0, i, o] = x.f[k, e, w, i, o]
                elif _room_left(x, k, e, i, o, stays, left):
                    stair = stair_at[k, e, w, i, o]
                    f[e, 0, i, o] = _entry_cost(x, k, (e, w, i, o), stair, beyond, left)
    pick_f = np.zeros((n, 3), dtype=np.int64)
    pick_g = np.zeros((n, 5), dtype=np.int64)
    for _ in range(RETRIES):
        value = cheapest(f, g, x.linked, pick_f, pick_g)
        if np.isinf(value):
            return value
        for e in range(n):
            pick_f[e, 0] = spots[0, e]
            pick_g[e, 2], pick_g[e, 3], pick_g[e, 4] = spots[1, e], 0, spots[2, e]
        use = occupied(pick_f, pick_g, occupancy_of(x, k))
        full = -1
        for e in range(n):
            if not x.runs[k, e]:
                continue
            m = x.fetch_mem[k, e, pick_g[e, 0]]
            if m >= 0:
                # A tile on its way in is there before the layer runs.
                use[e, m] = max(use[e, m], stays[m] + x.fetch_bits[k, e])
            for m in range(use.shape[1]):
                if use[e, m] > x.room[m]:
                    full = e
        if full < 0:
            picks[:, :3] = pick_f
            picks[:, 3:] = pick_g
            return value
        # What waits is not part of an entry. A tile from outside may be put down elsewhere.
        if x.fetch_mem[k, full, pick_g[full, 0]] < 0:
            break
        g[full, pick_g[full, 0]] = np.inf
    return np.inf


@njit(cache=True)
def _all(x, stair_at, beyond, spots, most, picks):
    """Least cost of all kinds together, infinite once it is above `most`."""
    stays = _staying(x, spots)
    total = 0.0
    for k in range(x.counts.shape[0]):
        total += x.counts[k] * _inside(x, k, stair_at, beyond, spots, stays, picks[k])
        if total > most:
            return np.inf
    return total


@njit(cache=True)
def _open_spots(x):
    """How many entries [W/H/V, layer] there are to choose from."""
    n = x.f.shape[1]
    out = np.ones((3, n), dtype=np.int64)
    for e in range(n):
        for what in range(3):
            memories = (x.weight_mem, x.h_mem, x.v_mem)[what][e]
            count = 0
            for m in memories:
                if m >= 0:
                    count += 1
            out[what, e] = max(1, count)
    return out


@njit(cache=True, nogil=True)
def improve_places(x, beyond, spots, picks):
    """Move what is shared, `spots` [W/H/V, layer] (entries, in place), while that costs less.

    `beyond` [kind, layer, W, I, O, memory]: bits that the best mapping of an entry takes beyond
    its tensors. Returns the cost; `picks` [kind, layer, (w, i, o, producer, I, H, 0, V)] receive
    the entries of every kind. Infinite where nothing fits to begin with.
    """
    n_kinds, n = x.f.shape[:2]
    stair_at = np.full(x.f.shape, -1, dtype=np.int64)
    for k in range(n_kinds):
        for stair in range(x.n_stairs[k]):
            e, w, i, o = x.stairs[k, stair, :4]
            stair_at[k, e, w, i, o] = stair
    trial = picks.copy()
    choices = _open_spots(x)
    best = _all(x, stair_at, beyond, spots, np.inf, picks)
    if np.isinf(best):
        # With all caches outside there is most room.
        spots[1:] = choices[1:] - 1
        best = _all(x, stair_at, beyond, spots, np.inf, picks)
        if np.isinf(best):
            return best
    for _ in range(MOST_SWEEPS):
        before = best
        for what in range(3):
            for e in range(n):
                for entry in range(choices[what, e]):
                    kept = spots[what, e]
                    if entry == kept:
                        continue
                    spots[what, e] = entry
                    cost = _all(x, stair_at, beyond, spots, best * (1 - GAIN), trial)
                    if cost < best:
                        best = cost
                        picks[:] = trial
                    else:
                        spots[what, e] = kept
        if best < before * (1 - GAIN):
            continue
        # No single move helps: two tensors of a kind change places.
        for what in range(3):
            for e in range(n):
                for d in range(e):
                    here, there = spots[what, e], spots[what, d]
                    if here == there or there >= choices[what, e] or here >= choices[what, d]:
                        continue
                    spots[what, e], spots[what, d] = there, here
                    cost = _all(x, stair_at, beyond, spots, best * (1 - GAIN), trial)
                    if cost < best:
                        best = cost
                        picks[:] = trial
                    else:
                        spots[what, e], spots[what, d] = here, there
        if best >= before * (1 - GAIN):
            break
    return best
