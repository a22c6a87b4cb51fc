"""Costs of a layer-tile that no mapping and no placement can avoid, for many sizes at once.

The floor of a layer-tile is its MACs, the traffic between MACs and innermost memories
(fixed by the spatial unrolling), its temporal cycles, and each tensor's single passage
between its innermost memory and the nearest one that can hold it whole. Cheap, and
enough to discard most tile sizes before any mapping is searched. Where the blocks of one step of
the array do not fit the innermost memories together there is no mapping, and the floor is infinite.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from cost.boundary_tables import (
    OUT,
    READ_BW,
    READ_PJ,
    SIZE,
    WRITE_BW,
    WRITE_PJ,
    boundary_amounts,
    held_amount,
    mac_link_energy,
    unique_ratio,
    visits,
)
from cost.lattice import FX, FY, N_DIMS, OX, OY, spatial_factors
from cost.layer_model import RL, WL, LayerModel
from cost.link_transfers import link_of, link_transfers
from cost.mapping_tables import tensor_bits
from cost.stall_tables import mac_port_stalls

AS_PLACED, FROM_TOP, TO_TOP, FROM_AND_TO_TOP = range(4)
"""Where a layer-tile's input and output rest: anywhere, or in the highest level (DRAM)."""


@njit(cache=True)
def _passes_whole(a, o, taps):
    """Whether every element of operand o's tensor passes each link at least once.

    Not under the reference's rounding, nor where strides or dilation leave gaps: blocks
    may then span less than the whole.
    """
    if not a.exact or a.precision[o, 0] == 0:
        return False
    tied = a.rel[o, OX] == 2 or a.rel[o, OY] == 2
    dense = a.stride[2] == 1 and a.stride[3] == 1
    return not tied or (dense and a.stride[0] <= taps[0] and a.stride[1] <= taps[1])


@njit(cache=True)
def _passage(a, o, bits, rest, instances, load):
    """Add operand o's passage from level 0 to level `rest` to the port loads.

    The first block is no load: it is at most what the lower level holds. Returns the pJ below
    the highest level (the way to and from DRAM is charged apart), the port of the topmost
    link, and the cycles of its first block.
    """
    energy = 0.0
    port, first = 0, 0.0
    for m in range(rest):
        high = a.memory[a.mem_index[o, m + 1]]
        low = a.memory[a.mem_index[o, m]]
        block = low[SIZE] * instances[a.mem_index[o, m]]
        if o == OUT:
            port, width = a.ports[o, m + 1, WL], high[WRITE_BW]
            link_pj = low[READ_PJ] / low[READ_BW] + high[WRITE_PJ] / high[WRITE_BW]
        else:
            port, width = a.ports[o, m + 1, RL], high[READ_BW]
            link_pj = high[READ_PJ] / high[READ_BW] + low[WRITE_PJ] / low[WRITE_BW]
        first = min(np.ceil(bits / width), np.ceil(block / width))
        load[port] += np.ceil(bits / width) - first
        if m + 1 < a.n_levels[o] - 1:
            energy += bits * link_pj
    return energy, port, first


@njit(cache=True)
def _holds_one(a, o, q, width, energy_factor, sizes, ones):
    """Whether level 0 of operand o has no room for more than the block of one step.

    Neither a second copy of it nor the next larger block: where strides or dilation
    let blocks overlap, two steps touch less than twice the elements of one.
    """
    size = a.memory[a.mem_index[o, 0], SIZE]
    if 2 * held_amount(a, o, 0, ones, energy_factor, sizes) * width <= size:
        return False
    for d in range(N_DIMS):
        if a.rel[o, d] == 0 or q[d] == 1:
            continue
        ones[d] = 2
        held = held_amount(a, o, 0, ones, energy_factor, sizes)
        ones[d] = 1
        if held * width <= size:
            return False
    return True


@njit(cache=True)
def _steps_fit(a, q, energy_factor, sizes):
    """Whether the blocks of one step of the array fit the innermost memories beside each other."""
    ones = np.ones(N_DIMS, dtype=np.int64)
    tensors = tensor_bits(a, sizes)
    taken = np.zeros(a.memory.shape[0])
    for o in range(3):
        sums_wait = False
        for d in range(N_DIMS):
            sums_wait = sums_wait or (a.rel[o, d] == 0 and q[d] > 1)
        width = a.precision[o, 0 if o == OUT and sums_wait else 1]
        bits = held_amount(a, o, 0, ones, energy_factor, sizes) * width
        # A tensor that rests there takes no more than it has.
        taken[a.mem_index[o, 0]] += min(bits, tensors[o])
    for memory in range(len(taken)):
        if taken[memory] > a.memory[memory, SIZE]:
            return False
    return True


