"""Everything that a mapping's boundaries cost, tabulated over the lattice (compiled)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cost.boundary_tables import (
    OUT,
    SIZE,
    link_sides,
    mac_link_energy,
    moved_amount,
    moves_of_outputs,
    passages,
    side_energy,
    spans,
    unique_ratio,
)
from cost.lattice import (
    N_DIMS,
    lattice_points,
    prefix_minimum,
    prime_axes,
    spatial_factors,
    tensor_elements,
)
from cost.stall_tables import first_block_counts, stall_tables
from cost.tile_latency import shared_ends

THESE, OR_MORE, ANY, TOGETHER = range(4)
"""Placements for which latency views are made: of tensors at rest in the highest levels given,
there or in higher ones, anywhere up to them, and anywhere with both inputs in one level."""


class MappingTables(NamedTuple):
    """One layer-tile's lattice and tables; o operand, m level, i point of the lattice."""

    q: np.ndarray
    """[d]: temporal loop bounds."""
    energy_factor: np.ndarray
    latency_factor: np.ndarray
    axes: np.ndarray
    strides: np.ndarray
    exponents: np.ndarray
    products: np.ndarray
    pj: np.ndarray
    """[o, m, i]: energy of boundary (o, m) at point i, infinite where it does not fit."""
    bits: np.ndarray
    """[o, m, i]: bits that level m holds at least."""
    views: np.ndarray
    """[view, o, m, i]: see `stall_tables`."""
    constants: np.ndarray
    first: np.ndarray
    fixed_pj: float
    cycles: float
    """Temporal cycles."""
    tensor_bits: np.ndarray
    """[o]: bits of the whole tensors."""


@njit(cache=True)
def tensor_bits(a, sizes):
    """Bits of each operand's whole tensor."""
    x = np.ones(N_DIMS)
    for d in range(N_DIMS):
        x[d] = sizes[d]
    out = np.zeros(3)
    for o in range(3):
        out[o] = tensor_elements(x, a.rel[o], a.stride, a.exact) * a.precision[o, 1]
    return out


@njit(cache=True)
def _unrolled_at(a, o, level, factor):
    """Whether one instance of this level of operand o serves several of the one below."""
    for k in range(factor.shape[0]):
        if a.unroll_level[o, k] == level and factor[k] != 1:
            return True
    return False


@njit(cache=True)
def energy_tables(a, sizes, levels):
    """Tables of a layer-tile without latency views, and the amounts that those take.

    For `sizes` whose operands use `levels` [o] of their chains. The amounts
    [o, m, i, (bits held, held, moved)] are what `stall_tables` asks for.
    """
    q, energy_factor, latency_factor = spatial_factors(
        sizes, a.unroll_dim, a.unroll_factor, a.exact
    )
    axes = prime_axes(q)
    strides, exponents, products = lattice_points(axes)
    n = products.shape[0]
    max_levels = a.mem_index.shape[1]
    pj = np.full((3, max_levels, n), np.inf)
    bits = np.zeros((3, max_levels, n))
    fixed_pj = a.mac_pj
    cycles = 1.0
    sums_wait = False
    for d in range(N_DIMS):
        fixed_pj *= sizes[d]
        cycles *= q[d]
        if a.rel[OUT, d] == 0 and q[d] > 1:
            sums_wait = True
    amounts = np.zeros((3, max_levels, n, 3))
    counts = np.zeros((n, 2), dtype=np.int64)
    # Counted alike in energy and latency, as where the unrolling leaves no remainder.
    alike = a.exact or (energy_factor == latency_factor).all()
    # Elements that loops and the unrolling up to one level span, and up to the next.
    here, above = np.zeros(n), np.zeros(n)
    here_at_once, above_at_once = np.zeros(n), np.zeros(n)
    for o in range(3):
        fixed_pj += mac_link_energy(a, o, q, energy_factor, sizes)
        rel, precision = a.rel[o], (a.precision[o, 0], a.precision[o, 1])
        passages(products, rel, counts)
        if levels[o] > 1:
            spans(a, o, 0, products, energy_factor, sizes, above)
            if not alike:
                spans(a, o, 0, products, latency_factor, sizes, above_at_once)
        for m in range(levels[o] - 1):
            # What does not change from point to point, once: this is where bounds spend time.
            room = a.memory[a.mem_index[o, m], SIZE]
            ratio = unique_ratio(a, o, m + 1, energy_factor, sizes)
            whole = ratio if a.exact else unique_ratio(a, o, m + 1, latency_factor, sizes)
            up_wide, up_final, down = link_sides(a, o, m, energy_factor, ratio)
            here[:] = above
            if _unrolled_at(a, o, m + 1, energy_factor):
                spans(a, o, m + 1, products, energy_factor, sizes, above)
            if not alike:
                here_at_once[:] = above_at_once
                if _unrolled_at(a, o, m + 1, latency_factor):
                    spans(a, o, m + 1, products, latency_factor, sizes, above_at_once)
            for i in range(n):
                held = here[i]
                periods, distinct = counts[i, 0], counts[i, 1]
                # Sums that go on above wait here unfinished; in the innermost level of O any.
                waits = o == OUT and (periods > distinct or (m == 0 and sums_wait))
                width = precision[0 if waits else 1]
                if held * width > room:
                    continue
                moved = moved_amount(held, above[i], ratio, a.exact)
                bits[o, m, i] = held * width
                if o == OUT:
                    wide, final, back = moves_of_outputs(a, m, periods, distinct, energy_factor)
                    energy = 0.0
                    if wide > 0:
                        energy += side_energy(up_wide, held, moved) * wide
                    if final > 0:
                        energy += side_energy(up_final, held, moved) * final
                    if back > 0:
                        energy += side_energy(down, held, moved) * back
                    pj[o, m, i] = energy
                else:
                    pj[o, m, i] = side_energy(down, held, moved) * periods
                amounts[o, m, i, 0] = held * width
                if not alike:
                    held = here_at_once[i]
                    moved = moved_amount(held, above_at_once[i], whole, a.exact)
                amounts[o, m, i, 1] = held
                amounts[o, m, i, 2] = moved
    tables = MappingTables(
        q,
        energy_factor,
        latency_factor,
        axes,
        strides,
        exponents,
        products,
        pj,
        bits,
        np.zeros((0, 3, max_levels, n)),
        np.zeros(0),
        np.zeros((3, max_levels, n)),
        fixed_pj,
        cycles,
        tensor_bits(a, sizes),
    )
    return tables, amounts


