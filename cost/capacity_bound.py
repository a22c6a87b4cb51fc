"""Bounds on a kind of tile over all placements, with memories shared or not (compiled).

Caches, resident weights and the tensors of each layer-tile compete for every memory. The
bound prices each memory at each layer step (Lagrange multipliers), so that a placement
pays for what it occupies and the best placement under prices, less the price of what
there is, bounds every placement that fits. Any prices >= 0 are valid; a subgradient
ascent looks for good ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cost.kind_paths import cheapest


class Occupancy(NamedTuple):
    """What a placement of one kind of tile occupies, by the tables' axes.

    Memory indices (-1: none) `weight_mem` [e, w], `input_mem` [i], `output_mem` [o],
    `h_mem` [e, a] (per h_use entry), `v_mem` [e, c], `fetch_mem` [e, p] (per producer entry:
    where a tile from outside is put down); bits of the same axes, of weights per layer; `room`
    [memory] bits beside whole maps, infinite for DRAM. Tiles wait for later readers while
    layers [start, stop) run: outputs `waits` [e], tiles from outside `fetch_waits` [e]. Only at
    steps that a layer `runs` is room asked for. `linked`: see `kind_paths`.

    Mappings take room beside the tensors that rest there, and those that take less cost more.
    `stairs` [stair, (layer, W, I, O entry, first, end)]: every mapping of an entry of f costs and
    takes no less than one of the steps [first, end), of which `step_costs` [step] are above what
    the entry costs at least and `step_bits` [step, memory] are taken beside its tensors. There is
    no more than one for an entry, and none where nothing is known.
    """

    weight_mem: np.ndarray
    input_mem: np.ndarray
    output_mem: np.ndarray
    h_mem: np.ndarray
    v_mem: np.ndarray
    fetch_mem: np.ndarray
    weight_bits: np.ndarray
    input_bits: np.ndarray
    output_bits: np.ndarray
    h_bits: np.ndarray
    v_bits: np.ndarray
    output_waiting_bits: np.ndarray
    fetch_bits: np.ndarray
    waits: np.ndarray
    fetch_waits: np.ndarray
    runs: np.ndarray
    room: np.ndarray
    linked: np.ndarray
    stairs: np.ndarray
    step_costs: np.ndarray
    step_bits: np.ndarray


@njit(cache=True)
def _cheapest_step(x, stair, price):
    """The step of a stair that is cheapest under prices [layer, memory], and what it costs."""
    e, first, end = x.stairs[stair, 0], x.stairs[stair, 4], x.stairs[stair, 5]
    least, best = np.inf, first
    for k in range(first, end):
        cost = x.step_costs[k]
        for m in range(x.room.shape[0]):
            if price[e, m] > 0:
                cost += price[e, m] * x.step_bits[k, m]
        if cost < least:
            least, best = cost, k
    return best, least


@njit(cache=True)
def step_rises(price, x):
    """What mappings add to entries [stair] at least under prices [layer, memory]."""
    out = np.zeros(len(x.stairs))
    for stair in range(len(x.stairs)):
        out[stair] = _cheapest_step(x, stair, price)[1]
    return out


@njit(cache=True)
def add_steps(use, pick_f, price, x):
    """Add the bits of the steps behind some picks to `use` [layer, memory], in place."""
    for stair in range(len(x.stairs)):
        e, w, i, o = x.stairs[stair, :4]
        if pick_f[e, 0] == w and pick_f[e, 1] == i and pick_f[e, 2] == o:
            use[e] += x.step_bits[_cheapest_step(x, stair, price)[0]]


@njit(cache=True)
def priced(cost_f, cost_g, price, x):
    """Tables in which a placement pays for what it occupies, and the price of what there is.

    `price` [layer, memory]. Any path's cost in these tables less that total bounds the cost
    of every placement through the same entries that fits.
    """
    n = cost_f.shape[0]
    n_mem = x.room.shape[0]
    total = np.zeros(n_mem)
    fixed = 0.0
    for e in range(n):
        for m in range(n_mem):
            if price[e, m] > 0:
                total[m] += price[e, m]
                fixed += price[e, m] * x.room[m]
    paid_f = cost_f.copy()
    paid_g = cost_g.copy()
    for e in range(n):
        for o in range(cost_f.shape[3]):
            m = x.output_mem[o]
            extra = price[e, m] * x.output_bits[e, o]
            for step in range(x.waits[e, 0], x.waits[e, 1]):
                extra += price[step, m] * x.output_waiting_bits[e]
            if extra > 0:
                paid_f[e, :, :, o] += extra
        for i in range(cost_f.shape[2]):
            extra = price[e, x.input_mem[i]] * x.input_bits[e, i]
            if extra > 0:
                paid_f[e, :, i] += extra
        for w in range(cost_f.shape[1]):
            m = x.weight_mem[e, w]
            if m >= 0 and total[m] > 0:
                paid_f[e, w] += total[m] * x.weight_bits[e]
        for a in range(cost_g.shape[3]):
            m = x.h_mem[e, a]
            if m >= 0 and total[m] > 0:
                paid_g[e, :, :, a] += total[m] * x.h_bits[e, a]
        for c in range(cost_g.shape[5]):
            m = x.v_mem[e, c]
            if m >= 0 and total[m] > 0:
                paid_g[e, :, :, :, :, c] += total[m] * x.v_bits[e, c]
        for p in range(x.fetch_mem.shape[1]):
            m = x.fetch_mem[e, p]
            if m >= 0:
                extra = 0.0
                for step in range(x.fetch_waits[e, 0], x.fetch_waits[e, 1]):
                    extra += price[step, m] * x.fetch_bits[e]
                if extra > 0:
                    paid_g[e, p] += extra
    rises = step_rises(price, x)
    for stair in range(len(x.stairs)):
        e, w, i, o = x.stairs[stair, :4]
        paid_f[e, w, i, o] += rises[stair]
    return paid_f, paid_g, fixed


@njit(cache=True)
def close_misfits(f, g, x):
    """Make infinite, in place, what does not fit its memories even alone beside whole maps.

    f [layer, W, I, O, (pJ, cycles)], g [layer, producer, I, h_use, h_make, v, (pJ, cycles)].
    """
    for e in range(f.shape[0]):
        if not x.runs[e]:
            continue
        for w in range(f.shape[1]):
            for i in range(f.shape[2]):
                for o in range(f.shape[3]):
                    mw, mi, mo = x.weight_mem[e, w], x.input_mem[i], x.output_mem[o]
                    weight = x.weight_bits[e] if mw >= 0 else 0.0
                    held, made = x.input_bits[e, i], x.output_bits[e, o]
                    if (
                        (mw >= 0 and weight + held * (mi == mw) + made * (mo == mw) > x.room[mw])
                        or held + weight * (mw == mi) + made * (mo == mi) > x.room[mi]
                        or made + weight * (mw == mo) + held * (mi == mo) > x.room[mo]
                    ):
                        f[e, w, i, o] = np.inf
        for a in range(g.shape[3]):
            if x.h_mem[e, a] >= 0 and x.h_bits[e, a] > x.room[x.h_mem[e, a]]:
                g[e, :, :, a] = np.inf
        for c in range(g.shape[5]):
            if x.v_mem[e, c] >= 0 and x.v_bits[e, c] > x.room[x.v_mem[e, c]]:
                g[e, :, :, :, :, c] = np.inf
        for p in range(x.fetch_mem.shape[1]):
            m = x.fetch_mem[e, p]
            if m >= 0 and x.fetch_bits[e] > x.room[m]:
                g[e, p] = np.inf


@njit(cache=True)
def occupied(pick_f, pick_g, x):
    """Bits [layer, memory] that the tensors of some picks take at every step."""
    n = pick_f.shape[0]
    n_mem = x.room.shape[0]
    stays = np.zeros(n_mem)
    use = np.zeros((n, n_mem))
    for e in range(n):
        m = x.weight_mem[e, pick_f[e, 0]]
        if m >= 0:
            stays[m] += x.weight_bits[e]
        m = x.h_mem[e, pick_g[e, 2]]
        if m >= 0:
            stays[m] += x.h_bits[e, pick_g[e, 2]]
        m = x.v_mem[e, pick_g[e, 4]]
        if m >= 0:
            stays[m] += x.v_bits[e, pick_g[e, 4]]
        use[e, x.input_mem[pick_f[e, 1]]] += x.input_bits[e, pick_f[e, 1]]
        m = x.output_mem[pick_f[e, 2]]
        use[e, m] += x.output_bits[e, pick_f[e, 2]]
        for step in range(x.waits[e, 0], x.waits[e, 1]):
            use[step, m] += x.output_waiting_bits[e]
        m = x.fetch_mem[e, pick_g[e, 0]]
        if m >= 0:
            for step in range(x.fetch_waits[e, 0], x.fetch_waits[e, 1]):
                use[step, m] += x.fetch_bits[e]
    return use + stays


@njit(cache=True)
def least_makes(cost_g):
    """`cost_g` at the cheapest place for the columns that a tile makes: nothing is paid there."""
    n, n_p, n_i, n_a, n_b, n_c = cost_g.shape
    least_g = np.full((n, n_p, n_i, n_a, 1, n_c), np.inf)
    for b in range(n_b):
        least_g[:, :, :, :, 0] = np.minimum(least_g[:, :, :, :, 0], cost_g[:, :, :, :, b])
    return least_g


@njit(cache=True)
def ascend(cost_f, cost_g, x, rounds, start, seen_f, seen_g):
    """Lower bound of the cost of one tile under shared capacities, from prices `start` on.

    Returns (bound, prices [layer, memory] that prove it, picks [layer, (w, i, o)] of the path
    that attains it under those prices, bits [layer, memory] that they leave to mappings).
    `seen_f` [layer, (w, i, o), entry] and `seen_g` [layer, (h_use, v), entry] count the rounds in
    which a path took an entry.
    """
    n = cost_f.shape[0]
    n_mem = x.room.shape[0]
    # Whole maps may leave no room at all.
    scale = np.maximum(x.room, 1.0)
    price = start.copy()
    best_price = price.copy()
    pick_f = np.zeros((n, 3), dtype=np.int64)
    pick_g = np.zeros((n, 5), dtype=np.int64)
    best_pick = pick_f.copy()
    free = np.zeros((n, n_mem))
    best = -np.inf
    step = 1.0
    stale = 0
    for _ in range(rounds):
        paid_f, paid_g, fixed = priced(cost_f, cost_g, price, x)
        value = cheapest(paid_f, paid_g, x.linked, pick_f, pick_g) - fixed
        if np.isinf(value):
            return value, price, pick_f, free
        for e in range(n):
            for k in range(3):
                seen_f[e, k, pick_f[e, k]] += 1
            seen_g[e, 0, pick_g[e, 2]] += 1
            seen_g[e, 1, pick_g[e, 4]] += 1
        improved = value > best * (1 + 1e-7) or best == -np.inf
        if value > best:
            best = value
            best_price = price.copy()
            best_pick = pick_f.copy()
            free = x.room - occupied(pick_f, pick_g, x)
        if improved:
            stale = 0
        else:
            stale += 1
            if stale >= 3:
                step *= 0.5
                stale = 0
        # What the cheapest placement occupies at each step, less what there is.
        use = occupied(pick_f, pick_g, x)
        add_steps(use, pick_f, price, x)
        norm = 0.0
        excess = np.zeros((n, n_mem))
        for e in range(n):
            for m in range(n_mem):
                if np.isinf(x.room[m]) or not x.runs[e]:
                    continue
                over = (use[e, m] - x.room[m]) / scale[m]
                if over > 0 or price[e, m] > 0:
                    excess[e, m] = over
                    norm += over * over
        if norm == 0.0:
            break
        reach = step * 0.02 * abs(value) / norm
        for e in range(n):
            for m in range(n_mem):
                if excess[e, m] != 0.0:
                    price[e, m] = max(0.0, price[e, m] + reach * excess[e, m] / scale[m])
    return best, best_price, best_pick, free


@njit(cache=True)
def no_counts(cost_f, cost_g):
    """Counts for `ascend`, all zero."""
    n = cost_f.shape[0]
    most_f = max(cost_f.shape[1], cost_f.shape[2], cost_f.shape[3])
    most_g = max(cost_g.shape[3], cost_g.shape[5])
    seen_f = np.zeros((n, 3, most_f), dtype=np.int64)
    return seen_f, np.zeros((n, 2, most_g), dtype=np.int64)


@njit(cache=True, nogil=True)
def capacity_prices(cost_f, cost_g, x, rounds):
    """`ascend` from no prices at all."""
    seen_f, seen_g = no_counts(cost_f, cost_g)
    start = np.zeros((cost_f.shape[0], x.room.shape[0]))
    return ascend(cost_f, least_makes(cost_g), x, rounds, start, seen_f, seen_g)
