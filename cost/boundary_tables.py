"""Energy, bits and port cycles at every memory boundary, for every loop prefix.

Index letters as in `LayerModel`: o operand, m level; a boundary (o, m) lies between
levels m and m + 1 of operand o.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cost.lattice import (
    N_DIMS,
    burst_words,
    level_extents,
    spatial_product,
    tensor_elements,
    words,
)

OUT = 2
SIZE, READ_BW, WRITE_BW, READ_G, WRITE_G, READ_PJ, WRITE_PJ = range(7)


@njit(cache=True)
def unique_ratio(o, m, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, clip):
    """Distinct elements of operand o that one instance of level m serves per lower one.

    The ratio of tensor sizes spanned by the unrolling up to level m and up to m - 1.
    """
    ones = np.ones(N_DIMS)
    x = np.ones(N_DIMS)
    level_extents(ones, factor, unroll_dim, unroll_level[o], m, sizes, clip, x)
    upper = tensor_elements(x, rel[o], stride, spans)
    level_extents(ones, factor, unroll_dim, unroll_level[o], m - 1, sizes, clip, x)
    lower = tensor_elements(x, rel[o], stride, spans)
    return upper / lower


@njit(cache=True)
def boost(o, m, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, clip):
    """The reference's whole number of distinct lower blocks that level m feeds at once."""
    ones = np.ones(N_DIMS)
    x = np.ones(N_DIMS)
    everything = 1 << 30
    level_extents(ones, factor, unroll_dim, unroll_level[o], everything, sizes, clip, x)
    total = tensor_elements(x, rel[o], stride, spans)
    level_extents(ones, factor, unroll_dim, unroll_level[o], m - 1, sizes, clip, x)
    lower = total / tensor_elements(x, rel[o], stride, spans)
    level_extents(ones, factor, unroll_dim, unroll_level[o], m, sizes, clip, x)
    upper = total / tensor_elements(x, rel[o], stride, spans)
    return math.trunc(lower / upper), lower / upper


@njit(cache=True)
def boundary_amounts(
    o, m, product, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, exact
):
    """Elements below boundary (o, m): in one instance of level m, and per read from above."""
    x = np.ones(N_DIMS)
    level_extents(product, factor, unroll_dim, unroll_level[o], m, sizes, exact, x)
    held = tensor_elements(x, rel[o], stride, spans)
    if exact:
        level_extents(product, factor, unroll_dim, unroll_level[o], m + 1, sizes, True, x)
        return held, tensor_elements(x, rel[o], stride, spans)
    held = np.round(held)
    times, _ = boost(o, m + 1, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, False)
    return held, held * times


@njit(cache=True)
def mac_link_amount(o, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, exact):
    """Elements per cycle between level 0 of operand o and the MACs it feeds."""
    if exact:
        ones = np.ones(N_DIMS)
        x = np.ones(N_DIMS)
        level_extents(ones, factor, unroll_dim, unroll_level[o], 0, sizes, True, x)
        return tensor_elements(x, rel[o], stride, spans)
    times, _ = boost(o, 0, factor, unroll_dim, unroll_level, rel, stride, spans, sizes, False)
    return float(times)


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
def spatial_sums_above(o, m, factor, unroll_dim, unroll_level, rel):
    """Whether an irrelevant dim is unrolled above level m + 1: sums stay partial on (o, m)."""
    for k in range(factor.shape[0]):
        if unroll_level[o, k] > m + 1 and factor[k] > 1 and rel[o, unroll_dim[k]] == 0:
            return True
    return False


@njit(cache=True)
def instances(o, first_level, factor, unroll_level):
    """Active instances of the memory below which the unrolling from `first_level` sits."""
    return np.round(spatial_product(factor, unroll_level[o], first_level))


@njit(cache=True)
def boundary_energy(
    o,
    m,
    product,
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    memory,
    exact,
    psums,
):
    """pJ of everything that crosses boundary (o, m) when it lies at loop prefix `product`."""
    held, moved = boundary_amounts(
        o, m, product, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact
    )
    low = memory[mem_index[o, m]]
    high = memory[mem_index[o, m + 1]]
    n_low = instances(o, m + 1, factor, unroll_level)
    n_high = instances(o, m + 2, factor, unroll_level)
    if exact:
        ratio = unique_ratio(
            o, m + 1, factor, unroll_dim, unroll_level, rel, stride, True, sizes, True
        )
    else:
        _, ratio = boost(
            o, m + 1, factor, unroll_dim, unroll_level, rel, stride, False, sizes, False
        )
    periods, distinct = visits(product, q, rel[o])
    if o != OUT:
        bits = precision[o, 0]
        down = words(held * bits, low[WRITE_G], low[WRITE_BW]) * low[WRITE_PJ] * n_low
        down += (
            burst_words(moved, bits, high[READ_G], high[READ_BW], low[WRITE_BW] * ratio)
            * high[READ_PJ]
            * n_high
        )
        return down * periods
    above = spatial_sums_above(o, m, factor, unroll_dim, unroll_level, rel)
    partial = periods > distinct or above
    if psums:
        wide_up = periods - distinct
        final_up = distinct
        read_back = periods - distinct
    else:
        wide_up = periods if partial else 0
        final_up = 0 if partial else periods
        read_back = wide_up
    energy = 0.0
    for final in range(2):
        count = final_up if final == 1 else wide_up
        if count == 0:
            continue
        bits = precision[OUT, final]
        up = words(held * bits, low[READ_G], low[READ_BW]) * low[READ_PJ] * n_low
        up += (
            burst_words(moved, bits, high[WRITE_G], high[WRITE_BW], low[READ_BW] * ratio)
            * high[WRITE_PJ]
            * n_high
        )
        energy += up * count
    if read_back > 0:
        bits = precision[OUT, 0]
        down = words(held * bits, low[WRITE_G], low[WRITE_BW]) * low[WRITE_PJ] * n_low
        down += (
            burst_words(moved, bits, high[READ_G], high[READ_BW], low[WRITE_BW] * ratio)
            * high[READ_PJ]
            * n_high
        )
        energy += down * read_back
    return energy


@njit(cache=True)
def mac_link_energy(
    o,
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    memory,
    exact,
    psums,
):
    """pJ of the traffic between level 0 of operand o and the MACs: once every cycle."""
    amount = mac_link_amount(o, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact)
    level = memory[mem_index[o, 0]]
    n = instances(o, 1, factor, unroll_level)
    ones = np.ones(N_DIMS, dtype=np.int64)
    periods, distinct = visits(ones, q, rel[o])
    if o != OUT:
        bits = precision[o, 0]
        return words(amount * bits, level[READ_G], level[READ_BW]) * level[READ_PJ] * n * periods
    partial = periods > distinct or spatial_sums_above(
        OUT, -1, factor, unroll_dim, unroll_level, rel
    )
    if psums:
        wide_up = periods - distinct
        final_up = distinct
        read_back = periods - distinct
    else:
        wide_up = periods if partial else 0
        final_up = 0 if partial else periods
        read_back = wide_up
    energy = 0.0
    for final in range(2):
        count = final_up if final == 1 else wide_up
        bits = precision[OUT, final]
        energy += (
            words(amount * bits, level[WRITE_G], level[WRITE_BW]) * level[WRITE_PJ] * n * count
        )
    bits = precision[OUT, 0]
    energy += words(amount * bits, level[READ_G], level[READ_BW]) * level[READ_PJ] * n * read_back
    return energy
