"""All kinds of tile of a stack option on the same axes, for bounds that know what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cost.capacity_bound import Occupancy
from cost.shared_prices import PLACE_LEFT, PLACE_MADE, PLACE_SECOND, SharedKinds
from cost.stack_graph import StackGraph
from cost.stack_tiles import StackTiling
from solver.kind_tables import KindTables, fetching_edge
from solver.occupancy import beside_maps, by_entry

NOWHERE = (-1,)
"""The memories of a cache that there is none of."""


class KindCosts(NamedTuple):
    """Weighted cost tables f and g of a kind of tile, and what its placements occupy.

    `pairs` [layer]: the same of layers with two producers, see `KindTables`.
    """

    f: np.ndarray
    g: np.ndarray
    occupancy: Occupancy | None
    pairs: Sequence[np.ndarray | None] = ()


def cache_places(kinds: Sequence[KindTables]) -> tuple[list[tuple[int, ...]], ...]:
    """Memories of the columns and of the rows that each layer's tiles share, the same for all."""
    n = len(kinds[0].weights)
    h = [
        next((p for k in kinds for p in (k.h_use[e], k.h_make[e]) if p != NOWHERE), NOWHERE)
        for e in range(n)
    ]
    v = [next((k.v[e] for k in kinds if k.v[e] != NOWHERE), NOWHERE) for e in range(n)]
    return h, v


def shared_kinds(
    tiling: StackTiling,
    kinds: Sequence[KindTables],
    costs: Sequence[KindCosts],
    sources: Sequence[int],
) -> SharedKinds | None:
    """`costs` of `kinds` with one axis for the memories of each cache.

    Where a kind of tile neither uses nor makes a cache its place costs nothing but room. `sources`
    [edge]: memory of the whole map that a tensor comes from, -1 inside. None where kinds differ in
    where weights may rest, or do not share memories.
    """
    taken = [cost.occupancy for cost in costs]
    known = [x for x in taken if x is not None]
    if len(known) < len(kinds) or len({kind.weights for kind in kinds}) > 1:
        return None
    h_places, v_places = cache_places(kinds)
    n, (n_w, n_i, n_o) = len(h_places), kinds[0].f.shape[1:4]
    n_h, n_v = max(map(len, h_places)), max(map(len, v_places))
    n_p = max(kind.g.shape[1] for kind in kinds)
    f = np.full((len(kinds), n, n_w, n_i, n_o), np.inf)
    g = np.full((len(kinds), n, n_p, n_i, n_h, 1, n_v), np.inf)
    fetch_mem = np.full((len(kinds), n, n_p), -1, dtype=np.int64)
    paired = [e for e in range(n) if any(kind.pairs[e] is not None for kind in kinds)]
    n_s = max(len(places) for places in kinds[0].seconds)
    pairs = np.full((len(kinds), len(paired), n_p, n_s, n_i, n_h, 1, n_v), np.inf)
    for k, (kind, (cost_f, cost_g, _, cost_pairs)) in enumerate(zip(kinds, costs, strict=True)):
        f[k] = cost_f
        fetch_mem[k, :, : cost_g.shape[1]] = known[k].fetch_mem
        for e in range(n):
            table = _by_place(cost_g[e], kind, e, len(h_places[e]), len(v_places[e]))
            g[k, e, : len(table), :, : table.shape[2], 0, : table.shape[3]] = table
        for q, e in enumerate(paired):
            both = cost_pairs[e]
            for s in range(0 if both is None else both.shape[1]):
                table = _by_place(both[:, s], kind, e, len(h_places[e]), len(v_places[e]))
                pairs[k, q, : len(table), s, :, : table.shape[2], 0, : table.shape[3]] = table
    h_mem, v_mem = by_entry(h_places, n_h), by_entry(v_places, n_v)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(x, name) for x in known])

    first = known[0]
    n_stairs = np.array([len(x.stairs) for x in known], dtype=np.int64)
    stairs = np.zeros((len(known), int(n_stairs.max()), 6), dtype=np.int64)
    n_steps = 0
    for k, x in enumerate(known):
        stairs[k, : len(x.stairs)] = x.stairs
        stairs[k, : len(x.stairs), 4:] += n_steps
        n_steps += len(x.step_costs)
    return SharedKinds(
        counts=np.array([kind.kind.count for kind in kinds], dtype=np.float64),
        f=f,
        g=g,
        weight_mem=first.weight_mem,
        input_mem=first.input_mem,
        output_mem=first.output_mem,
        h_mem=h_mem,
        v_mem=v_mem,
        fetch_mem=fetch_mem,
        weight_bits=first.weight_bits,
        input_bits=stacked("input_bits"),
        output_bits=stacked("output_bits"),
        h_bits=beside_maps(tiling.graph, sources, h_mem, tiling.h_cache_bits),
        v_bits=beside_maps(tiling.graph, sources, v_mem, tiling.v_cache_bits),
        output_waiting_bits=stacked("output_waiting_bits"),
        fetch_bits=stacked("fetch_bits"),
        waits=first.waits,
        fetch_waits=stacked("fetch_waits"),
        runs=stacked("runs"),
        room=first.room,
        linked=first.linked,
        n_stairs=n_stairs,
        stairs=stairs,
        step_costs=np.concatenate([x.step_costs for x in known]),
        step_bits=np.concatenate([x.step_bits for x in known]),
        ties=_ties(tiling.graph, kinds),
        pairs=pairs,
        pair_of=np.array([paired.index(e) if e in paired else -1 for e in range(n)]),
    )


