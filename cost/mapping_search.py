"""Exact temporal mapping of layer-tiles: bounds over all placements, and Pareto sets.

The Pareto set of a layer-tile under a placement (how many levels each operand may use)
holds every nondominated (energy, latency[, bits held]) over all loop orders and uneven
allocations, with no limit on the number of loop factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from cost.boundary_tables import (
    OUT,
    READ_BW,
    SIZE,
    boundary_amounts,
    boundary_energy,
    mac_link_amount,
    mac_link_energy,
    spatial_sums_above,
    visits,
)
from cost.chain_search import (
    MAX_TRAIL,
    SearchState,
    SearchTables,
    completion_tables,
    search,
)
from cost.lattice import (
    N_DIMS,
    OX,
    OY,
    lattice_points,
    prime_axes,
    spatial_factors,
    tensor_elements,
)
from cost.layer_model import MAX_LEVELS, RH, RL, WH, WL, LayerModel
from cost.tile_latency import drain_cycles
from problems.workload import LOOP_DIMS


@njit(cache=True)
def _port_load(
    o,
    m,
    product,
    port,
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    exact,
    psums,
):
    """Cycles beyond the first access that boundary (o, m) keeps `port` busy at least."""
    held, moved = boundary_amounts(
        o, m, product, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact
    )
    periods, distinct = visits(product, q, rel[o])
    load = 0.0
    partial = o == OUT and (
        periods > distinct
        or (not psums and spatial_sums_above(o, m, factor, unroll_dim, unroll_level, rel))
    )
    for end in range(4):
        upper = end < 2
        level = m + 1 if upper else m
        direction = (RL if end == 0 else WL) if upper else (RH if end == 2 else WH)
        if ports[o, level, direction] != port:
            continue
        if o != OUT and direction in (WL, RH):
            continue
        reads = direction in (RL, RH)
        width = memory[mem_index[o, level], READ_BW if reads else READ_BW + 1]
        amount = moved if upper else held
        if o != OUT:
            load += np.ceil(amount * precision[o, 0] / width) * (periods - 1)
            continue
        wide = np.ceil(amount * precision[OUT, 0] / width)
        final = np.ceil(amount * precision[OUT, 1] / width)
        if direction in (WL, RH):
            if psums:
                first = wide if partial else final
                load += wide * (periods - distinct) + final * distinct - first
            else:
                load += (wide if partial else final) * (periods - 1)
        elif psums:
            load += wide * (periods - distinct)
        elif partial:
            load += wide * (periods - 1)
    return load


@njit(cache=True)
def _port_wait(
    o,
    m,
    product,
    port,
    window,
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    exact,
):
    """Cycles that boundary (o, m) keeps `port` busy beyond refill windows of `window` cycles.

    Of the traffic between levels m and m + 1 only what uses `port` counts, at final output
    precision for partial sums: a lower bound under the exact rules.
    """
    held, moved = boundary_amounts(
        o, m, product, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact
    )
    periods, distinct = visits(product, q, rel[o])
    wait = 0.0
    if o != OUT:
        if ports[o, m + 1, RL] == port:
            real = np.ceil(moved * precision[o, 0] / memory[mem_index[o, m + 1], READ_BW])
            wait += max(0.0, (real - window) * (periods - 1))
        if ports[o, m, WH] == port:
            real = np.ceil(held * precision[o, 0] / memory[mem_index[o, m], READ_BW + 1])
            wait += max(0.0, (real - window) * (periods - 1))
        return wait
    for end in range(2):
        upper = end == 0
        level = m + 1 if upper else m
        if ports[o, level, WL if upper else RH] != port:
            continue
        width = memory[mem_index[o, level], READ_BW + 1 if upper else READ_BW]
        amount = moved if upper else held
        wide = np.ceil(amount * precision[OUT, 0] / width)
        final = np.ceil(amount * precision[OUT, 1] / width)
        first = wide if periods > distinct else final
        work = wide * (periods - distinct) + final * distinct - first
        wait += max(0.0, work - window * (periods - 1))
    return wait


@njit(cache=True)
def mac_port_loads(
    q,
    factor,
    sizes,
    unroll_dim,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    exact,
    psums,
    n_ports,
):
    """Cycles beyond the first access that the MACs keep each port busy."""
    loads = np.zeros(n_ports)
    total = 1
    for d in range(N_DIMS):
        total *= q[d]
    ones = np.ones(N_DIMS, dtype=np.int64)
    for o in range(3):
        amount = mac_link_amount(
            o, factor, unroll_dim, unroll_level, rel, stride, exact, sizes, exact
        )
        periods, distinct = visits(ones, q, rel[o])
        memory_row = memory[mem_index[o, 0]]
        if o != OUT:
            if precision[o, 0] > 0:
                loads[ports[o, 0, RL]] += np.ceil(
                    amount * precision[o, 0] / memory_row[READ_BW]
                ) * (total - 1)
            continue
        partial = periods > distinct or (
            not psums and spatial_sums_above(o, -1, factor, unroll_dim, unroll_level, rel)
        )
        wide_up = np.ceil(amount * precision[OUT, 0] / memory_row[READ_BW + 1])
        final_up = np.ceil(amount * precision[OUT, 1] / memory_row[READ_BW + 1])
        wide_down = np.ceil(amount * precision[OUT, 0] / memory_row[READ_BW])
        if psums:
            first = wide_up if partial else final_up
            loads[ports[o, 0, WL]] += wide_up * (periods - distinct) + final_up * distinct - first
            loads[ports[o, 0, RL]] += wide_down * (periods - distinct)
        else:
            loads[ports[o, 0, WL]] += (wide_up if partial else final_up) * (total - 1)
            if partial:
                loads[ports[o, 0, RL]] += wide_down * (total - 1)
    return loads


@njit(cache=True)
def prepare(
    sizes,
    unroll_dim,
    unroll_factor,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    n_levels,
    mac_pj,
    exact,
    psums,
    explicit,
    drain,
    n_ports,
):
    """Lattice, boundary tables and constants of one layer-tile."""
    q, energy_factor, latency_factor = spatial_factors(sizes, unroll_dim, unroll_factor, exact)
    axes = prime_axes(q)
    strides, exponents, products = lattice_points(axes)
    n = products.shape[0]
    max_levels = mem_index.shape[1]
    boundary_pj = np.full((3, max_levels, n), np.inf)
    boundary_bits = np.zeros((3, max_levels, n))
    boundary_load = np.zeros((3, max_levels, n))
    boundary_wait = np.zeros((3, max_levels, n))
    fixed_pj = mac_pj
    for d in range(N_DIMS):
        fixed_pj *= sizes[d]
    for o in range(3):
        fixed_pj += mac_link_energy(
            o,
            q,
            energy_factor,
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
        )
    loads = mac_port_loads(
        q,
        latency_factor,
        sizes,
        unroll_dim,
        unroll_level,
        rel,
        stride,
        precision,
        mem_index,
        ports,
        memory,
        exact,
        psums,
        n_ports,
    )
    # The bound on stalls watches one port: the busiest that a boundary can load further.
    port = -1
    for o in range(3):
        for m in range(n_levels[o] - 1):
            for end in range(4):
                p = ports[o, m + 1, end] if end < 2 else ports[o, m, end]
                if p >= 0 and (port < 0 or loads[p] > loads[port]):
                    port = p
    fixed_load = loads[port] if port >= 0 else 0.0
    wait_port = ports[OUT, 1, WL] if n_levels[OUT] > 1 else -1
    drains = np.zeros(max_levels + 1)
    if drain:
        drains[1:] = np.inf
    sums_wait = False
    for d in range(N_DIMS):
        if rel[OUT, d] == 0 and q[d] > 1:
            sums_wait = True
    for o in range(3):
        for m in range(n_levels[o] - 1):
            size = memory[mem_index[o, m], SIZE]
            for i in range(n):
                held, _ = boundary_amounts(
                    o,
                    m,
                    products[i],
                    energy_factor,
                    unroll_dim,
                    unroll_level,
                    rel,
                    stride,
                    exact,
                    sizes,
                    exact,
                )
                bits = held * precision[o, 1]
                if o == OUT and m == 0 and sums_wait:
                    bits = held * precision[OUT, 0]
                if bits > size:
                    continue
                boundary_bits[o, m, i] = bits
                boundary_pj[o, m, i] = boundary_energy(
                    o,
                    m,
                    products[i],
                    q,
                    energy_factor,
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
                )
                boundary_load[o, m, i] = _port_load(
                    o,
                    m,
                    products[i],
                    port,
                    q,
                    latency_factor,
                    sizes,
                    unroll_dim,
                    unroll_level,
                    rel,
                    stride,
                    precision,
                    mem_index,
                    ports,
                    memory,
                    exact,
                    psums,
                )
                if drain and o == OUT:
                    held, moved = boundary_amounts(
                        o,
                        m,
                        products[i],
                        latency_factor,
                        unroll_dim,
                        unroll_level,
                        rel,
                        stride,
                        exact,
                        sizes,
                        exact,
                    )
                    drains[m + 1] = min(
                        drains[m + 1], drain_cycles(m, held, moved, precision, mem_index, memory)
                    )
                if not explicit:
                    continue
                # A level too small for two copies refills only in the run on its top; one
                # that sees nothing but irrelevant loops has all of them in that run.
                wide = precision[o, 0] if o != OUT or (m == 0 and sums_wait) else precision[o, 1]
                if 2 * held * wide <= size:
                    continue
                window = 1
                alike = m == 0
                for d in range(N_DIMS):
                    window *= products[i, d]
                    if products[i, d] > 1 and rel[o, d] != 0:
                        alike = False
                if alike:
                    window = 1
                boundary_wait[o, m, i] = _port_wait(
                    o,
                    m,
                    products[i],
                    wait_port,
                    window,
                    q,
                    latency_factor,
                    sizes,
                    unroll_dim,
                    unroll_level,
                    rel,
                    stride,
                    precision,
                    mem_index,
                    ports,
                    memory,
                    exact,
                )
    x = np.ones(N_DIMS)
    for d in range(N_DIMS):
        x[d] = sizes[d]
    tensor_bits = np.zeros(3)
    for o in range(3):
        tensor_bits[o] = tensor_elements(x, rel[o], stride, exact) * precision[o, 1]
    total = 1
    for d in range(N_DIMS):
        total *= q[d]
    return (
        q,
        energy_factor,
        latency_factor,
        axes,
        strides,
        exponents,
        products,
        boundary_pj,
        boundary_bits,
        boundary_load,
        boundary_wait,
        fixed_pj,
        fixed_load,
        float(total),
        tensor_bits,
        drains,
    )


@njit(cache=True)
def placement_bounds(
    sizes,
    unroll_dim,
    unroll_factor,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    n_levels,
    mac_pj,
    exact,
    psums,
    explicit,
    drain,
    n_ports,
):
    """Lower bounds (pJ, cycles) of a layer-tile for every placement, [w, i, o, 2].

    Entry [a, b, c] is for top levels a, b, c of the three operands; infinite where a
    tensor alone does not fit its top level. Each level's capacity counts per operand;
    sharing and refill windows are relaxed, nesting of the boundaries is not.
    """
    (
        q,
        ef,
        lf,
        axes,
        strides,
        exponents,
        products,
        pj,
        bits,
        load,
        wait,
        fixed_pj,
        fixed_load,
        total,
        tensor_bits,
        drains,
    ) = prepare(
        sizes,
        unroll_dim,
        unroll_factor,
        unroll_level,
        rel,
        stride,
        precision,
        mem_index,
        ports,
        memory,
        n_levels,
        mac_pj,
        exact,
        psums,
        explicit,
        drain,
        n_ports,
    )
    bounds = n_levels - 1
    energy = completion_tables(pj, bounds, axes, strides)
    blocked = load.copy()
    for o in range(3):
        for m in range(n_levels[o] - 1):
            for i in range(products.shape[0]):
                if np.isinf(pj[o, m, i]):
                    blocked[o, m, i] = np.inf
    loads = completion_tables(blocked, bounds, axes, strides)
    for o in range(3):
        for m in range(n_levels[o] - 1):
            for i in range(products.shape[0]):
                blocked[o, m, i] = np.inf if np.isinf(pj[o, m, i]) else wait[o, m, i]
    waits = completion_tables(blocked, bounds, axes, strides)
    out = np.full((n_levels[0], n_levels[1], n_levels[2], 2), np.inf)
    last = products.shape[0] - 1
    for a in range(n_levels[0]):
        if tensor_bits[0] > memory[mem_index[0, a], SIZE]:
            continue
        for b in range(n_levels[1]):
            if tensor_bits[1] > memory[mem_index[1, b], SIZE]:
                continue
            for c in range(n_levels[2]):
                if tensor_bits[2] > memory[mem_index[2, c], SIZE]:
                    continue
                tops = (mem_index[0, a], mem_index[1, b], mem_index[2, c])
                fits = True
                for o in range(3):
                    demand = 0.0
                    for other in range(3):
                        if tops[other] == tops[o]:
                            demand += tensor_bits[other]
                    if demand > memory[tops[o], SIZE]:
                        fits = False
                if not fits or np.isinf(energy[a, b, c, last]):
                    continue
                out[a, b, c, 0] = fixed_pj + energy[a, b, c, last]
                # Any input that comes down a link takes a cycle to load first.
                linked = (a > 0 and precision[0, 0] > 0) or (b > 0 and precision[1, 0] > 0)
                out[a, b, c, 1] = (
                    total
                    + (1.0 if linked else 0.0)
                    + drains[c]
                    + max(waits[a, b, c, last], fixed_load + loads[a, b, c, last] - total)
                )
    return out


@njit(cache=True, parallel=True)
def _least_bounds(
    sizes,
    widths,
    heights,
    to_top,
    unroll_dim,
    unroll_factor,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    n_levels,
    usable,
    mac_pj,
    exact,
    psums,
    explicit,
    drain,
    n_ports,
):
    out = np.full((widths.shape[0], 2), np.inf)
    for t in prange(widths.shape[0]):
        tile = sizes.copy()
        tile[OX] = widths[t]
        tile[OY] = heights[t]
        x = np.ones(N_DIMS)
        for d in range(N_DIMS):
            x[d] = tile[d]
        least = n_levels.copy()
        for o in range(3):
            bits = tensor_elements(x, rel[o], stride, exact) * precision[o, 1]
            for m in range(n_levels[o] - 1, -1, -1):
                if usable[o, m] and bits <= memory[mem_index[o, m], SIZE]:
                    least[o] = m + 1
        if to_top:
            least[OUT] = n_levels[OUT]
        (
            q,
            ef,
            lf,
            axes,
            strides,
            exponents,
            products,
            pj,
            bits3,
            load,
            wait,
            fixed_pj,
            fixed_load,
            total,
            tensor_bits,
            drains,
        ) = prepare(
            tile,
            unroll_dim,
            unroll_factor,
            unroll_level,
            rel,
            stride,
            precision,
            mem_index,
            ports,
            memory,
            least,
            mac_pj,
            exact,
            psums,
            explicit,
            drain,
            n_ports,
        )
        last = products.shape[0] - 1
        a, b, c = least[0] - 1, least[1] - 1, least[2] - 1
        energy = completion_tables(pj, least - 1, axes, strides)[a, b, c, last]
        blocked = np.where(np.isinf(pj), np.inf, load)
        loads = completion_tables(blocked, least - 1, axes, strides)[a, b, c, last]
        blocked = np.where(np.isinf(pj), np.inf, wait)
        waits = completion_tables(blocked, least - 1, axes, strides)[a, b, c, last]
        linked = (a > 0 and precision[0, 0] > 0) or (b > 0 and precision[1, 0] > 0)
        out[t, 0] = fixed_pj + energy
        # Other rest places may drain faster, but never in less than a cycle a link.
        out[t, 1] = (
            total
            + (1.0 if linked else 0.0)
            + (float(c) if drain else 0.0)
            + max(waits, fixed_load + loads - total)
        )
    return out


def least_bounds(
    model: LayerModel,
    sizes: np.ndarray,
    widths: np.ndarray,
    heights: np.ndarray,
    usable: np.ndarray,
    *,
    to_top: bool,
) -> np.ndarray:
    """Lower bounds [tile, (pJ, cycles)] over all placements, for many tiles of one layer.

    `usable` [o, m]: whether level m may hold a whole tensor of operand o; `to_top`: the
    output goes to the highest level. Moving a tensor's rest place outwards only adds
    boundaries, so the innermost places that fit bound every placement.
    """
    rules = model.rules
    return _least_bounds(
        sizes,
        widths,
        heights,
        to_top,
        *_model_args(model),
        level_counts(model),
        usable,
        model.mac_pj,
        rules.integer_unrolling,
        rules.exact_partial_sums,
        rules.explicit_double_buffering,
        rules.charge_last_drain,
        int(model.ports.max()) + 1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingPoint:
    """One nondominated temporal mapping of a layer-tile.

    `loops` innermost first; `cuts[operand][m]`: loops at or below level m;
    `double_buffered[operand][m]`; `held_bits[memory index]` of one instance.
    """

    energy_pj: float
    latency_cycles: int
    held_bits: tuple[int, ...]
    loops: tuple[tuple[str, int], ...]
    cuts: dict[str, tuple[int, ...]]
    double_buffered: dict[str, tuple[bool, ...]]


class SearchOverflow(RuntimeError):
    """The Pareto set outgrew its table; raised rather than dropping mappings."""


def _model_args(model: LayerModel) -> tuple[object, ...]:
    return (
        model.unroll_dim,
        model.unroll_factor,
        model.unroll_level,
        model.relevance,
        model.stride,
        model.precision_bits,
        model.mem_index,
        model.ports,
        model.memory,
    )


def level_counts(model: LayerModel) -> np.ndarray:
    """Levels in each operand's whole chain, [o]."""
    return np.array([len(chain) for chain in model.chain], dtype=np.int64)


