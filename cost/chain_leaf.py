"""Complete chains: their exact cost, and the archive of nondominated ones (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT, held_amount, spatial_sums_above, visits
from cost.chain_state import FOUND, LEAVES, OVERFLOWED, TOLERANCE
from cost.lattice import N_DIMS
from cost.tile_latency import double_buffer_flags, mapping_latency

ROUNDING = 1e-12
"""Costs closer than this are equal: sums of the same terms in another order differ so."""


@njit(cache=True)
def _as_good(t, row, energy, latency, rounding):
    """Whether an archived mapping costs at most this much, memory aside."""
    if t.weighted_only:
        mine = t.energy_weight * energy + t.latency_weight * latency
        return t.energy_weight * row[0] + t.latency_weight * row[1] <= mine * rounding
    return row[0] <= energy * rounding and row[1] <= latency * rounding


@njit(cache=True)
def _holds_more(t, usage, other):
    """Whether `usage` takes more than `other` of a memory where that matters."""
    for k in range(usage.shape[0]):
        if t.weigh_memory[k] and usage[k] > other[k]:
            return True
    return False


@njit(cache=True)
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
def _product(t, s, o, m):
    """Loop product below the boundary on top of level m."""
    if m == t.levels[o] - 1:
        return t.tables.products[t.tables.products.shape[0] - 1]
    return t.tables.products[s.placed[o, m]]


@njit(cache=True)
def _held_bits(t, s, o, m, bits):
    """Bits that one instance of level m holds of operand o, `bits` an element."""
    factor = t.tables.energy_factor
    return held_amount(t.layer, o, m, _product(t, s, o, m), factor, t.sizes) * bits


@njit(cache=True)
def _sums_wait(t, s, m):
    """Whether irrelevant temporal loops of O lie above the boundary below level m."""
    product = t.tables.products[0] if m == 0 else t.tables.products[s.placed[OUT, m - 1]]
    periods, distinct = visits(product, t.tables.q, t.layer.rel[OUT])
    return periods > distinct


@njit(cache=True)
def _sums_cross(t, s, m):
    """Whether partial sums cross the link below level m of O."""
    if t.layer.psums:
        return _sums_wait(t, s, m)
    return _sums_wait(t, s, m) or spatial_sums_above(t.layer, m - 1, t.tables.energy_factor)


@njit(cache=True)
def _usage(t, s):
    """Bits held per memory by one instance, copies of double-buffered levels included."""
    usage = np.zeros(s.usage.shape[0])
    for o in range(3):
        for m in range(t.levels[o]):
            bits = t.layer.precision[o, 0]
            if o == OUT and not _sums_wait(t, s, m):
                bits = t.layer.precision[OUT, 1]
            copies = 2 if t.layer.explicit and m < t.levels[o] - 1 and s.flags[o, m] else 1
            usage[t.layer.mem_index[o, m]] += _held_bits(t, s, o, m, bits) * copies
    return usage


@njit(cache=True)
def _reference_flags(t, s):
    """Double-buffered levels as the reference chooses them, [o, m]."""
    flags = np.zeros_like(s.flags)
    held = np.zeros(s.run_relevant.shape)
    for o in range(3):
        for m in range(t.levels[o]):
            bits = t.layer.precision[o, 0]
            if o == OUT and (m == t.levels[o] - 1 or not _sums_cross(t, s, m + 1)):
                bits = t.layer.precision[OUT, 1]
            held[o, m] = _held_bits(t, s, o, m, bits)
    double_buffer_flags(
        held,
        s.run_relevant,
        t.levels,
        t.layer.mem_index,
        t.layer.memory,
        t.layer.is_add,
        flags,
    )
    return flags


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
    usage = _usage(t, s)
    for k in range(usage.shape[0]):
        if usage[k] > t.budget[k]:
            return
    flags = s.flags if t.layer.explicit else _reference_flags(t, s)
    below = np.ones((3, t.layer.mem_index.shape[1], N_DIMS), dtype=np.int64)
    for o in range(3):
        for m in range(t.levels[o] - 1):
            below[o, m] = t.tables.products[s.placed[o, m]]
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
