"""A placement of a stack option that fits its memories, for CP-SAT to begin with.

Where memories are tight any placement that fits is hard to find from nothing. This one starts
from what bounds like best and moves tensors outwards until all fit. It proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cost.capacity_bound import Occupancy, occupied
from cost.stack_graph import StackGraph
from solver.kind_tables import KindTables, fetching_edge
from solver.places import Fitting, Places

RESERVE = 1 / 8
"""Share of every memory on chip that is left to mappings beside the tensors that rest there."""
SWEEPS = 4
"""Rounds of improvement; only speed and the place to begin with depend on it."""
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
class _Spots:
    """Memories by layer, the same for all tiles: of W, I, O, and of both caches."""

    w: list[int]
    i: list[int]
    o: list[int]
    h: list[int]
    v: list[int]


class _Picks(NamedTuple):
    """Entries of f [layer, (w, i, o)] and g [layer, (p, i, a, b, c)], and of second producers."""

    f: np.ndarray
    g: np.ndarray
    seconds: list[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class _CacheBits:
    """Bits that caches take, [kind, layer, memory]: zero where a kind of tile has none there."""

    h: np.ndarray
    v: np.ndarray


def _cache_bits(kinds: Sequence[KindTables]) -> _CacheBits:
    """What the caches of every kind of tile take, wherever they are."""
    known = [kind.occupancy for kind in kinds if kind.occupancy is not None]
    n, n_memories = len(kinds[0].weights), len(known[0].room)
    h, v = np.zeros((2, len(known), n, n_memories))
    for k, x in enumerate(known):
        for out, memories, bits in ((h[k], x.h_mem, x.h_bits), (v[k], x.v_mem, x.v_bits)):
            e, entry = np.nonzero(memories >= 0)
            out[e, memories[e, entry]] = bits[e, entry]
    return _CacheBits(h=h, v=v)


def fitting_places(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    costs: Sequence[Costs],
    main: int,
    pick: np.ndarray,
    sizes: np.ndarray,
    beyond: Sequence[np.ndarray],
) -> Fitting | None:
    """A placement that fits, from `pick` [layer, (w, i, o)] of kind number `main`.

    `sizes` [memory]: bits of every memory; `beyond` [layer, W, I, O, memory] by kind: bits that the
    mapping of a layer-tile takes beyond its whole tensors, or UNKNOWN. None where moving outwards
    does not lead to one.
    """
    spots = _first(kinds, main, pick)
    caches = _cache_bits(kinds)
    while (full := _fullest(graph, kinds, caches, spots, beyond)) is not None:
        step, memory = full
        best = None
        for tensor, e in _candidates(graph, spots, step, memory):
            moved = _outwards(kinds, spots, tensor, e)
            if moved is None:
                continue
            places = getattr(spots, tensor)
            before, places[e] = places[e], moved
            cost = _cost(graph, kinds[main], costs[main], spots)
            places[e] = before
            if best is None or cost < best[0]:
                best = cost, tensor, e, moved
        if best is None:
            return None
        _, tensor, e, moved = best
        getattr(spots, tensor)[e] = moved
    _improve(graph, kinds, caches, costs, main, spots, beyond)
    total = 0.0
    for kind, cost in zip(kinds, costs, strict=True):
        closed, one = _cost(graph, kind, cost, spots)
        if closed:
            return None
        total += kind.kind.count * one
    budgets = _budgets(graph, kinds, caches, spots, sizes)
    return Fitting(_written(graph, kinds, spots), total, budgets)


def _budgets(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: _CacheBits,
    spots: _Spots,
    sizes: np.ndarray,
) -> dict[tuple[int, int], np.ndarray]:
    """Bits [memory] free for the mapping of each (kind, layer): all but what others take."""
    out = {}
    for k, (kind, use) in enumerate(zip(kinds, _taken(graph, kinds, caches, spots), strict=True)):
        x = kind.occupancy
        if use is None or x is None:
            continue
        for e in range(len(kind.weights)):
            if not kind.runs[e]:
                continue
            free = x.room - use[e]
            for memory, bits in (
                (spots.w[e], x.weight_bits[e]),
                (spots.i[e], kind.kind.operand_bits[e]),
                (spots.o[e], kind.kind.output_bits[e]),
            ):
                if memory >= 0:
                    # A map that is read or made in place takes none of the room, but counts.
                    free[memory] += bits
            # Whatever is read in place, a mapping has to fit by itself.
            out[k, e] = np.minimum(free, sizes)
    return out


def _improve(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: _CacheBits,
    costs: Sequence[Costs],
    main: int,
    spots: _Spots,
    beyond: Sequence[np.ndarray],
) -> None:
    """Move single tensors as long as that makes the commonest kind of tile cheaper."""
    least = _cost(graph, kinds[main], costs[main], spots)
    for _ in range(SWEEPS):
        before = least
        for tensor in "wiohv":
            places = getattr(spots, tensor)
            for e in range(len(places)):
                for moved in _choices(kinds, tensor, e):
                    kept, places[e] = places[e], moved
                    cost = _cost(graph, kinds[main], costs[main], spots)
                    if cost < least and _fullest(graph, kinds, caches, spots, beyond) is None:
                        least = cost
                    else:
                        places[e] = kept
        if least >= before:
            break


def _first(kinds: Sequence[KindTables], main: int, pick: np.ndarray) -> _Spots:
    """What the bound picked for the commonest kind of tile; caches where operands are."""
    kind = kinds[main]
    spots = _Spots(w=[], i=[], o=[], h=[], v=[])
    for e, (w, i, o) in enumerate(pick.tolist()):
        spots.w.append(kind.weights[e][w])
        spots.i.append(kind.inputs[i])
        spots.o.append(kind.outputs[o])
        for places, choices in ((spots.h, _h_choices(kinds, e)), (spots.v, _v_choices(kinds, e))):
            near = [m for m in choices if m >= spots.i[e]]
            places.append(min(near, default=choices[-1] if choices else -1))
    return spots


def _h_choices(kinds: Sequence[KindTables], e: int) -> tuple[int, ...]:
    """Where the columns of layer e may be kept; empty where none are."""
    some = (k.h_use[e] if k.h_use[e] != (-1,) else k.h_make[e] for k in kinds)
    return next((places for places in some if places != (-1,)), ())


def _v_choices(kinds: Sequence[KindTables], e: int) -> tuple[int, ...]:
    return next((k.v[e] for k in kinds if k.v[e] != (-1,)), ())


def _phase(
    graph: StackGraph, kind: KindTables, spots: _Spots, e: int
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


def _picks(graph: StackGraph, kind: KindTables, spots: _Spots) -> _Picks | None:
    """The entries of all layers; None if a place is not open."""
    n = len(kind.weights)
    f, g = np.zeros((n, 3), dtype=np.int64), np.zeros((n, 5), dtype=np.int64)
    seconds = [0] * n
    for e in range(n):
        producer, second, operand, h_use, h_make, v = _phase(graph, kind, spots, e)
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
    return _Picks(f, g, seconds)


def _cost(graph: StackGraph, kind: KindTables, costs: Costs, spots: _Spots) -> tuple[float, float]:
    """(tables in which the place is closed, weighted cost by the others) of one tile."""
    picks = _picks(graph, kind, spots)
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


def _taken(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: _CacheBits,
    spots: _Spots,
    beyond: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray | None]:
    """Bits [layer, memory] taken while each layer runs, by kind; None where a place is closed.

    Weights and caches stay for all tiles, whether a kind of tile looks at them or not. With what
    mappings take `beyond` whole tensors, see `fitting_places`, or without.
    """
    found: list[np.ndarray | None] = []
    cached = _cached(caches, spots)
    most = cached.max(axis=0)
    for k, (kind, own) in enumerate(zip(kinds, cached, strict=True)):
        picks, x = _picks(graph, kind, spots), kind.occupancy
        if picks is None or x is None:
            found.append(None)
            continue
        use = occupied(picks.f, picks.g, x) + (most - own).sum(axis=0)
        stays = _weights(x, spots) + most.sum(axis=0)
        for e, p in enumerate(picks.g[:, 0].tolist()):
            if (m := int(x.fetch_mem[e, p])) >= 0:
                # A tile on its way in is there before the layer runs.
                use[e, m] = max(use[e, m], stays[m] + x.fetch_bits[e])
        if beyond is not None:
            more = beyond[k][np.arange(len(use)), *picks.f.T]
            use += np.where(more == UNKNOWN, RESERVE * x.room, more)
        found.append(use)
    return found


def _cached(caches: _CacheBits, spots: _Spots) -> np.ndarray:
    """Bits [kind, cache, memory] that the caches of each kind of tile take: H, then V."""
    n_kinds, n, n_memories = caches.h.shape
    out = np.zeros((n_kinds, 2 * n, n_memories))
    for first, bits, places in ((0, caches.h, spots.h), (n, caches.v, spots.v)):
        for e, memory in enumerate(places):
            if memory >= 0:
                out[:, first + e, memory] = bits[:, e, memory]
    return out


def _weights(x: Occupancy, spots: _Spots) -> np.ndarray:
    """Bits [memory] that weights take."""
    out = np.zeros(len(x.room))
    for memory, bits in zip(spots.w, x.weight_bits.tolist(), strict=True):
        if memory >= 0:
            out[memory] += bits
    return out


def _fullest(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: _CacheBits,
    spots: _Spots,
    beyond: Sequence[np.ndarray],
) -> tuple[int, int] | None:
    """The (layer, memory) at which some tile is most over what there is; None if all fits."""
    worst, where = 0.0, None
    for kind, use in zip(kinds, _taken(graph, kinds, caches, spots, beyond), strict=True):
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


def _candidates(graph: StackGraph, spots: _Spots, step: int, memory: int) -> list[tuple[str, int]]:
    """Tensors (kind of place, layer) that may lie in a memory while a layer runs."""
    n = len(graph.layers)
    found = [(name, e) for name in "whv" for e in range(n)] + [("i", step), ("o", step)]
    found += [("o", t) for t, span in enumerate(graph.waits[:n]) if step in span]
    for t in graph.outside:
        if step in graph.waits[t]:
            found += [("i", graph.edges[i].layer) for i in graph.readers[t]]
    return [(name, e) for name, e in found if getattr(spots, name)[e] == memory]


def _choices(kinds: Sequence[KindTables], tensor: str, e: int) -> tuple[int, ...]:
    """Memories in which a tensor may lie, innermost first."""
    if tensor == "h":
        return _h_choices(kinds, e)
    if tensor == "v":
        return _v_choices(kinds, e)
    return {"w": kinds[0].weights[e], "i": kinds[0].inputs, "o": kinds[0].outputs}[tensor]


def _outwards(kinds: Sequence[KindTables], spots: _Spots, tensor: str, e: int) -> int | None:
    """The next memory further out in which a tensor may lie."""
    here, choices = getattr(spots, tensor)[e], _choices(kinds, tensor, e)
    onwards = choices[choices.index(here) + 1 :] if here in choices else ()
    return onwards[0] if onwards else None


def _written(graph: StackGraph, kinds: Sequence[KindTables], spots: _Spots) -> Places:
    n = len(graph.layers)
    layers, phases, h = {}, {}, {}
    for k, kind in enumerate(kinds):
        for e in range(n):
            if kind.runs[e]:
                layers[k, e] = spots.w[e], spots.i[e], spots.o[e]
                phases[k, e] = _phase(graph, kind, spots, e)
            for key in (kind.h_use_key, kind.h_make_key):
                if key is not None:
                    h[e, key] = spots.h[e]
    return Places(
        weights=dict(enumerate(spots.w)),
        h=h,
        v=dict(enumerate(spots.v)),
        layers=layers,
        phases=phases,
    )