def size_vector(sizes: dict[str, int]) -> np.ndarray:
    """Loop sizes as an array over `LOOP_DIMS`."""
    return np.array([sizes.get(dim, 1) for dim in LOOP_DIMS], dtype=np.int64)


def lower_bounds(model: LayerModel, sizes: np.ndarray) -> np.ndarray:
    """`placement_bounds` of a layer-tile of `model`, over its whole memory chains."""
    rules = model.rules
    return placement_bounds(
        sizes,
        *_model_args(model),
        level_counts(model),
        model.mac_pj,
        rules.integer_unrolling,
        rules.exact_partial_sums,
        rules.explicit_double_buffering,
        rules.charge_last_drain,
        int(model.ports.max()) + 1,
    )


def pareto_set(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    *,
    budget_bits: np.ndarray | None = None,
    weigh_memory: np.ndarray | None = None,
    weights: tuple[float, float] = (0.0, 0.0),
    weighted_cutoff: float = np.inf,
    energy_cutoff_pj: float = np.inf,
    latency_cutoff_cycles: float = np.inf,
    weighted_only: bool = False,
    capacity: int = 256,
) -> tuple[MappingPoint, ...]:
    """All nondominated mappings of a layer-tile within the cut-offs, cheapest first.

    `levels[o]`: levels that operand o may use, its tensor resting in the highest.
    `budget_bits` [memory]: bits free for this layer-tile (default: the memory's size).
    `weigh_memory` [memory]: whether holding fewer bits there makes a mapping
    nondominated. With `weighted_only` a mapping's cost is its weighted cost alone. Empty
    if nothing fits.
    """
    rules = model.rules
    exact = rules.integer_unrolling
    n_levels = np.array(levels, dtype=np.int64)
    (
        q,
        ef,
        lf,
        axes,
        strides,
        exponents,
        products,
        pj,
        bits,
        load,
        wait,
        fixed_pj,
        fixed_load,
        total,
        tensor_bits,
        drains,
    ) = prepare(
        sizes,
        *_model_args(model),
        n_levels,
        model.mac_pj,
        exact,
        rules.exact_partial_sums,
        rules.explicit_double_buffering,
        rules.charge_last_drain,
        int(model.ports.max()) + 1,
    )
    n_mem = model.memory.shape[0]
    budget = model.memory[:, SIZE].copy() if budget_bits is None else budget_bits.astype(float)
    usage = np.zeros(n_mem)
    for o in range(3):
        usage[model.mem_index[o, levels[o] - 1]] += tensor_bits[o]
    if (usage > budget).any():
        return ()
    energy_to_go = completion_tables(pj, n_levels - 1, axes, strides)
    load_to_go = completion_tables(load, n_levels - 1, axes, strides)
    wait_to_go = completion_tables(wait, n_levels - 1, axes, strides)
    linked = (
        float(any(levels[o] > 1 and model.precision_bits[o, 0] > 0 for o in range(2)))
        + drains[levels[OUT] - 1]
    )
    tables = SearchTables(
        q=q,
        energy_factor=ef,
        latency_factor=lf,
        sizes=sizes,
        unroll_dim=model.unroll_dim,
        unroll_level=model.unroll_level,
        rel=model.relevance,
        stride=model.stride,
        precision=model.precision_bits,
        mem_index=model.mem_index,
        ports=model.ports,
        memory=model.memory,
        axes=axes,
        strides=strides,
        exponents=exponents,
        products=products,
        boundary_pj=pj,
        boundary_bits=bits,
        boundary_load=load,
        boundary_wait=wait,
        energy_to_go=energy_to_go,
        load_to_go=load_to_go,
        wait_to_go=wait_to_go,
        levels=n_levels,
        budget=budget,
        weigh_memory=np.zeros(n_mem, dtype=np.bool_) if weigh_memory is None else weigh_memory,
        limits=np.array(
            [
                fixed_pj,
                total,
                fixed_load,
                weights[0],
                weights[1],
                weighted_cutoff,
                energy_cutoff_pj,
                latency_cutoff_cycles,
                linked,
            ]
        ),
        switches=np.array(
            [
                exact,
                rules.exact_partial_sums,
                rules.explicit_double_buffering,
                rules.accumulate_half_shared_loading,
                model.operands[0] == "X",
                weighted_only,
                rules.charge_last_drain,
            ]
        ),
    )
    state = SearchState(
        placed=np.zeros((3, MAX_LEVELS), dtype=np.int64),
        run_relevant=np.ones((3, MAX_LEVELS), dtype=np.int64),
        run_irrelevant=np.ones((3, MAX_LEVELS), dtype=np.int64),
        status=np.zeros(3, dtype=np.int64),
        flags=np.zeros((3, MAX_LEVELS), dtype=np.bool_),
        trail=np.full((MAX_TRAIL, 3), -1, dtype=np.int64),
        archive=np.zeros((capacity, 2 + n_mem)),
        archive_trail=np.full((capacity, MAX_TRAIL, 3), -1, dtype=np.int64),
        archive_flags=np.zeros((capacity, 3, MAX_LEVELS), dtype=np.bool_),
        archive_placed=np.zeros((capacity, 3, MAX_LEVELS), dtype=np.int64),
        counters=np.zeros(4, dtype=np.int64),
        stack=np.zeros((capacity * 256, 7), dtype=np.int64),
        node=np.zeros((MAX_TRAIL, 5), dtype=np.int64),
        remaining=np.zeros((MAX_TRAIL, 3), dtype=np.int64),
        spent=np.zeros((MAX_TRAIL, 3)),
        saved_status=np.zeros((MAX_TRAIL, 3), dtype=np.int64),
        saved_relevant=np.ones((MAX_TRAIL, 3, MAX_LEVELS), dtype=np.int64),
        saved_irrelevant=np.ones((MAX_TRAIL, 3, MAX_LEVELS), dtype=np.int64),
        saved_placed=np.zeros((MAX_TRAIL, 3, MAX_LEVELS), dtype=np.int64),
        saved_flags=np.zeros((MAX_TRAIL, 3, MAX_LEVELS), dtype=np.bool_),
        saved_usage=np.zeros((MAX_TRAIL, n_mem)),
    )
    search(tables, state, usage)
    if state.counters[1]:
        if capacity > 1 << 16:
            raise SearchOverflow(f"layer {model.layer.name}: more than {capacity} mappings")
        return pareto_set(
            model,
            sizes,
            levels,
            budget_bits=budget_bits,
            weigh_memory=weigh_memory,
            weights=weights,
            weighted_cutoff=weighted_cutoff,
            energy_cutoff_pj=energy_cutoff_pj,
            latency_cutoff_cycles=latency_cutoff_cycles,
            weighted_only=weighted_only,
            capacity=capacity * 16,
        )
    points = [_point(model, tables, state, i, levels) for i in range(int(state.counters[0]))]
    return tuple(sorted(points, key=lambda p: (p.energy_pj, p.latency_cycles)))


