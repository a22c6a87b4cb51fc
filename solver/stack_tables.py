"""Lower bounds of stack options: kinds of tile whose tensors share the memories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from cost.capacity_bound import capacity_prices, close_misfits
from cost.kind_paths import kind_bounds, weigh_table
from cost.rules import RuleSet
from cost.stack_tiles import StackTiling, TileKind
from problems.problem import Problem
from solver.kind_floors import KindFloors
from solver.kind_tables import KindTables
from solver.occupancy import occupancy
from solver.pins import LayerOfStack
from solver.placed_tables import KEPT_TILINGS, PlacedTables
from solver.stack_option import StackOption, main_kind, tiles_that_run

PRICE_ROUNDS = 60
"""Rounds of the price search in capacity bounds; more are tighter, any number is valid."""
KEPT_TABLES, KEPT_MIB = 4096, 768
"""Tables of kinds of tile remembered at a time: so many, or as many as take so much memory if these
are more; only speed depends on them."""
BESIDE_BYTES = 8192
"""Memory of such a table beside its two largest arrays, roughly."""


class StackTables(PlacedTables):
    """Caches what kinds of tile cost beside each other and whole maps, and bounds options."""

    def __init__(
        self,
        problem: Problem,
        rules: RuleSet,
        *,
        timed: bool = True,
        inside: Iterable[LayerOfStack] = (),
    ) -> None:
        super().__init__(problem, rules, timed=timed, inside=inside)
        self._arriving: dict[tuple[int, tuple[int, ...]], np.ndarray | None] = {}
        self._tables = lru_cache(self._kept_tables())(self._one_kind)
        self._floors_by_kind = lru_cache(KEPT_TILINGS)(KindFloors(self).of)

    def _kept_tables(self) -> int:
        """How many tables of kinds of tile are remembered at a time."""
        inputs, outputs, weights, caches = (
            len(places)
            for places in (
                self.domains.inputs,
                self.domains.outputs,
                self.domains.weights,
                self.domains.caches,
            )
        )
        entries = weights * inputs * outputs + max(inputs, outputs) * inputs * caches**3
        depth = 1 + len(self.problem.workload.layers) // 2  # of stacks as long as any
        table = depth * entries * 16 + BESIDE_BYTES  # pJ and cycles of every entry
        return max(KEPT_TABLES, (KEPT_MIB << 20) // table)

    def map_bits(self, option: StackOption) -> dict[int, int]:
        """Bits by memory of the whole maps that rest on chip beside a stack."""
        bits: dict[int, int] = {}
        layers = self.problem.workload.layers
        for position, memory in ((option.carried, option.source), (option.last, option.target)):
            if memory != self.domains.dram:
                made = layers[position]
                elements = made.sizes["B"] * made.channels * made.sizes["OX"] * made.sizes["OY"]
                bits[memory] = bits.get(memory, 0) + elements * made.precision.output_bits
        return bits

    def _arrivals(self, layer: int, memories: tuple[int, ...]) -> np.ndarray | None:
        """`arrival` in each of `memories`, [memory, (pJ, cycles)]; None if all is free."""
        key = layer, memories
        if key not in self._arriving:
            found = np.array([self.arrival(layer, memory) for memory in memories], dtype=float)
            self._arriving[key] = found if found.any() else None
        return self._arriving[key]

    def kind_tables(self, option: StackOption) -> tuple[KindTables, ...]:
        """Tables of every kind of tile of `option`."""
        tiling = self.tiling(option)
        self.bound_tiles(self.tiles_of(option, tiling.kinds))
        return tuple(self.kind_table(option, number) for number in range(len(tiling.kinds)))

    def kind_table(self, option: StackOption, number: int) -> KindTables:
        """Tables of one kind of tile of `option`."""
        return self._tables(option, number)

    def lone_tables(self, option: StackOption) -> tuple[KindTables, ...]:
        """The same as if each tensor had the memories for itself."""
        tiling = self.tiling(option)
        self.bound_tiles(self.tiles_of(option, tiling.kinds))
        return tuple(self.lone_kind(option, tiling, number) for number in range(len(tiling.kinds)))

    def _one_kind(self, option: StackOption, number: int) -> KindTables:
        tiling = self.tiling(option)
        kind = self.lone_kind(option, tiling, number)
        return self._beside(option, tiling, kind) if self.rules.joint_capacity else kind

    def _beside(self, option: StackOption, tiling: StackTiling, kind: KindTables) -> KindTables:
        """The tables of a kind of tile whose tensors share memories with each other and maps."""
        graph = tiling.graph
        room = np.array(self.domains.sizes_bits, dtype=np.float64)
        for memory, bits in self.map_bits(option).items():
            room[memory] -= bits
        room[self.domains.dram] = np.inf
        sources = [self.source_of(option, graph, edge.tensor) for edge in graph.edges]
        taken = occupancy(tiling, kind, room, sources, option.target)
        close_misfits(kind.f, kind.g, taken)
        return replace(kind, occupancy=taken)

    def option_bounds(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """Lower bounds of the option's cost for every weight pair [k, (pJ, cycles)]."""
        self.bound_tiles(self.tiles_of(option, self.tiling(option).kinds))
        numbers = range(len(self.tiling(option).kinds))
        return sum((self.kind_bound(option, n, weights) for n in numbers), np.zeros(len(weights)))

    def main_bound(self, option: StackOption, weights: np.ndarray) -> np.ndarray:
        """The same with only the commonest kind of tile looked at closely."""
        tiling = self.tiling(option)
        main, floors = main_kind(tiling), self.kind_floors(option)
        others = np.delete(floors, main, axis=0).sum(axis=0)
        return self.kind_bound(option, main, weights) + weights @ others

    def kind_bound(self, option: StackOption, number: int, weights: np.ndarray) -> np.ndarray:
        """What all tiles of one kind add to the option's bounds, for every weight pair."""
        table = self.kind_table(option, number)
        f = self.with_arrival(option, table, tiles_that_run(self.tiling(option)))
        return table.kind.count * self._kind_bounds(f, table, weights)

    def kind_floors(self, option: StackOption) -> np.ndarray:
        """The same [kind, (pJ, cycles)] by what is known of the layer-tiles alone."""
        return self._floors_by_kind(option)

    def tiles_of(
        self, option: StackOption, kinds: Sequence[TileKind]
    ) -> Iterator[tuple[int, int, int]]:
        """Layer-tiles (layer, width, height) that some kinds of tile compute."""
        layers = self.tiling(option).graph.layers
        for kind in kinds:
            for e, layer in enumerate(option.layers):
                if layers[e].computes and kind.runs(e):
                    yield layer, *kind.sizes[e]

    @staticmethod
    def _kind_bounds(f: np.ndarray, kind: KindTables, weights: np.ndarray) -> np.ndarray:
        """Least weighted cost of one tile for every weight pair, with f in place of its own."""
        if kind.occupancy is None:
            return np.asarray(kind_bounds(f, kind.g, kind.linked, weights))
        bounds = np.zeros(len(weights))
        for k, (we, wl) in enumerate(weights.tolist()):
            cost_f, cost_g = weigh_table(f, we, wl), weigh_table(kind.g, we, wl)
            bounds[k] = capacity_prices(cost_f, cost_g, kind.occupancy, PRICE_ROUNDS)[0]
        return bounds

    def with_arrival(
        self, option: StackOption, kind: KindTables, tiles: Sequence[int]
    ) -> np.ndarray:
        """f of `kind` with the arrival of each layer's weights shared out over so many `tiles`.

        Whatever the shares, bounds of all kinds together hold: weights lie in one memory for
        all tiles.
        """
        f = kind.f.copy()
        for e, memories in enumerate(kind.weights):
            if kind.runs[e]:
                arriving = self._arrivals(option.layers[e], memories)
                if arriving is not None:
                    f[e, : len(memories)] += arriving[:, None, None] / tiles[e]
        return f
