"""Lower bounds of a layer-tile's energy and latency over all of its mappings.

Each level's capacity counts per operand; sharing and the exact refill windows are
relaxed, the nesting of the boundaries is not.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from cost.boundary_tables import OUT, SIZE
from cost.lattice import OX, OY
from cost.layer_model import LayerModel
from cost.mapping_tables import completion_table, latency_views, mapping_tables, tensor_bits


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
def _completion_of_view(costs, possible, bounds, axes, strides):
    """`completion_table` of the boundaries that add anything to a view; the others do not bind.

    Returns (table [a, b, c, point], counts [o, level]): how many of them lie below a level. A
    view concerns one port and the links of one input, so these are few.
    """
    counts = np.zeros((3, costs.shape[1] + 1), dtype=np.int64)
    some = np.zeros_like(costs)
    open_to = np.zeros_like(possible)
    for o in range(3):
        n = 0
        for m in range(bounds[o]):
            counts[o, m] = n
            for i in range(costs.shape[2]):
                if possible[o, m, i] and costs[o, m, i] > 0:
                    some[o, n] = costs[o, m]
                    open_to[o, n] = possible[o, m]
                    n += 1
                    break
        counts[o, bounds[o]] = n
    kept = np.empty(3, dtype=np.int64)
    for o in range(3):
        kept[o] = counts[o, bounds[o]]
    return completion_table(some, open_to, kept, axes, strides), counts


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
                costs, constants = latency_views(a, t, levels, True, False)
                for v in range(constants.shape[0]):
                    table, _ = _completion_of_view(
                        costs[v], possible, levels - 1, t.axes, t.strides
                    )
                    out[i, j, k, 1] = max(out[i, j, k, 1], constants[v] + table[-1, -1, -1, last])


@njit(cache=True)
def _placement_bounds(a, sizes):
    levels = a.n_levels
    t = mapping_tables(a, sizes, levels)
    possible = t.pj < np.inf
    last = t.products.shape[0] - 1
    energy = completion_table(t.pj, possible, levels - 1, t.axes, t.strides)
    out = np.full((levels[0], levels[1], levels[2], 2), np.inf)
    for i in range(levels[0]):
        for j in range(levels[1]):
            for k in range(levels[2]):
                fits = (
                    t.tensor_bits[0] <= a.memory[a.mem_index[0, i], SIZE]
                    and t.tensor_bits[1] <= a.memory[a.mem_index[1, j], SIZE]
                    and t.tensor_bits[2] <= a.memory[a.mem_index[2, k], SIZE]
                )
                if fits and energy[i, j, k, last] < np.inf:
                    out[i, j, k, 0] = t.fixed_pj + energy[i, j, k, last]
                    linked = (i > 0 and a.precision[0, 0] > 0) or (j > 0 and a.precision[1, 0] > 0)
                    out[i, j, k, 1] = t.cycles + (1.0 if linked else 0.0) + _least_drain(a, t, k)
    if not a.add_half:
        _bound_each_placement(a, t, possible, out)
        return out
    costs, constants = latency_views(a, t, levels, False, True)
    # That any input loads at all is known per placement only.
    bases = t.cycles + t.constants
    n_views = constants.shape[0]
    found = np.zeros((n_views, levels[0], levels[1], levels[2]))
    for v in range(n_views):
        table, at = _completion_of_view(costs[v], possible, levels - 1, t.axes, t.strides)
        for i in range(levels[0]):
            for j in range(levels[1]):
                for k in range(levels[2]):
                    cycles = bases[v // 2] + table[at[0, i], at[1, j], at[OUT, k], last]
                    found[v, i, j, k] = cycles
                    if out[i, j, k, 1] < np.inf:
                        out[i, j, k, 1] = max(out[i, j, k, 1], cycles + _least_drain(a, t, k))
    if not a.drain:
        return out
    # The last outputs leave through the topmost boundary: looked at where it may tell most.
    bounds = levels - 1
    binding = np.empty(n_views, dtype=np.bool_)
    for k in range(1, levels[2]):
        bounds[2] = k
        binding[:] = False
        for i in range(levels[0]):
            for j in range(levels[1]):
                if out[i, j, k, 1] < np.inf:
                    binding[np.argmax(found[:, i, j, k])] = True
        for v in range(n_views):
            if not binding[v]:
                continue
            view = costs[v].copy()
            view[OUT, k - 1] += t.first[OUT, k - 1]
            table, at = _completion_of_view(view, possible, bounds, t.axes, t.strides)
            for i in range(levels[0]):
                for j in range(levels[1]):
                    if out[i, j, k, 1] < np.inf:
                        cycles = bases[v // 2] + table[at[0, i], at[1, j], at[OUT, k], last]
                        out[i, j, k, 1] = max(out[i, j, k, 1], cycles)
    return out


def lower_bounds(model: LayerModel, sizes: np.ndarray) -> np.ndarray:
    """Lower bounds (pJ, cycles) of a layer-tile for every placement, [w, i, o, 2].

    Entry [a, b, c] is for top levels a, b, c of the three operands; infinite where a
    tensor alone does not fit its top level.
    """
    return np.asarray(_placement_bounds(model.arrays, sizes))


@njit(cache=True, parallel=True)
def _many_placement_bounds(a, sizes, widths, heights):
    shape = (widths.shape[0], a.n_levels[0], a.n_levels[1], a.n_levels[2], 2)
    out = np.empty(shape)
    for n in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[n]
        tile[OY] = heights[n]
        out[n] = _placement_bounds(a, tile)
    return out


def many_lower_bounds(
    model: LayerModel, sizes: np.ndarray, widths: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """`lower_bounds` of many tiles of one layer at once, [tile, w, i, o, 2]."""
    return np.asarray(_many_placement_bounds(model.arrays, sizes, widths, heights))


@njit(cache=True, parallel=True)
def _least_bounds(a, sizes, widths, heights, usable, from_top, to_top):
    out = np.full((widths.shape[0], 2), np.inf)
    for n in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[n]
        tile[OY] = heights[n]
        bits = tensor_bits(a, tile)
        levels = a.n_levels.copy()
        for o in range(3):
            for m in range(levels[o] - 1, -1, -1):
                if usable[o, m] and bits[o] <= a.memory[a.mem_index[o, m], SIZE]:
                    levels[o] = m + 1
        if from_top:
            levels[1] = a.n_levels[1]
        if to_top:
            levels[OUT] = a.n_levels[OUT]
        t = mapping_tables(a, tile, levels)
        possible = t.pj < np.inf
        last = t.products.shape[0] - 1
        energy = completion_table(t.pj, possible, levels - 1, t.axes, t.strides)
        out[n, 0] = t.fixed_pj + energy[-1, -1, -1, last]
        # With the outputs in the highest level it is known where they leave.
        costs, constants = latency_views(a, t, levels, to_top, True)
        latency = 0.0
        for v in range(constants.shape[0]):
            table, _ = _completion_of_view(costs[v], possible, levels - 1, t.axes, t.strides)
            latency = max(latency, constants[v] + table[-1, -1, -1, last])
        # Other rest places may drain faster, but never in less than a cycle a link.
        out[n, 1] = latency + (float(levels[OUT] - 1) if a.drain and not to_top else 0.0)
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
) -> np.ndarray:
    """Lower bounds [tile, (pJ, cycles)] over all placements, for many tiles of one layer.

    `usable` [o, m]: whether level m may hold a whole tensor of operand o; `from_top`,
    `to_top`: input and output rest in the highest level. Moving a rest place outwards only adds
    boundaries, so the innermost places that fit bound every placement.
    """
    return np.asarray(_least_bounds(model.arrays, sizes, widths, heights, usable, from_top, to_top))
