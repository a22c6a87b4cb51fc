"""The mix of latency views that bounds a layer-tile best (compiled).

Every view bounds the latency of every mapping, so any convex mix of views does too. The
least mix over all chains of boundaries is concave in the shares; line searches look for
good shares. Any shares are valid: only the tightness depends on them.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TURNS, HALVINGS = 6, 10
"""Line searches, and steps of each."""
QUICK_HALVINGS = 6
"""Steps of the only line search of a quick mix."""


@njit(cache=True)
def _prefix_argmin(values, origin, axes, strides):
    """`prefix_minimum` that also carries along where each minimum comes from."""
    for a in range(axes.shape[0]):
        step = strides[a]
        block = step * (axes[a, 2] + 1)
        for start in range(0, values.shape[0], block):
            for point in range(start + step, start + block):
                if values[point - step] < values[point]:
                    values[point] = values[point - step]
                    origin[point] = origin[point - step]


@njit(cache=True)
def cheapest_chain(costs, possible, bounds, axes, strides, chain):
    """Least cost of placing all boundaries; `chain` [o, m] receives the points.

    As `completion_table` [bounds][last point], which it must equal.
    """
    n = costs.shape[2]
    shape = (bounds[0] + 1, bounds[1] + 1, bounds[2] + 1, n)
    out = np.full(shape, np.inf)
    origin = np.full(shape, -1, dtype=np.int64)
    placed = np.zeros(3, dtype=np.int64)
    for a in range(bounds[0] + 1):
        for b in range(bounds[1] + 1):
            for c in range(bounds[2] + 1):
                best = out[a, b, c]
                if a + b + c == 0:
                    best[:] = 0.0
                    continue
                placed[0], placed[1], placed[2] = a, b, c
                for o in range(3):
                    if placed[o] == 0:
                        continue
                    m = placed[o] - 1
                    before = out[
                        a - 1 if o == 0 else a, b - 1 if o == 1 else b, c - 1 if o == 2 else c
                    ]
                    for i in range(n):
                        if possible[o, m, i] and before[i] + costs[o, m, i] < best[i]:
                            best[i] = before[i] + costs[o, m, i]
                            origin[a, b, c, i] = 3 * i + o
                _prefix_argmin(best, origin[a, b, c], axes, strides)
    a, b, c = bounds[0], bounds[1], bounds[2]
    value = out[a, b, c, n - 1]
    if np.isinf(value):
        return value
    point = n - 1
    while a + b + c > 0:
        step = origin[a, b, c, point]
        o = step % 3
        point = step // 3
        placed[0], placed[1], placed[2] = a, b, c
        chain[o, placed[o] - 1] = point
        if o == 0:
            a -= 1
        elif o == 1:
            b -= 1
        else:
            c -= 1
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
def quick_mix(start, worth, costs, constants, possible, bounds, axes, strides, shares):
    """Bound by a mix of view `start` and another, with their `shares` [v] written.

    One line search towards the view that the cheapest chain of the first looks worst in. It ends
    where tangents leave no rise beyond the share `worth` of the bound.
    """
    n_views = constants.shape[0]
    base = np.zeros_like(costs[0])
    trial = np.zeros(n_views)
    lengths = np.zeros(n_views)
    chain = np.zeros((3, costs.shape[2]), dtype=np.int64)
    shares[:] = 0.0
    shares[start] = 1.0
    best = _mixed(
        shares, base, costs, constants, 1.0, possible, bounds, axes, strides, chain, lengths
    )
    if np.isinf(best):
        return best
    other = np.argmax(lengths)
    # Values and slopes at both ends of what is left; nothing is known of the upper one yet.
    low, high = 0.0, 1.0
    at_low, rise = best, lengths[other] - lengths[start]
    at_high, fall = best + rise, 0.0
    for _ in range(QUICK_HALVINGS):
        # Where the tangents of both ends meet.
        if fall < 0:
            meet = (at_high - fall * high - at_low + rise * low) / (rise - fall)
            most = at_low + rise * (meet - low)
        else:
            most = at_low + rise * (high - low)
        if most <= best + worth * abs(best):
            break
        share = (low + high) / 2
        trial[:] = 0.0
        trial[start] = 1.0 - share
        trial[other] = share
        value = _mixed(
            trial, base, costs, constants, 1.0, possible, bounds, axes, strides, chain, lengths
        )
        if value > best:
            best = value
            shares[:] = trial
        slope = lengths[other] - lengths[start]
        if slope > 0:
            low, at_low, rise = share, value, slope
        else:
            high, at_high, fall = share, value, slope
    return best


@njit(cache=True, nogil=True)
def best_mix(base, costs, constants, weight, possible, bounds, axes, strides):
    """Shares [v] of the views, and the bound base + weight * mixed latency that they give.

    `base` [o, m, point] is added to `weight` times the mixed `costs` [v, o, m, point].
    From the best view alone, line searches towards whichever view the cheapest chain looks
    worst in.
    """
    n_views = constants.shape[0]
    shares = np.zeros(n_views)
    trial = np.zeros(n_views)
    lengths = np.zeros(n_views)
    chain = np.zeros((3, costs.shape[2]), dtype=np.int64)
    best = -np.inf
    best_share = -1.0
    for v in range(n_views):
        trial[:] = 0.0
        trial[v] = 1.0
        value = _mixed(
            trial, base, costs, constants, weight, possible, bounds, axes, strides, chain, lengths
        )
        if value > best:
            best = value
            shares[:] = trial
    for _ in range(TURNS):
        value = _mixed(
            shares, base, costs, constants, weight, possible, bounds, axes, strides, chain, lengths
        )
        if np.isinf(value):
            break
        longest = np.argmax(lengths)
        if lengths[longest] <= (shares * lengths).sum() * (1 + 1e-12):
            break
        # Along the way to the longest view alone, look for the point where the cheapest
        # chain stops being longer in that view than in the mix.
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            share = (low + high) / 2
            trial[:] = (1.0 - share) * shares
            trial[longest] += share
            value = _mixed(
                trial,
                base,
                costs,
                constants,
                weight,
                possible,
                bounds,
                axes,
                strides,
                chain,
                lengths,
            )
            if value > best:
                best = value
                best_share = share
            if lengths[longest] > (shares * lengths).sum():
                low = share
            else:
                high = share
        if best_share < 0:
            break
        shares *= 1.0 - best_share
        shares[longest] += best_share
        best_share = -1.0
    return shares, best
