"""The mix of latency views that bounds a layer-tile best (compiled).

Every view bounds the latency of every mapping, so any convex mix of views does too. The
least mix over all chains of boundaries is concave in the shares, and every chain met is a plane
above it. The shares that are best by the planes met so far are tried next (Kelley's cutting
planes). Any shares are valid: only the tightness depends on them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.mapping_tables import completion_table

TRIALS, QUICK_TRIALS = 24, 6
"""Shares tried after the views alone, and in a quick mix after the first view."""
CLOSE = 1e-9
"""Relative distance to what the planes leave at which shares are the best."""
MOST_PIVOTS = 60
"""Steps of the simplex method after which shares are taken as they are."""


@njit(cache=True)
def cheapest_chain(costs, possible, bounds, axes, strides, chain):
    """Least cost of placing all boundaries; `chain` [o, m] receives the points.

    It is what `completion_table` says, walked back: at every point either a boundary placed there
    attains it, or it comes from a point a prime below.
    """
    table = completion_table(costs, possible, bounds, axes, strides)
    point = costs.shape[2] - 1
    placed = bounds.copy()
    value = table[placed[0], placed[1], placed[2], point]
    if np.isinf(value):
        return value
    while placed.sum() > 0:
        here = table[placed[0], placed[1], placed[2]]
        moved = False
        for o in range(3):
            if placed[o] == 0:
                continue
            m = placed[o] - 1
            placed[o] = m
            before = table[placed[0], placed[1], placed[2], point]
            if possible[o, m, point] and before + costs[o, m, point] == here[point]:
                chain[o, m] = point
                moved = True
                break
            placed[o] = m + 1
        if moved:
            continue
        for axis in range(axes.shape[0]):
            step = strides[axis]
            if point // step % (axes[axis, 2] + 1) > 0 and here[point - step] == here[point]:
                point -= step
                break
    return value


@njit(cache=True)
def _mixed(shares, base, costs, constants, weight, possible, bounds, axes, strides, chain, lengths):
    """Least mixed cost over all chains; `lengths` [v] receives its latency in each view."""
    mixed = base.copy()
    constant = 0.0
    for v in range(shares.shape[0]):
        if shares[v] > 0:
            mixed += weight * shares[v] * costs[v]
            constant += weight * shares[v] * constants[v]
    value = constant + cheapest_chain(mixed, possible, bounds, axes, strides, chain)
    if np.isinf(value):
        return value
    for v in range(shares.shape[0]):
        lengths[v] = constants[v]
        for o in range(3):
            for m in range(bounds[o]):
                lengths[v] += costs[v, o, m, chain[o, m]]
    return value


@njit(cache=True)
def best_shares(planes, shares):
    """Shares [v] that maximise the least of `planes` [j, v], written, and that least value.

    The value of a matrix game, by the simplex method on the side of the planes: slacks are a basis
    to begin with, and what they cost at last are the shares.
    """
    n, views = planes.shape
    low = planes.min()
    spread = planes.max() - low
    if spread <= 0:
        shares[:] = 1.0 / views
        return low
    # Entries between 1 and 2; the value moves along.
    table = np.zeros((views + 1, n + views + 1))
    for v in range(views):
        for j in range(n):
            table[v, j] = (planes[j, v] - low) / spread + 1.0
        table[v, n + v] = 1.0
        table[v, -1] = 1.0
    table[views, :n] = -1.0
    for _ in range(MOST_PIVOTS):
        column = np.argmin(table[views, :-1])
        if table[views, column] >= -1e-12:
            break
        row, least = -1, np.inf
        for v in range(views):
            if table[v, column] > 1e-12 and table[v, -1] / table[v, column] < least:
                row, least = v, table[v, -1] / table[v, column]
        if row < 0:
            break
        table[row] /= table[row, column]
        for v in range(views + 1):
            if v != row and table[v, column] != 0.0:
                table[v] -= table[v, column] * table[row]
    total = 0.0
    for v in range(views):
        shares[v] = max(0.0, table[views, n + v])
        total += shares[v]
    shares /= total
    value = np.inf
    for j in range(n):
        value = min(value, (planes[j] * shares).sum())
    return value


@njit(cache=True)
def _climb(
    planes,
    n,
    trials,
    worth,
    best,
    shares,
    base,
    costs,
    constants,
    weight,
    possible,
    bounds,
    axes,
    strides,
):
    """Try the shares that are best by the first `n` planes, each time one plane more.

    Until nothing but a share `worth` of the value is left to win. `shares` [v] are those of the
    value `best`, and are written. Returns the best value.
    """
    trial = np.zeros(planes.shape[1])
    lengths = np.zeros(planes.shape[1])
    chain = np.zeros((3, costs.shape[2]), dtype=np.int64)
    for _ in range(trials):
        most = best_shares(planes[:n], trial)
        if most <= best + worth * abs(best):
            break
        value = _mixed(
            trial, base, costs, constants, weight, possible, bounds, axes, strides, chain, lengths
        )
        planes[n] = value + weight * (lengths - (trial * lengths).sum())
        n += 1
        if value > best:
            best = value
            shares[:] = trial
    return best


@njit(cache=True)
def quick_mix(start, worth, costs, constants, possible, bounds, axes, strides, shares):
    """Bound by a mix of views, from view `start` on, with their `shares` [v] written.

    It ends where no rise beyond the share `worth` of the bound is left, or after a few trials.
    """
    n_views = constants.shape[0]
    base = np.zeros_like(costs[0])
    lengths = np.zeros(n_views)
    chain = np.zeros((3, costs.shape[2]), dtype=np.int64)
    planes = np.zeros((1 + QUICK_TRIALS, n_views))
    shares[:] = 0.0
    shares[start] = 1.0
    best = _mixed(
        shares, base, costs, constants, 1.0, possible, bounds, axes, strides, chain, lengths
    )
    if np.isinf(best):
        return best
    planes[0] = lengths + (best - (shares * lengths).sum())
    return _climb(
        planes,
        1,
        QUICK_TRIALS,
        worth,
        best,
        shares,
        base,
        costs,
        constants,
        1.0,
        possible,
        bounds,
        axes,
        strides,
    )


@njit(cache=True, nogil=True)
def best_mix(base, costs, constants, weight, possible, bounds, axes, strides):
    """Shares [v] of the views, and the bound base + weight * mixed latency that they give.

    `base` [o, m, point] is added to `weight` times the mixed `costs` [v, o, m, point].
    """
    n_views = constants.shape[0]
    shares = np.zeros(n_views)
    trial = np.zeros(n_views)
    lengths = np.zeros(n_views)
    chain = np.zeros((3, costs.shape[2]), dtype=np.int64)
    planes = np.zeros((n_views + TRIALS, n_views))
    best = -np.inf
    for v in range(n_views):
        trial[:] = 0.0
        trial[v] = 1.0
        value = _mixed(
            trial, base, costs, constants, weight, possible, bounds, axes, strides, chain, lengths
        )
        if np.isinf(value):
            return trial, value
        planes[v] = value + weight * (lengths - lengths[v])
        if value > best:
            best = value
            shares[:] = trial
    best = _climb(
        planes,
        n_views,
        TRIALS,
        CLOSE,
        best,
        shares,
        base,
        costs,
        constants,
        weight,
        possible,
        bounds,
        axes,
        strides,
    )
    return shares, best
