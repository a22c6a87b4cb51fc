"""Runs of loops on top of memory levels: they decide the refill windows (compiled)."""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.chain_state import CLOSED, FRESH, IN_IRRELEVANT, IN_RELEVANT
from cost.lattice import N_DIMS


@njit(cache=True, inline="always")
def open_run(t, s, o, m, point, boundaries_below):
    """Start tracking the run on top of level m of operand o, unless it is settled at once."""
    s.run_relevant[o, m] = 1
    s.run_irrelevant[o, m] = 1
    s.status[o] = CLOSED
    explicit = t.layer.explicit
    if explicit and (m == t.levels[o] - 1 or s.flags[o, m]):
        return
    if not explicit and m == t.levels[o] - 1:
        shares = False
        for other in range(3):
            for k in range(t.levels[other] - 1):
                if t.layer.mem_index[other, k] == t.layer.mem_index[o, m]:
                    shares = True
        if not shares:
            return
    classes = np.zeros(3, dtype=np.int64)
    whole = 1
    for d in range(N_DIMS):
        if t.tables.products[point, d] > 1:
            classes[t.layer.rel[o, d]] += 1
            whole *= t.tables.products[point, d]
    if whole == 1:
        return
    if explicit and classes[0] == 0:
        return
    if boundaries_below == 0:
        if classes[0] > 0 and classes[1] + classes[2] == 0:
            s.run_irrelevant[o, m] = whole
            return
        if classes[1] > 0 and classes[0] + classes[2] == 0:
            s.run_relevant[o, m] = whole
            return
    if classes[0] + classes[1] == 0:
        return
    s.status[o] = FRESH


@njit(cache=True, inline="always")
def axis_step(t, point, d):
    for a in range(t.tables.axes.shape[0]):
        if t.tables.axes[a, 0] == d and t.tables.exponents[point, a] > 0:
            return t.tables.strides[a]
    return 0


@njit(cache=True, inline="always")
def ending_loop(t, s, low, high, bottom):
    """A dim whose loop, on top of the segment low..high, ends every open run; -1: none.

    One loop of dim `bottom` is taken already, at the bottom of the segment, unless the
    segment is that one loop.
    """
    total = 0
    own = 0
    for a in range(t.tables.axes.shape[0]):
        e = t.tables.exponents[high, a] - t.tables.exponents[low, a]
        total += e
        if t.tables.axes[a, 0] == bottom:
            own += e
    for d in range(N_DIMS):
        if t.tables.products[high, d] == t.tables.products[low, d]:
            continue
        if d == bottom and own == 1 and total > 1:
            continue
        ends = True
        for o in range(3):
            if s.status[o] != CLOSED and t.layer.rel[o, d] == 0:
                ends = False
        if ends:
            return d
    return -1


@njit(cache=True, inline="always")
def retype_runs(t, s, status, v0, v1, v2, d, f):
    """Let a loop of dim d and factor f join or end every open run; True if all go on as before."""
    kept = True
    for o in range(3):
        if status[o] == CLOSED:
            continue
        v = v0 if o == 0 else (v1 if o == 1 else v2)
        r = t.layer.rel[o, d]
        if r == 1 and not t.layer.explicit and status[o] in (FRESH, IN_RELEVANT):
            s.status[o] = IN_RELEVANT
            s.run_relevant[o, v] *= f
        elif r == 0 and status[o] in (FRESH, IN_IRRELEVANT):
            s.status[o] = IN_IRRELEVANT
            s.run_irrelevant[o, v] *= f
        else:
            s.status[o] = CLOSED
        if s.status[o] != status[o]:
            kept = False
    return kept


@njit(cache=True, inline="always")
def worth_picking(t, status, a, last_pick):
    """Whether taking a loop of axis a next, with runs open, can lead to something new."""
    d = t.tables.axes[a, 0]
    if t.layer.explicit:
        # A loop that ends every open run is what a jump assumes anyway.
        lengthens = False
        for o in range(3):
            if status[o] != CLOSED and t.layer.rel[o, d] == 0:
                lengthens = True
        if not lengthens:
            return False
    if last_pick >= 0 and a < last_pick:
        # Loops that act alike on every open run come in one order only.
        for o in range(3):
            last_dim = t.tables.axes[last_pick, 0]
            if status[o] != CLOSED and t.layer.rel[o, d] != t.layer.rel[o, last_dim]:
                return True
        return False
    return True
