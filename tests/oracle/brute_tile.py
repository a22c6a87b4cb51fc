"""One tile of a small stack: all places for its tensors, layer by layer, and their costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

from cost.mapping import TemporalMapping, operand_names
from cost.recost_capacity import StackView, made_bits
from cost.recost_layer import OperandCopies, copies_before, memory_index, writing_out
from cost.recost_tiles import EdgeBits, edge_bits, element_bits, map_channels
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, ScheduledMapping, TilePlan
from problems import Layer, LayerKind, Operand
from tests.oracle.all_mappings import AllMappings, Point, clean

NO_MAPPING = ScheduledMapping(loops=(), cuts={}, double_buffered={})
Places = frozenset[tuple[str, str]]
"""Maps whose tiles a later layer reads, and the memories they are in."""


class Oracle(Protocol):
    """What a tile asks of the enumeration that it is part of; see `BruteForce`."""

    rules: RuleSet
    allows: Callable[[tuple[str, ...], LayerTilePlan, bool], bool]
    mapped: Mapping[str, TemporalMapping]
    known: dict[str, tuple[Point, ...]]
    inputs: list[str]
    outputs: list[str]
    dram: str
    size: dict[str, int]

    def mappings(self, layer: Layer, step: LayerTilePlan) -> AllMappings:
        """All mappings of a layer-tile whose tensors rest where `step` says."""


@dataclass
class TileWalk:
    """A walk over the layers of one tile: memories of operands, outputs and landings."""

    brute: Oracle
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
