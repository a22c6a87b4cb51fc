"""Energy, bits and port cycles at every memory boundary, for every loop prefix.

Index letters as in `LayerModel`: o operand, m level; a boundary (o, m) lies between
levels m and m + 1 of operand o.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cost.lattice import FX, FY, N_DIMS, OX, OY, burst_words, extent, spatial_product, words

OUT = 2
EVERYTHING = 1 << 30
"""A level above all memories."""
SIZE, READ_BW, WRITE_BW, READ_G, WRITE_G, READ_PJ, WRITE_PJ = range(7)


@njit(cache=True)
def unrolled_reach(a, o, factor, level):
    """[d]: what the unrolling up to `level` of operand o spans of every dim."""
    reach = np.ones(N_DIMS)
    for k in range(factor.shape[0]):
        if a.unroll_level[o, k] <= level:
            reach[a.unroll_dim[k]] *= factor[k]
    return reach


@njit(cache=True)
def _spanned_with(rel, stride, exact, product, unrolled, sizes):
    """Elements of an operand (its row of `rel`) that loops and an `unrolled_reach` span.

    Takes what it needs of the layer apart: this runs at every point of every boundary.
    """
    elements = 1.0
    ox = oy = fx = fy = 1.0
    for d in range(N_DIMS):
        reach = product[d] * unrolled[d]
        if exact and reach > sizes[d]:
            reach = float(sizes[d])
        if rel[d] == 1:
            elements *= reach
        if d == OX:
            ox = reach
        elif d == OY:
            oy = reach
        elif d == FX:
            fx = reach
        elif d == FY:
            fy = reach
    if rel[OX] == 2:
        elements *= extent(ox, fx, stride[0], stride[2], exact)
    if rel[OY] == 2:
        elements *= extent(oy, fy, stride[1], stride[3], exact)
    return elements


@njit(cache=True)
def _spanned(a, o, product, factor, level, sizes):
    """Elements of operand o that loops `product` and the unrolling up to `level` span."""
    unrolled = unrolled_reach(a, o, factor, level)
    return _spanned_with(a.rel[o], a.stride, a.exact, product, unrolled, sizes)


@njit(cache=True)
def unique_ratio(a, o, m, factor, sizes):
    """Distinct elements of operand o that one instance of level m serves per lower one.

    The ratio of tensor sizes spanned by the unrolling up to level m and up to m - 1; the
    reference takes both from the whole array's.
    """
    ones = np.ones(N_DIMS, dtype=np.int64)
    upper = _spanned(a, o, ones, factor, m, sizes)
    lower = _spanned(a, o, ones, factor, m - 1, sizes)
    if a.exact:
        return upper / lower
    total = _spanned(a, o, ones, factor, EVERYTHING, sizes)
    return (total / lower) / (total / upper)


@njit(cache=True)
def boundary_amounts(a, o, m, product, factor, sizes, ratio):
    """Elements below boundary (o, m): in one instance of level m, and per read from above.

    `ratio` is the `unique_ratio` of level m + 1.
    """
    below, above = unrolled_reach(a, o, factor, m), unrolled_reach(a, o, factor, m + 1)
    return block_amounts(a.rel[o], a.stride, a.exact, product, below, above, sizes, ratio)


@njit(cache=True)
def block_amounts(rel, stride, exact, product, below, above, sizes, ratio):
    """`boundary_amounts` where the `unrolled_reach` of both levels is at hand."""
    held = _spanned_with(rel, stride, exact, product, below, sizes)
    if exact:
        return held, _spanned_with(rel, stride, exact, product, above, sizes)
    held = np.round(held)
    return held, held * math.trunc(ratio)


@njit(cache=True)
def held_amount(a, o, m, product, factor, sizes):
    """Elements of operand o below boundary (o, m) in one instance of level m."""
    held = _spanned(a, o, product, factor, m, sizes)
    return held if a.exact else np.round(held)


@njit(cache=True)
def mac_link_amount(a, o, factor, sizes):
    """Elements per cycle between level 0 of operand o and the MACs it feeds."""
    if a.exact:
        return _spanned(a, o, np.ones(N_DIMS, dtype=np.int64), factor, 0, sizes)
    return float(math.trunc(unique_ratio(a, o, 0, factor, sizes)))


@njit(cache=True)
def visits(point_product, q, rel):
    """Periods of a boundary over the layer-tile, and how many bring a new output chunk."""
    periods = 1
    distinct = 1
    for d in range(N_DIMS):
        above = q[d] // point_product[d]
        periods *= above
        if rel[d] == 1:
            distinct *= above
    return periods, distinct


@njit(cache=True)
def visits_above(above, rel):
    """`visits` where the loop products `above` the boundary are at hand."""
    periods = 1
    distinct = 1
    for d in range(N_DIMS):
        periods *= above[d]
        if rel[d] == 1:
            distinct *= above[d]
    return periods, distinct


@njit(cache=True)
def spatial_sums_above(a, m, factor):
    """Whether an irrelevant dim is unrolled above level m + 1 of O: sums stay partial there."""
    for k in range(factor.shape[0]):
        if a.unroll_level[OUT, k] > m + 1 and factor[k] > 1 and a.rel[OUT, a.unroll_dim[k]] == 0:
            return True
    return False


@njit(cache=True)
def sums_cross(a, m, periods, distinct, factor):
    """Whether partial sums cross boundary m of O."""
    return periods > distinct or (not a.psums and spatial_sums_above(a, m, factor))


@njit(cache=True)
def moves_of_outputs(a, m, periods, distinct, factor):
    """How often outputs cross boundary m: up wide, up final, and read back down."""
    if a.psums:
        return periods - distinct, distinct, periods - distinct
    if sums_cross(a, m, periods, distinct, factor):
        return periods, 0, periods
    return 0, periods, 0


@njit(cache=True)
def instances(a, o, first_level, factor):
    """Active instances of the memory below which the unrolling from `first_level` sits."""
    return np.round(spatial_product(factor, a.unroll_level[o], first_level))


@njit(cache=True)
def boundary_energy(a, o, m, held, moved, ratio, periods, distinct, factor):
    """pJ of everything that crosses boundary (o, m), given what crosses at a time."""
    wide_up, final_up, wide_down = 0, 0, periods
    if o == OUT:
        wide_up, final_up, wide_down = moves_of_outputs(a, m, periods, distinct, factor)
    return crossing_energy(
        figures(a, o, m),
        figures(a, o, m + 1),
        instances(a, o, m + 1, factor),
        instances(a, o, m + 2, factor),
        (a.precision[o, 0], a.precision[o, 1]),
        (wide_up, final_up, wide_down),
        held,
        moved,
        ratio,
    )


@njit(cache=True)
def figures(a, o, m):
    """The row of `memory` of level m of operand o, as values that stay in registers."""
    row = a.memory[a.mem_index[o, m]]
    return row[0], row[1], row[2], row[3], row[4], row[5], row[6]


@njit(cache=True)
def crossing_energy(low, high, n_low, n_high, precision, moves, held, moved, ratio):
    """pJ of `moves` (wide up, final up, down) over a link between the `figures` low and high.

    `n_low`, `n_high`: active instances; `precision` (wide, final) bits of the operand.
    """
    energy = 0.0
    for final in range(2):
        count = moves[final]
        if count == 0:
            continue
        bits = precision[final]
        up = words(held * bits, low[READ_G], low[READ_BW]) * low[READ_PJ] * n_low
        up += (
            burst_words(moved, bits, high[WRITE_G], high[WRITE_BW], low[READ_BW] * ratio)
            * high[WRITE_PJ]
            * n_high
        )
        energy += up * count
    if moves[2] > 0:
        bits = precision[0]
        down = words(held * bits, low[WRITE_G], low[WRITE_BW]) * low[WRITE_PJ] * n_low
        down += (
            burst_words(moved, bits, high[READ_G], high[READ_BW], low[WRITE_BW] * ratio)
            * high[READ_PJ]
            * n_high
        )
        energy += down * moves[2]
    return energy


@njit(cache=True)
def mac_link_energy(a, o, q, factor, sizes):
    """pJ of the traffic between level 0 of operand o and the MACs: once every cycle."""
    amount = mac_link_amount(a, o, factor, sizes)
    level = a.memory[a.mem_index[o, 0]]
    n = instances(a, o, 1, factor)
    periods, distinct = visits(np.ones(N_DIMS, dtype=np.int64), q, a.rel[o])
    wide_up, final_up, wide_down = 0, 0, periods
    if o == OUT:
        wide_up, final_up, wide_down = moves_of_outputs(a, -1, periods, distinct, factor)
    energy = 0.0
    for final in range(2):
        count = final_up if final == 1 else wide_up
        bits = a.precision[OUT, final]
        energy += (
            words(amount * bits, level[WRITE_G], level[WRITE_BW]) * level[WRITE_PJ] * n * count
        )
    bits = a.precision[o, 0]
    energy += words(amount * bits, level[READ_G], level[READ_BW]) * level[READ_PJ] * n * wide_down
    return energy
