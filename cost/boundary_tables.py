"""Energy, bits and port cycles at every memory boundary, for every loop prefix.

Index letters as in `LayerModel`: o operand, m level; a boundary (o, m) lies between
levels m and m + 1 of operand o.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from cost.lattice import FX, FY, N_DIMS, OX, OY, extent, spatial_product, words

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
def _spanned(a, o, product, factor, level, sizes):
    """Elements of operand o that loops `product` and the unrolling up to `level` span."""
    elements = 1.0
    ox = oy = fx = fy = 1.0
    for d in range(N_DIMS):
        # As `unrolled_reach`, without an array: this is called everywhere.
        unrolled = 1.0
        for k in range(factor.shape[0]):
            if a.unroll_dim[k] == d and a.unroll_level[o, k] <= level:
                unrolled *= factor[k]
        spanned = product[d] * unrolled
        if a.exact and spanned > sizes[d]:
            spanned = float(sizes[d])
        if a.rel[o, d] == 1:
            elements *= spanned
        if d == OX:
            ox = spanned
        elif d == OY:
            oy = spanned
        elif d == FX:
            fx = spanned
        elif d == FY:
            fy = spanned
    if a.rel[o, OX] == 2:
        elements *= extent(ox, fx, a.stride[0], a.stride[2], a.exact)
    if a.rel[o, OY] == 2:
        elements *= extent(oy, fy, a.stride[1], a.stride[3], a.exact)
    return elements


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
    held = held_amount(a, o, m, product, factor, sizes)
    above = _spanned(a, o, product, factor, m + 1, sizes) if a.exact else held
    return held, moved_amount(held, above, ratio, a.exact)


@njit(cache=True)
def spans(a, o, level, products, factor, sizes, held):
    """Elements [i] that one instance of a level holds, for the loops `products` [i].

    As `held_amount`; `held` receives them. This is where tables spend their time: nothing is
    looked up twice, and no row is taken apart.
    """
    reach = unrolled_reach(a, o, factor, level)
    rel, stride, exact = a.rel[o], a.stride, a.exact
    tied_x, tied_y = rel[OX] == 2, rel[OY] == 2
    x = np.empty(N_DIMS)
    for i in range(products.shape[0]):
        elements = 1.0
        for d in range(N_DIMS):
            spanned = products[i, d] * reach[d]
            if exact and spanned > sizes[d]:
                spanned = float(sizes[d])
            x[d] = spanned
            if rel[d] == 1:
                elements *= spanned
        if tied_x:
            elements *= extent(x[OX], x[FX], stride[0], stride[2], exact)
        if tied_y:
            elements *= extent(x[OY], x[FY], stride[1], stride[3], exact)
        held[i] = elements if exact else np.round(elements)


@njit(cache=True)
def moved_amount(held, above, ratio, exact):
    """Elements per read from above, where one instance there needs `above` of them."""
    return above if exact else held * math.trunc(ratio)


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
def passages(products, rel, counts):
    """`visits` of the boundaries at all points, into `counts` [i, (periods, distinct)]."""
    last = products.shape[0] - 1
    for i in range(products.shape[0]):
        periods = 1
        distinct = 1
        for d in range(N_DIMS):
            # Loops that are not below a point are those below its mirror image.
            above = products[last - i, d]
            periods *= above
            if rel[d] == 1:
                distinct *= above
        counts[i, 0], counts[i, 1] = periods, distinct


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
def link_side(bits, low_port, high_port, narrower):
    """What accesses on both sides of a link cost in elements of `bits`, for `side_energy`.

    Ports as (granule, width, pJ, active instances). A burst of what moves at once above is no
    wider than that port and `narrower`, the bits that the ports below take together.
    """
    low_granule, low_width, low_pj, n_low = low_port
    granule, width, pj, n_high = high_port
    most = min(narrower / bits, width / bits) if bits > 0 else 0.0
    return (
        bits,
        (low_granule, low_granule / low_width, low_pj, n_low),
        (granule, granule / width, pj, n_high),
        most,
        words(most * bits, granule, width),
    )


@njit(cache=True)
def link_sides(a, o, m, factor, ratio):
    """`link_side` of boundary (o, m) for sums up, finished values up, and all that comes down.

    `ratio` is the `unique_ratio` of level m + 1.
    """
    low, high = a.memory[a.mem_index[o, m]], a.memory[a.mem_index[o, m + 1]]
    n_low, n_high = instances(a, o, m + 1, factor), instances(a, o, m + 2, factor)
    low_read = (low[READ_G], low[READ_BW], low[READ_PJ], n_low)
    low_write = (low[WRITE_G], low[WRITE_BW], low[WRITE_PJ], n_low)
    high_read = (high[READ_G], high[READ_BW], high[READ_PJ], n_high)
    high_write = (high[WRITE_G], high[WRITE_BW], high[WRITE_PJ], n_high)
    wide, final = a.precision[o, 0], a.precision[o, 1]
    return (
        link_side(wide, low_read, high_write, low[READ_BW] * ratio),
        link_side(final, low_read, high_write, low[READ_BW] * ratio),
        link_side(wide, low_write, high_read, low[WRITE_BW] * ratio),
    )


@njit(cache=True)
def side_energy(side, held, moved):
    """pJ of one passage over a link one way: `held` elements below, `moved` at once above.

    In whole granules: the block below, and bursts above.
    """
    bits, low, high, most, most_words = side
    pj = 0.0
    if held * bits > 0:
        pj = math.ceil(held * bits / low[0]) * low[1] * low[2] * low[3]
    if moved > 0 and bits > 0:
        if moved > most:
            bursts = most_words * math.ceil(moved / most)
        else:
            bursts = math.ceil(moved * bits / high[0]) * high[1]
        pj += bursts * high[2] * high[3]
    return pj


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
