"""What a complete chain of boundaries holds in every memory (compiled).

A chain is given by `below` [o, m, d], the loop product below the boundary on top of
level m; for the highest level kept that is the full nest.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT, held_amount, spatial_sums_above, visits
from cost.lattice import N_DIMS
from cost.tile_latency import double_buffer_flags


@njit(cache=True)
def products_below(products, placed, levels):
    """Loop products below every boundary; `placed` [o, m] are points of the lattice."""
    below = np.ones((3, placed.shape[1], N_DIMS), dtype=np.int64)
    for o in range(3):
        for m in range(levels[o] - 1):
            below[o, m] = products[placed[o, m]]
        below[o, levels[o] - 1] = products[-1]
    return below


@njit(cache=True)
def _sums_wait(a, below, m, q):
    """Whether irrelevant temporal loops of O lie above the boundary below level m."""
    periods = 1
    distinct = 1
    if m == 0:
        periods, distinct = visits(np.ones(N_DIMS, dtype=np.int64), q, a.rel[OUT])
    else:
        periods, distinct = visits(below[OUT, m - 1], q, a.rel[OUT])
    return periods > distinct


@njit(cache=True)
def memory_use(a, below, flags, levels, q, factor, sizes):
    """Bits held per memory by one instance, copies of double-buffered levels included."""
    usage = np.zeros(a.memory.shape[0])
    for o in range(3):
        for m in range(levels[o]):
            bits = a.precision[o, 0]
            if o == OUT and not _sums_wait(a, below, m, q):
                bits = a.precision[OUT, 1]
            copies = 2 if a.explicit and m < levels[o] - 1 and flags[o, m] else 1
            held = held_amount(a, o, m, below[o, m], factor, sizes) * bits
            usage[a.mem_index[o, m]] += held * copies
    return usage


@njit(cache=True)
def reference_flags(a, below, run_relevant, levels, q, factor, sizes):
    """Double-buffered levels as the reference chooses them, [o, m]."""
    flags = np.zeros(run_relevant.shape, dtype=np.bool_)
    held = np.zeros(run_relevant.shape)
    for o in range(3):
        for m in range(levels[o]):
            bits = a.precision[o, 0]
            if o == OUT:
                # Its width is that of the link above the level, where there is one.
                crosses = m < levels[o] - 1 and (
                    _sums_wait(a, below, m + 1, q)
                    or (not a.psums and spatial_sums_above(a, m, factor))
                )
                if not crosses:
                    bits = a.precision[OUT, 1]
            held[o, m] = held_amount(a, o, m, below[o, m], factor, sizes) * bits
    double_buffer_flags(held, run_relevant, levels, a.mem_index, a.memory, a.is_add, flags)
    return flags