def _factors(axes: np.ndarray, high: np.ndarray, low: np.ndarray) -> list[tuple[int, int]]:
    return [
        (int(axis[0]), int(axis[1]))
        for axis, more, less in zip(axes, high, low, strict=True)
        for _ in range(int(more - less))
    ]


def _point(
    model: LayerModel, t: SearchTables, s: SearchState, index: int, levels: tuple[int, int, int]
) -> MappingPoint:
    """Write out the loop order of an archived chain."""
    outermost_first: list[tuple[int, int]] = []
    point = t.products.shape[0] - 1
    passed = {point: 0}
    for target, bottom, top in [*s.archive_trail[index].tolist(), (0, -1, -1)]:
        if target < 0:
            continue
        segment = _factors(t.axes, t.exponents[point], t.exponents[target])
        if bottom >= 0 and len(segment) > 1:
            last = next(f for f in segment if f[0] == bottom)
            segment.remove(last)
            if top >= 0:
                first = next(f for f in segment if f[0] == top)
                segment.remove(first)
                segment.insert(0, first)
            segment.append(last)
        outermost_first += segment
        point = target
        passed[point] = len(outermost_first)
    n = len(outermost_first)
    cuts = {}
    flags = {}
    for o, name in enumerate(model.operands):
        placed = s.archive_placed[index, o, : levels[o] - 1].tolist()
        cuts[name] = (*(n - passed[p] for p in placed), n)
        flags[name] = tuple(bool(f) for f in s.archive_flags[index, o, : levels[o]])
    return MappingPoint(
        energy_pj=float(s.archive[index, 0]),
        latency_cycles=round(float(s.archive[index, 1])),
        held_bits=tuple(round(b) for b in s.archive[index, 2:]),
        loops=tuple((LOOP_DIMS[d], f) for d, f in reversed(outermost_first)),
        cuts=cuts,
        double_buffered=flags,
    )