@njit(cache=True)
def _single_waits(a, q, energy_factor, factor, sizes, waits):
    """Add to `waits` [o, port] the stalls of innermost levels that hold one step's block each.

    Such a level refills in a single cycle, between the runs of loops that its operand
    ignores, and as often as there are other loops.
    """
    ports = np.zeros(8, dtype=np.int64)
    busy = np.zeros(8)
    free = np.zeros(8)
    ones = np.ones(N_DIMS, dtype=np.int64)
    inner = np.ones(N_DIMS, dtype=np.int64)
    for o in range(3):
        if a.n_levels[o] < 2 or a.precision[o, 0] == 0:
            continue
        if o == OUT and not a.explicit:
            continue  # the reference looks at what leaves, not at the sums while they grow
        sums_wait = False
        for d in range(N_DIMS):
            inner[d] = q[d] if a.rel[o, d] == 0 else 1
            if inner[d] > 1:
                sums_wait = True
        width = a.precision[o, 0 if o == OUT and sums_wait else 1]
        if not _holds_one(a, o, q, width, energy_factor, sizes, ones):
            continue
        ratio = unique_ratio(a, o, 1, factor, sizes)
        held, moved = boundary_amounts(a, o, 0, inner, factor, sizes, ratio)
        periods, distinct = visits(inner, q, a.rel[o])
        link = link_of(a, o, 0)
        n, _ = link_transfers(link, held, moved, periods, distinct, False, 1, ports, busy, free, 0)
        for k in range(n):
            waits[o, ports[k]] += max(0.0, busy[k] - free[k])


@njit(cache=True)
def _tile_floor(a, tile, usable, instances, out):
    """Floors of one tile, `out` [variant, (pJ, cycles)]."""
    q, energy_factor, latency_factor = spatial_factors(tile, a.unroll_dim, a.unroll_factor, a.exact)
    if not _steps_fit(a, q, energy_factor, tile):
        out[:] = np.inf
        return
    rest = np.zeros(3, dtype=np.int64)
    top = np.zeros(3, dtype=np.int64)
    first = np.zeros(3)
    energy = a.mac_pj
    total = 1
    for d in range(N_DIMS):
        energy *= tile[d]
        total *= q[d]
    for o in range(3):
        energy += mac_link_energy(a, o, q, energy_factor, tile)
    loads, late = mac_port_stalls(a, q, latency_factor, tile)
    waits = np.zeros((3, a.n_ports))
    _single_waits(a, q, energy_factor, latency_factor, tile, waits)
    bits = tensor_bits(a, tile)
    taps = (tile[FX], tile[FY])
    for variant in range(4):
        for o in range(3):
            rest[o] = a.n_levels[o] - 1
            for m in range(a.n_levels[o] - 1, -1, -1):
                if usable[o, m] and bits[o] <= a.memory[a.mem_index[o, m], SIZE]:
                    rest[o] = m
        if variant in (FROM_TOP, FROM_AND_TO_TOP):
            rest[1] = a.n_levels[1] - 1
        if variant in (TO_TOP, FROM_AND_TO_TOP):
            rest[OUT] = a.n_levels[OUT] - 1
        load = loads.copy()
        wait = late.copy()
        passage_pj = 0.0
        linked = False
        for o in range(3):
            if o != OUT and rest[o] > 0 and a.precision[o, 0] > 0:
                linked = True
            if rest[o] > 0:
                wait += waits[o]
            top[o] = -1
            if _passes_whole(a, o, taps):
                pj, port, block = _passage(a, o, bits[o], rest[o], instances, load)
                passage_pj += pj
                if rest[o] > 0:
                    top[o], first[o] = port, block
        latency = total + max(0.0, load.max() - total, wait.max())
        # Any input that comes down a link takes a cycle to load first, and the
        # last outputs take one for each link on their way out.
        latency += 1.0 if linked else 0.0
        latency += float(rest[OUT]) if a.drain else 0.0
        # A first block that is no load delays the start, and the last one the end.
        for port in top:
            if port < 0:
                continue
            start = 1.0 if linked else 0.0
            for o in range(2):
                if top[o] == port and a.add_half:
                    start = max(start, first[o])
            end = float(rest[OUT]) if a.drain else 0.0
            if top[OUT] == port and a.drain:
                end += first[OUT] - 1.0
            latency = max(latency, load[port] + start + end)
        out[variant, 0] = energy + passage_pj
        out[variant, 1] = latency


@njit(cache=True, parallel=True)
def _floor(a, sizes, widths, heights, usable, instances):
    n = heights.shape[0]
    out = np.zeros((widths.shape[0] * n, 4, 2))
    for k in prange(out.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[k // n]
        tile[OY] = heights[k % n]
        _tile_floor(a, tile, usable, instances, out[k])
    return out


def tile_floors(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """[variant, tile, (pJ, cycles)] floors of tiles widths[t] x heights[t]."""
    out = np.empty((4, len(widths), 2))
    order = np.argsort(widths, kind="stable")
    cuts = np.flatnonzero(np.diff(widths[order])) + 1
    for group in np.split(order, cuts):
        floors = floor_costs(model, sizes, widths[group[:1]], heights[group], usable)
        out[:, group] = floors[:, 0]
    return out


def floor_costs(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """[variant, width, height, (pJ, cycles)] floors of the layer cut to widths x heights.

    `usable` [o, m]: whether level m may hold a whole tensor of operand o. Variants say
    where input and output rest: `AS_PLACED`, `FROM_TOP`, `TO_TOP`, `FROM_AND_TO_TOP`.
    """
    floors = _floor(model.arrays, sizes, widths, heights, usable, model.instances)
    by_size = floors.reshape(len(widths), len(heights), 4, 2)
    return np.ascontiguousarray(by_size.transpose(2, 0, 1, 3))
