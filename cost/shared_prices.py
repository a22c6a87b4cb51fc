"""Bounds on a stack option over all its kinds of tile at once (compiled).

Weights rest in one memory for all tiles, and so do caches, whether a kind of tile looks at them or
not. Each kind by itself (`capacity_bound`) would have them where it suits it. Here every kind
decides for itself, but pays a price for its choice, and the prices of a choice add up to zero over
all kinds: where all choose alike nothing is paid, so that any such prices are valid. Likewise a
tile that several layers read, or one that waits for its reader, is in one memory, which a path from
layer to layer does not know of (`kind_paths`): who makes it is paid for the place what who reads it
there pays. Good prices, and those of the memories, are a linear program's (`best_prices`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cost.capacity_bound import Occupancy, priced
from cost.kind_paths import cheapest

PLACE_MADE, PLACE_LEFT, PLACE_SECOND = range(3)
"""Slots of a tie: a layer's own output, and the tiles that its producers left."""


class SharedKinds(NamedTuple):
    """All kinds of tile of an option on the same axes.

    `counts` [kind]; cost tables f [kind, layer, W, I, O] and g [kind, layer, producer, I, H, 1, V],
    where H and V are the memories of caches for all kinds alike, whichever tiles use or make them;
    infinite where not allowed. The rest as in `Occupancy`, with `input_bits`, `output_bits`,
    `output_waiting_bits`, `fetch_mem`, `fetch_bits`, `fetch_waits` and `runs` by kind, too, and
    `stairs` [kind, stair, ...], of which the first `n_stairs` [kind] count.

    `ties` [tie, (kind, layer, slot, layer, slot)]: places that are the same, of its output
    (PLACE_MADE), of the tile that its first producer left (PLACE_LEFT), or its second one
    (PLACE_SECOND). Of layers with two, `pairs` [kind, pair, producer, second, I, H, 1, V] has the
    costs, of which g is the least over the second; `pair_of` [layer] numbers them, -1: none.
    """

    counts: np.ndarray
    f: np.ndarray
    g: np.ndarray
    weight_mem: np.ndarray
    input_mem: np.ndarray
    output_mem: np.ndarray
    h_mem: np.ndarray
    v_mem: np.ndarray
    fetch_mem: np.ndarray
    weight_bits: np.ndarray
    input_bits: np.ndarray
    output_bits: np.ndarray
    h_bits: np.ndarray
    v_bits: np.ndarray
    output_waiting_bits: np.ndarray
    fetch_bits: np.ndarray
    waits: np.ndarray
    fetch_waits: np.ndarray
    runs: np.ndarray
    room: np.ndarray
    linked: np.ndarray
    n_stairs: np.ndarray
    stairs: np.ndarray
    step_costs: np.ndarray
    step_bits: np.ndarray
    ties: np.ndarray
    pairs: np.ndarray
    pair_of: np.ndarray


@njit(cache=True)
def occupancy_of(x, k):
    """Occupancy of kind number `k`."""
    return Occupancy(
        x.weight_mem,
        x.input_mem,
        x.output_mem,
        x.h_mem,
        x.v_mem,
        x.fetch_mem[k],
        x.weight_bits,
        x.input_bits[k],
        x.output_bits[k],
        x.h_bits,
        x.v_bits,
        x.output_waiting_bits[k],
        x.fetch_bits[k],
        x.waits,
        x.fetch_waits[k],
        x.runs[k],
        x.room,
        x.linked,
        x.stairs[k, : x.n_stairs[k]],
        x.step_costs,
        x.step_bits,
    )


@njit(cache=True)
def add_shifts(cost_f, cost_g, shift, k, count):
    """Charge kind `k`, in place, the prices `shift` [W/H/V, kind, layer, entry] of its choices.

    Prices are those for all `count` tiles of the kind together.
    """
    for e in range(cost_f.shape[0]):
        for w in range(cost_f.shape[1]):
            cost_f[e, w] += shift[0, k, e, w] / count
        for h in range(cost_g.shape[3]):
            cost_g[e, :, :, h] += shift[1, k, e, h] / count
        for v in range(cost_g.shape[5]):
            cost_g[e, :, :, :, :, v] += shift[2, k, e, v] / count


@njit(cache=True)
def tied_charges(x, tie, k):
    """What a tile of kind `k` pays [slot, layer, place] under prices `tie` [tie, place].

    Prices are those for all tiles of the kind together.
    """
    out = np.zeros((3, x.f.shape[1], tie.shape[1]))
    for number in range(x.ties.shape[0]):
        kind, maker, made, reader, read = x.ties[number]
        if kind == k:
            for m in range(tie.shape[1]):
                out[read, reader, m] += tie[number, m] / x.counts[k]
                out[made, maker, m] -= tie[number, m] / x.counts[k]
    return out


@njit(cache=True)
def add_ties(x, cost_f, cost_g, charges, k):
    """Charge kind `k`, in place, for where tiles are that wait; g is of the cheapest second."""
    for e in range(cost_f.shape[0]):
        q = x.pair_of[e]
        if q >= 0 and x.runs[k, e]:
            least = np.full_like(cost_g[e], np.inf)
            for s in range(x.pairs.shape[3]):
                least = np.minimum(least, x.pairs[k, q, :, s] + charges[PLACE_SECOND, e, s])
            # What is closed for other reasons stays so.
            cost_g[e] = np.where(np.isinf(cost_g[e]), np.inf, least)
        for o in range(cost_f.shape[3]):
            if charges[PLACE_MADE, e, o] != 0.0:
                cost_f[e, :, :, o] += charges[PLACE_MADE, e, o]
        for p in range(cost_g.shape[1]):
            if charges[PLACE_LEFT, e, p] != 0.0:
                cost_g[e, p] += charges[PLACE_LEFT, e, p]


@njit(cache=True, nogil=True)
def bound_under(x, price, shift, tie):
    """Lower bound of an option's cost that these prices prove, whatever they are.

    `price` [kind, layer, memory] >= 0: of all there is of a memory while a layer runs, in all tiles
    of a kind; `shift` [W/H/V, kind, layer, entry] of choices, adding up to zero over kinds; `tie`
    [tie, place], paid by who reads a tile there and to who makes it. Infinite where nothing is
    allowed.
    """
    total = 0.0
    n = x.f.shape[1]
    pick_f = np.zeros((n, 3), dtype=np.int64)
    pick_g = np.zeros((n, 5), dtype=np.int64)
    for k in range(len(x.counts)):
        count = x.counts[k]
        per_tile = price[k] / (count * np.maximum(x.room, 1.0))
        charges = tied_charges(x, tie, k)
        tied_f, tied_g = x.f[k], x.g[k]
        if x.ties.shape[0] > 0:
            tied_f, tied_g = x.f[k].copy(), x.g[k].copy()
            add_ties(x, tied_f, tied_g, charges, k)
        paid_f, paid_g, fixed = priced(tied_f, tied_g, per_tile, occupancy_of(x, k))
        add_shifts(paid_f, paid_g, shift, k, count)
        value = cheapest(paid_f, paid_g, x.linked, pick_f, pick_g)
        if np.isinf(value):
            return value
        total += count * (value - fixed)
    return total
