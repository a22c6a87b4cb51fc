"""The chain of boundaries of least cost that fits its memories (compiled).

Without shared memories `completion_table` knows that cost. Where the cheapest chain
overfills a memory, a best-first search places one boundary after the other, outermost
first: the cost to go never exceeds what is to come, so the first chain completed is a
cheapest one. Of two partial chains that stand at the same point with the same boundaries
to place, the dearer one is dropped unless it holds less somewhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.lattice import packed_exponents, suffix_minimum

ROUNDING = 1e-12
"""Relative: sums of the same terms in another order differ so."""
SAME = 1e-14
"""Relative: a partial chain built up in another order."""
FOUND, NOTHING, TOO_MANY = 0, 1, 2


@njit(cache=True)
def trace_chain(costs, possible, to_go, bounds, exponents, chain):
    """Read the cheapest chain off its `completion_table`; `chain` [o, m] receives the points."""
    left = np.zeros(3, dtype=np.int64)
    for o in range(3):
        left[o] = bounds[o]
    point = costs.shape[2] - 1
    while left.sum() > 0:
        best = np.inf
        best_o = -1
        best_point = -1
        for o in range(3):
            if left[o] == 0:
                continue
            m = left[o] - 1
            left[o] = m
            below = to_go[left[0], left[1], left[2]]
            left[o] = m + 1
            for i in range(point, -1, -1):
                if not possible[o, m, i]:
                    continue
                value = costs[o, m, i] + below[i]
                if value < best and divides(exponents, i, point):
                    best = value
                    best_o = o
                    best_point = i
        point = best_point
        left[best_o] -= 1
        chain[best_o, left[best_o]] = point


@njit(cache=True)
def divides(exponents, low, high):
    """Whether point `low` divides point `high`."""
    for a in range(exponents.shape[1]):
        if exponents[low, a] > exponents[high, a]:
            return False
    return True


@njit(cache=True)
def through_costs(costs, possible, to_go, bounds, axes, strides):
    """[o, m, i]: cost of the cheapest chain that has boundary (o, m) at i.

    Shared capacity is ignored, as in `to_go`.
    """
    shape = to_go.shape
    n = shape[3]
    spent = np.full(shape, np.inf)
    through = np.full(costs.shape, np.inf)
    left = np.zeros(3, dtype=np.int64)
    for a in range(bounds[0], -1, -1):
        for b in range(bounds[1], -1, -1):
            for c in range(bounds[2], -1, -1):
                best = spent[a, b, c]
                if a == bounds[0] and b == bounds[1] and c == bounds[2]:
                    best[:] = 0.0
                    continue
                left[0], left[1], left[2] = a, b, c
                below = to_go[a, b, c]
                for o in range(3):
                    if left[o] == bounds[o]:
                        continue
                    m = left[o]
                    before = spent[
                        a + 1 if o == 0 else a, b + 1 if o == 1 else b, c + 1 if o == 2 else c
                    ]
                    allowed, cost, least = possible[o, m], costs[o, m], through[o, m]
                    for i in range(n):
                        value = before[i] + cost[i] if allowed[i] else np.inf
                        best[i] = min(best[i], value)
                        least[i] = min(least[i], value + below[i])
                suffix_minimum(best, axes, strides)
    return through


@njit(cache=True)
def _possible_points(costs, levels):
    """Points at which boundaries may lie, and where those of boundary (o, m) start and end."""
    n = costs.shape[2]
    points = np.zeros(costs.size, dtype=np.int64)
    span = np.zeros((3, costs.shape[1], 2), dtype=np.int64)
    count = 0
    for o in range(3):
        for m in range(levels[o] - 1):
            span[o, m, 0] = count
            for i in range(n):
                if costs[o, m, i] < np.inf:
                    points[count] = i
                    count += 1
            span[o, m, 1] = count
    return points[:count], span


@njit(cache=True)
def _relevant(a, axes):
    """[o]: bits of `packed_exponents` whose loops matter to operand o."""
    masks = np.zeros(3, dtype=np.int64)
    shift = 0
    for k in range(axes.shape[0]):
        bits = 0
        while axes[k, 2] >> bits > 0:
            bits += 1
        for o in range(3):
            if a.rel[o, axes[k, 0]] != 0:
                masks[o] |= ((np.int64(1) << bits) - 1) << shift
        shift += bits + 1
    return masks


@njit(cache=True)
def _contended(a, t, levels, points, span, prices, room):
    """Memories that some choice of blocks overfills: how many, and every memory's rank or -1."""
    most = np.zeros(len(room))
    for o in range(3):
        for m in range(levels[o] - 1):
            high = 0.0
            for j in range(span[o, m, 0], span[o, m, 1]):
                high = max(high, t.bits[o, m, points[j]])
            most[a.mem_index[o, m]] += high
    rank = np.full(len(room), -1, dtype=np.int64)
    n = 0
    for k in range(len(room)):
        if most[k] > room[k] or prices[k] > 0:
            rank[k] = n
            n += 1
    return n, rank


@njit(cache=True)
def _sift_up(heap_cost, heap_label, i):
    while i > 0:
        up = (i - 1) // 2
        if heap_cost[up] <= heap_cost[i]:
            return
        heap_cost[up], heap_cost[i] = heap_cost[i], heap_cost[up]
        heap_label[up], heap_label[i] = heap_label[i], heap_label[up]
        i = up