@njit(cache=True)
def with_views(a, sizes, levels, t, possible, amounts):
    """Tables `t` of `energy_tables` with the latency views of their `possible` entries."""
    views, constants, first = stall_tables(
        a, levels, t.q, t.latency_factor, sizes, t.products, possible, amounts
    )
    return MappingTables(
        t.q,
        t.energy_factor,
        t.latency_factor,
        t.axes,
        t.strides,
        t.exponents,
        t.products,
        t.pj,
        t.bits,
        views,
        constants,
        first,
        t.fixed_pj,
        t.cycles,
        t.tensor_bits,
    )


@njit(cache=True, nogil=True)
def mapping_tables(a, sizes, levels):
    """Tables of a layer-tile of `sizes` whose operands use `levels` [o] of their chains."""
    t, amounts = energy_tables(a, sizes, levels)
    return with_views(a, sizes, levels, t, t.pj < np.inf, amounts)


@njit(cache=True, nogil=True)
def latency_views(a, t, levels, drains, rest):
    """What every boundary adds to the latency, per view and input that loads last.

    Returns (costs [v, o, m, i], constants [v]): for every v, the constant plus the costs of
    all boundaries is at most the latency of a mapping over `levels`. With `rest` OR_MORE of any
    that uses more of them, too; with ANY also, less the boundaries that it does not have, of any
    that uses less; with TOGETHER of those of an add whose inputs rest in one level. With `drains`
    the topmost boundary of O includes the way out of the last outputs.
    """
    n_views = t.views.shape[0]
    costs = np.zeros((2 * n_views, *t.pj.shape))
    constants = np.zeros(2 * n_views)
    beyond = rest != THESE
    linked = 0.0
    # Whether the way in of an input is over ports alone that serve the other, too.
    in_turn = np.zeros(2, dtype=np.bool_)
    for o in range(2):
        if levels[o] > 1 and a.precision[o, 0] > 0:
            linked = 1.0
        in_turn[o] = rest != ANY and levels[o] > 1 and (a.precision[:2, 0] > 0).all()
        for m in range(levels[o] - 1):
            if rest != TOGETHER and shared_ends(a, o, m, levels) != 2:
                in_turn[o] = False
    for o in range(2):
        counted = False
        for m in range(levels[o] - 1):
            if first_block_counts(a, o, m, levels, beyond):
                counted = True
        for s in range(n_views):
            v = 2 * s + o
            # Without a first block that counts for certain, any link takes a cycle still.
            constants[v] = t.cycles + t.constants[s] + (0.0 if counted else linked)
            for p in range(3):
                for m in range(levels[p] - 1):
                    costs[v, p, m] = t.views[s, p, m]
            for m in range(levels[o] - 1):
                if first_block_counts(a, o, m, levels, beyond):
                    costs[v, o, m] += t.first[o, m]
            if in_turn[o]:
                # Then the other's first blocks, where these ports are all they pass, wait for its.
                for m in range(levels[1 - o] - 1):
                    if rest == TOGETHER or shared_ends(a, 1 - o, m, levels) == 2:
                        costs[v, 1 - o, m] += t.first[1 - o, m]
            if drains and a.drain and levels[OUT] > 1:
                costs[v, OUT, levels[OUT] - 2] += t.first[OUT, levels[OUT] - 2]
    return costs, constants


@njit(cache=True, nogil=True)
def completion_table(costs, possible, bounds, axes, strides):
    """Cheapest placement of the innermost boundaries at or below every point.

    Returns [a, b, c, point]: a, b, c boundaries of the three operands, pairwise nested.
    Shared capacity is ignored, so it is a lower bound; without sharing it is exact.
    `costs` and `possible` [o, m, point].
    """
    n = costs.shape[2]
    out = np.empty((bounds[0] + 1, bounds[1] + 1, bounds[2] + 1, n))
    placed = np.zeros(3, dtype=np.int64)
    for a in range(bounds[0] + 1):
        for b in range(bounds[1] + 1):
            for c in range(bounds[2] + 1):
                best = out[a, b, c]
                if a + b + c == 0:
                    best[:] = 0.0
                    continue
                placed[0], placed[1], placed[2] = a, b, c
                started = False
                for o in range(3):
                    if placed[o] == 0:
                        continue
                    m = placed[o] - 1
                    before = out[
                        a - 1 if o == 0 else a, b - 1 if o == 1 else b, c - 1 if o == 2 else c
                    ]
                    allowed, cost = possible[o, m], costs[o, m]
                    if started:
                        for i in range(n):
                            best[i] = min(best[i], before[i] + cost[i] if allowed[i] else np.inf)
                    else:
                        for i in range(n):
                            best[i] = before[i] + cost[i] if allowed[i] else np.inf
                    started = True
                prefix_minimum(best, axes, strides)
    return out
