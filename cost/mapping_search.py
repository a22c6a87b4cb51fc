"""Exact temporal mapping of layer-tiles: Pareto sets over every mapping.

The Pareto set of a layer-tile under a placement (how many levels each operand may use)
holds every nondominated (energy, latency[, bits held]) over all loop orders and uneven
allocations, with no limit on the number of loop factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cost.boundary_tables import OUT, SIZE
from cost.chain_search import search, sums_go_on
from cost.chain_state import (
    FOUND,
    HEIGHT,
    MAX_TRAIL,
    NODES,
    OVERFLOWED,
    SearchState,
    SearchTables,
)
from cost.joint_room import joint_room
from cost.lattice import packed_exponents
from cost.layer_model import MAX_LEVELS, LayerModel
from cost.mapping_tables import (
    MappingTables,
    completion_table,
    latency_views,
    mapping_tables,
)
from cost.view_mix import best_mix
from problems.workload import LOOP_DIMS

NODES_A_TURN = 10_000
"""Nodes between two looks at the clock."""


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


def weigh_point(weights: tuple[float, float], point: MappingPoint) -> float:
    """Weighted cost of a mapping."""
    return weights[0] * point.energy_pj + weights[1] * point.latency_cycles


class SearchOverflow(RuntimeError):
    """The Pareto set outgrew its table; raised rather than dropping mappings."""


def size_vector(sizes: dict[str, int]) -> np.ndarray:
    """Loop sizes as an array over `LOOP_DIMS`."""
    return np.array([sizes.get(dim, 1) for dim in LOOP_DIMS], dtype=np.int64)


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
    costs, constants = latency_views(arrays, t, levels, True, False)
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


def _state(usage: np.ndarray, n_views: int, n_points: int, capacity: int) -> SearchState:
    """An empty state with room for `capacity` mappings."""
    shape = (3, MAX_LEVELS)
    n = 3 * MAX_LEVELS
    whole = np.ones(3 * n + 3, dtype=np.int64)
    whole[2 * n :] = 0
    return SearchState(
        whole=whole,
        run_relevant=whole[:n].reshape(shape),
        run_irrelevant=whole[n : 2 * n].reshape(shape),
        placed=whole[2 * n : 3 * n].reshape(shape),
        status=whole[3 * n :],
        flags=np.zeros(shape, dtype=np.bool_),
        usage=usage,
        trail=np.full((MAX_TRAIL, 3), -1, dtype=np.int64),
        archive=np.zeros((capacity, 2 + len(usage))),
        archive_trail=np.full((capacity, MAX_TRAIL, 3), -1, dtype=np.int64),
        archive_flags=np.zeros((capacity, *shape), dtype=np.bool_),
        archive_placed=np.zeros((capacity, *shape), dtype=np.int64),
        counters=np.zeros(6, dtype=np.int64),
        stack=np.zeros((capacity * 256, 7), dtype=np.int64),
        node=np.zeros((MAX_TRAIL, 5), dtype=np.int64),
        jumps=np.zeros((3 * n_points, 2), dtype=np.int64),
        remaining=np.zeros((MAX_TRAIL, 3), dtype=np.int64),
        spent=np.zeros((MAX_TRAIL, 1 + n_views)),
        saved_whole=np.zeros((MAX_TRAIL, len(whole)), dtype=np.int64),
        saved_flags=np.zeros((MAX_TRAIL, *shape), dtype=np.bool_),
        saved_usage=np.zeros((MAX_TRAIL, len(usage))),
    )


def pareto_set(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    aim: Aim = Aim(),
    *,
    pause: Callable[[], object] | None = None,
    capacity: int = 256,
) -> tuple[MappingPoint, ...]:
    """All nondominated mappings of a layer-tile within the cut-offs, cheapest first.

    `levels[o]`: levels that operand o may use, its tensor resting in the highest. `pause`
    is called now and then and may raise to stop. Empty if nothing fits. Raises
    SearchOverflow if the set outgrows every table.
    """
    budget = budget_of(model, aim.budget_bits)
    tables = search_tables(model, sizes, np.array(levels, dtype=np.int64), aim, budget)
    if not tables.fits:
        return ()
    walk = Walk(model, tables, levels, capacity)
    while not walk.turn():
        if pause is not None:
            pause()
    return walk.points()


def budget_of(model: LayerModel, bits: np.ndarray | None) -> np.ndarray:
    """[memory] bits free for a layer-tile; all there are if not told."""
    budget: np.ndarray = model.memory[:, SIZE].copy() if bits is None else bits.astype(np.float64)
    return budget


class Walk:
    """One search over tables at hand, in turns of `NODES_A_TURN` nodes."""

    def __init__(
        self, model: LayerModel, ready: SearchInput, levels: tuple[int, int, int], capacity: int
    ) -> None:
        self._model, self._levels = model, levels
        self._ready: SearchInput | None = ready
        self._capacity = capacity
        self._state = self._fresh()
        self.nodes = 0

    @property
    def _input(self) -> SearchInput:
        if self._ready is None:
            raise RuntimeError("a search at rest was asked to go on")
        return self._ready

    def _fresh(self) -> SearchState:
        tables = self._input.tables
        views, points = len(tables.view_constants), len(tables.packed)
        return _state(self._input.reserved_bits.copy(), views, points, self._capacity)

    def rest(self) -> None:
        """Give up the tables, and all of the state that holds nothing."""
        self._ready = None
        used = self._rows_used()
        parts = {name: getattr(self._state, name)[:rows].copy() for name, rows in used.items()}
        self._state = self._state._replace(**parts)

    def resume(self, ready: SearchInput) -> None:
        """Go on with the same tables, made anew."""
        if self._ready is None:
            self._ready = ready
            whole = self._fresh()
            for name, rows in self._rows_used().items():
                getattr(whole, name)[:rows] = getattr(self._state, name)
            parts = {name: getattr(whole, name) for name in self._rows_used()}
            self._state = self._state._replace(**parts)

    def _rows_used(self) -> dict[str, int]:
        """Rows that hold anything of the large parts of the state."""
        found, height = (int(self._state.counters[at]) for at in (FOUND, HEIGHT))
        archives = ("archive", "archive_trail", "archive_flags", "archive_placed")
        return {"stack": height, **dict.fromkeys(archives, found)}

    @property
    def held_bytes(self) -> int:
        """Bytes of the state."""
        return sum(part.nbytes for part in self._state)

    @property
    def found(self) -> bool:
        """Whether there is a mapping already."""
        return bool(self._state.counters[FOUND] > 0)

    def turn(self, nodes: int = NODES_A_TURN) -> bool:
        """Look further; True at the end. Starts anew with more room where that ran out."""
        before = int(self._state.counters[NODES])
        done = search(self._input.tables, self._state, nodes)
        self.nodes += int(self._state.counters[NODES]) - before
        if done and self._state.counters[OVERFLOWED]:
            if self._capacity > 1 << 16:
                name = self._model.layer.name
                raise SearchOverflow(f"layer {name}: more than {self._capacity} mappings")
            self._capacity *= 16
            self._state = self._fresh()
            return False
        return bool(done)

    def points(self) -> tuple[MappingPoint, ...]:
        """All mappings found, cheapest first."""
        found = range(int(self._state.counters[FOUND]))
        tables = self._input.tables
        points = [_point(self._model, tables, self._state, i, self._levels) for i in found]
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
    point = t.tables.products.shape[0] - 1
    passed = {point: 0}
    for target, bottom, top in [*s.archive_trail[index].tolist(), (0, -1, -1)]:
        if target < 0:
            continue
        segment = _factors(t.tables.axes, t.tables.exponents[point], t.tables.exponents[target])
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
