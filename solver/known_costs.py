"""What a stack option costs by all that is known: bounds, and mappings where they were searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cache

import numpy as np

from cost.best_prices import Basis, Prices, best_prices, bound_by, no_prices
from cost.capacity_bound import capacity_prices
from cost.capacity_branch import divided_bound
from cost.divided_room import DividedRoom, divided_room
from cost.hopeless import without_hopeless
from cost.kind_paths import cheapest, weigh_table
from cost.mapping_search import weigh_point
from cost.shared_prices import (
    SharedKinds,
    add_shifts,
    add_ties,
    occupancy_of,
    tied_charges,
)
from cost.stack_tiles import StackTiling
from solver.kind_tables import KindTables
from solver.mapping_searches import MappedTile, threads
from solver.mapping_store import MappingStore
from solver.pinned_inside import FREE, Memories
from solver.shared_kinds import KindCosts, shared_kinds
from solver.stack_option import StackOption, tiles_that_run
from solver.stack_tables import PRICE_ROUNDS, StackTables
from solver.step_tables import Entry, Steps, with_steps

KNOWN_ROUNDS = 15
"""Rounds that tell which tensors are torn where the best prices are known; only speed depends on
it."""
PARTS = 40
"""Parts into which the placements of a kind of tile are divided to bound them; only speed depends
on it."""
ROOMS, MANY_TILES = 60, 60
"""Parts by what stays in memories, and the least number of layer-tiles of an option that is divided
so; only speed depends on them."""

Floor = tuple[float, list[np.ndarray], list[np.ndarray]]
"""A bound, what attains it by kind of tile, and what that leaves: see `KnownCosts._floor`."""


class KnownCosts:
    """Costs of stack options, sharpened by searching mappings.

    `patience`: nodes of search after which a placement of a layer-tile makes do with some
    mapping in place of the best. Only who proves nothing may have less than infinite
    patience. Several may share what `mappings` remembers. With `in_place` layers work on
    DRAM alone: a placement that always fits, and never more than a beginning.
    """

    def __init__(
        self,
        tables: StackTables,
        pause: Callable[[], object] | None = None,
        patience: float = np.inf,
        mappings: MappingStore | None = None,
        *,
        in_place: bool = False,
    ) -> None:
        self.tables = tables
        self.pause = pause
        self.patience = patience
        self.in_place = in_place
        # Who proves nothing has no use for close bounds.
        self.parts = PARTS if np.isinf(patience) else 0
        self._options: dict[StackOption, tuple[StackTiling, tuple[KindTables, ...]]] = {}
        self.mappings = mappings or MappingStore(tables, pause)
        self._known_prices: dict[tuple[StackOption, tuple[float, float]], Prices] = {}
        self._bases: dict[StackOption, Basis | None] = {}
        self._like: dict[tuple[object, ...], Basis] = {}
        """Of options of many layer-tiles: the last basis of one that differs in its tile alone."""
        self._rough: dict[tuple[object, ...], dict[Memories, float]] = {}
        """Costs to make do with, by like tiles and weights."""

    def _kinds(self, option: StackOption) -> tuple[StackTiling, tuple[KindTables, ...]]:
        """Tiling and tables of an option, remembered."""
        if option not in self._options:
            tiling = self.tables.tiling(option)
            self._options[option] = (tiling, self.tables.kind_tables(option))
        return self._options[option]

    def _costs(self, option: StackOption, weights: tuple[float, float]) -> list[KindCosts]:
        """Weighted cost tables per kind: true where a mapping is known, else bounds.

        All tiles carry a share of the weights' arrival.
        """
        tiling, kinds = self._kinds(option)
        tiles = tiles_that_run(tiling)
        out = []
        for kind in kinds:
            cost_f = weigh_table(kind.f, *weights)
            export = weigh_table(kind.exports, *weights)
            steps: list[tuple[Entry, Steps]] = []
            for e, layer in enumerate(tiling.graph.layers):
                if not kind.runs[e] or not layer.computes:
                    continue
                key = self.tables.key_of(option, kind.kind, e)
                known = self.mappings.costs(key, weights)
                # What is fixed is known, and nothing that tiles like it make do with.
                rough = {} if key.pinned != FREE else self._rough.get((*key.like, weights), {})
                for memories in {*known, *rough}:
                    if not self._is_open(kind, e, memories, cost_f):
                        continue  # only where this tile, too, may have its tensors
                    at = (e, *self._entry(kind, e, memories))
                    tile = self._tile(option, kind, e, memories, weights)
                    if memories in known:
                        cost_f[at] = max(cost_f[at], known[memories] + export[e, at[3]])
                    if tile.budget is not None:
                        within = self.mappings.costs(key, weights, tile.budget)
                        cost_f[at] = max(cost_f[at], within.get(memories, 0.0) + export[e, at[3]])
                    if memories in rough and self.mappings.best(tile) is None:
                        cost_f[at] = rough[memories] + export[e, at[3]]
                    elif kind.occupancy is not None:
                        known_steps = self.mappings.steps(tile)
                        if known_steps is not None:
                            tensors = self._tensor_bits(option.layers[e], kind, e, memories)
                            base = float(cost_f[at] - export[e, at[3]])
                            steps.append((at, known_steps.above(base, tensors)))
            cost_f += weigh_table(self.tables.with_arrival(option, kind, tiles), *weights)
            cost_f -= np.where(np.isinf(cost_f), 0.0, weigh_table(kind.f, *weights))
            if self.in_place:
                cost_f = self._only_in_place(cost_f, kind)
            x = kind.occupancy
            out.append(
                KindCosts(
                    cost_f,
                    weigh_table(kind.g, *weights),
                    None if x is None else with_steps(x, steps),
                    [p if p is None else weigh_table(p, *weights) for p in kind.pairs],
                )
            )
        return out

    def tables_and_costs(
        self, option: StackOption, weights: tuple[float, float]
    ) -> tuple[tuple[KindTables, ...], list[KindCosts]]:
        """Tables of an option's kinds of tile, and what their entries cost by all that is known."""
        return self._kinds(option)[1], self._costs(option, weights)

    def _tile(
        self,
        option: StackOption,
        kind: KindTables,
        e: int,
        memories: Memories,
        weights: tuple[float, float],
    ) -> MappedTile:
        """Layer e of a kind of tile as it is placed and mapped.

        Where whole maps on chip leave its best mapping no room: with what they leave.
        """
        tile = MappedTile(self.tables.key_of(option, kind.kind, e), memories, weights)
        if not self.tables.rules.joint_capacity or tile.key.pinned != FREE:
            return tile
        maps = self.tables.map_bits(option)
        best = self.mappings.best(tile) if maps else None
        if not best:
            return tile
        sizes = self.tables.domains.sizes_bits
        free = [size - maps.get(memory, 0) for memory, size in enumerate(sizes)]
        if _fits(best[0].held_bits, free):
            return tile
        graph = self.tables.graph(option.layers)
        for i in graph.edges_into[e]:
            # A map that is read or made in place takes its own room.
            if self.tables.source_of(option, graph, graph.edges[i].tensor) == memories[1]:
                free[memories[1]] += kind.kind.edges[i].operand_bits
        if e == len(option.layers) - 1 and memories[2] == option.target:
            free[option.target] += kind.kind.output_bits[e]
        budget = tuple(float(min(bits, size)) for bits, size in zip(free, sizes, strict=True))
        if _fits(best[0].held_bits, budget):
            return tile
        return replace(tile, budget=budget)

    def _tensor_bits(
        self, index: int, kind: KindTables, e: int, memories: Memories
    ) -> dict[int, int]:
        """Bits per memory that the whole tensors of a layer-tile take at least."""
        bits: dict[int, int] = {}
        layer = self.tables.problem.workload.layers[index]
        # The parts of a concat are its output.
        made = kind.kind.output_bits[e] if layer.computes else 0
        demand = (layer.weight_volume_bits, kind.kind.operand_bits[e], made)
        for memory, amount in zip(memories, demand, strict=True):
            if memory < 0:
                continue
            bits[memory] = bits.get(memory, 0) + amount
        return bits

    def _is_open(self, kind: KindTables, e: int, memories: Memories, costs: np.ndarray) -> bool:
        """Whether layer e of a kind of tile may have its tensors in `memories`.

        What is known of a tile holds for all tiles like it, but a stack's last output, say, has
        one place only.
        """
        listed = (kind.weights[e], kind.inputs, kind.outputs)
        if any(m not in places for m, places in zip(memories, listed, strict=True)):
            return False
        return bool(np.isfinite(costs[(e, *self._entry(kind, e, memories))]))

    def _only_in_place(self, cost_f: np.ndarray, kind: KindTables) -> np.ndarray:
        """Costs [layer, W, I, O] that are infinite for tensors that do not rest in DRAM.

        Of a layer that cannot have all there, because places are fixed, all stay open.
        """
        dram = self.tables.domains.dram
        out = np.full_like(cost_f, np.inf)
        i, o = kind.inputs.index(dram), kind.outputs.index(dram)
        for e, memories in enumerate(kind.weights):
            w = memories.index(dram) if dram in memories else 0
            out[e, w, i, o] = cost_f[e, w, i, o]
            if not np.isfinite(out[e, w, i, o]):
                out[e] = cost_f[e]
        return out

    def _makes_do(self, tile: MappedTile) -> bool:
        """Take some mapping for a tile whose best is too hard to find; False if that is news."""
        rough = self._rough.setdefault((*tile.key.like, tile.weights), {})
        if tile.memories in rough:
            return True
        costs = [
            weigh_point(tile.weights, point)
            for point in self.mappings.some(tile, soon=self.in_place)
        ]
        rough[tile.memories] = min(costs, default=np.inf)
        return False

    def _entry(
        self, kind: KindTables, e: int, memories: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        """Index of (W, I, O) memories on the axes of f."""
        return (
            kind.weights[e].index(memories[0]),
            kind.inputs.index(memories[1]),
            kind.outputs.index(memories[2]),
        )

    def tiles(self, option: StackOption) -> int:
        """Layer-tiles of an option that differ in kind."""
        return sum(sum(kind.runs) for kind in self._kinds(option)[1])

    def floor(self, option: StackOption, weights: tuple[float, float]) -> float:
        """Weighted lower bound of `option` by all that is known."""
        return self._floor(option, weights, self.parts)[0]

    def _floors(
        self, asked: Sequence[tuple[StackOption, int, bool]], weights: tuple[float, float]
    ) -> list[Floor]:
        """`_floor` of many options, each with its parts and whether prices are renewed."""
        if len(asked) < 2:
            return [self._floor(option, weights, *how) for option, *how in asked]
        running = [threads().submit(self._floor, option, weights, *how) for option, *how in asked]
        wait(running)
        for option, *_ in asked:
            # Afterwards, and in their order: which thread ends first must not matter.
            basis = self._bases.get(option)
            if basis is not None and self.tiles(option) >= MANY_TILES:
                self._like[_alike(option)] = basis
        return [done.result() for done in running]

    def _floor(
        self,
        option: StackOption,
        weights: tuple[float, float],
        parts: int = 0,
        renew: bool = True,
    ) -> Floor:
        """Weighted lower bound of `option`, the entries that attain it per kind, what they leave.

        That is for mappings beside the tensors, bits [layer, memory]. Placements of a kind are
        divided into so many `parts`, see `divided_bound`. Under the prices known, if there are any
        and they are not to be renewed.
        """
        costs = self._costs(option, weights)
        if parts and self.tables.rules.joint_capacity:
            shared = self._shared(option, costs)
            if shared is not None:
                bound, prices = self._prices(option, weights, shared, renew)
                if np.isfinite(bound):
                    return self._divided_shared(shared, prices, parts)
        kinds = self._kinds(option)[1]
        least, alone = [], []
        for kind, (cost_f, cost_g, x, _) in zip(kinds, costs, strict=True):
            if x is not None:
                bound, price, pick, free = capacity_prices(cost_f, cost_g, x, PRICE_ROUNDS)
            else:
                price = free = np.zeros((0, 0))
                pick = np.zeros((len(kind.weights), 3), dtype=np.int64)
                inner = np.zeros((len(kind.weights), 5), dtype=np.int64)
                bound = cheapest(cost_f, cost_g, kind.linked, pick, inner)
            least.append(kind.kind.count * float(bound))
            alone.append((price, pick, free))
        total = sum(least)
        if not parts or not np.isfinite(total) or not self.tables.rules.joint_capacity:
            return total, [pick for _, pick, _ in alone], [free for _, _, free in alone]
        starts = [price for price, _, _ in alone]
        counts = [kind.kind.count for kind in kinds]
        return _divided(counts, costs, starts, parts, PRICE_ROUNDS)

    def _shared(self, option: StackOption, costs: list[KindCosts]) -> SharedKinds | None:
        """All kinds of tile of an option on the same axes; None where nothing is shared."""
        tiling, kinds = self._kinds(option)
        is_chain = kinds[0].linked[1:].all() and not any(p is not None for p in kinds[0].pairs)
        if len(kinds) < 2 and is_chain:
            return None
        sources = [
            self.tables.source_of(option, tiling.graph, edge.tensor) for edge in tiling.graph.edges
        ]
        return shared_kinds(tiling, kinds, costs, sources)

    def _prices(
        self,
        option: StackOption,
        weights: tuple[float, float],
        shared: SharedKinds,
        renew: bool = True,
    ) -> tuple[float, Prices]:
        """The bound of an option by the best prices, and those: as they were or anew."""
        prices = self._known_prices.get((option, weights))
        if prices is None or renew:
            begin = self._bases.get(option) or self._like.get(_alike(option))
            prices, self._bases[option] = best_prices(shared, begin)
            self._known_prices[option, weights] = prices
        return bound_by(shared, prices), prices

    def _divided_rooms(
        self, asked: Sequence[tuple[StackOption, float]], weights: tuple[float, float]
    ) -> list[DividedRoom | None]:
        """`divided_room` of options, each with what is enough; None where it is not worth it."""

        def one(option: StackOption, enough: float) -> DividedRoom | None:
            shared = self._shared(option, self._costs(option, weights))
            if shared is None or shared.f.shape[0] * shared.f.shape[1] < MANY_TILES:
                return None
            prices = self._known_prices.get((option, weights)) or no_prices(shared)
            near = without_hopeless(shared, prices, enough)
            found = divided_room(near, self._bases.get(option), enough, ROOMS)
            return replace(found, bound=min(found.bound, enough))  # what was left out costs as much

        running = [threads().submit(one, *ask) for ask in asked]
        wait(running)
        return [done.result() for done in running]

    @staticmethod
    def _divided_shared(shared: SharedKinds, prices: Prices, parts: int) -> Floor:
        """`_floor` where all kinds pay for how their choices differ, and for tiles that wait."""
        costs, starts = [], []
        scale = np.maximum(shared.room, 1.0)
        counts = shared.counts.tolist()
        for k, count in enumerate(counts):
            f, g = shared.f[k].copy(), shared.g[k].copy()
            add_ties(shared, f, g, tied_charges(shared, prices.tie, k), k)
            add_shifts(f, g, prices.choice, k, count)
            costs.append(KindCosts(f, g, occupancy_of(shared, k)))
            starts.append(prices.room[k] / (count * scale))
        return _divided(counts, costs, starts, parts, KNOWN_ROUNDS)


@cache
def _kind_threads() -> ThreadPoolExecutor:
    """The threads of bounds by kind of tile, for which those of `threads` may wait."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kind")


def _divided(
    counts: Sequence[int],
    costs: Sequence[KindCosts],
    starts: Sequence[np.ndarray],
    parts: int,
    rounds: int,
) -> Floor:
    """`_floor` of `counts` [kind] tiles with placements divided, from prices `starts` on."""
    running = [
        _kind_threads().submit(divided_bound, *cost[:3], rounds, parts, np.inf, start)
        for cost, start in zip(costs, starts, strict=True)
    ]
    wait(running)
    found = [done.result() for done in running]
    total = sum(count * float(value) for count, (value, _, _) in zip(counts, found, strict=True))
    return total, [pick for _, pick, _ in found], [free for _, _, free in found]


def _alike(option: StackOption) -> tuple[object, ...]:
    """What options have in common whose programs are much the same."""
    return option.layers, option.mode, option.source, option.target


def _fits(held_bits: Sequence[int], free_bits: Sequence[float]) -> bool:
    """Whether a mapping takes no more of any memory than is free."""
    return all(held <= free for held, free in zip(held_bits, free_bits, strict=True))
