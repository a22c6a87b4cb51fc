"""Depth-first search over chains of loop prefixes: every temporal mapping of a layer-tile.

A mapping is one order of the loop factors with, per operand, a boundary on top of each
level but its highest. The search walks from the outermost loop inward and places the
boundaries it passes. Between boundaries only the bottom loop of a segment matters (a
boundary under a loop that its operand ignores would slide up over it) and the run of
loops on top of a level (it decides the refill window). All else is left to the end, so
one visited chain stands for all orders that cost the same.

Pruning is exact: by the cost to go from `completion_tables`, by the cut-offs that the
caller states, and by dominance in (energy, latency, bits held per listed memory).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cost.boundary_tables import OUT, boundary_amounts, spatial_sums_above, visits
from cost.lattice import N_DIMS, prefix_minimum
from cost.tile_latency import double_buffer_flags, mapping_latency

CLOSED, FRESH, IN_RELEVANT, IN_IRRELEVANT = 0, 1, 2, 3
PLACE, PICK, JUMP = 0, 1, 2
MAX_TRAIL = 64
TOLERANCE = 1e-9
"""Relative slack of every float comparison that prunes: rounding must not cut off a mapping."""


class SearchTables(NamedTuple):
    """What the search reads: model, lattice, tables, limits (see `mapping_search`)."""

    q: np.ndarray
    energy_factor: np.ndarray
    latency_factor: np.ndarray
    sizes: np.ndarray
    unroll_dim: np.ndarray
    unroll_level: np.ndarray
    rel: np.ndarray
    stride: np.ndarray
    precision: np.ndarray
    mem_index: np.ndarray
    ports: np.ndarray
    memory: np.ndarray
    axes: np.ndarray
    strides: np.ndarray
    exponents: np.ndarray
    products: np.ndarray
    boundary_pj: np.ndarray
    boundary_bits: np.ndarray
    boundary_load: np.ndarray
    boundary_wait: np.ndarray
    energy_to_go: np.ndarray
    load_to_go: np.ndarray
    wait_to_go: np.ndarray
    levels: np.ndarray
    budget: np.ndarray
    weigh_memory: np.ndarray
    limits: np.ndarray
    """[fixed pJ, total cycles, fixed port load, energy weight, latency weight, weighted
    cut-off, energy cut-off, latency cut-off, least loading and draining cycles]."""
    switches: np.ndarray
    """[integer unrolling, exact partial sums, explicit buffering, add half loading, is add,
 charge the last drain]."""


class SearchState(NamedTuple):
    """What the search writes."""

    placed: np.ndarray
    run_relevant: np.ndarray
    run_irrelevant: np.ndarray
    status: np.ndarray
    flags: np.ndarray
    trail: np.ndarray
    archive: np.ndarray
    archive_trail: np.ndarray
    archive_flags: np.ndarray
    archive_placed: np.ndarray
    counters: np.ndarray
    """[archive size, overflow, nodes, leaves]."""
    stack: np.ndarray
    """[height, (kind, depth, operand or axis, point, loop above, ending loop, flag)]."""
    node: np.ndarray
    """[depth, (point, first operand, loop above, last pick, trail length)]."""
    remaining: np.ndarray
    spent: np.ndarray
    saved_status: np.ndarray
    saved_relevant: np.ndarray
    saved_irrelevant: np.ndarray
    saved_placed: np.ndarray
    saved_flags: np.ndarray
    saved_usage: np.ndarray


@njit(cache=True)
def completion_tables(boundary_cost, bounds, axes, strides):
    """Cheapest placement of the innermost boundaries at or below every point.

    Returns [a, b, c, point]: a, b, c boundaries of the three operands, pairwise nested.
    Shared capacity is ignored, so it is a lower bound; without sharing it is exact.
    """
    n = boundary_cost.shape[2]
    out = np.zeros((bounds[0] + 1, bounds[1] + 1, bounds[2] + 1, n))
    for a in range(bounds[0] + 1):
        for b in range(bounds[1] + 1):
            for c in range(bounds[2] + 1):
                if a + b + c == 0:
                    continue
                best = out[a, b, c]
                best[:] = np.inf
                if a > 0:
                    for i in range(n):
                        best[i] = min(best[i], out[a - 1, b, c, i] + boundary_cost[0, a - 1, i])
                if b > 0:
                    for i in range(n):
                        best[i] = min(best[i], out[a, b - 1, c, i] + boundary_cost[1, b - 1, i])
                if c > 0:
                    for i in range(n):
                        best[i] = min(best[i], out[a, b, c - 1, i] + boundary_cost[2, c - 1, i])
                prefix_minimum(best, axes, strides)
    return out


@njit(cache=True)
def _divides(t, low, high):
    for a in range(t.axes.shape[0]):
        if t.exponents[low, a] > t.exponents[high, a]:
            return False
    return True


@njit(cache=True)
def _hopeless(t, s, energy, load, wait, usage):
    """Whether no completion with this energy, port load and waiting can be kept."""
    latency = t.limits[1] + t.limits[8] + max(wait, load - t.limits[1])
    shrink = 1.0 - TOLERANCE
    if energy * shrink > t.limits[6] or latency * shrink > t.limits[7]:
        return True
    if (t.limits[3] * energy + t.limits[4] * latency) * shrink > t.limits[5]:
        return True
    for i in range(s.counters[0]):
        row = s.archive[i]
        if t.switches[5]:
            better = (
                t.limits[3] * row[0] + t.limits[4] * row[1]
                <= t.limits[3] * energy + t.limits[4] * latency
            )
        else:
            better = row[0] <= energy * shrink and row[1] <= latency * shrink
        if better:
            worse = True
            for k in range(usage.shape[0]):
                if t.weigh_memory[k] and row[2 + k] > usage[k]:
                    worse = False
                    break
            if worse:
                return True
    return False


@njit(cache=True)
def _held_bits(t, s, o, m, factor):
    """Bits that one instance of level m holds of operand o, with the boundary on top."""
    if m == t.levels[o] - 1:
        product = t.products[t.products.shape[0] - 1]
    else:
        product = t.products[s.placed[o, m]]
    held, _ = boundary_amounts(
        o,
        m,
        product,
        factor,
        t.unroll_dim,
        t.unroll_level,
        t.rel,
        t.stride,
        t.switches[0],
        t.sizes,
        t.switches[0],
    )
    return held


@njit(cache=True)
def _sums_cross(t, s, m):
    """Whether partial sums cross the link below level m of O."""
    if m == 0:
        product = t.products[0]
    else:
        product = t.products[s.placed[OUT, m - 1]]
    periods, distinct = visits(product, t.q, t.rel[OUT])
    if t.switches[1]:
        return periods > distinct
    return periods > distinct or spatial_sums_above(
        OUT, m - 1, t.energy_factor, t.unroll_dim, t.unroll_level, t.rel
    )


@njit(cache=True)
def _sums_wait(t, s, m):
    """Whether irrelevant temporal loops of O lie above the boundary below level m."""
    if m == 0:
        product = t.products[0]
    else:
        product = t.products[s.placed[OUT, m - 1]]
    periods, distinct = visits(product, t.q, t.rel[OUT])
    return periods > distinct


@njit(cache=True)
def _leaf(t, s, energy, depth):
    """Cost a complete chain and keep it unless it does not fit or is dominated."""
    s.counters[3] += 1
    n_mem = t.memory.shape[0]
    usage = np.zeros(n_mem)
    for o in range(3):
        for m in range(t.levels[o]):
            held = _held_bits(t, s, o, m, t.energy_factor)
            bits = t.precision[o, 0]
            if o == OUT and not _sums_wait(t, s, m):
                bits = t.precision[OUT, 1]
            copies = 2 if t.switches[2] and m < t.levels[o] - 1 and s.flags[o, m] else 1
            usage[t.mem_index[o, m]] += held * bits * copies
    for k in range(n_mem):
        if usage[k] > t.budget[k]:
            return 0
    flags = s.flags
    if not t.switches[2]:
        flags = np.zeros_like(s.flags)
        bits_held = np.zeros(s.run_relevant.shape)
        for o in range(3):
            for m in range(t.levels[o]):
                bits = t.precision[o, 0]
                if o == OUT and (m == t.levels[o] - 1 or not _sums_cross(t, s, m + 1)):
                    bits = t.precision[OUT, 1]
                bits_held[o, m] = _held_bits(t, s, o, m, t.energy_factor) * bits
        double_buffer_flags(
            bits_held, s.run_relevant, t.levels, t.mem_index, t.memory, t.switches[4], flags
        )
    below = np.ones((3, t.mem_index.shape[1], N_DIMS), dtype=np.int64)
    for o in range(3):
        for m in range(t.levels[o] - 1):
            below[o, m] = t.products[s.placed[o, m]]
    stall, loading = mapping_latency(
        below,
        s.run_irrelevant,
        flags,
        t.levels,
        t.q,
        t.latency_factor,
        t.sizes,
        t.unroll_dim,
        t.unroll_level,
        t.rel,
        t.stride,
        t.precision,
        t.mem_index,
        t.ports,
        t.memory,
        t.switches[0],
        t.switches[1],
        t.switches[3],
        t.switches[6],
    )
    latency = t.limits[1] + stall + loading
    total_energy = energy + t.limits[0]
    grow = 1.0 + TOLERANCE
    if total_energy > t.limits[6] * grow or latency > t.limits[7] * grow:
        return 0
    if t.limits[3] * total_energy + t.limits[4] * latency > t.limits[5] * grow:
        return 0
    keep = 0
    n = s.counters[0]
    for i in range(n):
        row = s.archive[i]
        # Sums of the same terms in another order differ in the last digits.
        if t.switches[5]:
            better = t.limits[3] * row[0] + t.limits[4] * row[1] <= (
                t.limits[3] * total_energy + t.limits[4] * latency
            ) * (1.0 + 1e-13)
        else:
            better = row[0] <= total_energy * (1.0 + 1e-13) and row[1] <= latency
        if better:
            dominated = True
            for k in range(n_mem):
                if t.weigh_memory[k] and row[2 + k] > usage[k]:
                    dominated = False
                    break
            if dominated:
                return 0
    for i in range(n):
        row = s.archive[i]
        if t.switches[5]:
            beaten = (
                t.limits[3] * total_energy + t.limits[4] * latency
                <= t.limits[3] * row[0] + t.limits[4] * row[1]
            )
        else:
            beaten = total_energy <= row[0] and latency <= row[1]
        if beaten:
            for k in range(n_mem):
                if t.weigh_memory[k] and usage[k] > row[2 + k]:
                    beaten = False
                    break
        if not beaten:
            if keep != i:
                s.archive[keep] = s.archive[i]
                s.archive_trail[keep] = s.archive_trail[i]
                s.archive_flags[keep] = s.archive_flags[i]
                s.archive_placed[keep] = s.archive_placed[i]
            keep += 1
    if keep == s.archive.shape[0]:
        s.counters[1] = 1
        s.counters[0] = keep
        return 0
    s.archive[keep, 0] = total_energy
    s.archive[keep, 1] = latency
    s.archive[keep, 2:] = usage
    s.archive_trail[keep] = -1
    for i in range(depth):
        s.archive_trail[keep, i] = s.trail[i]
    s.archive_flags[keep] = flags
    s.archive_placed[keep] = s.placed
    s.counters[0] = keep + 1
    return 0


@njit(cache=True)
def _open_run(t, s, o, m, point, boundaries_below):
    """Start tracking the run on top of level m of operand o, unless it is settled at once."""
    s.run_relevant[o, m] = 1
    s.run_irrelevant[o, m] = 1
    s.status[o] = CLOSED
    explicit = t.switches[2]
    if explicit and (m == t.levels[o] - 1 or s.flags[o, m]):
        return
    if not explicit and m == t.levels[o] - 1:
        shares = False
        for other in range(3):
            for k in range(t.levels[other] - 1):
                if t.mem_index[other, k] == t.mem_index[o, m]:
                    shares = True
        if not shares:
            return
    classes = np.zeros(3, dtype=np.int64)
    whole = 1
    for d in range(N_DIMS):
        if t.products[point, d] > 1:
            classes[t.rel[o, d]] += 1
            whole *= t.products[point, d]
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


@njit(cache=True)
def _axis_step(t, point, d):
    for a in range(t.axes.shape[0]):
        if t.axes[a, 0] == d and t.exponents[point, a] > 0:
            return t.strides[a]
    return 0


@njit(cache=True)
def _ending_loop(t, s, low, high, bottom):
    """A dim whose loop, on top of the segment low..high, ends every open run; -1: none.

    One loop of dim `bottom` is taken already, at the bottom of the segment, unless the
    segment is that one loop.
    """
    total = 0
    own = 0
    for a in range(t.axes.shape[0]):
        e = t.exponents[high, a] - t.exponents[low, a]
        total += e
        if t.axes[a, 0] == bottom:
            own += e
    for d in range(N_DIMS):
        if t.products[high, d] == t.products[low, d] or (d == bottom and own == 1 and total > 1):
            continue
        ends = True
        for o in range(3):
            if s.status[o] != CLOSED and t.rel[o, d] == 0:
                ends = False
        if ends:
            return d
    return -1


@njit(cache=True)
def _retype_runs(t, s, status, v0, v1, v2, d, f):
    """Let a loop of dim d and factor f join or end every open run; True if all go on as before."""
    kept = True
    for o in range(3):
        if status[o] == CLOSED:
            continue
        v = v0 if o == 0 else (v1 if o == 1 else v2)
        r = t.rel[o, d]
        if r == 1 and not t.switches[2] and status[o] in (FRESH, IN_RELEVANT):
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


@njit(cache=True)
def _worth_picking(t, status, a, last_pick):
    """Whether taking a loop of axis a next, with runs open, can lead to something new."""
    d = t.axes[a, 0]
    if t.switches[2]:
        # A loop that ends every open run is what a jump assumes anyway.
        lengthens = False
        for o in range(3):
            if status[o] != CLOSED and t.rel[o, d] == 0:
                lengthens = True
        if not lengthens:
            return False
    if last_pick >= 0 and a < last_pick:
        # Loops that act alike on every open run come in one order only.
        for o in range(3):
            if status[o] != CLOSED and t.rel[o, d] != t.rel[o, t.axes[last_pick, 0]]:
                return True
        return False
    return True


@njit(cache=True)
def _finish(t, s, point, energy, depth):
    """With every boundary placed, put on top a loop that ends all open runs, if any does."""
    for d in range(N_DIMS):
        if t.products[point, d] > 1:
            ends = True
            for o in range(3):
                if s.status[o] != CLOSED and t.rel[o, d] == 0:
                    ends = False
            if ends:
                s.trail[depth, 0] = point - _axis_step(t, point, d)
                s.trail[depth, 1] = d
                s.trail[depth, 2] = d
                _leaf(t, s, energy, depth + 1)
                return


@njit(cache=True)
def _push(s, top, kind, depth, o, point, above, ending, flag):
    if top >= s.stack.shape[0]:
        s.counters[1] = 1
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


@njit(cache=True)
def _save(s, depth, usage):
    s.saved_status[depth] = s.status
    s.saved_relevant[depth] = s.run_relevant
    s.saved_irrelevant[depth] = s.run_irrelevant
    s.saved_placed[depth] = s.placed
    s.saved_flags[depth] = s.flags
    s.saved_usage[depth] = usage


@njit(cache=True)
def _restore(s, depth, usage):
    s.status[:] = s.saved_status[depth]
    s.run_relevant[:] = s.saved_relevant[depth]
    s.run_irrelevant[:] = s.saved_irrelevant[depth]
    s.placed[:] = s.saved_placed[depth]
    s.flags[:] = s.saved_flags[depth]
    usage[:] = s.saved_usage[depth]


@njit(cache=True)
def _expand(t, s, top, depth, usage):
    """Push every move that may follow the node at `depth`; returns the new stack height."""
    point, first_operand, above, last_pick, trail = s.node[depth]
    v = s.remaining[depth]
    energy, load, wait = s.spent[depth]
    n_flags = 2 if t.switches[2] else 1
    for o in range(first_operand, 3):
        if v[o] > 0 and (above < 0 or t.rel[o, above] != 0):
            for flag in range(n_flags):
                top = _push(s, top, PLACE, depth, o, point, above, -1, flag)
    is_open = s.status[0] != CLOSED or s.status[1] != CLOSED or s.status[2] != CLOSED
    done = v[0] + v[1] + v[2] == 0
    if done and (not is_open or point == 0):
        _leaf(t, s, energy, trail)
        return top
    if point == 0:
        return top
    if done and t.switches[2]:
        _finish(t, s, point, energy, trail)
    if is_open:
        for a in range(t.axes.shape[0]):
            if t.exponents[point, a] > 0 and _worth_picking(t, s.status, a, last_pick):
                top = _push(
                    s, top, PICK, depth, a, point - t.strides[a], t.axes[a, 0], t.axes[a, 0], 0
                )
        if not t.switches[2]:
            return top
    if done:
        return top
    for target in range(point):
        if not _divides(t, target, point):
            continue
        for o in range(3):
            if v[o] == 0 or np.isinf(t.boundary_pj[o, v[o] - 1, target]):
                continue
            if _hopeless_placement(t, s, v, o, target, energy, load, wait, usage):
                continue
            seen = np.zeros(8, dtype=np.bool_)
            for d in range(N_DIMS):
                if t.products[target, d] == t.products[point, d] or t.rel[o, d] == 0:
                    continue
                signature = 0
                for other in range(3):
                    if t.rel[other, d] != 0:
                        signature |= 1 << other
                if seen[signature]:
                    continue
                ending = _ending_loop(t, s, target, point, d) if is_open else -1
                if is_open and ending < 0:
                    continue
                seen[signature] = True
                for flag in range(n_flags):
                    top = _push(s, top, JUMP, depth, o, target, d, ending, flag)
    return top


@njit(cache=True)
def _hopeless_placement(t, s, v, o, point, energy, load, wait, usage):
    """`_hopeless` after placing the next boundary of operand o at `point`."""
    n0 = v[0] - 1 if o == 0 else v[0]
    n1 = v[1] - 1 if o == 1 else v[1]
    n2 = v[2] - 1 if o == 2 else v[2]
    return _hopeless(
        t,
        s,
        energy
        + t.boundary_pj[o, v[o] - 1, point]
        + t.energy_to_go[n0, n1, n2, point]
        + t.limits[0],
        load + t.boundary_load[o, v[o] - 1, point] + t.load_to_go[n0, n1, n2, point] + t.limits[2],
        wait + t.boundary_wait[o, v[o] - 1, point] + t.wait_to_go[n0, n1, n2, point],
        usage,
    )


@njit(cache=True)
def search(t, s, usage):
    """Visit every chain that may matter; results in the archive of `s`.

    An explicit stack of moves, with the state saved per depth: compiled recursion cannot
    be cached on disk.
    """
    last = t.products.shape[0] - 1
    s.status[:] = CLOSED
    for o in range(3):
        _open_run(t, s, o, t.levels[o] - 1, last, t.levels[o] - 1)
    s.node[0] = (last, 0, -1, -1, 0)
    s.spent[0] = 0.0
    for o in range(3):
        s.remaining[0, o] = t.levels[o] - 1
    _save(s, 0, usage)
    top = _expand(t, s, 0, 0, usage)
    while top > 0 and s.counters[1] == 0:
        top -= 1
        kind, depth, o, point, above, ending, flag = s.stack[top]
        _restore(s, depth, usage)
        s.counters[2] += 1
        trail = s.node[depth, 4]
        v = s.remaining[depth]
        energy, load, wait = s.spent[depth]
        if kind != PLACE:
            s.trail[trail, 0] = point
            s.trail[trail, 1] = above
            s.trail[trail, 2] = ending
            trail += 1
        if kind == PICK:
            before = s.status.copy()
            kept = _retype_runs(t, s, before, v[0], v[1], v[2], above, t.axes[o, 1])
            s.node[depth + 1] = (point, 0, above, o if kept else -1, trail)
            s.remaining[depth + 1] = v
            s.spent[depth + 1] = s.spent[depth]
        else:
            if kind == JUMP:
                s.status[:] = CLOSED
            m = v[o] - 1
            if np.isinf(t.boundary_pj[o, m, point]):
                continue
            memory = t.mem_index[o, m]
            usage[memory] += t.boundary_bits[o, m, point] * (1 + flag)
            if usage[memory] > t.budget[memory]:
                continue
            if _hopeless_placement(t, s, v, o, point, energy, load, wait, usage):
                continue
            s.placed[o, m] = point
            s.flags[o, m] = flag == 1
            _open_run(t, s, o, m, point, m)
            s.node[depth + 1] = (point, o, above, -1, trail)
            s.remaining[depth + 1] = v
            s.remaining[depth + 1, o] = m
            s.spent[depth + 1, 0] = energy + t.boundary_pj[o, m, point]
            s.spent[depth + 1, 1] = load + t.boundary_load[o, m, point]
            s.spent[depth + 1, 2] = wait + t.boundary_wait[o, m, point]
        _save(s, depth + 1, usage)
        top = _expand(t, s, top, depth + 1, usage)
