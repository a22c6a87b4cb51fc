"""All schedules of a small chain: every cut, tile, mode, memory and mapping.

The enumeration is naive on purpose. It shares the cost kernel and the re-coster's
geometry with the product, and nothing of the solver.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from cost.mapping import LayerTile
from cost.overlap import OverlapMode
from cost.recost_capacity import StackView, h_cache_bits, v_cache_bits
from cost.recost_layer import copies_before, memory_index, weight_arrival
from cost.recost_tiles import (
    AxisStep,
    edge,
    map_bits,
    operand_channels,
    producer_bits,
    stack_geometry,
)
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, ScheduledMapping, StackPlan
from problems import Operand, Problem
from tests.oracle.all_mappings import AllMappings, Point, clean, prime_loops

Kind = tuple[tuple[AxisStep, ...], tuple[AxisStep, ...], bool]
"""Columns, rows, and whether the tile is the first of all and brings the weights."""
NO_MAPPING = ScheduledMapping(loops=(), cuts={}, double_buffered={})


class TooLargeError(Exception):
    """The instance has too many mappings to enumerate."""


@dataclass
class BruteForce:
    """Nondominated (pJ, cycles) of all schedules of `problem`.

    `widths` x `heights` are the tile sizes of every stack. Under rules without joint
    capacity only the fully-recompute mode is enumerated in full.
    """

    problem: Problem
    rules: RuleSet
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode)
    most_mappings: int = 4000
    most_choices: int = 3000
    _tiles: dict[object, AllMappings] = field(default_factory=dict)
    _edges: dict[object, tuple[Point, ...]] = field(default_factory=dict)

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
        layers = self.problem.workload.layers
        reached: dict[tuple[int, str], tuple[Point, ...]] = {(0, self.dram): ((0.0, 0),)}
        for end in range(1, len(layers) + 1):
            for target in self._boundaries(end):
                found: list[Point] = []
                for start in range(end):
                    for source in self._boundaries(start):
                        before = reached.get((start, source), ())
                        if before:
                            stack = self.stack_points(start, end, source, target)
                            found += add(before, stack)
                reached[end, target] = clean(found)
        return reached[len(layers), self.dram]

    def stack_points(self, start: int, end: int, source: str, target: str) -> tuple[Point, ...]:
        """Nondominated points of a stack of layers `start` to `end` - 1."""
        layers = self.problem.workload.layers[start:end]
        last = layers[-1].sizes
        sizes = {
            (min(x, last["OX"]), min(y, last["OY"])) for x in self.widths for y in self.heights
        }
        found: list[Point] = []
        for (x, y), mode in product(sorted(sizes), self.modes):
            view = StackView(
                workload=self.problem.workload,
                hardware=self.problem.hardware,
                rules=self.rules,
                plan=StackPlan(
                    layers=tuple(layer.name for layer in layers),
                    tile_x=x,
                    tile_y=y,
                    mode=mode,
                    source=source,
                    target=target,
                    weights=(None,) * len(layers),
                    arrival_energy_pj=0.0,
                    arrival_latency_cycles=0,
                    tiles=(),
                ),
                start=start,
                layers=layers,
                geometry=stack_geometry(layers, x, y, mode, self.rules),
            )
            found += self._option_points(view)
        return clean(found)

    def _boundaries(self, cut: int) -> list[str]:
        if cut in (0, len(self.problem.workload.layers)) or not self.rules.joint_capacity:
            return [self.dram]
        bits = map_bits(self.problem.workload, cut - 1)
        return [name for name in self.shared if self.size[name] >= bits]

    def _option_points(self, view: StackView) -> Iterator[Point]:
        columns, rows = view.geometry.columns, view.geometry.rows
        kinds: Counter[Kind] = Counter()
        for (i, x), (j, y) in product(enumerate(columns), enumerate(rows)):
            first = i == j == 0 and not self.rules.charge_weight_arrival
            kinds[x, y, first] += 1
        weights = [self.weights if layer.has_weights else [None] for layer in view.layers]
        h = [self._cache_choices(columns, n) for n in range(len(view.layers))]
        v = [self._cache_choices(rows, n) for n in range(len(view.layers))]
        count = 1
        for choices in (*weights, *h, *v):
            count *= len(choices)
        if count * len(kinds) > self.most_choices:
            raise TooLargeError
        for resident, columns_in, rows_in in product(product(*weights), product(*h), product(*v)):
            plan = replace(view.plan, weights=resident)
            standing = self._standing(replace(view, plan=plan), columns_in, rows_in)
            if any(standing[name] > self.size[name] for name in standing):
                continue
            points = self._arrival(view, resident)
            for (x, y, first), number in sorted(kinds.items(), key=repr):
                tile = self._tile_points(
                    replace(view, plan=plan), x, y, first, columns_in, rows_in, standing
                )
                points = clean(add(points, scale(tile, number)))
                if not points:
                    break
            yield from points

    def _cache_choices(self, tiles: Sequence[Sequence[AxisStep]], n: int) -> Sequence[str | None]:
        return self.shared if any(steps[n].reused for steps in tiles) else [None]

    def _standing(
        self, view: StackView, h: Sequence[str | None], v: Sequence[str | None]
    ) -> dict[str, int]:
        """Bits that stay in each on-chip memory through the stack."""
        bits: Counter[str] = Counter()
        for layer, memory in zip(view.layers, view.plan.weights, strict=True):
            if memory is not None:
                bits[memory] += layer.weight_volume_bits
        if self.rules.joint_capacity:
            for n in range(len(view.layers)):
                for memory, held in ((h[n], h_cache_bits(view, n)), (v[n], v_cache_bits(view, n))):
                    if memory is not None and not view.is_source(n, memory):
                        bits[memory] += held
            end = view.start + len(view.layers)
            if view.start:
                bits[view.plan.source] += map_bits(view.workload, view.start - 1)
            bits[view.plan.target] += map_bits(view.workload, end - 1)
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

    def _tile_points(
        self,
        view: StackView,
        x: Sequence[AxisStep],
        y: Sequence[AxisStep],
        first: bool,
        h: Sequence[str | None],
        v: Sequence[str | None],
        standing: dict[str, int],
    ) -> tuple[Point, ...]:
        """Nondominated points of one tile, a walk over the memories of its tensors."""
        reached: dict[str, tuple[Point, ...]] = {}
        fresh = edge(
            view.layers[0], x[0], y[0], producer_bits(view.workload, view.start), self.rules
        ).fresh_bits
        for name in self.inputs:
            taken = standing.get(name, 0) if self.rules.joint_capacity else 0
            if name in (view.plan.source, self.dram) or fresh + taken <= self.size[name]:
                reached[name] = ((0.0, 0),)
        last = len(view.layers) - 1
        for n in range(len(view.layers)):
            found: dict[str, list[Point]] = {}
            outputs = [view.plan.target] if n == last else self.outputs
            for (producer, before), operand, output in product(
                reached.items(), self.inputs, outputs
            ):
                resident = self.dram if first and view.plan.weights[n] else view.plan.weights[n]
                step = LayerTilePlan(
                    layer=view.layers[n].name,
                    width=x[n].outputs,
                    height=y[n].outputs,
                    producer=producer,
                    weights=resident,
                    operand=operand,
                    output=output,
                    h_use=h[n] if x[n].reused else None,
                    h_make=h[n] if x[n].kept else None,
                    v=v[n] if y[n].reused or y[n].kept else None,
                    mapping=NO_MAPPING,
                    energy_pj=0.0,
                    latency_cycles=0,
                    copy_energy_pj=0.0,
                    copy_latency_cycles=0,
                )
                points = self._step_points(view, step, n, x[n], y[n], standing)
                if points:
                    found.setdefault(output, []).extend(add(before, points))
            reached = {name: clean(points) for name, points in found.items()}
        return reached.get(view.plan.target, ())

    def _step_points(
        self,
        view: StackView,
        step: LayerTilePlan,
        n: int,
        x: AxisStep,
        y: AxisStep,
        standing: dict[str, int],
    ) -> tuple[Point, ...]:
        source = view.plan.source if n == 0 else None
        budgets = self._budgets(view, step, n, standing, x, y)
        if budgets is None:
            return ()
        in_place = []
        if self.rules.joint_capacity and n == 0 and step.operand == step.producer == source:
            bits = operand_channels(view.layers[0]) * x.extent * y.extent
            bits *= view.layers[0].precision.input_bits
            in_place.append(("I", memory_index(view.hardware, step.operand), bits))
        if self.rules.joint_capacity and n == len(view.layers) - 1:
            # Only finished outputs lie in the map; wider partial sums need room beside it.
            layer = view.layers[n]
            bits = layer.channels * x.outputs * y.outputs * layer.precision.output_bits
            in_place.append(("O", memory_index(view.hardware, step.output), bits))
        key = (step, view.start, n, x, y, source, tuple(sorted(budgets.items())), tuple(in_place))
        name = repr(key)
        if name not in self._edges:
            mappings = self._mappings(view, step, n)
            points = mappings.pareto(budgets, tuple(in_place))
            amounts = edge(
                view.layers[n], x, y, producer_bits(view.workload, view.start + n), self.rules
            )
            copies = copies_before(view.hardware, step, amounts, source, self.rules)
            self._edges[name] = tuple(add(points, ((copies.energy_pj, copies.latency_cycles),)))
        return self._edges[name]

    def _budgets(
        self,
        view: StackView,
        step: LayerTilePlan,
        n: int,
        standing: dict[str, int],
        x: AxisStep,
        y: AxisStep,
    ) -> dict[int, int] | None:
        """Bits free for the mapping by memory index; None if the tensors do not fit."""
        layer = view.layers[n]
        if self.rules.joint_capacity:
            budgets = {}
            for name, held in standing.items():
                own = layer.weight_volume_bits if view.plan.weights[n] == name else 0
                budgets[memory_index(view.hardware, name)] = self.size[name] - held + own
            return budgets
        inputs = operand_channels(layer) * x.extent * y.extent * layer.precision.input_bits
        outputs = layer.channels * x.outputs * y.outputs * layer.precision.output_bits
        outputs += inputs if step.operand == step.output else 0
        fits = inputs <= self.size[step.operand] and outputs <= self.size[step.output]
        return {} if fits else None

    def _mappings(self, view: StackView, step: LayerTilePlan, n: int) -> AllMappings:
        layer, hardware = view.layers[n], view.hardware
        levels = {
            operand.value: 1
            if memory is None
            else hardware.level_of(operand, memory_index(hardware, memory)) + 1
            for operand, memory in (
                (Operand.O, step.output),
                (Operand.W, step.weights),
                (Operand.I, step.operand),
            )
        }
        new = {"OX": step.width, "OY": step.height}
        sizes = tuple((dim, new.get(dim, size)) for dim, size in layer.loops)
        key = (layer.name, sizes, tuple(levels.items()))
        if key not in self._tiles:
            unroll = hardware.unrolling(view.workload.name, layer)
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