WIDENING = (1e-9, 1e-3, 1e-2, 5e-2, 0.25, 1.0, np.inf)
"""Relative distances from the lower bound at which a best mapping is looked for in turn."""


ENERGY_SPREADS = (1 + 1e-9, 1.02, 1.2)


def best_mapping(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
    bound: float,
    energy_bound_pj: float = 0.0,
) -> MappingPoint | None:
    """The mapping of least weighted cost; None if nothing fits.

    `bound` is a lower bound of that cost: a narrow search around it usually succeeds, and
    a search that finds anything within its cut-off has found the best. Without a weight on
    energy, mappings near `energy_bound_pj`, a lower bound of the energy, are tried first.
    """
    for spread in ENERGY_SPREADS if weights[0] == 0 else ():
        # Energy is free here and most mappings tie: look first where there are few.
        points = pareto_set(
            model,
            sizes,
            levels,
            weights=weights,
            weighted_cutoff=bound * (1 + WIDENING[0]),
            energy_cutoff_pj=energy_bound_pj * spread,
            weighted_only=True,
        )
        if points:
            return points[0]
    for widening in WIDENING:
        points = pareto_set(
            model,
            sizes,
            levels,
            weights=weights,
            weighted_cutoff=bound * (1 + widening),
            weighted_only=True,
        )
        if points:
            return points[0]
    return None
