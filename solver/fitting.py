"""A placement of a stack option that fits its memories, for CP-SAT to begin with.

Where memories are tight any placement that fits is hard to find from nothing. This one starts
from what bounds like best and moves tensors outwards until all fit. Then what all kinds of tile
share is moved as long as that helps, each kind having its inputs and outputs where it suits it
best. It proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cost.shared_places import improve_places
from cost.shared_prices import SharedKinds
from cost.stack_graph import StackGraph
from solver.kind_tables import KindTables
from solver.places import Fitting
from solver.spots import (
    RESERVE,
    UNKNOWN,
    CacheBits,
    Costs,
    Spots,
    budgets_of,
    cache_bits,
    cost_of,
    fullest,
    written,
)

SWEEPS = 4
"""Rounds of improvement; only speed and the place to begin with depend on it."""


def fitting_places(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    costs: Sequence[Costs],
    main: int,
    pick: np.ndarray,
    sizes: np.ndarray,
    beyond: Sequence[np.ndarray],
    shared: SharedKinds | None,
) -> Fitting | None:
    """A placement that fits, from `pick` [layer, (w, i, o)] of kind number `main`.

    `sizes` [memory]: bits of every memory; `beyond` [layer, W, I, O, memory] by kind: bits that the
    mapping of a layer-tile takes beyond its whole tensors, or UNKNOWN; `shared`: the same costs on
    common axes, if several kinds share anything. None where moving outwards does not lead to one.
    """
    spots = _first(kinds, main, pick)
    everywhere = [spots] * len(kinds)
    caches = cache_bits(kinds)
    while (full := fullest(graph, kinds, caches, everywhere, beyond)) is not None:
        step, memory = full
        best = None
        for tensor, e in _candidates(graph, spots, step, memory):
            moved = _outwards(kinds, spots, tensor, e)
            if moved is None:
                continue
            places = getattr(spots, tensor)
            before, places[e] = places[e], moved
            cost = cost_of(graph, kinds[main], costs[main], spots)
            places[e] = before
            if best is None or cost < best[0]:
                best = cost, tensor, e, moved
        if best is None:
            return None
        _, tensor, e, moved = best
        getattr(spots, tensor)[e] = moved
    _improve(graph, kinds, caches, costs, main, spots, beyond)
    total = _total(graph, kinds, costs, everywhere)
    if shared is not None:
        better = _each_its_own(kinds, shared, spots, beyond)
        if better is not None:
            cost = _total(graph, kinds, costs, better)
            # Mappings that hold less than the best may have to do.
            if not cost >= total and fullest(graph, kinds, caches, better, None) is None:
                everywhere, total = better, cost
    if not np.isfinite(total):
        return None
    budgets = budgets_of(graph, kinds, caches, everywhere, sizes)
    return Fitting(written(graph, kinds, everywhere), total, budgets)


def _total(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    costs: Sequence[Costs],
    spots: Sequence[Spots],
) -> float:
    """Weighted cost of all tiles; infinite if a place is closed."""
    total = 0.0
    for kind, cost, own in zip(kinds, costs, spots, strict=True):
        closed, one = cost_of(graph, kind, cost, own)
        total += np.inf if closed else kind.kind.count * one
    return total


def _each_its_own(
    kinds: Sequence[KindTables], shared: SharedKinds, spots: Spots, beyond: Sequence[np.ndarray]
) -> list[Spots] | None:
    """Spots of every kind of tile, improved from those `spots` of all; None if nothing fits."""
    n = len(spots.w)
    entries = np.zeros((3, n), dtype=np.int64)
    for what, (memories, places) in enumerate(
        ((shared.weight_mem, spots.w), (shared.h_mem, spots.h), (shared.v_mem, spots.v))
    ):
        for e, memory in enumerate(places):
            found = np.flatnonzero(memories[e] == memory)
            if not len(found):
                return None
            entries[what, e] = found[0]
    room = np.where(np.isinf(shared.room), 0.0, RESERVE * shared.room)
    taken = np.stack([np.where(more == UNKNOWN, room, more) for more in beyond])
    picks = np.zeros((len(kinds), n, 8), dtype=np.int64)
    if not np.isfinite(improve_places(shared, taken, entries, picks)):
        return None
    at = np.arange(n)
    w, h, v = (
        memories[at, entries[what]].tolist()
        for what, memories in enumerate((shared.weight_mem, shared.h_mem, shared.v_mem))
    )
    return [
        Spots(
            w=w,
            i=shared.input_mem[own[:, 1]].tolist(),
            o=shared.output_mem[own[:, 2]].tolist(),
            h=h,
            v=v,
        )
        for own in picks
    ]


def _improve(
    graph: StackGraph,
    kinds: Sequence[KindTables],
    caches: CacheBits,
    costs: Sequence[Costs],
    main: int,
    spots: Spots,
    beyond: Sequence[np.ndarray],
) -> None:
    """Move single tensors as long as that makes the commonest kind of tile cheaper."""
    everywhere = [spots] * len(kinds)
    least = cost_of(graph, kinds[main], costs[main], spots)
    for _ in range(SWEEPS):
        before = least
        for tensor in "wiohv":
            places = getattr(spots, tensor)
            for e in range(len(places)):
                for moved in _choices(kinds, tensor, e):
                    kept, places[e] = places[e], moved
                    cost = cost_of(graph, kinds[main], costs[main], spots)
                    if cost < least and fullest(graph, kinds, caches, everywhere, beyond) is None:
                        least = cost
                    else:
                        places[e] = kept
        if least >= before:
            break


def _first(kinds: Sequence[KindTables], main: int, pick: np.ndarray) -> Spots:
    """What the bound picked for the commonest kind of tile; caches where operands are."""
    kind = kinds[main]
    spots = Spots(w=[], i=[], o=[], h=[], v=[])
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


def _candidates(graph: StackGraph, spots: Spots, step: int, memory: int) -> list[tuple[str, int]]:
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


def _outwards(kinds: Sequence[KindTables], spots: Spots, tensor: str, e: int) -> int | None:
    """The next memory further out in which a tensor may lie."""
    here, choices = getattr(spots, tensor)[e], _choices(kinds, tensor, e)
    onwards = choices[choices.index(here) + 1 :] if here in choices else ()
    return onwards[0] if onwards else None
