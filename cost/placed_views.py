"""What latency views say of every placement of a layer-tile, from tables made once (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT
from cost.mapping_tables import completion_table
from cost.view_mix import quick_mix

WORTHWHILE = 1e-3
"""Relative rise of a bound for which a mix of views is worth it."""


@njit(cache=True)
def completion_of_view(costs, possible, bounds, axes, strides):
    """`completion_table` of the boundaries that add anything to a view; the others do not bind.

    Returns (table [a, b, c, point], counts [o, level]): how many of them lie below a level. A
    view concerns one port and the links of one input, so these are few.
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
    kept = np.empty(3, dtype=np.int64)
    for o in range(3):
        kept[o] = counts[o, bounds[o]]
    return completion_table(some, open_to, kept, axes, strides), counts


@njit(cache=True)
def drain_views(a, t, possible, costs, bases, found, out):
    """Raise the latencies `out` [w, i, o, 2] by views that know where the last outputs leave."""
    levels = a.n_levels
    n_views = costs.shape[0]
    last = t.products.shape[0] - 1
    # The last outputs leave through the topmost boundary. First what binds without them, then
    # what may bind with them.
    bounds = levels - 1
    wanted = np.empty(n_views, dtype=np.bool_)
    for k in range(1, levels[2]):
        bounds[2] = k
        most = 0.0
        for i in range(t.products.shape[0]):
            if t.pj[OUT, k - 1, i] < np.inf:
                most = max(most, t.first[OUT, k - 1, i])
        done = np.zeros(n_views, dtype=np.bool_)
        for last_pass in (False, True):
            for v in range(n_views):
                wanted[v] = False
                for i in range(levels[0]):
                    for j in range(levels[1]):
                        if out[i, j, k, 1] < np.inf:
                            if last_pass:
                                may = found[v, i, j, k] + most > out[i, j, k, 1]
                            else:
                                may = v == np.argmax(found[:, i, j, k])
                            wanted[v] = wanted[v] or may
            for v in range(n_views):
                if not wanted[v] or done[v]:
                    continue
                done[v] = True
                view = costs[v].copy()
                view[OUT, k - 1] += t.first[OUT, k - 1]
                table, at = completion_of_view(view, possible, bounds, t.axes, t.strides)
                for i in range(levels[0]):
                    for j in range(levels[1]):
                        if out[i, j, k, 1] < np.inf:
                            cycles = bases[v // 2] + table[at[0, i], at[1, j], at[OUT, k], last]
                            out[i, j, k, 1] = max(out[i, j, k, 1], cycles)


@njit(cache=True)
def _take_mix(a, t, possible, mixed, base, drains, out):
    """Raise the latencies `out` by the view `mixed` [o, m, point] with its constant `base`."""
    levels = a.n_levels
    last = t.products.shape[0] - 1
    table, at = completion_of_view(mixed, possible, levels - 1, t.axes, t.strides)
    for i in range(levels[0]):
        for j in range(levels[1]):
            for k in range(levels[2]):
                if out[i, j, k, 1] < np.inf:
                    cycles = base + table[at[0, i], at[1, j], at[OUT, k], last] + drains[k]
                    out[i, j, k, 1] = max(out[i, j, k, 1], cycles)
    if not a.drain:
        return
    bounds = levels - 1
    for k in range(1, levels[2]):
        bounds[2] = k
        view = mixed.copy()
        view[OUT, k - 1] += t.first[OUT, k - 1]
        table, at = completion_of_view(view, possible, bounds, t.axes, t.strides)
        for i in range(levels[0]):
            for j in range(levels[1]):
                if out[i, j, k, 1] < np.inf:
                    cycles = base + table[at[0, i], at[1, j], at[OUT, k], last]
                    out[i, j, k, 1] = max(out[i, j, k, 1], cycles)


@njit(cache=True)
def mix_views(a, t, possible, costs, bases, found, drains, out):
    """Raise the latencies `out` [w, i, o, 2] by mixes of views.

    Each is aimed at the placement of least latency with input and output in the highest level or
    not, weights below theirs, and holds for all. `found` [v, w, i, o]: what views say alone.
    """
    levels = a.n_levels
    constants = np.repeat(bases, 2)
    shares = np.zeros(constants.shape[0])
    helps = False
    for turn in range(4):
        from_top, to_top = turn in (1, 2), turn in (1, 3)
        if turn == 2 and not helps:
            return  # what helps neither on chip nor in DRAM hardly does between them
        bounds = np.zeros(3, dtype=np.int64)
        least = np.inf
        for i in range(levels[0] - 1):
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
        _take_mix(a, t, possible, mixed, base, drains, out)
