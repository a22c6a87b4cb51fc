"""A bound on a kind of tile that knows memories are shared (compiled).

Caches, resident weights and the tensors of each layer-tile compete for every memory. The
bound prices each memory at each layer step (Lagrange multipliers), so that a placement
pays for what it occupies and the best placement under prices, less the price of what
there is, bounds every placement that fits. Any prices >= 0 are valid; a subgradient
ascent looks for good ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _cheapest(cost_f, cost_g, pick_f, pick_g):
    """Least cost of a tile and the entries that attain it (written to the picks)."""
    n, n_w, n_i, n_o = cost_f.shape
    n_p = cost_g.shape[1]
    size = max(n_p, n_o)
    best = np.full((n + 1, size), np.inf)
    best[0, :n_p] = 0.0
    choice_i = np.zeros((n, size), dtype=np.int64)
    choice_w = np.zeros((n, size), dtype=np.int64)
    from_p = np.zeros((n, n_i), dtype=np.int64)
    inner = np.zeros((n, n_i, 3), dtype=np.int64)
    for e in range(n):
        for i in range(n_i):
            ready = np.inf
            for p in range(n_p):
                if np.isinf(best[e, p]):
                    continue
                for a in range(cost_g.shape[3]):
                    for b in range(cost_g.shape[4]):
                        for c in range(cost_g.shape[5]):
                            total = best[e, p] + cost_g[e, p, i, a, b, c]
                            if total < ready:
                                ready = total
                                from_p[e, i] = p
                                inner[e, i, 0] = a
                                inner[e, i, 1] = b
                                inner[e, i, 2] = c
            if np.isinf(ready):
                continue
            for w in range(n_w):
                for o in range(n_o):
                    total = ready + cost_f[e, w, i, o]
                    if total < best[e + 1, o]:
                        best[e + 1, o] = total
                        choice_i[e, o] = i
                        choice_w[e, o] = w
    o = 0
    for k in range(n_o):
        if best[n, k] < best[n, o]:
            o = k
    value = best[n, o]
    if np.isinf(value):
        return value
    for e in range(n - 1, -1, -1):
        i = choice_i[e, o]
        pick_f[e, 0] = choice_w[e, o]
        pick_f[e, 1] = i
        pick_f[e, 2] = o
        p = from_p[e, i]
        pick_g[e, 0] = p
        pick_g[e, 1] = i
        pick_g[e, 2:] = inner[e, i]
        o = p
    return value


@njit(cache=True)
def capacity_bound(
    f,
    g,
    energy_weight,
    latency_weight,
    weight_mem,
    input_mem,
    output_mem,
    h_mem,
    v_mem,
    weight_bits,
    input_bits,
    output_bits,
    h_bits,
    v_bits,
    room,
    rounds,
):
    """Lower bound of the weighted cost of one tile under shared capacities.

    f, g as in `kind_bounds`, with f's arrival shares included. Memory indices per table
    axis: weight_mem [e, w], input_mem [i], output_mem [o], h_mem [e, a] (per h_use entry,
    -1: none), v_mem [e, c]; bits per layer; `room` [memory]: bits, infinite for DRAM.
    """
    n = f.shape[0]
    n_mem = room.shape[0]
    base_f = np.where(
        np.isinf(f[..., 0]), np.inf, energy_weight * f[..., 0] + latency_weight * f[..., 1]
    )
    base_g = np.where(
        np.isinf(g[..., 0]), np.inf, energy_weight * g[..., 0] + latency_weight * g[..., 1]
    )
    price = np.zeros((n, n_mem))
    pick_f = np.zeros((n, 3), dtype=np.int64)
    pick_g = np.zeros((n, 5), dtype=np.int64)
    best = -np.inf
    step = 1.0
    stale = 0
    for _ in range(rounds):
        total_price = np.zeros(n_mem)
        fixed = 0.0
        for e in range(n):
            for m in range(n_mem):
                if price[e, m] > 0:
                    total_price[m] += price[e, m]
                    fixed += price[e, m] * room[m]
        cost_f = base_f.copy()
        cost_g = base_g.copy()
        for e in range(n):
            for w in range(f.shape[1]):
                m = weight_mem[e, w]
                if m < 0:
                    continue
                for i in range(f.shape[2]):
                    for o in range(f.shape[3]):
                        cost_f[e, w, i, o] += (
                            total_price[m] * weight_bits[e]
                            + price[e, input_mem[i]] * input_bits[e]
                            + price[e, output_mem[o]] * output_bits[e]
                        )
            for p in range(g.shape[1]):
                for i in range(g.shape[2]):
                    for a in range(g.shape[3]):
                        for c in range(g.shape[5]):
                            extra = 0.0
                            if h_mem[e, a] >= 0:
                                extra += total_price[h_mem[e, a]] * h_bits[e]
                            if v_mem[e, c] >= 0:
                                extra += total_price[v_mem[e, c]] * v_bits[e]
                            if extra > 0:
                                for b in range(g.shape[4]):
                                    cost_g[e, p, i, a, b, c] += extra
        value = _cheapest(cost_f, cost_g, pick_f, pick_g) - fixed
        if np.isinf(value):
            return value
        if value > best * (1 + 1e-7) or best == -np.inf:
            best = max(best, value)
            stale = 0
        else:
            stale += 1
            if stale >= 3:
                step *= 0.5
                stale = 0
        # What the cheapest placement occupies at each step, less what there is.
        held = np.zeros(n_mem)
        for e in range(n):
            m = weight_mem[e, pick_f[e, 0]]
            held[m] += weight_bits[e]
            if h_mem[e, pick_g[e, 2]] >= 0:
                held[h_mem[e, pick_g[e, 2]]] += h_bits[e]
            if v_mem[e, pick_g[e, 4]] >= 0:
                held[v_mem[e, pick_g[e, 4]]] += v_bits[e]
        norm = 0.0
        excess = np.zeros((n, n_mem))
        for e in range(n):
            for m in range(n_mem):
                if np.isinf(room[m]):
                    continue
                use = held[m]
                if input_mem[pick_f[e, 1]] == m:
                    use += input_bits[e]
                if output_mem[pick_f[e, 2]] == m:
                    use += output_bits[e]
                over = (use - room[m]) / room[m]
                if over > 0 or price[e, m] > 0:
                    excess[e, m] = over
                    norm += over * over
        if norm == 0.0:
            break
        reach = step * 0.02 * abs(value) / norm
        for e in range(n):
            for m in range(n_mem):
                if excess[e, m] != 0.0:
                    price[e, m] = max(0.0, price[e, m] + reach * excess[e, m] / room[m])
    return best
