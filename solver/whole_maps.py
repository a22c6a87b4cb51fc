"""Bounds of stacks of a chain that compute each of their maps at once, all in one sweep.

Where maps are small most stacks of a deep network are such: very many, and each is another one
with one layer more. What a layer costs then hardly depends on the stack that it is in: only its
first and its last layer differ from others. So a cheapest way through memories that ends in one
layer goes on from those that ended in the layer before, for all stacks together.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from cost.capacity_bound import Occupancy
from cost.kind_paths import weigh_table
from cost.overlap import OverlapMode
from cost.stack_graph import NETWORK_INPUT, consumers
from solver.floor_sums import Weights
from solver.kind_tables import KindTables
from solver.known_costs import KnownCosts
from solver.mapping_searches import MappedTile
from solver.space import boundary_memories
from solver.stack_option import StackOption
from solver.stack_tables import StackTables

EFFORT = 1e5
"""Nodes that a search for the best mapping of a layer's whole map may look at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Costs:
    """Weighted costs of a layer's whole map: f [W, I, O] and g [producer, I].

    `needs` [W, I, O, memory]: bits of tensors beside whole maps.
    """

    f: np.ndarray
    g: np.ndarray
    needs: np.ndarray

    def overfills(self, room: np.ndarray) -> np.ndarray:
        """[W, I, O]: what does not fit in `room` [memory]."""
        found: np.ndarray = (self.needs > room).any(axis=-1)
        return found

    def least(self, room: np.ndarray) -> np.ndarray:
        """f [I, O] in so much room."""
        f = np.where(self.overfills(room), np.inf, self.f)
        least: np.ndarray = f.min(axis=0)
        return least


