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
    `h_mem` [e, a] (per h_use entry), `v_mem` [e, c]; bits per layer; `room` [memory] bits,
    infinite for DRAM. `linked`: see `kind_paths`.
    """

    weight_mem: np.ndarray
    input_mem: np.ndarray
    output_mem: np.ndarray
    h_mem: np.ndarray
    v_mem: np.ndarray
    weight_bits: np.ndarray
    input_bits: np.ndarray
    output_bits: np.ndarray
    h_bits: np.ndarray
    v_bits: np.ndarray
    room: np.ndarray
    linked: np.ndarray


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
        for w in range(cost_f.shape[1]):
            m = x.weight_mem[e, w]
            if m < 0:
                continue
            for i in range(cost_f.shape[2]):
                for o in range(cost_f.shape[3]):
                    paid_f[e, w, i, o] += (
                        total[m] * x.weight_bits[e]
                        + price[e, x.input_mem[i]] * x.input_bits[e]
                        + price[e, x.output_mem[o]] * x.output_bits[e]
                    )
        for a in range(cost_g.shape[3]):
            for c in range(cost_g.shape[5]):
                extra = 0.0
                if x.h_mem[e, a] >= 0:
                    extra += total[x.h_mem[e, a]] * x.h_bits[e]
                if x.v_mem[e, c] >= 0:
                    extra += total[x.v_mem[e, c]] * x.v_bits[e]
                if extra > 0:
                    paid_g[e, :, :, a, :, c] += extra
    return paid_f, paid_g, fixed


@njit(cache=True)
def capacity_prices(cost_f, cost_g, x, rounds):
    """Lower bound of the cost of one tile under shared capacities.

    Returns (bound, prices [layer, memory] that prove it, picks of the path that attains it
    under those prices).
    """
    n = cost_f.shape[0]
    n_mem = x.room.shape[0]
    price = np.zeros((n, n_mem))
    best_price = price.copy()
    pick_f = np.zeros((n, 3), dtype=np.int64)
    pick_g = np.zeros((n, 5), dtype=np.int64)
    best_pick = pick_f.copy()
    best = -np.inf
    step = 1.0
    stale = 0
    for _ in range(rounds):
        paid_f, paid_g, fixed = priced(cost_f, cost_g, price, x)
        value = cheapest(paid_f, paid_g, x.linked, pick_f, pick_g) - fixed
        if np.isinf(value):
            return value, price, pick_f
        improved = value > best * (1 + 1e-7) or best == -np.inf
        if value > best:
            best = value
            best_price = price.copy()
            best_pick = pick_f.copy()
        if improved:
            stale = 0
        else:
            stale += 1
            if stale >= 3:
                step *= 0.5
                stale = 0
        # What the cheapest placement occupies at each step, less what there is.
        held = np.zeros(n_mem)
        for e in range(n):
            m = x.weight_mem[e, pick_f[e, 0]]
            if m >= 0:
                held[m] += x.weight_bits[e]
            if x.h_mem[e, pick_g[e, 2]] >= 0:
                held[x.h_mem[e, pick_g[e, 2]]] += x.h_bits[e]
            if x.v_mem[e, pick_g[e, 4]] >= 0:
                held[x.v_mem[e, pick_g[e, 4]]] += x.v_bits[e]
        norm = 0.0
        excess = np.zeros((n, n_mem))
        for e in range(n):
            for m in range(n_mem):
                if np.isinf(x.room[m]):
                    continue
                use = held[m]
                if x.input_mem[pick_f[e, 1]] == m:
                    use += x.input_bits[e]
                if x.output_mem[pick_f[e, 2]] == m:
                    use += x.output_bits[e]
                over = (use - x.room[m]) / x.room[m]
                if over > 0 or price[e, m] > 0:
                    excess[e, m] = over
                    norm += over * over
        if norm == 0.0:
            break
        reach = step * 0.02 * abs(value) / norm
        for e in range(n):
            for m in range(n_mem):
                if excess[e, m] != 0.0:
                    price[e, m] = max(0.0, price[e, m] + reach * excess[e, m] / x.room[m])
    return best, best_price, best_pick
