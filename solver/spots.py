"""A placement of a stack option: where everything lies, what that costs and takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cost.capacity_bound import Occupancy, occupied
from cost.stack_graph import StackGraph
from solver.kind_tables import KindTables, fetching_edge
from solver.places import Places

RESERVE = 1 / 8
"""Share of every memory on chip that is left to mappings beside the tensors that rest there."""
UNKNOWN = -1.0
"""In place of the bits that a mapping takes beyond whole tensors, where none is known."""


class Costs(NamedTuple):
    """Weighted cost tables f and g of a kind of tile, and those of layers with two producers.

    `pairs[layer]` [producer, second, I, h_use, h_make, v]; see `KindTables`.
    """

    f: np.ndarray
    g: np.ndarray
    pairs: Sequence[np.ndarray | None]


@dataclass(kw_only=True)
class Spots:
    """Memories by layer: of W, I, O, and of both caches.

    Those of W and of caches are the same for all kinds of tile; those of I and O need not be.
    """

    w: list[int]
    i: list[int]
    o: list[int]
    h: list[int]
    v: list[int]


class Picks(NamedTuple):
    """Entries of f [layer, (w, i, o)] and g [layer, (p, i, a, b, c)], and of second producers."""

    f: np.ndarray
    g: np.ndarray
    seconds: list[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class CacheBits:
    """Bits that caches take, [kind, layer, memory]: zero where a kind of tile has none there."""

    h: np.ndarray
    v: np.ndarray


def cache_bits(kinds: Sequence[KindTables]) -> CacheBits:
    """What the caches of every kind of tile take, wherever they are."""
    known = [kind.occupancy for kind in kinds if kind.occupancy is not None]
    n, n_memories = len(kinds[0].weights), len(known[0].room)
    h, v = np.zeros((2, len(known), n, n_memories))
    for k, x in enumerate(known):
        for out, memories, bits in ((h[k], x.h_mem, x.h_bits), (v[k], x.v_mem, x.v_bits)):
            e, entry = np.nonzero(memories >= 0)
            out[e, memories[e, entry]] = bits[e, entry]
    return CacheBits(h=h, v=v)


def phase_of(
    graph: StackGraph, kind: KindTables, spots: Spots, e: int
) -> tuple[int, int, int, int, int, int]:
    """Memories of the copy phase of layer e; a tile from outside is put down where it is read."""

    def left(edge: int) -> int:
        tensor = graph.edges[edge].tensor
        if tensor < len(graph.layers):
            return spots.o[tensor]
        fetch = fetching_edge(graph, kind.kind, tensor)
        return spots.i[graph.edges[fetch].layer if fetch >= 0 else e]

    others = [i for i in graph.edges_into[e] if i != kind.primary[e]]
    return (
        left(kind.primary[e]),
        left(others[0]) if others else -1,
        spots.i[e],
        spots.h[e] if kind.h_use[e] != (-1,) else -1,
        spots.h[e] if kind.h_make[e] != (-1,) else -1,
        spots.v[e] if kind.v[e] != (-1,) else -1,
    )


def picks_of(graph: StackGraph, kind: KindTables, spots: Spots) -> Picks | None:
    """The entries of all layers; None if a place is not open."""
    n = len(kind.weights)
    f, g = np.zeros((n, 3), dtype=np.int64), np.zeros((n, 5), dtype=np.int64)
    seconds = [0] * n
    for e in range(n):
        producer, second, operand, h_use, h_make, v = phase_of(graph, kind, spots, e)
        try:
            f[e] = (
                kind.weights[e].index(spots.w[e]),
                kind.inputs.index(operand),
                kind.outputs.index(spots.o[e]),
            )
            g[e] = (
                kind.producers[e].index(producer),
                f[e, 1],
                kind.h_use[e].index(h_use),
                kind.h_make[e].index(h_make),
                kind.v[e].index(v),
            )
            seconds[e] = kind.seconds[e].index(second)
        except ValueError:
            return None
    return Picks(f, g, seconds)


def cost_of(graph: StackGraph, kind: KindTables, costs: Costs, spots: Spots) -> tuple[float, float]:
    """(tables in which the place is closed, weighted cost by the others) of one tile."""
    picks = picks_of(graph, kind, spots)
    if picks is None:
        return np.inf, np.inf
    closed, total = 0, 0.0
    for e, (f, (p, *rest)) in enumerate(zip(picks.f.tolist(), picks.g.tolist(), strict=True)):
        if kind.runs[e]:
            pair = costs.pairs[e]
            move = costs.g[(e, p, *rest)] if pair is None else pair[(p, picks.seconds[e], *rest)]
            for cost in (float(costs.f[(e, *f)]), float(move)):
                if np.isfinite(cost):
                    total += cost
                else:
                    closed += 1
    return closed, total


def bits_taken(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: CacheBits,
    spots: Sequence[Spots],
    beyond: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray | None]:
    """Bits [layer, memory] taken while each layer runs, by kind; None where a place is closed.

    Weights and caches stay for all tiles, whether a kind of tile looks at them or not. With what
    mappings take `beyond` whole tensors, [layer, W, I, O, memory] by kind, or UNKNOWN; or without.
    """
    found: list[np.ndarray | None] = []
    cached = _cached(caches, spots[0])
    most = cached.max(axis=0)
    for k, (kind, own) in enumerate(zip(kinds, cached, strict=True)):
        picks, x = picks_of(graph, kind, spots[k]), kind.occupancy
        if picks is None or x is None:
            found.append(None)
            continue
        use = occupied(picks.f, picks.g, x) + (most - own).sum(axis=0)
        stays = _weights(x, spots[0]) + most.sum(axis=0)
        for e, p in enumerate(picks.g[:, 0].tolist()):
            if (m := int(x.fetch_mem[e, p])) >= 0:
                # A tile on its way in is there before the layer runs.
                use[e, m] = max(use[e, m], stays[m] + x.fetch_bits[e])
        if beyond is not None:
            more = beyond[k][np.arange(len(use)), *picks.f.T]
            use += np.where(more == UNKNOWN, RESERVE * x.room, more)
        found.append(use)
    return found


def _cached(caches: CacheBits, spots: Spots) -> np.ndarray:
    """Bits [kind, cache, memory] that the caches of each kind of tile take: H, then V."""
    n_kinds, n, n_memories = caches.h.shape
    out = np.zeros((n_kinds, 2 * n, n_memories))
    for first, bits, places in ((0, caches.h, spots.h), (n, caches.v, spots.v)):
        for e, memory in enumerate(places):
            if memory >= 0:
                out[:, first + e, memory] = bits[:, e, memory]
    return out


def _weights(x: Occupancy, spots: Spots) -> np.ndarray:
    """Bits [memory] that weights take."""
    out = np.zeros(len(x.room))
    for memory, bits in zip(spots.w, x.weight_bits.tolist(), strict=True):
        if memory >= 0:
            out[memory] += bits
    return out


def fullest(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: CacheBits,
    spots: Sequence[Spots],
    beyond: Sequence[np.ndarray] | None,
) -> tuple[int, int] | None:
    """The (layer, memory) at which some tile is most over what there is; None if all fits."""
    worst, where = 0.0, None
    for kind, use in zip(kinds, bits_taken(graph, kinds, caches, spots, beyond), strict=True):
        if use is None or kind.occupancy is None:
            continue
        room = kind.occupancy.room
        over = np.where(np.isinf(room), 0.0, use) - np.where(np.isinf(room), 0.0, room)
        over[~kind.occupancy.runs] = 0.0
        if over.max() > worst:
            worst = float(over.max())
            step, memory = np.unravel_index(over.argmax(), over.shape)
            where = int(step), int(memory)
    return where


def budgets_of(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: CacheBits,
    spots: Sequence[Spots],
    sizes: np.ndarray,
) -> dict[tuple[int, int], np.ndarray]:
    """Bits [memory] free for the mapping of each (kind, layer): all but what others take."""
    out = {}
    for k, (kind, use) in enumerate(
        zip(kinds, bits_taken(graph, kinds, caches, spots), strict=True)
    ):
        x = kind.occupancy
        if use is None or x is None:
            continue
        for e in range(len(kind.weights)):
            if not kind.runs[e]:
                continue
            free = x.room - use[e]
            for memory, bits in (
                (spots[k].w[e], x.weight_bits[e]),
                (spots[k].i[e], kind.kind.operand_bits[e]),
                (spots[k].o[e], kind.kind.output_bits[e]),
            ):
                if memory >= 0:
                    # A map that is read or made in place takes none of the room, but counts.
                    free[memory] += bits
            # Whatever is read in place, a mapping has to fit by itself.
            out[k, e] = np.minimum(free, sizes)
    return out


def written(graph: StackGraph, kinds: Sequence[KindTables], spots: Sequence[Spots]) -> Places:
    """Places of everything, from the spots of every kind."""
    n = len(graph.layers)
    layers, phases, h = {}, {}, {}
    for k, (kind, own) in enumerate(zip(kinds, spots, strict=True)):
        for e in range(n):
            if kind.runs[e]:
                layers[k, e] = own.w[e], own.i[e], own.o[e]
                phases[k, e] = phase_of(graph, kind, own, e)
            for key in (kind.h_use_key, kind.h_make_key):
                if key is not None:
                    h[e, key] = own.h[e]
    return Places(
        weights=dict(enumerate(spots[0].w)),
        h=h,
        v=dict(enumerate(spots[0].v)),
        layers=layers,
        phases=phases,
    )
