"""Lower bounds of a layer-tile's energy and latency over all of its mappings.

Each block has to fit its memory beside the least innermost blocks of the other operands; what
more they hold and the exact refill windows are relaxed, the nesting of the boundaries is not.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from cost.boundary_tables import OUT, SIZE
from cost.lattice import OX, OY
from cost.layer_model import LayerModel
from cost.mapping_tables import (
    ANY,
    OR_MORE,
    THESE,
    TOGETHER,
    completion_table,
    energy_tables,
    latency_views,
    tensor_bits,
    with_views,
)
from cost.placed_views import completion_of_view, drain_views, mix_views

MANY_TILES = 3
"""From here on it is worth waking other cores."""


@njit(cache=True)
def _least_blocks(a, t, levels):
    """Take out of `t.pj` blocks without room beside the innermost ones of other operands.

    Wherever tensors rest, each operand that uses more than one of `levels` has at least such a
    block, or the whole tensor, in its lowest memory. Returns the bits of the least block left at
    every boundary [o, level], infinite where none is.
    """
    least = np.full(t.pj.shape[:2], np.inf)
    for o in range(3):
        for m in range(levels[o] - 1):
            for i in range(t.pj.shape[2]):
                if t.pj[o, m, i] < np.inf:
                    least[o, m] = min(least[o, m], t.bits[o, m, i])
    innermost = np.minimum(least[:, 0], t.tensor_bits)
    for o in range(3):
        for m in range(levels[o] - 1):
            memory = a.mem_index[o, m]
            room = a.memory[memory, SIZE]
            for p in range(3):
                if (p != o or m > 0) and levels[p] > 1 and a.mem_index[p, 0] == memory:
                    room -= innermost[p]
            if room >= a.memory[memory, SIZE]:
                continue
            least[o, m] = np.inf
            for i in range(t.pj.shape[2]):
                if t.bits[o, m, i] > room:
                    t.pj[o, m, i] = np.inf
                elif t.pj[o, m, i] < np.inf:
                    least[o, m] = min(least[o, m], t.bits[o, m, i])
    return least


@njit(cache=True)
def _fit_together(a, t, least, i, j, k):
    """Whether tensors at rest in levels i, j, k fit beside the least blocks below them."""
    taken = np.zeros(a.memory.shape[0])
    rest = (i, j, k)
    for o in range(3):
        taken[a.mem_index[o, rest[o]]] += t.tensor_bits[o]
        for m in range(rest[o]):
            taken[a.mem_index[o, m]] += least[o, m]
    for memory in range(taken.shape[0]):
        if taken[memory] > a.memory[memory, SIZE]:
            return False
    return True


@njit(cache=True)
def _least_drain(a, t, c):
    """Cycles that the last outputs take on their way out of level c - 1 at least."""
    if not a.drain or c == 0:
        return 0.0
    least = np.inf
    for i in range(t.products.shape[0]):
        if t.pj[OUT, c - 1, i] < np.inf:
            least = min(least, t.first[OUT, c - 1, i])
    return least


@njit(cache=True)
def _bound_each_placement(a, t, possible, out):
    """Raise the latencies `out` [w, i, o, 2] where first blocks depend on the placement."""
    levels = np.ones(3, dtype=np.int64)
    last = t.products.shape[0] - 1
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                if np.isinf(out[i, j, k, 1]):
                    continue
                levels[0], levels[1], levels[2] = i + 1, j + 1, k + 1
                costs, constants = latency_views(a, t, levels, True, THESE)
                for v in range(constants.shape[0]):
                    table, _ = completion_of_view(costs[v], possible, levels - 1, t.axes, t.strides)
                    out[i, j, k, 1] = max(out[i, j, k, 1], constants[v] + table[-1, -1, -1, last])


@njit(cache=True)
def _placement_bounds(a, sizes, timed):
    levels = a.n_levels
    t, amounts = energy_tables(a, sizes, levels)
    least = _least_blocks(a, t, levels)
    if timed:
        t = with_views(a, sizes, levels, t, t.pj < np.inf, amounts)
    possible = t.pj < np.inf
    last = t.products.shape[0] - 1
    energy = completion_table(t.pj, possible, levels - 1, t.axes, t.strides)
    out = np.full((levels[0], levels[1], levels[2], 2), np.inf)
    drains = np.empty(levels[2])
    for k in range(levels[2]):
        drains[k] = _least_drain(a, t, k)
    for i in range(levels[0]):
        for j in range(levels[1]):
            for k in range(levels[2]):
                if energy[i, j, k, last] < np.inf and _fit_together(a, t, least, i, j, k):
                    out[i, j, k, 0] = t.fixed_pj + energy[i, j, k, last]
                    linked = (i > 0 and a.precision[0, 0] > 0) or (j > 0 and a.precision[1, 0] > 0)
                    out[i, j, k, 1] = t.cycles + (1.0 if linked else 0.0) + drains[k]
    if not timed:
        return out
    if not a.add_half:
        _bound_each_placement(a, t, possible, out)
        return out
    # Both inputs of an add rest in one level, so the first blocks of both wait for each other.
    apart = out[..., 1].copy()
    if a.is_add:
        for i in range(levels[0]):
            for j in range(levels[1]):
                if i != j:
                    out[i, j, :, 1] = np.inf  # not looked at any closer
    costs, constants = latency_views(a, t, levels, False, TOGETHER if a.is_add else ANY)
    # That any input loads at all is known per placement only.
    bases = t.cycles + t.constants
    n_views = constants.shape[0]
    found = np.zeros((n_views, levels[0], levels[1], levels[2]))
    for v in range(n_views):
        table, at = completion_of_view(costs[v], possible, levels - 1, t.axes, t.strides)
        for i in range(levels[0]):
            for j in range(levels[1]):
                for k in range(levels[2]):
                    cycles = bases[v // 2] + table[at[0, i], at[1, j], at[OUT, k], last]
                    found[v, i, j, k] = cycles
                    if out[i, j, k, 1] < np.inf:
                        out[i, j, k, 1] = max(out[i, j, k, 1], cycles + drains[k])
    if a.drain:
        drain_views(a, t, possible, costs, bases, found, out)
    mix_views(a, t, possible, costs, bases, found, drains, out)
    out[..., 1] = np.where(np.isinf(out[..., 1]), apart, out[..., 1])
    return out


def lower_bounds(model: LayerModel, sizes: np.ndarray, *, timed: bool = True) -> np.ndarray:
    """Lower bounds (pJ, cycles) of a layer-tile for every placement, [w, i, o, 2].

    Entry [a, b, c] is for top levels a, b, c of the three operands; infinite where the tensors
    do not fit these, or not beside the least blocks of other operands. Without `timed`, quicker,
    the cycles leave out all stalls.
    """
    return np.asarray(_placement_bounds(model.arrays, sizes, timed))


@njit(cache=True, parallel=True)
def _many_placement_bounds(a, sizes, widths, heights, timed):
    shape = (widths.shape[0], a.n_levels[0], a.n_levels[1], a.n_levels[2], 2)
    out = np.empty(shape)
    for n in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[n]
        tile[OY] = heights[n]
        out[n] = _placement_bounds(a, tile, timed)
    return out


def many_lower_bounds(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    *,
    timed: bool = True,
) -> np.ndarray:
    """`lower_bounds` of many tiles of one layer at once, [tile, w, i, o, 2]."""
    if len(widths) < MANY_TILES:
        found = []
        for width, height in zip(widths.tolist(), heights.tolist(), strict=True):
            tile = sizes.copy()
            tile[OX], tile[OY] = width, height
            found.append(lower_bounds(model, tile, timed=timed))
        return np.array(found)
    # One compiled form for all callers.
    at = np.ascontiguousarray(widths), np.ascontiguousarray(heights)
    return np.asarray(_many_placement_bounds(model.arrays, sizes, *at, timed))


@njit(cache=True)
def _least_bound(a, sizes, usable, from_top, to_top, timed):
    """(pJ, cycles) of one tile; see `least_bounds`."""
    bits = tensor_bits(a, sizes)
    levels = a.n_levels.copy()
    for o in range(3):
        for m in range(levels[o] - 1, -1, -1):
            if usable[o, m] and bits[o] <= a.memory[a.mem_index[o, m], SIZE]:
                levels[o] = m + 1
    if from_top:
        levels[1] = a.n_levels[1]
    if to_top:
        levels[OUT] = a.n_levels[OUT]
    t, amounts = energy_tables(a, sizes, levels)
    _least_blocks(a, t, levels)
    possible = t.pj < np.inf
    last = t.products.shape[0] - 1
    energy = completion_table(t.pj, possible, levels - 1, t.axes, t.strides)
    least_pj = t.fixed_pj + energy[-1, -1, -1, last]
    if not timed:
        return least_pj, t.cycles
    # With the outputs in the highest level it is known where they leave.
    views = with_views(a, sizes, levels, t, possible, amounts)
    costs, constants = latency_views(a, views, levels, to_top, OR_MORE)
    latency = 0.0
    for v in range(constants.shape[0]):
        table, _ = completion_of_view(costs[v], possible, levels - 1, t.axes, t.strides)
        latency = max(latency, constants[v] + table[-1, -1, -1, last])
    # Other rest places may drain faster, but never in less than a cycle a link.
    return least_pj, latency + (float(levels[OUT] - 1) if a.drain and not to_top else 0.0)


@njit(cache=True, parallel=True)
def _least_bounds(a, sizes, widths, heights, usable, from_top, to_top, timed):
    out = np.empty((widths.shape[0], 2))
    for n in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[n]
        tile[OY] = heights[n]
        out[n, 0], out[n, 1] = _least_bound(a, tile, usable, from_top, to_top, timed)
    return out


def least_bounds(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
    *,
    from_top: bool,
    to_top: bool,
    timed: bool = True,
) -> np.ndarray:
    """Lower bounds [tile, (pJ, cycles)] over all placements, for many tiles of one layer.

    `usable` [o, m]: whether level m may hold a whole tensor of operand o; `from_top`,
    `to_top`: input and output rest in the highest level. Moving a rest place outwards only adds
    boundaries, so the innermost places that fit bound every placement. `timed`: see `lower_bounds`.
    """
    return np.asarray(
        _least_bounds(model.arrays, sizes, widths, heights, usable, from_top, to_top, timed)
    )
