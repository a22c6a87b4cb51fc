"""Copy phases before a layer-tile, for every combination of memories (compiled).

Before a layer of a tile runs, its operand is brought together: the producer's tile is
moved if it rests elsewhere, overlaps come out of the caches, and what the producer left
for its neighbours goes into them. All copies of the phase start together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from cost.copy_tables import O_TO_I, WITHIN_I, WITHIN_O, CopyTables, copy_energy, phase_latency
from cost.stack_tiles import TileEdge


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChoices:
    """Memories (indices) that may hold the producer's tile, the operand and the caches.

    `h_use` / `h_make` hold one entry -1 where the tile has no left / right neighbour to
    share with; so does `v`.
    """

    producer: tuple[int, ...]
    operand: tuple[int, ...]
    h_use: tuple[int, ...]
    h_make: tuple[int, ...]
    v: tuple[int, ...]


@njit(cache=True)
def _phases(
    hops, ports, costs, n_ports, bits, producer, operand, h_use, h_make, v, source, uses_v, makes_v
):
    """[producer, operand, h_use, h_make, v, (pJ, cycles)]; infinite where no path exists.

    `source` is the memory that the stack input comes from, -1 for an inner edge.
    """
    out = np.full(
        (producer.shape[0], operand.shape[0], h_use.shape[0], h_make.shape[0], v.shape[0], 2),
        np.inf,
    )
    fresh, h_read, v_read, h_write, h_write_less, v_write = bits
    actions = np.zeros((8, 4), dtype=np.int64)
    load = np.zeros((1, 4), dtype=np.int64)
    for a in range(producer.shape[0]):
        p = producer[a]
        load_pj = 0.0
        load_cycles = 0
        if source >= 0 and p != source:
            if hops[WITHIN_I, source, p] < 0:
                continue
            load[0] = (WITHIN_I, source, p, fresh)
            load_pj = copy_energy(hops, ports, costs, WITHIN_I, source, p, fresh)
            load_cycles = phase_latency(hops, ports, n_ports, load, 1)
        for b in range(operand.shape[0]):
            o = operand[b]
            path = WITHIN_I if source >= 0 else O_TO_I
            if p != o and hops[path, p, o] < 0:
                continue
            for c in range(h_use.shape[0]):
                for d in range(h_make.shape[0]):
                    for e in range(v.shape[0]):
                        n = 0
                        possible = True
                        # A source that is read in place is its own cache.
                        if makes_v and v_write > 0 and v[e] != p and v[e] != source:
                            actions[n] = (WITHIN_O, p, v[e], v_write)
                            n += 1
                            h_bits = h_write_less
                        else:
                            h_bits = h_write
                        if h_make[d] >= 0 and h_bits > 0 and h_make[d] not in (p, source):
                            actions[n] = (WITHIN_O, p, h_make[d], h_bits)
                            n += 1
                        if p != o:
                            actions[n] = (path, p, o, fresh)
                            n += 1
                        if h_use[c] >= 0 and h_read > 0 and h_use[c] != o:
                            actions[n] = (WITHIN_I, h_use[c], o, h_read)
                            n += 1
                        if uses_v and v_read > 0 and v[e] != o:
                            actions[n] = (WITHIN_I, v[e], o, v_read)
                            n += 1
                        energy = load_pj
                        for i in range(n):
                            route, start, end, amount = actions[i]
                            if hops[route, start, end] < 0:
                                possible = False
                                break
                            energy += copy_energy(hops, ports, costs, route, start, end, amount)
                        if not possible:
                            continue
                        out[a, b, c, d, e, 0] = energy
                        out[a, b, c, d, e, 1] = load_cycles + phase_latency(
                            hops, ports, n_ports, actions, n
                        )
    return out


def phase_table(
    copies: CopyTables,
    edge: TileEdge,
    choices: PhaseChoices,
    source: int,
    uses_v: bool,
    makes_v: bool,
) -> np.ndarray:
    """Energy and latency of the copy phase of `edge` for every combination of `choices`."""
    bits = (
        edge.fresh_bits,
        edge.h_read_bits,
        edge.v_read_bits,
        edge.h_write_bits,
        edge.h_write_less_v_bits,
        edge.v_write_bits,
    )
    return _phases(
        copies.hops,
        copies.ports,
        copies.costs,
        copies.n_ports,
        bits,
        np.array(choices.producer),
        np.array(choices.operand),
        np.array(choices.h_use),
        np.array(choices.h_make),
        np.array(choices.v),
        source,
        uses_v,
        makes_v,
    )


@njit(cache=True)
def kind_bounds(f, g, weights):
    """Least weighted cost of a kind of tile over all placements, each level chosen freely.

    f [layer, W, I, O, 2], g [layer, producer, I, h_use, h_make, v, 2], infinite where not
    allowed. `weights` [k, (per pJ, per cycle)]. Returns [k].
    """
    out = np.zeros(weights.shape[0])
    n = f.shape[0]
    for k in range(weights.shape[0]):
        we, wl = weights[k]
        best = np.zeros(g.shape[1])
        for layer in range(n):
            after = np.full(g.shape[1], np.inf)
            for i in range(f.shape[2]):
                # Cheapest way to have the operand in memory i.
                ready = np.inf
                for p in range(g.shape[1]):
                    if np.isinf(best[p]):
                        continue
                    least = np.inf
                    for a in range(g.shape[3]):
                        for b in range(g.shape[4]):
                            for c in range(g.shape[5]):
                                if not np.isinf(g[layer, p, i, a, b, c, 0]):
                                    cost = (
                                        we * g[layer, p, i, a, b, c, 0]
                                        + wl * g[layer, p, i, a, b, c, 1]
                                    )
                                    if cost < least:
                                        least = cost
                    if best[p] + least < ready:
                        ready = best[p] + least
                if np.isinf(ready):
                    continue
                for o in range(f.shape[3]):
                    for w in range(f.shape[1]):
                        if not np.isinf(f[layer, w, i, o, 0]):
                            cost = ready + we * f[layer, w, i, o, 0] + wl * f[layer, w, i, o, 1]
                            if cost < after[o]:
                                after[o] = cost
            best = after
        out[k] = best.min()
    return out


@njit(cache=True)
def kind_through(f, g, energy_weight, latency_weight):
    """Least weighted cost of a kind of tile through every table entry.

    Returns (through_f, through_g) of the shapes of f and g without the last axis: the
    least cost of the whole tile when that entry is used, every level chosen freely.
    """
    n, n_p = f.shape[0], g.shape[1]
    n_i, n_o = f.shape[2], f.shape[3]
    # A weight of zero must not turn "not allowed" (infinite) into "free".
    cost_f = np.where(
        np.isinf(f[..., 0]), np.inf, energy_weight * f[..., 0] + latency_weight * f[..., 1]
    )
    cost_g = np.where(
        np.isinf(g[..., 0]), np.inf, energy_weight * g[..., 0] + latency_weight * g[..., 1]
    )
    least_g = np.full((n, n_p, n_i), np.inf)
    for e in range(n):
        for p in range(n_p):
            for i in range(n_i):
                least_g[e, p, i] = cost_g[e, p, i].min()
    least_f = np.full((n, n_i, n_o), np.inf)
    for e in range(n):
        for w in range(f.shape[1]):
            for i in range(n_i):
                for o in range(n_o):
                    least_f[e, i, o] = min(least_f[e, i, o], cost_f[e, w, i, o])
    before = np.full((n + 1, max(n_p, n_o)), np.inf)
    ready = np.full((n, n_i), np.inf)
    before[0, :n_p] = 0.0
    for e in range(n):
        for p in range(n_p):
            for i in range(n_i):
                ready[e, i] = min(ready[e, i], before[e, p] + least_g[e, p, i])
        for i in range(n_i):
            for o in range(n_o):
                before[e + 1, o] = min(before[e + 1, o], ready[e, i] + least_f[e, i, o])
    after = np.full((n + 1, max(n_p, n_o)), np.inf)
    onward = np.full((n, n_i), np.inf)
    after[n, :] = 0.0
    for e in range(n - 1, -1, -1):
        for i in range(n_i):
            for o in range(n_o):
                onward[e, i] = min(onward[e, i], least_f[e, i, o] + after[e + 1, o])
        for p in range(n_p):
            for i in range(n_i):
                after[e, p] = min(after[e, p], least_g[e, p, i] + onward[e, i])
    through_f = np.full(cost_f.shape, np.inf)
    through_g = np.full(cost_g.shape, np.inf)
    for e in range(n):
        for i in range(n_i):
            for w in range(f.shape[1]):
                for o in range(n_o):
                    through_f[e, w, i, o] = ready[e, i] + cost_f[e, w, i, o] + after[e + 1, o]
            for p in range(n_p):
                for a in range(g.shape[3]):
                    for b in range(g.shape[4]):
                        for c in range(g.shape[5]):
                            through_g[e, p, i, a, b, c] = (
                                before[e, p] + cost_g[e, p, i, a, b, c] + onward[e, i]
                            )
    return through_f, through_g
