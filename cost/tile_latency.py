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
    READ_BW,
    SIZE,
    WRITE_BW,
    boundary_amounts,
    mac_link_amount,
    spatial_sums_above,
    visits,
)
from cost.lattice import N_DIMS

RL, WL, RH, WH = 0, 1, 2, 3
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
def mapping_latency(
    below,
    run_irrelevant,
    flags,
    levels,
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    exact,
    psums,
    add_half,
    drain,
):
    """(stall, loading plus, with `drain`, offloading) cycles of a mapping.

    `below` [o, m, d]: loop product below the boundary on top of level m (the top level:
    the full nest). `run_irrelevant` [o, m], `flags` [o, m]. `levels` [o]: levels kept.
    """
    total = 1
    for d in range(N_DIMS):
        total *= q[d]
    port_id = np.full(MAX_TRANSFERS, -1, dtype=np.int64)
    period = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    allowed = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    busy = np.zeros(MAX_TRANSFERS)
    window_sum = np.zeros(MAX_TRANSFERS)
    count = np.zeros(MAX_TRANSFERS, dtype=np.int64)
    load_cycles = np.zeros((3, mem_index.shape[1], 4))
    n = 0
    ones = np.ones(N_DIMS, dtype=np.int64)
    for o in range(3):
        for m in range(-1, levels[o] - 1):
            # The link between level m (the MACs for -1) and level m + 1.
            if m < 0:
                product = ones
                amount = mac_link_amount(
                    o, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact
                )
                held = 0.0
                moved = amount
                top_run = 1
                flagged = False
            else:
                product = below[o, m]
                held, moved = boundary_amounts(
                    o,
                    m,
                    product,
                    factor,
                    unroll_dim,
                    unroll_level,
                    rel,
                    stride,
                    exact,
                    sizes,
                    exact,
                )
                top_run = run_irrelevant[o, m]
                flagged = flags[o, m]
            cycles = 1
            for d in range(N_DIMS):
                cycles *= product[d]
            window = cycles if flagged else cycles // top_run
            periods, distinct = visits(product, q, rel[o])
            high = mem_index[o, m + 1]
            if o != OUT:
                bits = precision[o, 0]
                if bits == 0:
                    continue
                for side in range(2):
                    if side == 0:
                        real = math.ceil(moved * bits / memory[high, READ_BW])
                        port = ports[o, m + 1, RL]
                        load_cycles[o, m + 1, RL] = real
                    else:
                        if m < 0:
                            continue
                        real = math.ceil(held * bits / memory[mem_index[o, m], WRITE_BW])
                        port = ports[o, m, WH]
                        load_cycles[o, m, WH] = real
                    port_id[n] = port
                    period[n] = cycles
                    allowed[n] = window
                    count[n] = periods
                    busy[n] = real * (periods - 1)
                    window_sum[n] = float(window) * (periods - 1)
                    n += 1
                continue
            partial = periods > distinct or spatial_sums_above(
                OUT, m, factor, unroll_dim, unroll_level, rel
            )
            for side in range(4):
                upward = side < 2
                if side == 0:
                    amount, port, width = moved, ports[o, m + 1, WL], memory[high, WRITE_BW]
                elif side == 2:
                    amount, port, width = moved, ports[o, m + 1, RL], memory[high, READ_BW]
                else:
                    if m < 0:
                        continue
                    low = mem_index[o, m]
                    amount = held
                    if side == 1:
                        port, width = ports[o, m, RH], memory[low, READ_BW]
                    else:
                        port, width = ports[o, m, WH], memory[low, WRITE_BW]
                wide = math.ceil(amount * precision[OUT, 0] / width)
                final = math.ceil(amount * precision[OUT, 1] / width)
                if psums:
                    if upward:
                        moves = periods
                        first = wide if periods > distinct else final
                        work = wide * (periods - distinct) + final * distinct - first
                        free = float(window) * (periods - 1)
                    else:
                        moves = periods - distinct
                        if moves == 0:
                            continue
                        work = wide * moves
                        free = float(window) * moves
                else:
                    if not upward and not partial:
                        continue
                    moves = periods
                    work = (wide if partial else final) * (periods - 1)
                    free = float(window) * (periods - 1)
                port_id[n] = port
                period[n] = cycles
                allowed[n] = window
                count[n] = moves
                busy[n] = work
                window_sum[n] = free
                n += 1

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
            if port_id[j] == port_id[i]:
                done[j] = True
                p1[k] = period[j]
                a1[k] = allowed[j]
                b1[k] = busy[j]
                w1[k] = window_sum[j]
                k += 1
        value = port_value(p1, a1, b1, w1, k, total)
        if value > stall:
            stall = value

    loading = loading_cycles(load_cycles, levels, precision, ports, add_half)
    if drain and levels[OUT] > 1:
        m = levels[OUT] - 2
        held, moved = boundary_amounts(
            OUT,
            m,
            below[OUT, m],
            factor,
            unroll_dim,
            unroll_level,
            rel,
            stride,
            exact,
            sizes,
            exact,
        )
        loading += drain_cycles(m, held, moved, precision, mem_index, memory)
    return stall, loading


@njit(cache=True)
def drain_cycles(m, held, moved, precision, mem_index, memory):
    """Cycles in which the last outputs leave over the topmost link (m, m + 1) of O.

    One more cycle for each link below.
    """
    bits = precision[OUT, 1]
    out = math.ceil(held * bits / memory[mem_index[OUT, m], READ_BW])
    into = math.ceil(moved * bits / memory[mem_index[OUT, m + 1], WRITE_BW])
    return max(out, into) + m


@njit(cache=True)
def loading_cycles(load_cycles, levels, precision, ports, add_half):
    """Cycles before the first MAC: the first block of each input down its chain."""
    sums = np.zeros((2, 3))
    for o in range(2):
        if precision[o, 0] == 0:
            continue
        other = 1 - o
        for m in range(levels[o] - 1):
            cycles = max(load_cycles[o, m, WH], load_cycles[o, m + 1, RL])
            shared_ends = 0
            for end in range(2):
                port = ports[o, m, WH] if end == 0 else ports[o, m + 1, RL]
                used = False
                for k in range(levels[other]):
                    # The top level of the other operand is still wired from above.
                    if ports[other, k, RL] == port or ports[other, k, WH] == port:
                        used = True
                if used:
                    shared_ends += 1
            if shared_ends == 2:
                sums[o, 0] += cycles
            elif shared_ends == 0:
                sums[o, 2] += cycles
            elif add_half:
                sums[o, 1] += cycles
            else:
                sums[o, 1] = cycles
    s1, h1, o1 = sums[0, 0], sums[0, 1], sums[0, 2]
    s2, h2, o2 = sums[1, 0], sums[1, 1], sums[1, 2]
    return min(s1 + max(s2 + h2 + o2, h1 + o1), s2 + max(s1 + h1 + o1, h2 + o2))