_Map = tuple[int, int]
"""A map between stacks: the memory it rests in, and its bits; (-1, 0) in DRAM."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beside:
    """What stacks find in memories: `room` [memory] in bits.

    `source`, `target`: the maps before and after that leave the room; None: any.
    """

    room: np.ndarray
    source: _Map | None = None
    target: _Map | None = None


class WholeMaps:
    """Stacks of layers in a row, each of which reads the whole map before it and nothing else."""

    def __init__(self, tables: StackTables) -> None:
        self.tables = tables
        workload = tables.problem.workload
        n, users = len(workload.layers), consumers(workload)
        self._sources = [
            [workload.positions.get(source, NETWORK_INPUT) for source in layer.all_sources]
            for layer in workload.layers
        ]
        self._ends = [boundary_memories(tables.problem, p, tables.rules) for p in range(-1, n)]
        """Memories that the map before each layer may rest in between stacks."""
        self._follows = [False] * (n + 1)
        """Whether a layer may be in such a stack with the one before it."""
        if not tables.rules.joint_capacity or not tables.inside.is_empty:
            return
        for p in range(1, n):
            before, layer = workload.layers[p - 1], workload.layers[p]
            if users[p - 1] != (p,) or self._sources[p] != [p - 1]:
                continue
            if not before.computes or not layer.computes or len(self._sources[p - 1]) != 1:
                continue
            kinds = tables.tiling(self._option((p - 1, p))).kinds
            whole = before.sizes["OX"], before.sizes["OY"]
            self._follows[p] = len(kinds) == 1 and kinds[0].sizes[0] == whole

    def holds(self, option: StackOption) -> bool:
        """Whether an option is such a stack of two layers at least."""
        layers = option.layers
        if len(layers) == 1 or layers[-1] - layers[0] != len(layers) - 1:
            return False
        last = self.tables.problem.workload.layers[option.last].sizes
        is_whole = option.tile_x >= last["OX"] and option.tile_y >= last["OY"]
        return is_whole and all(self._follows[p] for p in layers[1:])

    def bounds(self, known: KnownCosts, weights: Weights) -> np.ndarray:
        """Lower bounds [first layer, source, last layer, target] of weighted costs.

        Source and target are the memories (indices) of the maps before and after; infinite where
        nothing fits, and -infinity where there is no such stack. Mappings of whole maps are
        searched first: they are few.
        """
        self._search(known, weights)
        rows = self._roles(known, weights)
        domains = self.tables.domains
        sizes = np.array(domains.sizes_bits, dtype=np.float64)
        sizes[domains.dram] = np.inf
        found = self._sweep(rows, _Beside(room=sizes))
        all_costs = [costs for row in rows for costs in row.values()]
        for source, target in product(self._maps_before(), self._maps_after()):
            room = sizes.copy()
            for memory, bits in (source, target):
                if memory >= 0:
                    room[memory] -= bits
            if any((costs.overfills(room) & np.isfinite(costs.f)).any() for costs in all_costs):
                beside = _Beside(room=room, source=source, target=target)
                np.maximum(found, self._sweep(rows, beside), out=found)
        return found

    def _maps_before(self) -> set[_Map]:
        """The different maps before stacks."""
        return {
            self._map(self._sources[p][0], end)
            for p, follows in enumerate(self._follows[1:])
            if follows
            for end in self._ends[self._sources[p][0] + 1]
        }

    def _maps_after(self) -> set[_Map]:
        """The different maps after stacks."""
        return {
            self._map(p, end)
            for p, follows in enumerate(self._follows[:-1])
            if follows
            for end in self._ends[p + 1]
        }

    def _map(self, p: int, memory: int) -> _Map:
        """The map of a layer in a memory."""
        if p < 0 or memory == self.tables.domains.dram:
            return (-1, 0)
        layer = self.tables.problem.workload.layers[p]
        elements = layer.sizes["B"] * layer.channels * layer.sizes["OX"] * layer.sizes["OY"]
        return memory, elements * layer.precision.output_bits

    def _option(
        self, layers: tuple[int, ...], source: int | None = None, target: int | None = None
    ) -> StackOption:
        """The whole maps of some layers."""
        dram = self.tables.domains.dram
        last = self.tables.problem.workload.layers[layers[-1]].sizes
        on_chip = source not in (None, dram)
        return StackOption(
            layers=layers,
            tile_x=last["OX"],
            tile_y=last["OY"],
            mode=OverlapMode.FULLY_RECOMPUTE,  # there is nothing to keep for a next tile
            source=dram if source is None else source,
            target=dram if target is None else target,
            carried=self._sources[layers[0]][0] if on_chip else -1,
        )

    def _stacks(self, p: int) -> dict[tuple[str, int], tuple[StackOption, int]]:
        """Small stacks in which a layer has each of its roles: option, number of the layer.

        First one after a memory, last one before a memory, or inside.
        """
        found = {}
        if self._follows[p + 1]:
            for source in self._ends[self._sources[p][0] + 1]:
                found["first", source] = self._option((p, p + 1), source), 0
        if self._follows[p]:
            for target in self._ends[p + 1]:
                found["last", target] = self._option((p - 1, p), None, target), 1
        if self._follows[p] and self._follows[p + 1]:
            found["inner", -1] = self._option((p - 1, p, p + 1)), 1
        return found

    def _roles(self, known: KnownCosts, weights: Weights) -> list[dict[tuple[str, int], _Costs]]:
        """Costs of every layer in each of its roles."""
        rows = []
        for p in range(len(self._sources)):
            row = {}
            for role, (option, e) in self._stacks(p).items():
                tables, costs = known.tables_and_costs(option, weights)
                row[role] = _Costs(
                    f=costs[0].f[e][: len(tables[0].weights[e])],
                    g=costs[0].g[e].min(axis=(2, 3, 4)),
                    needs=_needs(
                        tables[0], costs[0].occupancy, e, len(self.tables.domains.sizes_bits)
                    ),
                )
            rows.append(row)
        return rows

    def _search(self, known: KnownCosts, weights: Weights) -> None:
        """Search the best mappings of all layers' whole maps."""
        bounds: dict[MappedTile, float] = {}
        for p in range(len(self._sources)):
            for option, e in self._stacks(p).values():
                (tables,) = self.tables.kind_tables(option)
                key = self.tables.key_of(option, tables.kind, e)
                costs = weigh_table(tables.f[e], *weights)
                for w, i, o in np.argwhere(np.isfinite(costs)).tolist():
                    memories = tables.weights[e][w], tables.inputs[i], tables.outputs[o]
                    tile = MappedTile(key.plain, memories, weights)
                    bounds[tile] = float(costs[w, i, o])
        known.mappings.find_all(bounds, effort=EFFORT)

    def _sweep(self, rows: list[dict[tuple[str, int], _Costs]], beside: _Beside) -> np.ndarray:
        """Least costs of stacks between some maps; of others nothing is said, by -infinity."""
        n, m = len(rows), len(self.tables.domains.sizes_bits)
        n_outputs = len(self.tables.domains.outputs)
        found = np.full((n, m, n, m), -np.inf)
        begun: list[tuple[int, int]] = []
        made = np.zeros((0, n_outputs))
        for p, row in enumerate(rows):
            if not self._follows[p]:
                begun, made = [], made[:0]
            onwards = []
            for (role, end), costs in row.items():
                f, g = costs.least(beside.room), costs.g
                if role == "first":
                    if beside.source not in (None, self._map(self._sources[p][0], end)):
                        continue
                    onwards.append((p, end, (g.min(axis=0)[:, None] + f).min(axis=0)))
                    continue
                after = _through(made, g[:n_outputs], f)
                if role == "last":
                    if not begun or beside.target not in (None, self._map(p, end)):
                        continue
                    firsts, sources = np.array(begun).T
                    found[firsts, sources, p, end] = after.min(axis=1)
                else:
                    inside = after
            if self._follows[p] and self._follows[p + 1]:
                made = inside
            begun += [(first, source) for first, source, _ in onwards]
            made = np.vstack([made, *(start for _, _, start in onwards)])
        return found


def _through(made: np.ndarray, g: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Least costs [way, O] of ways [way, producer] with one layer more."""
    ready = (made[:, :, None] + g[None]).min(axis=1, initial=np.inf)
    after: np.ndarray = (ready[:, :, None] + f[None]).min(axis=1)
    return after


def _needs(tables: KindTables, taken: Occupancy | None, e: int, n_memories: int) -> np.ndarray:
    """Bits [W, I, O, memory] of the tensors of a layer, but of maps that lie there anyway."""
    assert taken is not None  # memories are shared
    weights = tables.weights[e]
    out = np.zeros((len(weights), len(tables.inputs), len(tables.outputs), n_memories))
    for w, memory in enumerate(weights):
        out[w, :, :, memory] += taken.weight_bits[e] if memory >= 0 else 0.0
    for i, memory in enumerate(tables.inputs):
        out[:, i, :, memory] += taken.input_bits[e, i]
    for o, memory in enumerate(tables.outputs):
        out[:, :, o, memory] += taken.output_bits[e, o]
    return out
