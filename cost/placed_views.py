"""What latency views say of every placement of a layer-tile, from tables made once (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT
from cost.lattice import prefix_minimum
from cost.mapping_tables import completion_table
from cost.view_mix import quick_mix

WORTHWHILE = 1e-3
"""Relative rise of a bound for which a mix of views is worth it."""


@njit(cache=True)
def _binding(costs, possible, bounds):
    """The boundaries that add anything to a view, innermost first; the others do not bind.

    Returns (costs, possible [o, n, point] of these, counts [o, level]): how many of them lie below
    a level. A view concerns one port and the links of one input, so these are few.
    """
    counts = np.zeros((3, costs.shape[1] + 1), dtype=np.int64)
    some = np.zeros_like(costs)
    open_to = np.zeros_like(possible)
    for o in range(3):
        n = 0
        for m in range(bounds[o]):
            counts[o, m] = n
            for i in range(costs.shape[2]):
                if possible[o, m, i] and costs[o, m, i] > 0:
                    some[o, n] = costs[o, m]
                    open_to[o, n] = possible[o, m]
                    n += 1
                    break
        counts[o, bounds[o]] = n
    return some, open_to, counts


@njit(cache=True)
def completion_of_view(costs, possible, bounds, axes, strides):
    """`completion_table` of the boundaries that bind, see `_binding`, and their counts."""
    some, open_to, counts = _binding(costs, possible, bounds)
    kept = np.empty(3, dtype=np.int64)
    for o in range(3):
        kept[o] = counts[o, bounds[o]]
    return completion_table(some, open_to, kept, axes, strides), counts


@njit(cache=True)
def _with_way_out(t, possible, costs, levels, wanted, found):
    """Least of a view for every placement, the last outputs' way out counted; `found` [w, i, o].

    `wanted` [o]: outputs' levels of interest; the others are left as they are.
    """
    bounds = levels - 1
    some, open_to, at = _binding(costs, possible, bounds)
    kept = np.empty(3, dtype=np.int64)
    for o in range(3):
        kept[o] = at[o, bounds[o]]
    table = completion_table(some, open_to, kept, t.axes, t.strides)
    n = costs.shape[2]
    # Out of level k the last outputs leave through the boundary below, which is the topmost.
    left = np.empty((kept[0] + 1, kept[1] + 1, n))
    for k in range(levels[2]):
        if not wanted[k]:
            continue
        if k == 0:
            for i in range(levels[0]):
                for j in range(levels[1]):
                    found[i, j, 0] = table[at[0, i], at[1, j], 0, n - 1]
            continue
        allowed = possible[OUT, k - 1]
        cost = costs[OUT, k - 1] + t.first[OUT, k - 1]
        for a in range(kept[0] + 1):
            for b in range(kept[1] + 1):
                best = left[a, b]
                before = table[a, b, at[OUT, k - 1]]
                for i in range(n):
                    best[i] = before[i] + cost[i] if allowed[i] else np.inf
                if a > 0:
                    for i in range(n):
                        if open_to[0, a - 1, i]:
                            best[i] = min(best[i], left[a - 1, b, i] + some[0, a - 1, i])
                if b > 0:
                    for i in range(n):
                        if open_to[1, b - 1, i]:
                            best[i] = min(best[i], left[a, b - 1, i] + some[1, b - 1, i])
                prefix_minimum(best, t.axes, t.strides)
        for i in range(levels[0]):
            for j in range(levels[1]):
                found[i, j, k] = left[at[0, i], at[1, j], n - 1]


@njit(cache=True)
def drain_views(a, t, possible, costs, bases, found, out):
    """Raise the latencies `out` [w, i, o, 2] by views that know where the last outputs leave."""
    levels = a.n_levels
    n_views = costs.shape[0]
    most = np.zeros(levels[2])
    for k in range(1, levels[2]):
        for i in range(t.products.shape[0]):
            if t.pj[OUT, k - 1, i] < np.inf:
                most[k] = max(most[k], t.first[OUT, k - 1, i])
    drained = np.empty((levels[0], levels[1], levels[2]))
    # First what binds without them, then what may bind with them.
    done = np.zeros((n_views, levels[2]), dtype=np.bool_)
    wanted = np.empty(levels[2], dtype=np.bool_)
    for last_pass in (False, True):
        for v in range(n_views):
            wanted[:] = False
            for k in range(1, levels[2]):
                for i in range(levels[0]):
                    for j in range(levels[1]):
                        if out[i, j, k, 1] < np.inf and not done[v, k]:
                            if last_pass:
                                may = found[v, i, j, k] + most[k] > out[i, j, k, 1]
                            else:
                                may = v == np.argmax(found[:, i, j, k])
                            wanted[k] = wanted[k] or may
            if not wanted.any():
                continue
            _with_way_out(t, possible, costs[v], levels, wanted, drained)
            for k in range(1, levels[2]):
                if not wanted[k]:
                    continue
                done[v, k] = True
                for i in range(levels[0]):
                    for j in range(levels[1]):
                        if out[i, j, k, 1] < np.inf:
                            cycles = bases[v // 2] + drained[i, j, k]
                            out[i, j, k, 1] = max(out[i, j, k, 1], cycles)


@njit(cache=True)
def _take_mix(a, t, possible, mixed, base, out):
    """Raise the latencies `out` by the view `mixed` [o, m, point] with its constant `base`."""
    levels = a.n_levels
    cycles = np.empty((levels[0], levels[1], levels[2]))
    if a.drain:
        everywhere = np.ones(levels[2], dtype=np.bool_)
        _with_way_out(t, possible, mixed, levels, everywhere, cycles)
    else:
        table, at = completion_of_view(mixed, possible, levels - 1, t.axes, t.strides)
        for i in range(levels[0]):
            for j in range(levels[1]):
                for k in range(levels[2]):
                    cycles[i, j, k] = table[at[0, i], at[1, j], at[OUT, k], -1]
    for i in range(levels[0]):
        for j in range(levels[1]):
            for k in range(levels[2]):
                if out[i, j, k, 1] < np.inf:
                    out[i, j, k, 1] = max(out[i, j, k, 1], base + cycles[i, j, k])


@njit(cache=True)
def mix_views(a, t, possible, costs, bases, found, drains, out):
    """Raise the latencies `out` [w, i, o, 2] by mixes of views.

    Each is aimed at the placement of least latency with input, output and weights in the highest
    level or not, and holds for all. `found` [v, w, i, o]: what views say alone.
    """
    levels = a.n_levels
    constants = np.repeat(bases, 2)
    shares = np.zeros(constants.shape[0])
    helps = False
    for turn in range(8):
        weights_top, from_top, to_top = turn >= 4, turn % 4 in (1, 2), turn % 4 in (1, 3)
        if turn == 4:
            helps = False
        if turn % 4 >= 2 and not helps:
            continue  # what helps neither on chip nor in DRAM hardly does between them
        bounds = np.zeros(3, dtype=np.int64)
        least = np.inf
        for i in range(levels[0]):
            if (i == levels[0] - 1) != weights_top:
                continue
            for j in range(levels[1]):
                for k in range(levels[2]):
                    if (j == levels[1] - 1) != from_top or (k == levels[2] - 1) != to_top:
                        continue
                    if out[i, j, k, 1] < least:
                        least = out[i, j, k, 1]
                        bounds[0], bounds[1], bounds[2] = i, j, k
        if np.isinf(least):
            continue
        start = np.argmax(found[:, bounds[0], bounds[1], bounds[2]])
        cycles = quick_mix(
            start, WORTHWHILE, costs, constants, possible, bounds, t.axes, t.strides, shares
        )
        if cycles + drains[bounds[2]] <= least * (1 + WORTHWHILE):
            continue
        helps = True
        mixed = np.zeros_like(costs[0])
        base = 0.0
        for v in range(shares.shape[0]):
            if shares[v] > 0:
                mixed += shares[v] * costs[v]
                base += shares[v] * constants[v]
        _take_mix(a, t, possible, mixed, base, out)
