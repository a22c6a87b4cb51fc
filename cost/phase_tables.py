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
