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
    made_bits,
    v_cache_bits,
)
from cost.recost_layer import (
    OperandCopies,
    copies_before,
    memory_index,
    weight_arrival,
    writing_out,
)
from cost.recost_tiles import (
    AxisColumn,
    EdgeBits,
    edge_bits,
    edge_channels,
    element_bits,
    map_bits,
    map_channels,
    operand_span,
    stack_geometry,
    walk_axis,
)
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, ScheduledMapping, StackPlan, TilePlan
from problems import Layer, LayerKind, Operand, Problem
from tests.oracle.all_mappings import AllMappings, Point, clean, prime_loops

NO_MAPPING = ScheduledMapping(loops=(), cuts={}, double_buffered={})
Places = frozenset[tuple[str, str]]
"""Maps whose tiles a later layer reads, and the memories they are in."""
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
                walk = _Tile(self, placed, where[kind], kind[2], *caches, standing)
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
                walk = _Tile(self, view, tile, i == j == 0, left, right, rows_in, standing)
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


@dataclass
class _Tile:
    """A walk over the layers of one tile: memories of operands, outputs and landings."""

    brute: BruteForce
    view: StackView
    tile: TilePlan
    first: bool
    h_use: Sequence[str | None]
    h_make: Sequence[str | None]
    v: Sequence[str | None]
    standing: Mapping[str, int]

    def __post_init__(self) -> None:
        view = self.view
        self.x, self.y = view.axes(self.tile)
        sources = {source for layer in view.layers for source in layer.sources}
        self.made = {
            name: made_bits(view, self.tile, name) for name in sources | set(view.plan.layers)
        }
        self.runs = [
            min(self.x.outputs[layer.name], self.y.outputs[layer.name]) > 0 for layer in view.layers
        ]

    def points(self) -> tuple[Point, ...]:
        """Nondominated points of the tile."""
        reached: dict[Places, list[Point]] = {frozenset(): [(0.0, 0)]}
        for n in range(len(self.view.layers)):
            if not self.runs[n]:
                continue
            found: dict[Places, list[Point]] = {}
            for places, before in reached.items():
                for after, points in self._layer(n, dict(places)):
                    found.setdefault(after, []).extend(add(before, points))
            reached = {places: list(clean(points)) for places, points in found.items()}
        return clean([point for points in reached.values() for point in points])

    def _fetcher(self, name: str) -> int:
        """The first reader that runs."""
        return next(n for n in self.view.readers(name) if self.runs[n])

    def _layer(self, n: int, places: dict[str, str]) -> Iterator[tuple[Places, tuple[Point, ...]]]:
        view, brute = self.view, self.brute
        layer = view.layers[n]
        landing = []
        for source in layer.sources:
            if self.made[source] == 0:
                landing.append([brute.dram])
            elif source in places:
                landing.append([places[source]])
            else:
                landing.append(brute.inputs)
        last = n == len(view.layers) - 1
        outputs = [view.plan.target] if last else brute.outputs
        for where in product(*landing):
            here = {s: w for s, w in zip(layer.sources, where, strict=True) if self.made[s]}
            if not self._lands(n, places, here):
                continue
            for operand, output in product(brute.inputs, outputs):
                now = places | here
                points = self._step(n, now, operand, output, where)
                if points:
                    now[layer.name] = output
                    later = {
                        name: place
                        for name, place in now.items()
                        if any(reader > n for reader in view.readers(name))
                    }
                    yield frozenset(later.items()), points

    def _amounts(self, source: str, layer: Layer) -> EdgeBits:
        """What the tile moves on its way from `source` into `layer`."""
        view, edge = self.view, (source, layer.name)
        return edge_bits(view.workload, view.plan.layers, edge, self.x, self.y, view.rules)

    def _waiting(self, n: int, places: Mapping[str, str]) -> Counter[str]:
        """Bits by memory of tiles that keep room of their own while layer n runs."""
        bits: Counter[str] = Counter()
        for name, place in places.items():
            inside = name in self.view.plan.layers
            since = self.view.plan.layers.index(name) + 1 if inside else 0
            if since <= n < self.view.readers(name)[-1] and place != self.view.whole_map(name):
                bits[place] += self.made[name]
        return bits

    def _lands(self, n: int, places: Mapping[str, str], here: Mapping[str, str]) -> bool:
        """Whether what layer n fetches fits where it is put."""
        landed: Counter[str] = Counter()
        for name, place in here.items():
            whole = self.view.whole_map(name)
            if whole is None or name in places or place in (whole, self.brute.dram):
                continue
            landed[place] += self.made[name]
        if self.brute.rules.joint_capacity:
            waiting = self._waiting(n, places)
            for place in landed:
                landed[place] += self.standing.get(place, 0) + waiting[place]
        return all(bits <= self.brute.size[place] for place, bits in landed.items())

    def _step(
        self, n: int, places: dict[str, str], operand: str, output: str, where: tuple[str, ...]
    ) -> tuple[Point, ...]:
        view, brute, layer = self.view, self.brute, self.view.layers[n]
        resident = view.plan.weights[n]
        across = [self.x.edges[source, layer.name] for source in layer.sources]
        down = [self.y.edges[source, layer.name] for source in layer.sources]
        rows = any(step.reused or step.kept for step in down)
        step = LayerTilePlan(
            layer=layer.name,
            width=self.x.outputs[layer.name],
            height=self.y.outputs[layer.name],
            producer=where[0],
            second=where[1] if len(where) > 1 else None,
            weights=brute.dram if self.first and resident else resident,
            operand=operand,
            output=output,
            h_use=self.h_use[n] if any(step.reused for step in across) else None,
            h_make=self.h_make[n] if any(step.kept for step in across) else None,
            v=self.v[n] if rows else None,
            mapping=NO_MAPPING,
            energy_pj=0.0,
            latency_cycles=0,
            copy_energy_pj=0.0,
            copy_latency_cycles=0,
            export_energy_pj=0.0,
            export_latency_cycles=0,
        )
        if not brute.allows(view.plan.layers, step, self.first):
            return ()
        budgets = self._budgets(n, step, places)
        if budgets is None:
            return ()
        in_place = self._in_place(n, step, where)
        operands = [
            OperandCopies(
                bits=self._amounts(source, layer),
                place=place,
                source=view.whole_map(source),
                fetches=view.whole_map(source) is not None and self._fetcher(source) == n,
            )
            for source, place in zip(layer.sources, where, strict=True)
        ]
        exported = 0
        if layer.name in view.exports:
            exported = self.x.new[layer.name] * self.y.new[layer.name]
            exported *= map_channels(view.workload, layer.name)
            exported *= element_bits(view.workload, layer.name)
        key = repr((step, operands, exported, sorted(budgets.items()), in_place))
        if key not in brute.known:
            if layer.kind is LayerKind.CONCAT:
                points = self._union(n, step, budgets, operands, where)
            else:
                only = self._only(layer, step, resident)
                points = brute.mappings(layer, step).pareto(budgets, in_place, only)
            copies = copies_before(view.hardware, step, operands, brute.rules)
            out = writing_out(view.hardware, exported, output)
            beside = (
                copies.energy_pj + out.energy_pj,
                copies.latency_cycles + out.latency_cycles,
            )
            brute.known[key] = tuple(add(points, (beside,)))
        return brute.known[key]

    def _only(
        self, layer: Layer, step: LayerTilePlan, resident: str | None
    ) -> TemporalMapping | None:
        """The one mapping that a layer-tile may have, None for any."""
        only = self.brute.mapped.get(layer.name)
        if only is None or not self.brute.mappings(layer, step).has_loops(only):
            return None
        chain = self.view.hardware.chains[Operand.W]
        if self.first and resident and len(only.cuts["W"]) < len(chain):
            return None  # the reference maps the first tile's weights from DRAM
        return only

    def _union(
        self,
        n: int,
        step: LayerTilePlan,
        budgets: Mapping[int, int],
        operands: Sequence[OperandCopies],
        where: tuple[str, ...],
    ) -> tuple[Point, ...]:
        """Nothing to pay for a concat whose parts, side by side, fit where it is."""
        if step.operand != step.output:
            return ()
        width = self.view.layers[n].precision.output_bits
        bits = step.width * step.height * map_channels(self.view.workload, step.layer) * width
        if n == len(self.view.layers) - 1:
            bits = 0  # it lies in the map after the stack
        else:
            for operand, place in zip(operands, where, strict=True):
                if step.operand == place == operand.source:
                    bits -= operand.bits.input_bits
        memory = memory_index(self.view.hardware, step.output)
        return ((0.0, 0),) if bits <= budgets.get(memory, bits) else ()

    def _in_place(
        self, n: int, step: LayerTilePlan, where: tuple[str, ...]
    ) -> tuple[tuple[str, int, int], ...]:
        """(tensor, memory, bits) of what lies inside whole maps that are counted already."""
        view, layer = self.view, self.view.layers[n]
        if not self.brute.rules.joint_capacity:
            return ()
        found = []
        names = [name for name in operand_names(layer) if name not in ("O", "W")]
        for name, source, place in zip(names, layer.sources, where, strict=True):
            if step.operand == place == view.whole_map(source):
                amounts = self._amounts(source, layer)
                memory = memory_index(view.hardware, step.operand)
                found.append((name, memory, amounts.operand_bits))
        if n == len(view.layers) - 1:
            # Only finished outputs lie in the map; wider partial sums need room beside it.
            memory = memory_index(view.hardware, step.output)
            found.append(("O", memory, self.made[layer.name]))
        return tuple(found)

    def _budgets(
        self, n: int, step: LayerTilePlan, places: Mapping[str, str]
    ) -> dict[int, int] | None:
        """Bits free for the mapping by memory index; None if the tensors do not fit."""
        view, size, layer = self.view, self.brute.size, self.view.layers[n]
        if self.brute.rules.joint_capacity:
            budgets = {}
            waiting = self._waiting(n, places)
            for name in {*self.standing, *waiting} - {self.brute.dram}:
                held = self.standing.get(name, 0) + waiting[name]
                own = layer.weight_volume_bits if view.plan.weights[n] == name else 0
                budgets[memory_index(view.hardware, name)] = size[name] - held + own
            return budgets
        inputs = sum(self._amounts(source, layer).input_bits for source in layer.sources)
        outputs = self.made[layer.name] + (inputs if step.operand == step.output else 0)
        fits = inputs <= size[step.operand] and outputs <= size[step.output]
        return {} if fits else None


def add(one: Iterable[Point], two: Iterable[Point]) -> list[Point]:
    """All sums of a point of `one` and a point of `two`."""
    others = list(two)
    return [(e + f, m + n) for e, m in one for f, n in others]


def scale(points: Iterable[Point], count: int) -> tuple[Point, ...]:
    """Points of `count` equal tiles that all do the same.

    Mixing them could only add unsupported points, which are never the least of a
    nondecreasing quasi-concave objective.
    """
    return tuple((energy * count, latency * count) for energy, latency in points)
