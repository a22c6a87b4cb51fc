"""Depth-first search over chains of loop prefixes: every temporal mapping of a layer-tile.

A mapping is one order of the loop factors with, per operand, a boundary on top of each
level but its highest. The search walks from the outermost loop inward and places the
boundaries it passes. Between boundaries only the bottom loop of a segment matters (a
boundary under a loop that its operand ignores would slide up over it) and the run of
loops on top of a level (it decides the refill window). All else is left to the end, so
one visited chain stands for all orders that cost the same.

What a call is handed here are some 65 arrays, which costs more than most calls do: they are
compiled into their caller ("inline").

Pruning is exact: by the cost to go from `completion_table`, by the cut-offs that the
caller states, and by dominance in (energy, latency, bits held per listed memory).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT
from cost.chain_leaf import ROUNDING, hopeless, leaf
from cost.chain_runs import axis_step, ending_loop, open_run, retype_runs, worth_picking
from cost.chain_state import (
    CLOSED,
    HEIGHT,
    JUMP,
    NODES,
    OVERFLOWED,
    PICK,
    PLACE,
    STARTED,
    TOLERANCE,
)
from cost.lattice import N_DIMS


@njit(cache=True, inline="always")
def _finish(t, s, point, energy, depth):
    """With every boundary placed, put on top a loop that ends all open runs, if any does."""
    for d in range(N_DIMS):
        if t.tables.products[point, d] > 1:
            ends = True
            for o in range(3):
                if s.status[o] != CLOSED and t.layer.rel[o, d] == 0:
                    ends = False
            if ends:
                s.trail[depth, 0] = point - axis_step(t, point, d)
                s.trail[depth, 1] = d
                s.trail[depth, 2] = d
                leaf(t, s, energy, depth + 1)
                return


@njit(cache=True, inline="always")
def _push(s, top, kind, depth, o, point, above, ending, flag):
    if top >= s.stack.shape[0]:
        s.counters[OVERFLOWED] = 1
        return top
    row = s.stack[top]
    row[0], row[1], row[2], row[3], row[4], row[5], row[6] = (
        kind,
        depth,
        o,
        point,
        above,
        ending,
        flag,
    )
    return top + 1


@njit(cache=True, inline="always")
def _save(s, depth):
    s.saved_whole[depth] = s.whole
    s.saved_flags[depth] = s.flags
    s.saved_usage[depth] = s.usage


@njit(cache=True, inline="always")
def _restore(s, depth):
    s.whole[:] = s.saved_whole[depth]
    s.flags[:] = s.saved_flags[depth]
    s.usage[:] = s.saved_usage[depth]


@njit(cache=True, inline="always")
def _hopeless_placement(t, s, depth, o, point):
    """`hopeless` after placing the next boundary of operand o at `point`."""
    v = s.remaining[depth]
    a = v[0] - 1 if o == 0 else v[0]
    b = v[1] - 1 if o == 1 else v[1]
    c = v[2] - 1 if o == 2 else v[2]
    m = v[o] - 1
    energy = s.spent[depth, 0] + t.tables.pj[o, m, point]
    whole_energy = energy + t.energy_to_go[a, b, c, point] + t.tables.fixed_pj
    latency = 0.0
    weighted = 0.0
    known = t.energy_weight * (energy + t.tables.fixed_pj)
    for k in range(t.view_constants.shape[0]):
        cycles = t.view_constants[k] + s.spent[depth, 1 + k] + t.view_costs[o, m, point, k]
        latency = max(latency, cycles + t.views_to_go[a, b, c, point, k])
        weighted = max(
            weighted, known + t.latency_weight * cycles + t.weighted_to_go[a, b, c, point, k]
        )
    return hopeless(t, s, whole_energy, latency, weighted)


@njit(cache=True, inline="always")
def _jumps(t, s, depth):
    """List in `s.jumps` where next boundaries may lie below the node; returns how many.

    Less the points whose weighted bounds exceed the cut-off, as `hopeless` would say. Most
    points are looked at here only: nothing is called, and nothing looked up twice.
    """
    point = s.node[depth, 0]
    packed, spare, jumps = t.packed, t.spare, s.jumps
    above = packed[point] | spare
    v, spent, constants = s.remaining[depth], s.spent[depth], t.view_constants
    fixed_pj = t.tables.fixed_pj
    pj, costs, to_go = t.tables.pj, t.view_costs, t.weighted_to_go
    most = t.weighted_cutoff / (1.0 - TOLERANCE) * (1.0 + ROUNDING)
    n = 0
    for target in range(point):
        if (above - packed[target]) & spare != spare:
            continue
        for o in range(3):
            m = v[o] - 1
            if m < 0 or np.isinf(pj[o, m, target]):
                continue
            a, b, c = v[0] - (o == 0), v[1] - (o == 1), v[2] - (o == OUT)
            known = t.energy_weight * (spent[0] + pj[o, m, target] + fixed_pj)
            within = True
            for k in range(constants.shape[0]):
                cycles = constants[k] + spent[1 + k] + costs[o, m, target, k]
                if known + t.latency_weight * cycles + to_go[a, b, c, target, k] > most:
                    within = False
                    break
            if within:
                jumps[n, 0], jumps[n, 1] = target, o
                n += 1
    return n


@njit(cache=True, inline="always")
def _most_taken(t, p, n, point):
    """Bits that two copies of the block of operand p in level n take at most, at a point or below.

    Infinite where it need not fit at the point itself.
    """
    if np.isinf(t.tables.pj[p, n, point]):
        return np.inf
    copy = t.copy_bits[p, n, point]
    bits = t.tables.bits[p, n, point] + copy
    if p == OUT:
        # Sums that are unfinished are wider.
        bits += 2.0 * copy * (t.layer.precision[OUT, 0] / t.layer.precision[OUT, 1] - 1.0)
    return bits


@njit(cache=True, inline="always")
def _least_copies(t, s, depth, o, point):
    """(fewest, most) extra copies that a block of the next level of operand o may need at a point.

    With every loop below relevant to it, it is refilled in time as it is. Where two copies of all
    that may yet come to its memory fit, nothing is gained by less.
    """
    if not t.layer.explicit:
        return 0, 0
    ignored = False
    for d in range(N_DIMS):
        if t.tables.products[point, d] > 1 and t.layer.rel[o, d] == 0:
            ignored = True
    if not ignored:
        return 0, 0
    v = s.remaining[depth]
    memory = t.layer.mem_index[o, v[o] - 1]
    if t.weigh_memory[memory]:
        return 0, 1
    taken = s.usage[memory]
    for p in range(3):
        for n in range(v[p]):
            if t.layer.mem_index[p, n] == memory:
                taken += _most_taken(t, p, n, point)
    wide = t.layer.precision[OUT, 0] / t.layer.precision[OUT, 1] - 1.0
    level = v[OUT]
    if wide > 0.0 and t.layer.mem_index[OUT, level] == memory:
        # What holds outputs now may turn out to hold unfinished sums.
        if level == t.levels[OUT] - 1:
            taken += t.tables.tensor_bits[OUT] * wide
        else:
            taken += 2.0 * t.copy_bits[OUT, level, s.placed[OUT, level]] * wide
    return (1, 1) if taken <= t.budget[memory] else (0, 1)


@njit(cache=True, inline="always")
def _expand(t, s, top, depth):
    """Push every move that may follow the node at `depth`; returns the new stack height."""
    point, first_operand, above, last_pick, trail = s.node[depth]
    v = s.remaining[depth]
    energy = s.spent[depth, 0]
    for o in range(first_operand, 3):
        if v[o] > 0 and (above < 0 or t.layer.rel[o, above] != 0):
            fewest, most = _least_copies(t, s, depth, o, point)
            for flag in range(fewest, most + 1):
                top = _push(s, top, PLACE, depth, o, point, above, -1, flag)
    is_open = s.status[0] != CLOSED or s.status[1] != CLOSED or s.status[2] != CLOSED
    done = v[0] + v[1] + v[2] == 0
    if done and (not is_open or point == 0):
        leaf(t, s, energy, trail)
        return top
    if point == 0:
        return top
    if done and t.layer.explicit:
        _finish(t, s, point, energy, trail)
    if is_open:
        for a in range(t.tables.axes.shape[0]):
            if t.tables.exponents[point, a] > 0 and worth_picking(t, s.status, a, last_pick):
                d, next_point = t.tables.axes[a, 0], point - t.tables.strides[a]
                top = _push(s, top, PICK, depth, a, next_point, d, d, 0)
        if not t.layer.explicit:
            return top
    if done:
        return top
    for k in range(_jumps(t, s, depth)):
        target, o = s.jumps[k]
        if _hopeless_placement(t, s, depth, o, target):
            continue
        seen = 0
        fewest, most = _least_copies(t, s, depth, o, target)
        for d in range(N_DIMS):
            unmoved = t.tables.products[target, d] == t.tables.products[point, d]
            if unmoved or t.layer.rel[o, d] == 0:
                continue
            signature = 0
            for other in range(3):
                if t.layer.rel[other, d] != 0:
                    signature |= 1 << other
            if seen >> signature & 1:
                continue
            ending = ending_loop(t, s, target, point, d) if is_open else -1
            if is_open and ending < 0:
                continue
            seen |= 1 << signature
            for flag in range(fewest, most + 1):
                top = _push(s, top, JUMP, depth, o, target, d, ending, flag)
    return top


@njit(cache=True)
def sums_go_on(products, q, rel):
    """[i]: whether loops above point i add to the same outputs again; `rel` of O."""
    out = np.zeros(products.shape[0], dtype=np.bool_)
    for i in range(products.shape[0]):
        for d in range(N_DIMS):
            if rel[d] != 1 and products[i, d] < q[d]:
                out[i] = True
    return out


@njit(cache=True, inline="always")
def _widen(t, s, level, before, point):
    """Take note that `level` of O holds unfinished sums, if moving to `point` decides that.

    Its lower boundary is still to come, at or below `point`. False if they do not fit.
    """
    narrow, wide = t.layer.precision[OUT, 1], t.layer.precision[OUT, 0]
    if level == 0 or narrow == wide or t.sums_go_on[before] or not t.sums_go_on[point]:
        return True
    if level == t.levels[OUT] - 1:
        bits = t.tables.tensor_bits[OUT]
    else:
        copies = 2 if s.flags[OUT, level] else 1
        bits = t.copy_bits[OUT, level, s.placed[OUT, level]] * copies
    memory = t.layer.mem_index[OUT, level]
    s.usage[memory] += bits * (wide / narrow - 1.0)
    return s.usage[memory] <= t.budget[memory]


@njit(cache=True)
def _start(t, s):
    """Open the root: everything rests in the highest levels."""
    last = t.tables.products.shape[0] - 1
    s.status[:] = CLOSED
    for o in range(3):
        open_run(t, s, o, t.levels[o] - 1, last, t.levels[o] - 1)
    s.node[0] = (last, 0, -1, -1, 0)
    s.spent[0] = 0.0
    for o in range(3):
        s.remaining[0, o] = t.levels[o] - 1
    _save(s, 0)
    s.counters[HEIGHT] = _expand(t, s, 0, 0)
    s.counters[STARTED] = 1


@njit(cache=True, nogil=True)
def search(t, s, most_nodes):
    """Visit every chain that may matter; results in the archive of `s`.

    Returns whether the search is complete; after `most_nodes` it pauses, and another call
    goes on. An explicit stack of moves, with the state saved per depth: compiled
    recursion cannot be cached on disk.
    """
    if not s.counters[STARTED]:
        _start(t, s)
    top = s.counters[HEIGHT]
    until = s.counters[NODES] + most_nodes
    while top > 0 and not s.counters[OVERFLOWED]:
        if s.counters[NODES] >= until:
            s.counters[HEIGHT] = top
            return False
        top -= 1
        kind, depth, o, point, above, ending, flag = s.stack[top]
        _restore(s, depth)
        s.counters[NODES] += 1
        trail = s.node[depth, 4]
        v = s.remaining[depth]
        if not _widen(t, s, v[OUT], s.node[depth, 0], point):
            continue
        if kind != PLACE:
            s.trail[trail, 0] = point
            s.trail[trail, 1] = above
            s.trail[trail, 2] = ending
            trail += 1
        if kind == PICK:
            before = (s.status[0], s.status[1], s.status[2])
            kept = retype_runs(t, s, before, v[0], v[1], v[2], above, t.tables.axes[o, 1])
            s.node[depth + 1] = (point, 0, above, o if kept else -1, trail)
            s.remaining[depth + 1] = v
            s.spent[depth + 1] = s.spent[depth]
        else:
            if kind == JUMP:
                s.status[:] = CLOSED
            m = v[o] - 1
            if np.isinf(t.tables.pj[o, m, point]):
                continue
            memory = t.layer.mem_index[o, m]
            s.usage[memory] += t.tables.bits[o, m, point] + flag * t.copy_bits[o, m, point]
            if s.usage[memory] > t.budget[memory]:
                continue
            if _hopeless_placement(t, s, depth, o, point):
                continue
            s.placed[o, m] = point
            s.flags[o, m] = flag == 1
            open_run(t, s, o, m, point, m)
            s.node[depth + 1] = (point, o, above, -1, trail)
            s.remaining[depth + 1] = v
            s.remaining[depth + 1, o] = m
            s.spent[depth + 1] = s.spent[depth]
            s.spent[depth + 1, 0] += t.tables.pj[o, m, point]
            s.spent[depth + 1, 1:] += t.view_costs[o, m, point]
        _save(s, depth + 1)
        top = _expand(t, s, top, depth + 1)
    s.counters[HEIGHT] = top
    return True
