"""Stall and loading cycles of one complete temporal mapping (compiled).

The mapping is given by its boundaries: the loop product below each, the run of
irrelevant and of relevant loops on top of each level, and the double-buffer flags.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cost.boundary_tables import (
    OUT,
    SIZE,
    boundary_amounts,
    mac_link_amount,
    sums_cross,
    unique_ratio,
    visits,
)
from cost.lattice import N_DIMS
from cost.layer_model import RL, WH
from cost.link_transfers import drain_cycles, link_of, link_transfers

MAX_TRANSFERS = 64


@njit(cache=True)
def marked_cycles(periods, windows, n):
    """Cycles of the longest period that lie inside any window; periods divide each other.

    Window i covers the first `windows[i]` cycles of every repetition of `periods[i]`;
    periods ascend. What a longer window leaves free is a suffix of its period: whole
    shorter periods, and one shorter suffix.
    """
    free = np.zeros(n, dtype=np.int64)
    for k in range(n):
        start = windows[k]
        ended = False
        for j in range(k - 1, -1, -1):
            whole = -(-start // periods[j])
            free[k] += (periods[j + 1] // periods[j] - whole) * free[j]
            rest = start % periods[j]
            if rest == 0:
                ended = True
                break
            start = max(rest, windows[j])
        if not ended:
            free[k] += periods[0] - start
    return periods[n - 1] - free[n - 1]


@njit(cache=True)
def port_value(period, allowed, busy, window_sum, n, total):
    """Cycles by which the transfers of one port exceed their windows (n of them)."""
    if n == 1:
        return busy[0] - window_sum[0]
    late = 0.0
    early = 0.0
    windows_total = 0.0
    whole = False
    longest = 0
    for i in range(n):
        slack = busy[i] - window_sum[i]
        if slack > 0:
            late += slack
        else:
            early += slack
        windows_total += window_sum[i]
        if allowed[i] == period[i]:
            whole = True
        if period[i] > period[longest]:
            longest = i
    if whole:
        union = float(total)
    else:
        order = np.argsort(period[:n])
        sorted_period = np.zeros(n, dtype=np.int64)
        sorted_window = np.zeros(n, dtype=np.int64)
        m = 0
        for j in range(n):
            i = order[j]
            if m > 0 and sorted_period[m - 1] == period[i]:
                sorted_window[m - 1] = max(sorted_window[m - 1], allowed[i])
            else:
                sorted_period[m] = period[i]
                sorted_window[m] = allowed[i]
                m += 1
        marked = marked_cycles(sorted_period, sorted_window, m)
        union = float(marked * (total // period[longest]))
    return late + max(0.0, early + windows_total - union)


@njit(cache=True)
def double_buffer_flags(bits, run_relevant, levels, mem_index, memory, is_add, flags):
    """The reference's greedy choice of double-buffered levels, in `flags` [o, m].

    `bits` [o, m] is what one instance holds. Operands go O first, then the inputs.
    """
    n_mem = memory.shape[0]
    shared = np.zeros(n_mem)
    for o in range(3):
        for m in range(levels[o]):
            i = mem_index[o, m]
            shared[i] += math.floor(bits[o, m] / run_relevant[o, m]) / memory[i, SIZE]
    for step in range(3):
        o = OUT if step == 0 else step - 1
        for m in range(levels[o]):
            i = mem_index[o, m]
            util = math.floor(bits[o, m] / run_relevant[o, m]) / memory[i, SIZE]
            flags[o, m] = False
            if shared[i] <= 0.5:
                flags[o, m] = True
            elif util <= 1 - shared[i]:
                flags[o, m] = True
                shared[i] += util


@njit(cache=True)
def mapping_latency(a, below, run_irrelevant, flags, levels, q, factor, sizes):
    """(stall, loading plus, under the rule for it, offloading) cycles of a mapping.

    `below` [o, m, d]: loop product below the boundary on top of level m (the top level:
    the full nest). `run_irrelevant` [o, m], `flags` [o, m]. `levels` [o]: levels kept.
    """
    total = 1
    for d in range(N_DIMS):
        total *= q[d]
    port = np.full(MAX_TRANSFERS, -1, dtype=np.int64)
    period = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    allowed = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    busy = np.zeros(MAX_TRANSFERS)
    free = np.zeros(MAX_TRANSFERS)
    first = np.zeros((3, a.mem_index.shape[1]))
    n = 0
    drain = 0.0
    ones = np.ones(N_DIMS, dtype=np.int64)
    for o in range(3):
        for m in range(-1, levels[o] - 1):
            product = ones if m < 0 else below[o, m]
            cycles = 1
            for d in range(N_DIMS):
                cycles *= product[d]
            window = cycles
            if m >= 0 and not flags[o, m]:
                window = cycles // run_irrelevant[o, m]
            periods, distinct = visits(product, q, a.rel[o])
            held = 0.0
            if m < 0:
                moved = mac_link_amount(a, o, factor, sizes)
            else:
                ratio = unique_ratio(a, o, m + 1, factor, sizes)
                held, moved = boundary_amounts(a, o, m, product, factor, sizes, ratio)
            partial = o == OUT and sums_cross(a, m, periods, distinct, factor)
            before = n
            link = link_of(a, o, m)
            n, cycles_of_first = link_transfers(
                link, held, moved, periods, distinct, partial, window, port, busy, free, n
            )
            if a.drain and o == OUT and m >= 0 and m == levels[OUT] - 2:
                drain = drain_cycles(link, m, held, moved)
            if m >= 0:
                first[o, m] = cycles_of_first
            for i in range(before, n):
                period[i] = cycles
                allowed[i] = window

    stall = 0.0
    done = np.zeros(MAX_TRANSFERS, dtype=np.bool_)
    p1 = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    a1 = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    b1 = np.zeros(MAX_TRANSFERS)
    w1 = np.zeros(MAX_TRANSFERS)
    for i in range(n):
        if done[i]:
            continue
        k = 0
        for j in range(i, n):
            if port[j] == port[i]:
                done[j] = True
                p1[k] = period[j]
                a1[k] = allowed[j]
                b1[k] = busy[j]
                w1[k] = free[j]
                k += 1
        value = port_value(p1, a1, b1, w1, k, total)
        if value > stall:
            stall = value

    return stall, loading_cycles(a, first, levels) + drain


@njit(cache=True)
def shared_ends(a, o, m, levels):
    """How many ends of link m of input o the other input uses too, given kept levels."""
    other = 1 - o
    count = 0
    for end in range(2):
        port = a.ports[o, m, WH] if end == 0 else a.ports[o, m + 1, RL]
        used = False
        for k in range(levels[other]):
            # The top level of the other operand is still wired from above.
            if a.ports[other, k, RL] == port or a.ports[other, k, WH] == port:
                used = True
        if used:
            count += 1
    return count


@njit(cache=True)
def loading_cycles(a, first, levels):
    """Cycles before the first MAC: the first block of each input down its chain."""
    sums = np.zeros((2, 3))
    for o in range(2):
        if a.precision[o, 0] == 0:
            continue
        for m in range(levels[o] - 1):
            cycles = first[o, m]
            ends = shared_ends(a, o, m, levels)
            if ends == 2:
                sums[o, 0] += cycles
            elif ends == 0:
                sums[o, 2] += cycles
            elif a.add_half:
                sums[o, 1] += cycles
            else:
                sums[o, 1] = cycles
    s1, h1, o1 = sums[0, 0], sums[0, 1], sums[0, 2]
    s2, h2, o2 = sums[1, 0], sums[1, 1], sums[1, 2]
    return min(s1 + max(s2 + h2 + o2, h1 + o1), s2 + max(s1 + h1 + o1, h2 + o2))
