"""Exact temporal mapping of layer-tiles: Pareto sets over every mapping.

The Pareto set of a layer-tile under a placement (how many levels each operand may use)
holds every nondominated (energy, latency[, bits held]) over all loop orders and uneven
allocations, with no limit on the number of loop factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cost.chain_search import search
from cost.chain_state import (
    FOUND,
    HEIGHT,
    MAX_TRAIL,
    NODES,
    OVERFLOWED,
    SearchState,
    SearchTables,
)
from cost.layer_model import MAX_LEVELS, LayerModel
from cost.search_input import EVERYTHING, Aim, SearchInput, budget_of, search_tables
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
    aim: Aim = EVERYTHING,
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
