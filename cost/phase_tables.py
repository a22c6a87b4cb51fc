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
    """Memories (indices) that may hold the producers' tiles, the operands and the caches.

    `second` is where the tile of a second activation operand may be, one entry -1 without
    one. `h_use` / `h_make` hold one entry -1 where the tile has no left / right neighbour to
    share with; so does `v`.
    """

    producer: tuple[int, ...]
    second: tuple[int, ...]
    operand: tuple[int, ...]
    h_use: tuple[int, ...]
    h_make: tuple[int, ...]
    v: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An edge of a phase: its bits, where its whole map lies (-1: made in the stack), and
    whether this phase fetches its tile from there."""

    edge: TileEdge
    source: int
    fetches: bool


FRESH, MOVED, H_READ, V_READ, H_WRITE, H_WRITE_LESS, V_WRITE = range(7)


@njit(cache=True)
def _phases(
    hops, ports, costs, n_ports, bits, sources, fetches, places, seconds, operand, h_use, h_make, v,
    uses_v, makes_v,
    ranks, one_by_one
):  # fmt: skip
    """[producer, second, operand, h_use, h_make, v, (pJ, cycles)]; infinite without a path.

    `bits` [edge, 7], `sources` [edge], `fetches` [edge]; see `Arrival`. `ranks` [memory]:
    level in the chain of I; `one_by_one`: see `phase_table`.
    """
    shape = (places.shape[0], seconds.shape[0], operand.shape[0])
    out = np.full((*shape, h_use.shape[0], h_make.shape[0], v.shape[0], 2), np.inf)
    actions = np.zeros((10, 4), dtype=np.int64)
    loads = np.zeros((2, 4), dtype=np.int64)
    at = np.zeros(2, dtype=np.int64)
    for a in range(places.shape[0]):
        for a2 in range(seconds.shape[0]):
            at[0], at[1] = places[a], seconds[a2]
            load_pj = 0.0
            load_cycles = 0
            n_loads = 0
            possible = True
            for k in range(bits.shape[0]):
                if fetches[k] and at[k] != sources[k] and bits[k, FRESH] > 0:
                    if hops[WITHIN_I, sources[k], at[k]] < 0:
                        possible = False
                        break
                    loads[n_loads] = (WITHIN_I, sources[k], at[k], bits[k, FRESH])
                    load_pj += copy_energy(
                        hops, ports, costs, WITHIN_I, sources[k], at[k], bits[k, FRESH]
                    )
                    n_loads += 1
                    if one_by_one:
                        load_cycles += phase_latency(hops, ports, n_ports, loads, n_loads)
                        n_loads = 0
            if not possible:
                continue
            load_cycles += phase_latency(hops, ports, n_ports, loads, n_loads)
            for b in range(operand.shape[0]):
                o = operand[b]
                for c in range(h_use.shape[0]):
                    for d in range(h_make.shape[0]):
                        for e in range(v.shape[0]):
                            n = 0
                            possible = True
                            for k in range(bits.shape[0]):
                                p, source = at[k], sources[k]
                                # A source that is read in place is its own cache.
                                h_bits = bits[k, H_WRITE]
                                writes_v = makes_v and bits[k, V_WRITE] > 0
                                if writes_v and v[e] != p and v[e] != source:
                                    actions[n] = (WITHIN_O, p, v[e], bits[k, V_WRITE])
                                    n += 1
                                    h_bits = bits[k, H_WRITE_LESS]
                                if h_make[d] >= 0 and h_bits > 0 and h_make[d] not in (p, source):
                                    actions[n] = (WITHIN_O, p, h_make[d], h_bits)
                                    n += 1
                                climbs = one_by_one and source >= 0 and ranks[p] < ranks[o]
                                if p != o and bits[k, MOVED] > 0 and not climbs:
                                    path = WITHIN_I if source >= 0 else O_TO_I
                                    actions[n] = (path, p, o, bits[k, MOVED])
                                    n += 1
                                if h_use[c] >= 0 and bits[k, H_READ] > 0 and h_use[c] != o:
                                    actions[n] = (WITHIN_I, h_use[c], o, bits[k, H_READ])
                                    n += 1
                                if uses_v and bits[k, V_READ] > 0 and v[e] != o:
                                    actions[n] = (WITHIN_I, v[e], o, bits[k, V_READ])
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
                            out[a, a2, b, c, d, e, 0] = energy
                            out[a, a2, b, c, d, e, 1] = load_cycles + phase_latency(
                                hops, ports, n_ports, actions, n
                            )
    return out


def phase_table(
    copies: CopyTables,
    arrivals: tuple[Arrival, ...],
    choices: PhaseChoices,
    uses_v: bool,
    makes_v: bool,
    *,
    one_by_one: bool,
) -> np.ndarray:
    """Energy and latency of a layer's copy phase for every combination of `choices`.

    [producer, second, operand, h_use, h_make, v, (pJ, cycles)]. `one_by_one`: tiles from
    outside arrive one after another, and such a tile is not moved up where its reader looks
    for it in a higher memory (the reference's rules).
    """
    bits = [
        (
            arrival.edge.fresh_bits,
            arrival.edge.moved_bits,
            arrival.edge.h_read_bits,
            arrival.edge.v_read_bits,
            arrival.edge.h_write_bits,
            arrival.edge.h_write_less_v_bits,
            arrival.edge.v_write_bits,
        )
        for arrival in arrivals
    ]
    return np.asarray(
        _phases(
            copies.hops,
            copies.ports,
            copies.costs,
            copies.n_ports,
            np.array(bits, dtype=np.int64),
            np.array([arrival.source for arrival in arrivals], dtype=np.int64),
            np.array([arrival.fetches for arrival in arrivals], dtype=np.bool_),
            np.array(choices.producer, dtype=np.int64),
            np.array(choices.second, dtype=np.int64),
            np.array(choices.operand, dtype=np.int64),
            np.array(choices.h_use, dtype=np.int64),
            np.array(choices.h_make, dtype=np.int64),
            np.array(choices.v, dtype=np.int64),
            uses_v,
            makes_v,
            copies.input_levels,
            one_by_one,
        )
    )
