"""Cycles that every boundary adds to a layer-tile at least, port by port (compiled).

Two views bound the stall of one port from below: the *load*, all its busy cycles beyond
the layer-tile's cycles, and the *wait*, what each transfer alone takes beyond its own
windows. Both add up over boundaries, so the least over all mappings is a chain of least
sum. On top come the first block of one input on its way in, and the last outputs' way
out. Only a few views are kept: each is valid, so which ones matters for speed alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import OUT, SIZE, mac_link_amount, passages, sums_cross, visits
from cost.lattice import N_DIMS
from cost.link_transfers import drain_cycles, link_of, link_transfers
from cost.tile_latency import shared_ends

KEPT_LOADS, KEPT_WAITS = 5, 3
"""Ports watched by their load and by their waits."""
MAX_PORTS = 4
"""Ports that the transfers over one link can use."""


@njit(cache=True)
def mac_port_stalls(a, q, factor, sizes):
    """(load, wait) [port]: cycles that the MACs' own traffic keeps each port busy."""
    load = np.zeros(a.n_ports)
    wait = np.zeros(a.n_ports)
    ports = np.zeros(8, dtype=np.int64)
    busy = np.zeros(8)
    free = np.zeros(8)
    ones = np.ones(N_DIMS, dtype=np.int64)
    for o in range(3):
        moved = mac_link_amount(a, o, factor, sizes)
        periods, distinct = visits(ones, q, a.rel[o])
        partial = o == OUT and sums_cross(a, -1, periods, distinct, factor)
        link = link_of(a, o, -1)
        n, _ = link_transfers(link, 0.0, moved, periods, distinct, partial, 1, ports, busy, free, 0)
        for i in range(n):
            load[ports[i]] += busy[i]
            wait[ports[i]] += max(0.0, busy[i] - free[i])
    return load, wait


@njit(cache=True)
def _alike(products, rel, alike):
    """Note where an operand ignores every loop below, `alike` [i]; for loops `products` [i]."""
    for i in range(products.shape[0]):
        alike[i] = True
        for d in range(N_DIMS):
            if rel[d] != 0 and products[i, d] > 1:
                alike[i] = False