@njit(cache=True)
def _sift_down(heap_cost, heap_label, size):
    i = 0
    while True:
        low = 2 * i + 1
        if low >= size:
            return
        if low + 1 < size and heap_cost[low + 1] < heap_cost[low]:
            low += 1
        if heap_cost[i] <= heap_cost[low]:
            return
        heap_cost[low], heap_cost[i] = heap_cost[i], heap_cost[low]
        heap_label[low], heap_label[i] = heap_label[i], heap_label[low]
        i = low


@njit(cache=True)
def _doubled(values):
    return np.concatenate((values, np.zeros_like(values)))


@njit(cache=True)
def _dominated(value, label, other, after):
    """Whether a partial chain taken up before costs and takes no more than this one."""
    while other >= 0:
        # Prices make dearer chains come first that hold less.
        beaten = value[other, 0] <= value[label, 0] * (1 + SAME)
        for k in range(1, value.shape[1]):
            if value[other, k] > value[label, k]:
                beaten = False
                break
        if beaten:
            return True
        other = after[other]
    return False


@njit(cache=True)
def cheapest_fitting_chain(
    a, t, levels, costs, to_go, priced_to_go, prices, room, most, most_labels, chain
):
    """Best-first search for the cheapest chain whose blocks fit `room` [memory].

    `costs` [o, m, i] (infinite where impossible) and their `completion_table`, as they are
    and with `prices` [memory] on `t.bits`. Chains dearer than `most` are not looked at.
    Returns (outcome, cost, partial chains) and the points in `chain` [o, m].
    """
    n = costs.shape[2]
    points, span = _possible_points(costs, levels)
    packed, spare = packed_exponents(t.exponents, t.axes)
    matters = _relevant(a, t.axes)
    n_contended, rank = _contended(a, t, levels, points, span, prices, room)
    free = np.zeros(n_contended)
    price = np.zeros(n_contended)
    for k in range(len(room)):
        if room[k] < 0:
            return NOTHING, np.inf, 0
        if rank[k] >= 0:
            free[rank[k]] = room[k]
            price[rank[k]] = prices[k]
    shape = to_go.shape
    capacity = 4096
    # Of a partial chain: its cost, and what it takes of each contended memory.
    value = np.zeros((capacity, 1 + n_contended))
    # Boundaries left of each operand, the point, the chain one shorter, the operand placed.
    place = np.zeros((capacity, 6), dtype=np.int64)
    heap_cost = np.zeros(capacity)
    heap_label = np.zeros(capacity, dtype=np.int64)
    # Partial chains taken up, by boundaries left and point: the last, and the one before each.
    head = np.full(shape[0] * shape[1] * shape[2] * n, -1, dtype=np.int64)
    after = np.full(capacity, -1, dtype=np.int64)
    for o in range(3):
        place[0, o] = levels[o] - 1
    place[0, 3] = n - 1
    place[0, 4] = -1
    used = 1
    size = 1
    left = np.zeros(3, dtype=np.int64)
    take = np.zeros(n_contended)
    while size > 0:
        label = heap_label[0]
        size -= 1
        heap_cost[0] = heap_cost[size]
        heap_label[0] = heap_label[size]
        _sift_down(heap_cost, heap_label, size)
        left[0], left[1], left[2] = place[label, 0], place[label, 1], place[label, 2]
        point = place[label, 3]
        if left[0] + left[1] + left[2] == 0:
            total = value[label, 0]
            while place[label, 4] >= 0:
                o = place[label, 5]
                chain[o, place[label, o]] = place[label, 3]
                label = place[label, 4]
            return FOUND, total, used
        slot = ((left[0] * shape[1] + left[1]) * shape[2] + left[2]) * n + point
        if _dominated(value, label, head[slot], after):
            continue
        after[label] = head[slot]
        head[slot] = label
        for o in range(3):
            if left[o] == 0:
                continue
            m = left[o] - 1
            memory = rank[a.mem_index[o, m]]
            left[o] = m
            below = to_go[left[0], left[1], left[2]]
            priced_below = priced_to_go[left[0], left[1], left[2]]
            for j in range(span[o, m, 0], span[o, m, 1]):
                i = points[j]
                if i > point:
                    break
                cost = value[label, 0] + costs[o, m, i]
                if not cost + below[i] <= most:
                    continue
                if ((packed[point] | spare) - packed[i]) & spare != spare:
                    continue
                if i != point and ((packed[point] ^ packed[i]) & matters[o]) == 0:
                    # The boundary costs no more at the upper point and holds as much.
                    continue
                bound = cost + priced_below[i]
                fits = True
                for k in range(n_contended):
                    take[k] = value[label, 1 + k]
                    if k == memory:
                        take[k] += t.bits[o, m, i]
                    bound -= price[k] * (free[k] - take[k])
                    if take[k] > free[k]:
                        fits = False
                bound = max(bound, cost + below[i])
                if not fits or bound > most:
                    continue
                if used == most_labels:
                    return TOO_MANY, np.inf, used
                if used == value.shape[0]:
                    value, place, after = _doubled(value), _doubled(place), _doubled(after)
                if size == len(heap_cost):
                    heap_cost, heap_label = _doubled(heap_cost), _doubled(heap_label)
                value[used, 0] = cost
                for k in range(n_contended):
                    value[used, 1 + k] = take[k]
                for k in range(3):
                    place[used, k] = left[k]
                place[used, 3] = i
                place[used, 4] = label
                place[used, 5] = o
                heap_cost[size] = bound
                heap_label[size] = used
                used += 1
                size += 1
                _sift_up(heap_cost, heap_label, size - 1)
            left[o] = m + 1
    return NOTHING, np.inf, used
