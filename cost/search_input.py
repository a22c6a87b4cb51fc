"""What a search for mappings of a layer-tile reads: tables, costs to go, limits and room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.boundary_tables import OUT, SIZE
from cost.chain_search import sums_go_on
from cost.chain_state import SearchTables
from cost.joint_room import joint_room
from cost.lattice import packed_exponents
from cost.layer_model import LayerModel
from cost.mapping_tables import (
    THESE,
    MappingTables,
    completion_table,
    latency_views,
    mapping_tables,
)
from cost.view_mix import best_mix


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a search looks for: weights, cut-offs, and what makes a mapping worth keeping.

    With `weighted_only` a mapping's cost is its weighted cost alone. `weigh_memory`
    [memory]: whether holding fewer bits there makes a mapping nondominated. `budget_bits`
    [memory]: bits free for this layer-tile (None: the memory's size). With `shared_out` no
    block takes more than its share of them, and mappings are passed over.
    """

    weights: tuple[float, float] = (0.0, 0.0)
    weighted_cutoff: float = np.inf
    energy_cutoff_pj: float = np.inf
    latency_cutoff_cycles: float = np.inf
    weighted_only: bool = False
    weigh_memory: np.ndarray | None = None
    budget_bits: np.ndarray | None = None
    shared_out: bool = False


EVERYTHING = Aim()
"""No limits: all nondominated mappings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Tables of a layer-tile under one placement, with the mix of views for its weights.

    `bound`: what the mix says that every mapping costs at least, where latency has a weight.
    """

    tables: MappingTables
    block_bits: np.ndarray
    reserved_bits: np.ndarray
    fits: bool
    possible: np.ndarray
    costs: np.ndarray
    constants: np.ndarray
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchInput:
    """Tables of a search and the bits that any mapping takes of each memory."""

    tables: SearchTables
    reserved_bits: np.ndarray
    fits: bool


def prepare(
    model: LayerModel,
    sizes: np.ndarray,
    levels: np.ndarray,
    weights: tuple[float, float],
    budget: np.ndarray,
    *,
    shared_out: bool = False,
) -> Prepared:
    arrays = model.arrays
    tables = mapping_tables(arrays, sizes, levels)
    room = joint_room(model, tables, levels, budget, shared_out=shared_out)
    t = room.tables
    possible = t.pj < np.inf
    costs, constants = latency_views(arrays, t, levels, True, THESE)
    # Without weights the mix that bounds the latency alone is as good as any.
    energy_weight, latency_weight = weights if weights[1] > 0 else (0.0, 1.0)
    base = energy_weight * np.where(possible, t.pj, 0.0)
    shares, bound = best_mix(
        base, costs, constants, latency_weight, possible, levels - 1, t.axes, t.strides
    )
    costs = np.concatenate([costs, np.tensordot(shares, costs, 1)[None]])
    constants = np.append(constants, shares @ constants)
    return Prepared(
        tables=t,
        block_bits=tables.bits,
        reserved_bits=room.reserved_bits,
        fits=room.fits,
        possible=possible,
        costs=costs,
        constants=constants,
        bound=float(bound) + energy_weight * t.fixed_pj if room.fits else np.inf,
    )


def mixed_bound(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
) -> float:
    """Lower bound of the weighted cost of every mapping; infinite if nothing fits."""
    if weights[1] <= 0:
        return 0.0
    budget = model.memory[:, SIZE]
    return prepare(model, sizes, np.array(levels, dtype=np.int64), weights, budget).bound


def search_tables(
    model: LayerModel,
    sizes: np.ndarray,
    levels: np.ndarray,
    aim: Aim,
    budget: np.ndarray,
    ready: Prepared | None = None,
) -> SearchInput:
    """Tables, costs to go and limits of one search; `ready`: what `prepare` makes for it."""
    if ready is None:
        ready = prepare(model, sizes, levels, aim.weights, budget, shared_out=aim.shared_out)
    t, possible = ready.tables, ready.possible

    def to_go(table: np.ndarray) -> np.ndarray:
        return np.asarray(completion_table(table, possible, levels - 1, t.axes, t.strides))

    views = None
    if not aim.weighted_only:
        views = np.stack([to_go(cost) for cost in ready.costs], axis=-1)
    if any(aim.weights):
        energy = np.where(possible, t.pj, 0.0)
        weighted = np.stack(
            [to_go(aim.weights[0] * energy + aim.weights[1] * cost) for cost in ready.costs],
            axis=-1,
        )
    else:
        weighted = np.zeros_like(views)
    if views is None:
        # Cycles alone are of no interest, and have no limit.
        views = weighted
    n_memories = model.memory.shape[0]
    weigh = np.zeros(n_memories, dtype=np.bool_) if aim.weigh_memory is None else aim.weigh_memory
    packed, spare = packed_exponents(t.exponents, t.axes)
    tables = SearchTables(
        layer=model.arrays,
        tables=t,
        sizes=sizes,
        levels=levels,
        view_costs=np.ascontiguousarray(np.moveaxis(ready.costs, 0, -1)),
        view_constants=ready.constants,
        energy_to_go=to_go(t.pj),
        views_to_go=views,
        weighted_to_go=weighted,
        packed=packed,
        spare=spare,
        sums_go_on=sums_go_on(t.products, t.q, model.arrays.rel[OUT]),
        budget=budget,
        copy_bits=ready.block_bits,
        weigh_memory=weigh,
        energy_weight=float(aim.weights[0]),
        latency_weight=float(aim.weights[1]),
        weighted_cutoff=float(aim.weighted_cutoff),
        energy_cutoff=float(aim.energy_cutoff_pj),
        latency_cutoff=float(aim.latency_cutoff_cycles),
        weighted_only=bool(aim.weighted_only),
    )
    return SearchInput(tables=tables, reserved_bits=ready.reserved_bits, fits=ready.fits)


def budget_of(model: LayerModel, bits: np.ndarray | None) -> np.ndarray:
    """[memory] bits free for a layer-tile; all there are if not told."""
    budget: np.ndarray = model.memory[:, SIZE].copy() if bits is None else bits.astype(np.float64)
    return budget
