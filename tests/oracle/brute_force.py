"""All schedules of a small network: every cut, tile, mode, memory and mapping.

The enumeration is naive on purpose. It shares the cost kernel and the re-coster's
geometry with the product, and nothing of the solver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import networkx as nx

from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
from cost.overlap import OverlapMode
from cost.recost_capacity import (
    StackView,
    h_cache_bits,
    live_peak_bits,
    v_cache_bits,
)
from cost.recost_layer import (
    memory_index,
    weight_arrival,
)
from cost.recost_tiles import (
    AxisColumn,
    edge_channels,
    map_bits,
    operand_span,
    stack_geometry,
    walk_axis,
)
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, StackPlan, TilePlan
from problems import Layer, Operand, Problem
from tests.oracle.all_mappings import AllMappings, Point, clean, prime_loops
from tests.oracle.brute_tile import TileWalk, add

State = tuple[frozenset[str], str, str | None]
"""Layers that have run, the memory of the last stack's map, and its layer if on chip."""


class TooLargeError(Exception):
    """The instance has too many mappings to enumerate."""


@dataclass
class BruteForce:
    """Nondominated (pJ, cycles) of all schedules of `problem`.

    `widths` x `heights` are the tile sizes of every stack. Only `stacks` of these layers count,
    and layer-tiles (and whether they are of the first tile) that a stack `allows`. Where the
    loops of a layer of `mapped` are as long as those of the mapping, no other will do.
    """

    problem: Problem
    rules: RuleSet
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode)
    stacks: Callable[[tuple[str, ...]], bool] = lambda _: True
    allows: Callable[[tuple[str, ...], LayerTilePlan, bool], bool] = lambda *_: True
    mapped: Mapping[str, TemporalMapping] = field(default_factory=dict)
    most_mappings: int = 4000
    most_choices: int = 3000
    _tiles: dict[object, AllMappings] = field(default_factory=dict)
    _stacks: dict[object, tuple[Point, ...]] = field(default_factory=dict)
    known: dict[str, tuple[Point, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hardware = self.problem.hardware
        single = [m for m in hardware.memories if m.instances == 1]
        self.inputs = [m.name for m in single if m.holds(Operand.I)]
        self.outputs = [m.name for m in single if m.holds(Operand.O)]
        self.weights = [m.name for m in single if m.holds(Operand.W)]
        self.shared = [name for name in self.inputs if name in self.outputs]
        self.dram = hardware.memories[hardware.chains[Operand.I][-1]].name
        self.size = {m.name: m.size_bits for m in hardware.memories}

    def points(self) -> tuple[Point, ...]:
        """Nondominated points of whole schedules, over all partitions into stacks."""
        workload = self.problem.workload
        names = [layer.name for layer in workload.layers]
        needs = {n: nx.ancestors(workload.graph, n) - {workload.input_name} for n in names}
        start: State = (frozenset(), self.dram, None)
        reached: dict[State, list[Point]] = {start: [(0.0, 0)]}
        by_size: list[list[State]] = [[] for _ in range(len(names) + 1)]
        by_size[0].append(start)
        for size in range(len(names)):
            for state in by_size[size]:
                done, source, carried = state
                before = clean(reached[state])
                for last in names:
                    if last in done:
                        continue
                    stack = (needs[last] | {last}) - done
                    if any(workload.by_name[name].weight_source in stack for name in stack):
                        continue
                    if carried is not None and not self._readers(carried) <= stack:
                        continue
                    run = tuple(name for name in names if name in stack)
                    if not self.stacks(run):
                        continue
                    if not self.rules.true_branches and self._exports(run):
                        continue
                    for target in self._boundaries(last):
                        points = self.stack_points(run, source, carried, target)
                        if not points:
                            continue
                        kept = None if target == self.dram else last
                        after: State = (done | stack, target, kept)
                        if after not in reached:
                            reached[after] = []
                            by_size[len(after[0])].append(after)
                        reached[after] += clean(add(before, points))
        return clean(reached.get((frozenset(names), self.dram, None), []))

    def _readers(self, name: str) -> set[str]:
        return set(self.problem.workload.graph.successors(name))

    def stack_points(
        self, names: tuple[str, ...], source: str, carried: str | None, target: str
    ) -> tuple[Point, ...]:
        """Nondominated points of a stack of layers."""
        key = (names, source, carried, target)
        if key in self._stacks:
            return self._stacks[key]
        workload = self.problem.workload
        layers = tuple(workload.by_name[name] for name in names)
        last = layers[-1].sizes
        sizes = {
            (min(x, last["OX"]), min(y, last["OY"])) for x in self.widths for y in self.heights
        }
        exports = self._exports(names)
        found: list[Point] = []
        for (x, y), mode in product(sorted(sizes), self.modes):
            view = StackView(
                workload=workload,
                hardware=self.problem.hardware,
                rules=self.rules,
                plan=StackPlan(
                    layers=names,
                    tile_x=x,
                    tile_y=y,
                    mode=mode,
                    source=source,
                    carried=carried,
                    target=target,
                    weights=(None,) * len(layers),
                    arrival_energy_pj=0.0,
                    arrival_latency_cycles=0,
                    tiles=(),
                ),
                layers=layers,
                exports=exports,
                geometry=stack_geometry(workload, names, (x, y), mode, exports, self.rules),
            )
            found += self._option_points(view)
        self._stacks[key] = clean(found)
        return self._stacks[key]

    def _exports(self, names: tuple[str, ...]) -> frozenset[str]:
        """Maps made inside a stack that are read outside of it, too."""
        return frozenset(n for n in names[:-1] if self._readers(n) - set(names))

    def _boundaries(self, last: str) -> list[str]:
        readers = [self.problem.workload.by_name[name] for name in self._readers(last)]
        if not readers or not self.rules.joint_capacity:
            return [self.dram]
        if any(reader.weight_source == last for reader in readers):
            return [self.dram]
        bits = map_bits(self.problem.workload, last)
        return [name for name in self.shared if self.size[name] >= bits]

    def _option_points(self, view: StackView) -> Iterator[Point]:
        if self.rules.joint_capacity:
            yield from self._joint_points(view)
        else:
            yield from self._separate_points(view)

    def _joint_points(self, view: StackView) -> Iterator[Point]:
        """Points of a stack where a layer's caches are in one memory for all tiles."""
        columns, rows = view.geometry.columns, view.geometry.rows
        kinds: Counter[tuple[str, str, bool]] = Counter()
        where: dict[tuple[str, str, bool], TilePlan] = {}
        for (i, x), (j, y) in product(enumerate(columns), enumerate(rows)):
            first = i == j == 0 and not self.rules.charge_weight_arrival
            kind = (repr(x), repr(y), first)
            kinds[kind] += 1
            where.setdefault(kind, TilePlan(columns=((i, 1),), rows=((j, 1),), layers=()))
        weights = [self.weights if layer.has_weights else [None] for layer in view.layers]
        h = [self._cache_choices(columns, layer) for layer in view.layers]
        v = [self._cache_choices(rows, layer) for layer in view.layers]
        count = 1
        for choices in (*weights, *h, *v):
            count *= len(choices)
        if count * len(kinds) > self.most_choices:
            raise TooLargeError
        for resident, columns_in, rows_in in product(product(*weights), product(*h), product(*v)):
            placed = replace(view, plan=replace(view.plan, weights=resident))
            standing = self._standing(placed, columns_in, rows_in)
            if any(standing[name] > self.size[name] for name in standing):
                continue
            points = self._arrival(view, resident)
            for kind, number in sorted(kinds.items()):
                caches = (columns_in, columns_in, rows_in)
                walk = TileWalk(self, placed, where[kind], kind[2], *caches, standing)
                points = clean(add(points, scale(walk.points(), number)))
                if not points:
                    break
            yield from points

    def _separate_points(self, view: StackView) -> Iterator[Point]:
        """Points of a stack under the reference's rules.

        H caches of a row of tiles are decided for its last boundary, and for all others
        together; each time the tile on the right says which memories have room. V caches are
        decided for the stack, and its last tile says.
        """
        columns, rows = view.geometry.columns, view.geometry.rows
        like = Counter((repr(y), j == 0) for j, y in enumerate(rows))
        where = {(repr(y), j == 0): j for j, y in reversed([*enumerate(rows)])}
        weights = [self.weights if layer.has_weights else [None] for layer in view.layers]
        last = TilePlan(columns=((len(columns) - 1, 1),), rows=((len(rows) - 1, 1),), layers=())
        v = [self._separate_choices(view, rows, layer, last, "rows") for layer in view.layers]
        count = 1
        for choices in (*weights, *v):
            count *= len(choices)
        if count * len(like) * len(columns) > self.most_choices:
            raise TooLargeError
        for resident, rows_in in product(product(*weights), product(*v)):
            placed = replace(view, plan=replace(view.plan, weights=resident))
            standing = self._standing(placed, (), ())
            if any(standing[name] > self.size[name] for name in standing):
                continue
            points: tuple[Point, ...] = ((0.0, 0),)
            for kind, number in sorted(like.items()):
                each = self._row_points(placed, where[kind], rows_in, standing)
                points = clean(add(points, scale(each, number)))
            yield from points

    def _row_points(
        self, view: StackView, j: int, rows_in: Sequence[str | None], standing: Mapping[str, int]
    ) -> tuple[Point, ...]:
        """Nondominated points of one row of tiles under the reference's rules."""
        columns = view.geometry.columns
        ends = len(columns) - 1
        tiles = [TilePlan(columns=((i, 1),), rows=((j, 1),), layers=()) for i in range(ends + 1)]
        choices = [
            self._separate_choices(view, columns, layer, tiles[right], "columns")
            for right in dict.fromkeys((min(1, ends), ends))
            for layer in view.layers
        ]
        found: list[Point] = []
        n = len(view.layers)
        none = (None,) * n
        for picked in product(*choices):
            inner, last = picked[:n], picked[-n:]
            points: tuple[Point, ...] = ((0.0, 0),)
            for i, tile in enumerate(tiles):
                left = none if i == 0 else (last if i == ends else inner)
                right = none if i == ends else (last if i + 1 == ends else inner)
                walk = TileWalk(self, view, tile, i == j == 0, left, right, rows_in, standing)
                points = clean(add(points, walk.points()))
            found += points
        return clean(found)

    def _separate_choices(
        self,
        view: StackView,
        steps: Sequence[AxisColumn],
        layer: Layer,
        tile: TilePlan,
        which: str,
    ) -> Sequence[str | None]:
        """Memories for a layer's caches that have room by what the reference looks at."""
        edges = [(source, layer.name) for source in layer.sources]
        if not any(
            step.edges[edge].reused or step.edges[edge].kept for step in steps for edge in edges
        ):
            return [None]
        plan, workload = view.plan, view.workload
        # Cache sizes are taken as if rows were cached, whatever the mode.
        tall = walk_axis(workload, plan.layers, "Y", plan.tile_y, True, view.exports, self.rules)
        x, _ = view.axes(tile)
        y = tall[tile.rows[0][0]]
        alive = needed = live_peak_bits(view, tile)
        corners = 0
        for reader in view.layers:
            for source in reader.sources:
                edge = (source, reader.name)
                across, down = x.edges[edge], y.edges[edge]
                pixel = edge_channels(workload, edge, self.rules) * reader.precision.input_bits
                if tile.columns[0][0] > 0:
                    needed += pixel * across.overlap * down.extent
                if which == "rows":
                    everything = (0, reader.sizes["OX"])
                    low, high = operand_span(workload, reader, source, "X", everything, self.rules)[
                        0
                    ]
                    needed += pixel * (high - low) * down.overlap
                    corners += pixel * across.overlap * down.overlap
        fits = [name for name in self.shared if self.size[name] >= needed - corners]
        if tile.columns[0][0] > 0:
            return fits
        # Corners lie in the lowest memory for the columns that a lone one would keep.
        lowest = next((name for name in self.shared if self.size[name] >= alive), None)
        return [name for name in fits if name == lowest or self.size[name] >= needed]

    def _cache_choices(self, tiles: Sequence[AxisColumn], layer: Layer) -> Sequence[str | None]:
        edges = [(source, layer.name) for source in layer.sources]
        used = any(column.edges[edge].reused for column in tiles for edge in edges)
        return self.shared if used else [None]

    def _standing(
        self, view: StackView, h: Sequence[str | None], v: Sequence[str | None]
    ) -> dict[str, int]:
        """Bits that stay in each on-chip memory through the stack."""
        bits: Counter[str] = Counter()
        for layer, memory in zip(view.layers, view.plan.weights, strict=True):
            if memory is not None:
                bits[memory] += layer.weight_volume_bits
        if self.rules.joint_capacity:
            for n, layer in enumerate(view.layers):
                for source in layer.sources:
                    edge = (source, layer.name)
                    for memory, held in (
                        (h[n], h_cache_bits(view, edge)),
                        (v[n], v_cache_bits(view, edge)),
                    ):
                        if memory is not None and view.whole_map(source) != memory:
                            bits[memory] += held
            if view.plan.carried is not None:
                bits[view.plan.source] += map_bits(view.workload, view.plan.carried)
            bits[view.plan.target] += map_bits(view.workload, view.plan.layers[-1])
        bits.pop(self.dram, None)
        return dict(bits)

    def _arrival(self, view: StackView, resident: Sequence[str | None]) -> tuple[Point, ...]:
        energy_pj, cycles = 0.0, 0
        if self.rules.charge_weight_arrival:
            for layer, memory in zip(view.layers, resident, strict=True):
                if memory not in (None, self.dram):
                    cost = weight_arrival(view.hardware, layer, memory)
                    energy_pj += cost.energy_pj
                    cycles += cost.latency_cycles
        return ((energy_pj, cycles),)

    def mappings(self, layer: Layer, step: LayerTilePlan) -> AllMappings:
        """All mappings of a layer-tile whose tensors rest where `step` says."""
        hardware = self.problem.hardware
        resting = {Operand.O: step.output, Operand.W: step.weights, Operand.I: step.operand}
        levels = {}
        for name in operand_names(layer):
            operand = memory_operand(name)
            memory = resting[operand]
            levels[name] = (
                1
                if memory is None
                else hardware.level_of(operand, memory_index(hardware, memory)) + 1
            )
        new = {"OX": step.width, "OY": step.height}
        sizes = tuple((dim, new.get(dim, size)) for dim, size in layer.loops)
        key = (layer.name, sizes, tuple(levels.items()))
        if key not in self._tiles:
            unroll = hardware.unrolling(self.problem.workload.name, layer)
            tile = LayerTile(layer=layer, sizes=sizes, levels=levels)
            mappings = AllMappings(hardware, unroll, tile, self.rules)
            count = len(prime_loops(mappings.model))
            inner = sum(levels.values()) - 3
            orders = (1, 1, 2, 6, 24, 120)[count] if count < 6 else 720
            flags = 2**inner if self.rules.explicit_double_buffering else 1
            if orders * (count + 1) ** inner * flags > self.most_mappings:
                raise TooLargeError
            self._tiles[key] = mappings
        return self._tiles[key]


def scale(points: Iterable[Point], count: int) -> tuple[Point, ...]:
    """Points of `count` equal tiles that all do the same.

    Mixing them could only add unsupported points, which are never the least of a
    nondecreasing quasi-concave objective.
    """
    return tuple((energy * count, latency * count) for energy, latency in points)
