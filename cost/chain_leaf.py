"""Complete chains: their exact cost, and the archive of nondominated ones (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.chain_state import FOUND, LEAVES, OVERFLOWED, TOLERANCE
from cost.memory_use import memory_use, products_below, reference_flags
from cost.tile_latency import mapping_latency

ROUNDING = 1e-12
"""Costs closer than this are equal: sums of the same terms in another order differ so."""


@njit(cache=True, inline="always")
def _as_good(t, row, energy, latency, rounding):
    """Whether an archived mapping costs at most this much, memory aside."""
    if t.weighted_only:
        mine = t.energy_weight * energy + t.latency_weight * latency
        return t.energy_weight * row[0] + t.latency_weight * row[1] <= mine * rounding
    return row[0] <= energy * rounding and row[1] <= latency * rounding


@njit(cache=True, inline="always")
def _holds_more(t, usage, other):
    """Whether `usage` takes more than `other` of a memory where that matters."""
    for k in range(usage.shape[0]):
        if t.weigh_memory[k] and usage[k] > other[k]:
            return True
    return False


@njit(cache=True, inline="always")
def hopeless(t, s, energy, latency, weighted):
    """Whether no completion with these lower bounds (total pJ, cycles, weighted) can be kept."""
    shrink = 1.0 - TOLERANCE
    if energy * shrink > t.energy_cutoff or latency * shrink > t.latency_cutoff:
        return True
    if weighted * shrink > t.weighted_cutoff:
        return True
    for i in range(s.counters[FOUND]):
        row = s.archive[i]
        if t.weighted_only:
            # Cycles are whole: where nothing else counts, a better mapping saves one at least.
            gain = t.latency_weight * (1.0 - 1e-6) if t.energy_weight == 0 else 0.0
            known = t.energy_weight * row[0] + t.latency_weight * row[1]
            better = known - gain <= weighted * (1.0 + ROUNDING)
        else:
            better = _as_good(t, row, energy, latency, shrink)
        if better and not _holds_more(t, row[2:], s.usage):
            return True
    return False


@njit(cache=True)
def _archive(t, s, energy, latency, usage, flags, depth):
    """Keep a mapping unless an archived one is as good; drop those it is as good as."""
    keep = 0
    n = s.counters[FOUND]
    for i in range(n):
        row = s.archive[i]
        if _as_good(t, row, energy, latency, 1.0 + ROUNDING) and not _holds_more(t, row[2:], usage):
            return
    mine = np.empty(2)
    mine[0], mine[1] = energy, latency
    for i in range(n):
        row = s.archive[i]
        beaten = _as_good(t, mine, row[0], row[1], 1.0)
        if beaten and not _holds_more(t, usage, row[2:]):
            continue
        if keep != i:
            s.archive[keep] = s.archive[i]
            s.archive_trail[keep] = s.archive_trail[i]
            s.archive_flags[keep] = s.archive_flags[i]
            s.archive_placed[keep] = s.archive_placed[i]
        keep += 1
    s.counters[FOUND] = keep
    if keep == s.archive.shape[0]:
        s.counters[OVERFLOWED] = 1
        return
    s.archive[keep, 0] = energy
    s.archive[keep, 1] = latency
    s.archive[keep, 2:] = usage
    s.archive_trail[keep] = -1
    for i in range(depth):
        s.archive_trail[keep, i] = s.trail[i]
    s.archive_flags[keep] = flags
    s.archive_placed[keep] = s.placed
    s.counters[FOUND] = keep + 1


@njit(cache=True)
def leaf(t, s, energy, depth):
    """Cost a complete chain and keep it unless it does not fit or is dominated."""
    s.counters[LEAVES] += 1
    below = products_below(t.tables.products, s.placed, t.levels)
    usage = memory_use(
        t.layer, below, s.flags, t.levels, t.tables.q, t.tables.energy_factor, t.sizes
    )
    for k in range(usage.shape[0]):
        if usage[k] > t.budget[k]:
            return
    flags = s.flags
    if not t.layer.explicit:
        flags = reference_flags(
            t.layer, below, s.run_relevant, t.levels, t.tables.q, t.tables.energy_factor, t.sizes
        )
    stall, loading = mapping_latency(
        t.layer,
        below,
        s.run_irrelevant,
        flags,
        t.levels,
        t.tables.q,
        t.tables.latency_factor,
        t.sizes,
    )
    latency = t.tables.cycles + stall + loading
    total_energy = energy + t.tables.fixed_pj
    grow = 1.0 + TOLERANCE
    if total_energy > t.energy_cutoff * grow or latency > t.latency_cutoff * grow:
        return
    weighted = t.energy_weight * total_energy + t.latency_weight * latency
    if weighted > t.weighted_cutoff * grow:
        return
    _archive(t, s, total_energy, latency, usage, flags, depth)