def _ties(graph: StackGraph, kinds: Sequence[KindTables]) -> np.ndarray:
    """Places that are the same though no path from layer to layer knows, as in `SharedKinds`.

    They are told by their numbers, so only where both may be in the same memories.
    """
    found = []
    for k, kind in enumerate(kinds):

        def places(e: int, slot: int, kind: KindTables = kind) -> tuple[int, ...]:
            return (kind.outputs, kind.producers[e], kind.seconds[e])[slot]

        def left(edge: int, kind: KindTables = kind) -> tuple[int, int]:
            e = graph.edges[edge].layer
            return e, PLACE_LEFT if kind.primary[e] == edge else PLACE_SECOND

        for e, into in enumerate(graph.edges_into):
            for i in into if kind.runs[e] else ():
                t, reader = graph.edges[i].tensor, left(i)
                if kind.kind.tensor_bits[t] == 0 or (kind.linked[e] and reader[1] == PLACE_LEFT):
                    continue
                maker = t, PLACE_MADE
                if t >= len(graph.layers):
                    first = fetching_edge(graph, kind.kind, t)
                    if first in (i, -1):
                        continue
                    maker = left(first)
                if places(*maker) == places(*reader):
                    found.append((k, *maker, *reader))
    return np.array(found, dtype=np.int64).reshape(-1, 5)


def _by_place(table: np.ndarray, kind: KindTables, e: int, n_h: int, n_v: int) -> np.ndarray:
    """[producer, I, H, V] of a layer's table [producer, I, h_use, h_make, v].

    A cache that is used and made is in one memory: other entries are infinite.
    """
    if kind.h_use[e] != NOWHERE:
        table = table[:, :, :n_h].min(axis=3)
    elif kind.h_make[e] != NOWHERE:
        table = table[:, :, 0, :n_h]
    else:
        table = np.repeat(table[:, :, :1, 0], n_h, axis=2)
    if kind.v[e] != NOWHERE:
        return table[..., :n_v]
    return np.repeat(table[..., :1], n_v, axis=3)


def tied(kind: KindTables, cost: KindCosts, charges: np.ndarray) -> np.ndarray:
    """g of a kind of tile with `charges` [slot, layer, place] of `tied_charges`."""
    out = cost.g.copy()
    for e, both in enumerate(cost.pairs):
        if both is not None:
            second = charges[PLACE_SECOND, e, : both.shape[1], None, None, None, None]
            least = (both + second).min(axis=1)
            p, i, a, b, c = least.shape
            closed = np.isinf(out[e, :p, :i, :a, :b, :c])
            out[e, :p, :i, :a, :b, :c] = np.where(closed, np.inf, least)
    out += charges[PLACE_LEFT, :, : out.shape[1], None, None, None, None]
    return out


def through_entries(
    base_g: np.ndarray, kind: KindTables, cost_g: np.ndarray, through_g: np.ndarray
) -> np.ndarray:
    """Least costs through the entries of `cost_g`, of its shape.

    From those on shared axes, where the entries themselves cost `base_g`.
    """
    out = np.full(cost_g.shape, np.inf)
    for e in range(len(cost_g)):
        n_p = cost_g.shape[1]
        rise = [_as_before(table[e, :n_p, :, :, 0], kind, e) for table in (through_g, base_g)]
        a, b, c = (len(places[e]) for places in (kind.h_use, kind.h_make, kind.v))
        some = cost_g[e, :, :, :a, :b, :c]
        open_ = np.isfinite(some)
        shape = np.broadcast_shapes(some.shape, rise[0].shape)
        least, base = (np.broadcast_to(table, shape) for table in rise)
        out[e, :, :, :a, :b, :c][open_] = least[open_] + some[open_] - base[open_]
    return out


def _as_before(table: np.ndarray, kind: KindTables, e: int) -> np.ndarray:
    """[producer, I, h_use, h_make, v], broadcast, of a table [producer, I, H, V]."""
    if kind.v[e] == NOWHERE:
        table = table.min(axis=3, keepdims=True)
    else:
        table = table[..., : len(kind.v[e])]
    if kind.h_use[e] != NOWHERE:
        return table[:, :, : len(kind.h_use[e]), None]
    if kind.h_make[e] != NOWHERE:
        return table[:, :, None, : len(kind.h_make[e])]
    return table.min(axis=2, keepdims=True)[:, :, :, None]
