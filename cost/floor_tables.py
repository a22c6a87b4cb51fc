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
    mac_link_energy,
    unique_ratio,
    unrolled_reach,
    visits,
)
from cost.lattice import FX, FY, N_DIMS, OX, OY, spatial_factors, tensor_elements
from cost.layer_model import RL, WL, LayerModel
from cost.link_transfers import link_of, link_transfers
from cost.mapping_tables import tensor_bits
from cost.stall_tables import mac_port_stalls

MANY_TILES = 200
"""From here on it is worth waking other cores."""
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
def _spans(rel, stride, exact, reach, sizes, twice):
    """Elements that the unrolling spans, its `reach`, with a loop of two over dim `twice`.

    `rel`: the operand's relevances; no such loop where `twice` is no dim.
    """
    x = np.empty(N_DIMS)
    for d in range(N_DIMS):
        spanned = reach[d] * (2 if d == twice else 1)
        x[d] = min(spanned, float(sizes[d])) if exact else spanned
    elements = tensor_elements(x, rel, stride, exact)
    return elements if exact else np.round(elements)


@njit(cache=True)
def _holds_one(a, o, q, room, reach, sizes, step):
    """Whether level 0 of operand o has `room` for no more than the block of one step.

    In elements. Neither for a second copy of it nor for the next larger block: where strides or
    dilation let blocks overlap, two steps touch less than twice the elements of one.
    """
    if 2 * step <= room:
        return False
    rel, stride, exact = a.rel[o], a.stride, a.exact
    for d in range(N_DIMS):
        if rel[d] == 0 or q[d] == 1:
            continue
        if _spans(rel, stride, exact, reach, sizes, d) <= room:
            return False
    return True


@njit(cache=True)
def _steps_fit(a, widths, steps, tensors):
    """Whether the blocks of one step of the array fit the innermost memories beside each other.

    By operand: `steps` elements of `widths` bits; `tensors` bits of the whole.
    """
    taken = np.zeros(a.memory.shape[0])
    for o in range(3):
        # A tensor that rests there takes no more than it has.
        taken[a.mem_index[o, 0]] += min(steps[o] * widths[o], tensors[o])
    for memory in range(len(taken)):
        if taken[memory] > a.memory[memory, SIZE]:
            return False
    return True


@njit(cache=True)
def _single_waits(a, q, reaches, steps, widths, factor, sizes, waits):
    """Add to `waits` [o, port] the stalls of innermost levels that hold one step's block each.

    Such a level refills in a single cycle, between the runs of loops that its operand
    ignores, and as often as there are other loops.
    """
    for o in range(3):
        if a.n_levels[o] < 2 or a.precision[o, 0] == 0:
            continue
        if o == OUT and not a.explicit:
            continue  # the reference looks at what leaves, not at the sums while they grow
        room = a.memory[a.mem_index[o, 0], SIZE] / widths[o]
        if not _holds_one(a, o, q, room, reaches[o], sizes, steps[o]):
            continue
        ports = np.zeros(8, dtype=np.int64)
        busy = np.zeros(8)
        free = np.zeros(8)
        inner = np.ones(N_DIMS, dtype=np.int64)
        for d in range(N_DIMS):
            inner[d] = q[d] if a.rel[o, d] == 0 else 1
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
    # What one step of the array spans of each operand, and the bits of an element in level 0.
    reaches = np.empty((3, N_DIMS))
    steps = np.empty(3)
    widths = np.empty(3)
    for o in range(3):
        reaches[o] = unrolled_reach(a, o, energy_factor, 0)
        steps[o] = _spans(a.rel[o], a.stride, a.exact, reaches[o], tile, -1)
        sums_wait = False
        for d in range(N_DIMS):
            sums_wait = sums_wait or (a.rel[o, d] == 0 and q[d] > 1)
        widths[o] = a.precision[o, 0 if o == OUT and sums_wait else 1]
    bits = tensor_bits(a, tile)
    if not _steps_fit(a, widths, steps, bits):
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
    _single_waits(a, q, reaches, steps, widths, latency_factor, tile, waits)
    whole = np.zeros(3, dtype=np.bool_)
    for o in range(3):
        whole[o] = _passes_whole(a, o, (tile[FX], tile[FY]))
    rests = np.zeros((4, 3), dtype=np.int64)
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
        rests[variant] = rest
        if variant > 0 and (rests[variant] == rests[0]).all():
            out[variant] = out[0]
            continue
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
            if whole[o]:
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


@njit(cache=True)
def _floors_in_turn(a, sizes, widths, heights, usable, instances):
    """[tile, variant, (pJ, cycles)] floors of tiles widths[t] x heights[t]."""
    out = np.zeros((widths.shape[0], 4, 2))
    tile = sizes.copy()
    for k in range(widths.shape[0]):
        tile[OX] = widths[k]
        tile[OY] = heights[k]
        _tile_floor(a, tile, usable, instances, out[k])
    return out


@njit(cache=True, parallel=True)
def _floors_at_once(a, sizes, widths, heights, usable, instances):
    """As `_floors_in_turn`, on all cores."""
    out = np.zeros((widths.shape[0], 4, 2))
    for k in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[k]
        tile[OY] = heights[k]
        _tile_floor(a, tile, usable, instances, out[k])
    return out


def tile_floors(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """[variant, tile, (pJ, cycles)] floors of tiles widths[t] x heights[t].

    `usable` [o, m]: whether level m may hold a whole tensor of operand o. Variants say
    where input and output rest: `AS_PLACED`, `FROM_TOP`, `TO_TOP`, `FROM_AND_TO_TOP`.
    """
    floors = _floors_at_once if len(widths) >= MANY_TILES else _floors_in_turn
    found = floors(model.arrays, sizes, widths, heights, usable, model.instances)
    return np.ascontiguousarray(found.transpose(1, 0, 2))


def floor_costs(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
) -> np.ndarray:
    """[variant, width, height, (pJ, cycles)] `tile_floors` of the layer cut to widths x heights."""
    shape = (4, len(widths), len(heights), 2)
    across, down = np.repeat(widths, len(heights)), np.tile(heights, len(widths))
    return tile_floors(model, sizes, across, down, usable).reshape(shape)
