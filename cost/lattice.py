"""The lattice of loop prefixes of a layer-tile and what crosses each memory boundary.

A boundary of an operand between two memory levels is a point of the lattice of divisors
of the temporal loop bounds: the cumulative loop product below it, per dimension. What
crosses the boundary depends on that point alone, so a mapping is a chain of points and
its energy a sum of table entries (docs/cost-model.md, "Exact temporal mapping").

Compiled with numba: every function here is evaluated once per layer-tile.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

OY, OX, FY, FX = 4, 5, 6, 7
N_DIMS = 8
WIDE_STEP = 8
"""Neighbours along an axis that are so far apart are compared many at a time."""


@njit(cache=True)
def extent(outputs: float, taps: float, stride: int, dilation: int, spans: bool) -> float:
    """Inputs along a tied axis: the span, or the reference's count of distinct pixels."""
    if spans:
        return stride * (outputs - 1) + dilation * (taps - 1) + 1
    return math.trunc(outputs * taps - max(0, taps - stride) * (outputs - 1))


@njit(cache=True)
def tensor_elements(x, rel, stride, spans):
    """Elements of the operand whose loop relevance is `rel`, at extents `x` per dim."""
    size = 1.0
    for d in range(N_DIMS):
        if rel[d] == 1:
            size *= x[d]
    if rel[OX] == 2:
        size *= extent(x[OX], x[FX], stride[0], stride[2], spans)
    if rel[OY] == 2:
        size *= extent(x[OY], x[FY], stride[1], stride[3], spans)
    return size


@njit(cache=True)
def spatial_factors(sizes, unroll_dim, unroll_factor, integer):
    """Temporal bound per dim, and spatial factor per array dim (energy, latency).

    The reference spreads a remainder evenly, which makes energy factors fractions.
    """
    n = unroll_dim.shape[0]
    q = sizes.copy()
    energy = np.ones(n)
    latency = np.ones(n)
    for k in range(n):
        d = unroll_dim[k]
        u = min(unroll_factor[k], sizes[d])
        q[d] = -(-sizes[d] // u)
        if integer:
            energy[k] = u
            latency[k] = u
        else:
            energy[k] = sizes[d] / q[d]
            latency[k] = math.ceil(energy[k])
    return q, energy, latency


@njit(cache=True)
def prime_axes(q):
    """Axes of the lattice: [axis, (dim, prime, exponent)] over the factors of `q`."""
    axes = np.zeros((48, 3), dtype=np.int64)
    n = 0
    for d in range(N_DIMS):
        rest = q[d]
        p = 2
        while rest > 1:
            if p * p > rest:
                p = rest
            e = 0
            while rest % p == 0:
                rest //= p
                e += 1
            if e > 0:
                axes[n, 0] = d
                axes[n, 1] = p
                axes[n, 2] = e
                n += 1
            p += 1
    return axes[:n]


@njit(cache=True)
def lattice_points(axes):
    """Strides of the mixed-radix point index, exponents and products of every point.

    Returns (strides [axis], exponents [point, axis], products [point, dim]); the last
    point is the full loop nest.
    """
    n_axes = axes.shape[0]
    strides = np.ones(n_axes, dtype=np.int64)
    count = 1
    for a in range(n_axes):
        strides[a] = count
        count *= axes[a, 2] + 1
    exponents = np.zeros((count, n_axes), dtype=np.int64)
    products = np.ones((count, N_DIMS), dtype=np.int64)
    done = 1
    for a in range(n_axes):
        # As the points before, with one more of this prime.
        for point in range(done, done * (axes[a, 2] + 1)):
            exponents[point] = exponents[point - done]
            products[point] = products[point - done]
            exponents[point, a] += 1
            products[point, axes[a, 0]] *= axes[a, 1]
        done *= axes[a, 2] + 1
    return strides, exponents, products


@njit(cache=True)
def packed_exponents(exponents, axes):
    """Exponents of every point in one number, and the spare bit on top of each of them.

    Point i divides point j if no spare bit is lost in j's number with them less i's. A
    lattice that overflows 63 bits would not fit any memory.
    """
    packed = np.zeros(exponents.shape[0], dtype=np.int64)
    spare = np.int64(0)
    shift = 0
    for k in range(axes.shape[0]):
        bits = 0
        while axes[k, 2] >> bits > 0:
            bits += 1
        for i in range(exponents.shape[0]):
            packed[i] |= exponents[i, k] << shift
        shift += bits
        spare |= np.int64(1) << shift
        shift += 1
    return packed, spare


@njit(cache=True)
def _take_lower(values, to, source, count):
    """Lower `count` values from index `to` on to those from index `source` on."""
    lowered, other = values[to : to + count], values[source : source + count]
    for j in range(count):
        lowered[j] = min(lowered[j], other[j])


@njit(cache=True)
def prefix_minimum(values, axes, strides):
    """Replace every value by the minimum over all points that divide its point."""
    for a in range(axes.shape[0]):
        step = strides[a]
        block = step * (axes[a, 2] + 1)
        for start in range(0, values.shape[0], block):
            if step >= WIDE_STEP:
                for point in range(start + step, start + block, step):
                    _take_lower(values, point, point - step, step)
            else:
                for point in range(start + step, start + block):
                    values[point] = min(values[point], values[point - step])


@njit(cache=True)
def suffix_minimum(values, axes, strides):
    """Replace every value by the minimum over all points that its point divides."""
    for a in range(axes.shape[0]):
        step = strides[a]
        block = step * (axes[a, 2] + 1)
        for start in range(0, values.shape[0], block):
            if step >= WIDE_STEP:
                for point in range(start + block - 2 * step, start - 1, -step):
                    _take_lower(values, point, point + step, step)
            else:
                for point in range(start + block - step - 1, start - 1, -1):
                    values[point] = min(values[point], values[point + step])


@njit(cache=True)
def words(bits, granule, width):
    """Words (fractions of `width`) of an access of `bits` in whole granules."""
    if bits <= 0:
        return 0.0
    return math.ceil(bits / granule) * (granule / width)


@njit(cache=True)
def spatial_product(factor, level_of_unroll, first_level):
    """Product of the unrolling factors that sit at `first_level` or above."""
    result = 1.0
    for k in range(factor.shape[0]):
        if level_of_unroll[k] >= first_level:
            result *= factor[k]
    return result
