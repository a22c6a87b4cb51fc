"""The cheapest placement of a kind of tile, and the cheapest through every choice (compiled).

A tile runs through its layers in order: a placement is a path over the memories that hold
each layer's input and output, and every layer adds a table entry of its own (f) and one
for the copies before it (g). Cost tables f [layer, W, I, O] and g [layer, producer, I,
h_use, h_make, v] hold weighted costs, infinite where not allowed. `linked` [layer]: whether
a layer's (first) producer is the layer before it in the tables. Where a stack branches it
is not, and the producer's place is free there: a lower bound.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def weigh_table(table, energy_weight, latency_weight):
    """Weighted costs of a table [..., (pJ, cycles)]; what is not allowed stays infinite."""
    return np.where(
        np.isinf(table[..., 0]),
        np.inf,
        energy_weight * table[..., 0] + latency_weight * table[..., 1],
    )


@njit(cache=True)
def cheapest(cost_f, cost_g, linked, pick_f, pick_g):
    """Least cost of a tile, and the entries that attain it, written to the picks.

    `pick_f` [layer, (w, i, o)], `pick_g` [layer, (p, i, a, b, c)].
    """
    n, n_w, n_i, n_o = cost_f.shape
    n_p = cost_g.shape[1]
    size = max(n_p, n_o)
    best = np.full((n + 1, size), np.inf)
    choice_i = np.zeros((n, size), dtype=np.int64)
    choice_w = np.zeros((n, size), dtype=np.int64)
    from_p = np.zeros((n, n_i), dtype=np.int64)
    inner = np.zeros((n, n_i, 3), dtype=np.int64)
    come = np.zeros(size)
    for e in range(n):
        if linked[e]:
            come[:] = best[e]
        else:
            come[:] = best[e].min() if e > 0 else 0.0
        for i in range(n_i):
            ready = np.inf
            for p in range(n_p):
                if np.isinf(come[p]):
                    continue
                for a in range(cost_g.shape[3]):
                    for b in range(cost_g.shape[4]):
                        for c in range(cost_g.shape[5]):
                            total = come[p] + cost_g[e, p, i, a, b, c]
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
    o = np.argmin(best[n])
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
        o = p if linked[e] else np.argmin(best[e])
    return value


@njit(cache=True)
def kind_bounds(f, g, linked, weights):
    """Least weighted cost over all placements per weight pair [k, (per pJ, per cycle)]."""
    out = np.zeros(weights.shape[0])
    pick_f = np.zeros((f.shape[0], 3), dtype=np.int64)
    pick_g = np.zeros((f.shape[0], 5), dtype=np.int64)
    for k in range(weights.shape[0]):
        we, wl = weights[k]
        cost_f, cost_g = weigh_table(f, we, wl), weigh_table(g, we, wl)
        out[k] = cheapest(cost_f, cost_g, linked, pick_f, pick_g)
    return out


@njit(cache=True)
def kind_through(cost_f, cost_g, linked):
    """Least weighted cost of a kind of tile through every table entry.

    Returns (through_f, through_g) of the tables' shapes: the least cost of the whole tile
    when that entry is used.
    """
    n, n_p = cost_f.shape[0], cost_g.shape[1]
    n_i, n_o = cost_f.shape[2], cost_f.shape[3]
    size = max(n_p, n_o)
    least_g = np.full((n, n_p, n_i), np.inf)
    for e in range(n):
        for p in range(n_p):
            for i in range(n_i):
                least_g[e, p, i] = cost_g[e, p, i].min()
    least_f = np.full((n, n_i, n_o), np.inf)
    for e in range(n):
        for w in range(cost_f.shape[1]):
            for i in range(n_i):
                for o in range(n_o):
                    least_f[e, i, o] = min(least_f[e, i, o], cost_f[e, w, i, o])
    # By memory of the producer (before) and of the output (after) of each layer.
    before = np.full((n, size), np.inf)
    ready = np.full((n, n_i), np.inf)
    made = np.full((n, size), np.inf)
    for e in range(n):
        if e == 0:
            before[e, :] = 0.0
        elif linked[e]:
            before[e, :] = made[e - 1]
        else:
            before[e, :] = made[e - 1].min()
        for p in range(n_p):
            for i in range(n_i):
                ready[e, i] = min(ready[e, i], before[e, p] + least_g[e, p, i])
        for i in range(n_i):
            for o in range(n_o):
                made[e, o] = min(made[e, o], ready[e, i] + least_f[e, i, o])
    after = np.full((n, size), np.inf)
    onward = np.full((n, n_i), np.inf)
    come = np.zeros(size)
    for e in range(n - 1, -1, -1):
        after[e, :] = come
        for i in range(n_i):
            for o in range(n_o):
                onward[e, i] = min(onward[e, i], least_f[e, i, o] + after[e, o])
        come[:] = np.inf
        for p in range(n_p):
            for i in range(n_i):
                come[p] = min(come[p], least_g[e, p, i] + onward[e, i])
        if not linked[e]:
            come[:] = come.min()
    through_f = np.full(cost_f.shape, np.inf)
    through_g = np.full(cost_g.shape, np.inf)
    for e in range(n):
        for i in range(n_i):
            for w in range(cost_f.shape[1]):
                for o in range(n_o):
                    through_f[e, w, i, o] = ready[e, i] + cost_f[e, w, i, o] + after[e, o]
            for p in range(n_p):
                for a in range(cost_g.shape[3]):
                    for b in range(cost_g.shape[4]):
                        for c in range(cost_g.shape[5]):
                            through_g[e, p, i, a, b, c] = (
                                before[e, p] + cost_g[e, p, i, a, b, c] + onward[e, i]
                            )
    return through_f, through_g