@njit(cache=True)
def stall_tables(a, levels, q, factor, sizes, products, possible, amounts):
    """Views of what each boundary adds to the latency, and the constants to add them to.

    Returns (views [view, o, m, point], constants [view], first [o, m, point]): for every
    view, temporal cycles + constant + the views' entries of all boundaries never exceed
    temporal and stall cycles. `first` holds the cycles of an input's first block, and for
    O those of the last outputs if this boundary is its topmost. `possible` [o, m, point];
    `amounts` [o, m, point, (held bits, held, moved)].
    """
    n_points = products.shape[0]
    max_levels = a.mem_index.shape[1]
    # Load and wait of each boundary's few ports: slot k of boundary b is port `used[b, k]`.
    n_links = 0
    for o in range(3):
        n_links += levels[o] - 1
    link = np.zeros((n_links, 2), dtype=np.int64)
    used = np.full((n_links, MAX_PORTS), -1, dtype=np.int64)
    load = np.zeros((n_links, MAX_PORTS, n_points))
    wait = np.zeros((n_links, MAX_PORTS, n_points))
    first = np.zeros((3, max_levels, n_points))
    ports = np.zeros(8, dtype=np.int64)
    busy = np.zeros(8)
    free = np.zeros(8)
    total = 1
    for d in range(N_DIMS):
        total *= q[d]
    fixed_load, fixed_wait = mac_port_stalls(a, q, factor, sizes)
    fixed_load -= total
    least_load = fixed_load.copy()
    most_load = fixed_load.copy()
    least_wait = fixed_wait.copy()
    any_wait = np.zeros(a.n_ports, dtype=np.bool_)
    users = np.zeros(a.n_ports, dtype=np.int64)
    counts = np.zeros((n_points, 2), dtype=np.int64)
    cycles = np.ones(n_points, dtype=np.int64)
    alike = np.zeros(n_points, dtype=np.bool_)
    for i in range(n_points):
        for d in range(N_DIMS):
            cycles[i] *= products[i, d]
    b = -1
    for o in range(3):
        passages(products, a.rel[o], counts)
        _alike(products, a.rel[o], alike)
        for m in range(levels[o] - 1):
            b += 1
            link[b, 0], link[b, 1] = o, m
            own = link_of(a, o, m)
            sums_above = o == OUT and sums_cross(a, m, 1, 1, factor)
            room = a.memory[a.mem_index[o, m], SIZE]
            low_load = np.full(MAX_PORTS, np.inf)
            low_wait = np.full(MAX_PORTS, np.inf)
            high_load = np.zeros(MAX_PORTS)
            for i in range(n_points):
                if not possible[o, m, i]:
                    continue
                held_bits, held, moved = amounts[o, m, i]
                periods, distinct = counts[i, 0], counts[i, 1]
                partial = o == OUT and (periods > distinct or sums_above)
                block_bits = held_bits
                if o == OUT and not a.explicit and not partial:
                    # The reference looks at what leaves, not at the sums while they grow.
                    block_bits *= a.precision[OUT, 1] / a.precision[OUT, 0]
                # The widest refill window that there can be. A level too small for two copies
                # refills only in the run on its top; one that sees nothing but irrelevant loops
                # has all of them in that run. The reference's greedy choice never doubles such
                # a level either: its share is above one half.
                window = cycles[i]
                if m == 0 and alike[i] and 2 * block_bits > room:
                    window = 1
                n, first_cycles = link_transfers(
                    own, held, moved, periods, distinct, partial, window, ports, busy, free, 0
                )
                first[o, m, i] = first_cycles
                if o == OUT and a.drain:
                    first[o, m, i] = drain_cycles(own, m, held, moved)
                for j in range(n):
                    k = 0
                    while used[b, k] >= 0 and used[b, k] != ports[j]:
                        k += 1
                    used[b, k] = ports[j]
                    load[b, k, i] += busy[j]
                    wait[b, k, i] += max(0.0, busy[j] - free[j])
                for k in range(MAX_PORTS):
                    # What does not wait for the port comes first: both count for the latency.
                    low_load[k] = min(low_load[k], load[b, k, i] + first[o, m, i])
                    low_wait[k] = min(low_wait[k], wait[b, k, i] + first[o, m, i])
                    high_load[k] = max(high_load[k], load[b, k, i])
            for k in range(MAX_PORTS):
                p = used[b, k]
                if p < 0:
                    break
                users[p] += 1
                least_load[p] += low_load[k]
                least_wait[p] += low_wait[k]
                most_load[p] += high_load[k]
                if wait[b, k].max() > 0:
                    any_wait[p] = True
    by_load = np.argsort(-np.where(most_load > 0, least_load, -np.inf))[:KEPT_LOADS]
    by_wait = np.argsort(-np.where(any_wait, least_wait, -1.0))[:KEPT_WAITS]
    views = np.zeros((KEPT_LOADS + KEPT_WAITS, 3, max_levels, n_points))
    constants = np.zeros(KEPT_LOADS + KEPT_WAITS)
    n = 0
    for p in by_wait:
        # The first view also says that no stall is below zero.
        if n == 0 or any_wait[p]:
            constants[n] = fixed_wait[p]
            for b in range(n_links):
                for k in range(MAX_PORTS):
                    if used[b, k] == p:
                        views[n, link[b, 0], link[b, 1]] = wait[b, k]
            n += 1
    for p in by_load:
        if most_load[p] <= 0:
            continue
        # Alone on its port, a boundary cannot make up for others: no load is below zero.
        lone = users[p] == 1
        least = max(0.0, fixed_load[p])
        constants[n] = least if lone else fixed_load[p]
        for b in range(n_links):
            for k in range(MAX_PORTS):
                if used[b, k] == p:
                    view = load[b, k]
                    if lone:
                        view = np.maximum(least, view + fixed_load[p]) - least
                    views[n, link[b, 0], link[b, 1]] = view
        n += 1
    return views[:n], constants[:n], first


@njit(cache=True)
def first_block_counts(a, o, m, levels, beyond):
    """Whether the first block of input o over link m lengthens the loading for certain.

    `levels` [o] are those kept; with `beyond` more may be. Under the reference's rules links
    that share one end with the other input overwrite each other (Q15): only the topmost counts.
    """
    if a.precision[o, 0] == 0:
        return False
    if a.add_half:
        return True
    if beyond:
        return shared_ends(a, o, m, a.n_levels) == 0
    if shared_ends(a, o, m, levels) != 1:
        return True
    for above in range(m + 1, levels[o] - 1):
        if shared_ends(a, o, above, levels) == 1:
            return False
    return True
