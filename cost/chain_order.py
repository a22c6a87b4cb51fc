"""A loop order, and double-buffered levels, for a chain of boundaries (compiled).

A chain fixes the energy; the order of the loops between its boundaries decides the refill
windows and with them the stalls. Orders are improved one step at a time, which need not
end at the least latency.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.memory_use import memory_use, products_below, reference_flags
from cost.tile_latency import mapping_latency

SWEEPS = 3
PRIORITIES = np.array([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
"""Orders in which operands get second copies."""


@njit(cache=True)
def _runs(a, axes, loops, cuts, levels, relevant, irrelevant):
    """Products of the runs of relevant and of irrelevant loops on top of every level."""
    for o in range(3):
        for m in range(levels[o]):
            until = cuts[o, m - 1] if m > 0 else len(loops)
            for kind in range(2):
                run = 1
                for i in range(cuts[o, m], until):
                    if a.rel[o, axes[loops[i], 0]] != kind:
                        break
                    run *= axes[loops[i], 1]
                if kind == 0:
                    irrelevant[o, m] = run
                else:
                    relevant[o, m] = run


@njit(cache=True)
def _latency(a, t, sizes, levels, below, loops, cuts, flags):
    """Stall and loading cycles; under the reference's rules `flags` receives its choice."""
    relevant = np.ones(cuts.shape, dtype=np.int64)
    irrelevant = np.ones(cuts.shape, dtype=np.int64)
    _runs(a, t.axes, loops, cuts, levels, relevant, irrelevant)
    if not a.explicit:
        flags[:] = reference_flags(a, below, relevant, levels, t.q, t.energy_factor, sizes)
    stall, loading = mapping_latency(
        a, below, irrelevant, flags, levels, t.q, t.latency_factor, sizes
    )
    return stall, loading


@njit(cache=True)
def _fits(a, t, sizes, levels, below, flags, budget):
    usage = memory_use(a, below, flags, levels, t.q, t.energy_factor, sizes)
    for k in range(len(budget)):
        if usage[k] > budget[k]:
            return False
    return True


@njit(cache=True)
def _moved_to_front(loops, start, stop, axis, everything):
    """The loops with those of an axis (or one of them) first in start..stop."""
    out = loops.copy()
    k = start
    for i in range(start, stop):
        if loops[i] == axis and (everything or k == start):
            out[k] = axis
            k += 1
    moved = k - start
    for i in range(start, stop):
        if loops[i] == axis and moved > 0:
            moved -= 1
        else:
            out[k] = loops[i]
            k += 1
    return out


@njit(cache=True)
def _improve_order(a, t, sizes, levels, below, loops, cuts, edges, flags):
    """Move loops to the front of their segments while that saves cycles."""
    stall, loading = _latency(a, t, sizes, levels, below, loops, cuts, flags)
    trial_flags = flags.copy()
    for _ in range(SWEEPS):
        improved = False
        for e in range(len(edges) - 1):
            for axis in range(t.axes.shape[0]):
                for everything in range(2):
                    if stall <= 0:
                        return loops, stall + loading
                    trial = _moved_to_front(loops, edges[e], edges[e + 1], axis, everything == 1)
                    if (trial == loops).all():
                        continue
                    trial_flags[:] = flags
                    late, _ = _latency(a, t, sizes, levels, below, trial, cuts, trial_flags)
                    if late < stall:
                        stall = late
                        loops = trial
                        flags[:] = trial_flags
                        improved = True
        if not improved:
            break
    return loops, stall + loading


@njit(cache=True)
def _add_copies(a, t, sizes, levels, below, loops, cuts, flags, budget):
    """Choose levels to double-buffer where their copies fit; returns stall and loading."""
    stall, loading = _latency(a, t, sizes, levels, below, loops, cuts, flags)
    best = flags.copy()
    for turn in range(2 * PRIORITIES.shape[0]):
        trial = np.zeros_like(flags)
        for k in range(3):
            o = PRIORITIES[turn // 2, k]
            for step in range(levels[o] - 1):
                m = step if turn % 2 == 0 else levels[o] - 2 - step
                trial[o, m] = True
                if not _fits(a, t, sizes, levels, below, trial, budget):
                    trial[o, m] = False
        late, _ = _latency(a, t, sizes, levels, below, loops, cuts, trial)
        if late < stall:
            stall = late
            best[:] = trial
    flags[:] = best
    return stall + loading


@njit(cache=True)
def order_chain(a, t, sizes, levels, placed, budget):
    """Loops and double-buffered levels of little latency for the chain `placed` [o, m].

    Returns (fits, latency, loops, cuts, flags): `loops` are axes of the lattice, outermost
    first, one a prime factor; `cuts` [o, m] how many of them lie above a level's boundary.
    """
    below = products_below(t.products, placed, levels)
    flags = np.zeros(placed.shape, dtype=np.bool_)
    last = t.products.shape[0] - 1
    total = t.exponents[last].sum()
    cuts = np.zeros(placed.shape, dtype=np.int64)
    loops = np.zeros(total, dtype=np.int64)
    if not _fits(a, t, sizes, levels, below, flags, budget):
        return False, np.inf, loops, cuts, flags
    points = np.zeros(3 * placed.shape[1] + 2, dtype=np.int64)
    n = 1
    for o in range(3):
        for m in range(levels[o] - 1):
            points[n] = placed[o, m]
            cuts[o, m] = total - t.exponents[placed[o, m]].sum()
            n += 1
    points[0] = last
    points = np.sort(points[: n + 1])[::-1]  # down to point 0, below every loop
    edges = np.zeros(n + 1, dtype=np.int64)
    k = 0
    for e in range(1, n + 1):
        for axis in range(t.axes.shape[0]):
            steps = t.exponents[points[e - 1], axis] - t.exponents[points[e], axis]
            for _ in range(steps):
                loops[k] = axis
                k += 1
        edges[e] = k
    loops, cycles = _improve_order(a, t, sizes, levels, below, loops, cuts, edges, flags)
    if a.explicit:
        cycles = _add_copies(a, t, sizes, levels, below, loops, cuts, flags, budget)
        loops, cycles = _improve_order(a, t, sizes, levels, below, loops, cuts, edges, flags)
    return True, t.cycles + cycles, loops, cuts, flags
