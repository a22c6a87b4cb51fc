"""First bounds on every stack option: what no placement and no mapping can avoid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cost.overlap import OverlapMode
from cost.stack_graph import stack_graph
from problems.workload import Operand
from solver.axis_counts import AxisCounts, axis_counts
from solver.fetching import AllFetched, Fetching
from solver.floor_sums import (
    CYCLES,
    ENERGY,
    LayerSums,
    LeastOf,
    Weights,
    layer_sums,
)
from solver.layer_tables import LayerTile
from solver.space import StackRange
from solver.stack_option import StackOption
from solver.stack_tables import StackTables
from solver.way_in import link_pj_per_bit


@dataclass(frozen=True, kw_only=True, eq=False)
class ScreenedRange:
    """Floors of a stack range, pJ and cycles, [mode, width, height, source, target]."""

    range: StackRange
    energy: np.ndarray
    latency: np.ndarray

    def option(self, index: tuple[int, ...]) -> StackOption:
        """The stack option at (mode, width, height, source, target)."""
        m, w, h, s, t = index
        r = self.range
        return StackOption(
            r.layers,
            r.widths[w],
            r.heights[h],
            r.modes[m],
            r.sources[s],
            r.targets[t],
            -1 if r.sources[s] == r.dram else r.carried,
        )


@dataclass(frozen=True, slots=True)
class _Grid:
    """What ranges that end in the same layer and write the same maps out share."""

    last: int
    exports: tuple[int, ...]
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...]


def _grid(r: StackRange) -> _Grid:
    return _Grid(r.last, r.exports, r.widths, r.heights, r.modes)


LARGE_GRID = 100_000
"""Tile sizes of a grid whose sums take more memory than working them out anew takes time."""
Near = list[tuple[StackRange, np.ndarray]]
"""Ranges with masks of the options that matter, [mode, width, height, source, target]."""
Wanted = Mapping[int, np.ndarray]
"""Sizes [width, height] of a layer's tiles that occur in such options, by layer."""


class Screen:
    """Floors of all stacks as sums over layers, to be sharpened layer by layer."""

    def __init__(
        self,
        tables: StackTables,
        ranges: tuple[StackRange, ...],
        whole: Screen | None = None,
    ) -> None:
        """`whole`: a screen of ranges that hold these; what it knows of layer-tiles is shared."""
        self.tables, self.ranges = tables, ranges
        self.last_cut = max(r.head for r in ranges) if whole is None else whole.last_cut
        self._counts: dict[tuple[int, str, bool, int], AxisCounts] = {}
        # Numbers stand for grids, which take long to compare.
        numbers: dict[_Grid, int] = {}
        self._grid_of = [numbers.setdefault(_grid(r), len(numbers)) for r in ranges]
        """By range."""
        self._numbers, self._grids = numbers, list(numbers)
        members: list[set[int]] = [set() for _ in numbers]
        for r, number in zip(ranges, self._grid_of, strict=True):
            members[number].update(r.layers)
        self._members = members
        sizes: dict[int, tuple[set[int], set[int]]] = {}
        for at, (grid, layers) in enumerate(zip(self._grids, members, strict=True)):
            if whole is not None and self._take_counts(at, layers, whole):
                continue
            graph = stack_graph(
                tables.problem.workload, tuple(sorted(layers)), tables.rules, grid.exports
            )
            for side, (axis, tiles) in enumerate((("x", grid.widths), ("y", grid.heights))):
                for cached in (False, True):
                    counts = axis_counts(graph, axis, tiles, cached)
                    for position, count in zip(graph.positions, counts, strict=True):
                        self._counts[at, axis, cached, position] = count
                        found = sizes.setdefault(position, (set(), set()))
                        found[side].update(count.outputs.tolist())
        # Concats cost nothing, so they have no sums.
        computing = {p: s for p, s in sizes.items() if tables.problem.workload.layers[p].computes}
        self.layers: dict[int, LayerSums] = (
            layer_sums(tables, computing) if whole is None else whole.layers
        )
        self.fetching = Fetching(tables.problem.workload)
        self._known: dict[tuple[int, int, AllFetched, bool, Weights], np.ndarray] = {}

    def _take_counts(self, at: int, layers: set[int], whole: Screen) -> bool:
        """Take over the counts of a grid from those of one of `whole` that has all its sizes."""
        grid = self._grids[at]
        for number, other in enumerate(whole._grids):
            if (other.last, other.exports) != (grid.last, grid.exports):
                continue
            has_sizes = set(grid.widths) <= set(other.widths)
            has_sizes &= set(grid.heights) <= set(other.heights)
            if not has_sizes or not layers <= whole._members[number]:
                continue
            for axis, tiles, known in (
                ("x", grid.widths, other.widths),
                ("y", grid.heights, other.heights),
            ):
                rows = np.searchsorted(known, tiles)
                for cached in (False, True):
                    for layer in layers:
                        counts = whole._counts[number, axis, cached, layer]
                        self._counts[at, axis, cached, layer] = counts.of(rows)
            return True
        return False

    def _axes(self, grid: int, mode: OverlapMode, layer: int) -> tuple[AxisCounts, AxisCounts]:
        return (
            self._counts[grid, "x", mode.caches_columns, layer],
            self._counts[grid, "y", mode.caches_rows, layer],
        )

    def sums_of(
        self, number: int, layer: int, weights: Weights, *, from_dram: AllFetched, to_dram: bool
    ) -> np.ndarray:
        """Weighted cost [mode, width, height] of one layer in the stacks of a grid."""
        grid = self._grids[number]
        if layer not in self.layers:
            return np.zeros((len(grid.modes), len(grid.widths), len(grid.heights)))
        key = (number, layer, from_dram, to_dram, weights)
        if key not in self._known:
            found = [
                self.layers[layer].sums(
                    *self._axes(number, mode, layer),
                    weights,
                    from_dram=from_dram,
                    to_dram=to_dram,
                    exported=layer in grid.exports,
                )
                for mode in grid.modes
            ]
            self._known[key] = np.stack(found)
        return self._known[key]

    def _exported_pj(self, r: StackRange) -> float:
        """pJ of writing maps out while the stack runs: each goes over DRAM's link once.

        Not that of a concat, whose parts may lie in DRAM anyway.
        """
        if not r.exports:
            return 0.0
        graph = self.tables.graph(r.layers)
        link = link_pj_per_bit(self.tables.problem.hardware, Operand.O, inward=False)
        computed = [e for e in graph.exports if graph.layers[e].computes]
        return sum(graph.tensors[e].map_bits for e in computed) * link

    def screen(self) -> tuple[ScreenedRange, ...]:
        """Floors of every option of every range, by all that was sharpened so far."""
        both = zip(self.ranges, self.floors(ENERGY), self.floors(CYCLES), strict=True)
        return tuple(ScreenedRange(range=r, energy=e, latency=c) for r, e, c in both)

    def floors(self, weights: Weights) -> list[np.ndarray]:
        """Floors on weighted costs of every option, range by range; see `ScreenedRange`.

        Of pJ and cycles alone, `ENERGY` and `CYCLES`, or of both together.
        """
        out = []
        last_use = {grid: number for number, grid in enumerate(self._grid_of)}
        inner = _InnerSums(self, weights)
        for number, (r, grid) in enumerate(zip(self.ranges, self._grid_of, strict=True)):
            shape = (len(r.modes), len(r.widths), len(r.heights), len(r.sources), len(r.targets))
            floors = np.empty(shape)
            exported = weights[0] * self._exported_pj(r) if weights[0] else 0.0
            known: dict[tuple[bool, bool], np.ndarray] = {}
            for s, source in enumerate(r.sources):
                for t, target in enumerate(r.targets):
                    ends = (source == r.dram, target == r.dram)
                    if ends not in known:
                        fetched = self.fetching.of(r, source)
                        total = inner.of(grid, [p for p in r.layers[:-1] if p not in fetched])
                        for layer in dict.fromkeys((*fetched, r.last)):
                            flags = fetched.get(layer, self.fetching.nothing[layer])
                            out_there = layer == r.last and target == r.dram
                            total = total + self.sums_of(
                                grid, layer, weights, from_dram=flags, to_dram=out_there
                            )
                        known[ends] = total + exported
                    fits = self._maps_fit(r, source, target)
                    floors[..., s, t] = known[ends] if fits else np.inf
            out.append(floors)
            if number == last_use[grid]:
                inner.forget(grid)
                spec = self._grids[grid]
                if len(spec.widths) * len(spec.heights) > LARGE_GRID:
                    self._known = {key: sums for key, sums in self._known.items() if key[0] != grid}
        return out

    def _maps_fit(self, r: StackRange, source: int, target: int) -> bool:
        """Whether the maps before and after the stack fit the memory that both rest in."""
        if source != target or source == r.dram:
            return True
        layers = self.tables.problem.workload.layers
        bits = 0
        for made in (layers[r.carried], layers[r.last]):
            elements = made.sizes["B"] * made.channels * made.sizes["OX"] * made.sizes["OY"]
            bits += elements * made.precision.output_bits
        return bits <= self.tables.domains.sizes_bits[source]

    def promises(
        self, wanted: Wanted, weights: tuple[float, float], pause: Callable[[], object]
    ) -> dict[int, tuple[float, int]]:
        """What `sharpen` would bring and take by layer: (weighted rise per map, tiles).

        The rise is what a sample has.
        """
        return {
            layer: self.layers[layer].promise(need, weights, pause)
            for layer, need in wanted.items()
        }

    def count(self, wanted: Wanted, *, timed: bool = True) -> dict[int, int]:
        """How many layer-tiles `sharpen` would bound by layer, where it has any to put.

        Those that stand for tiles of several layers count once: all alike are bounded together.
        """
        known: dict[int, set[int]] = {self.tables.alike(layer): set() for layer in wanted}
        for layer, sums in self.layers.items():
            of_class, grid = self.tables.alike(layer), sums.grid
            done = grid.sharp if timed else grid.sharp | grid.quick
            if of_class in known and done.any():
                known[of_class].update(sums.codes(done))
        found = {}
        for layer, need in wanted.items():
            sums = self.layers[layer]
            missing = sums.missing(need, timed=timed)
            if missing.any():
                seen = known[self.tables.alike(layer)]
                new = set(sums.codes(missing)) - seen
                seen |= new
                found[layer] = len(new)
        return found

    def sharpen(
        self,
        layers: Iterable[int],
        wanted: Wanted,
        pause: Callable[[], object],
        *,
        timed: bool = True,
    ) -> None:
        """Put least bounds of mappings in place of the floors of layer-tiles; see `LayerSums`.

        Sizes that occur in none of the options that matter keep their floors. `pause` may raise.
        """
        touched = set()
        try:
            for layer in layers:
                touched.add(layer)
                if layer in wanted:
                    self.layers[layer].sharpen(wanted[layer], pause, timed=timed)
        finally:
            self._known = {key: sums for key, sums in self._known.items() if key[1] not in touched}

    def learn(self, tiles: Mapping[int, set[LayerTile]], pause: Callable[[], object]) -> None:
        """Take over the least bounds of layer-tiles that have risen, by the layer for all alike."""
        touched = {n for n in self.layers if self.tables.alike(n) in tiles}
        self._known = {key: sums for key, sums in self._known.items() if key[1] not in touched}
        for layer in touched:
            self.layers[layer].learn(tiles[self.tables.alike(layer)], pause)

    def learn_jointly(
        self,
        weights: Weights,
        tiles: Mapping[int, Mapping[LayerTile, np.ndarray]],
        of_tile: LeastOf,
    ) -> None:
        """Take over bounds [W, I, O level] of weighted costs, by the layer for all alike."""
        touched = {n for n in self.layers if self.tables.alike(n) in tiles}
        self._known = {
            key: sums
            for key, sums in self._known.items()
            # Of what was known under other weights nothing is asked again.
            if key[4] in (ENERGY, CYCLES) or (key[4] == weights and key[1] not in touched)
        }
        for layer in touched:
            found = tiles[self.tables.alike(layer)]
            self.layers[layer].learn_jointly(weights, found, of_tile)

    def wanted(self, near: Near, layers: Iterable[int] | None = None) -> Wanted:
        """Sizes of layer-tiles that occur in options that matter, of all layers or of some."""
        asked = self.layers.keys() if layers is None else self.layers.keys() & set(layers)
        cases: dict[tuple[int, int], np.ndarray] = {}
        for r, mask in near:
            grid = self._numbers[_grid(r)]
            here = mask.any(axis=(-2, -1))
            for layer in r.layers:
                if layer in asked:
                    seen = cases.get((layer, grid))
                    cases[layer, grid] = here if seen is None else seen | here
        wanted: dict[int, np.ndarray] = {}
        for (layer, grid), mask in cases.items():
            sums = self.layers[layer]
            for m, mode in enumerate(self._grids[grid].modes):
                if mask[m].any():
                    need = sums.needed(*self._axes(grid, mode, layer), mask[m].astype(np.float64))
                    seen = wanted.get(layer)
                    wanted[layer] = need if seen is None else need | seen
        return dict(sorted(wanted.items()))


class _InnerSums:
    """Sums over layers inside of stacks: each has one layer more than one that starts later."""

    def __init__(self, screen: Screen, weights: Weights) -> None:
        self._screen, self._weights = screen, weights
        self._roots: dict[int, _Node] = {}

    def of(self, grid: int, layers: Sequence[int]) -> np.ndarray | float:
        """Weighted cost [mode, width, height] of `layers` that fetch nothing from DRAM."""
        node = self._roots.setdefault(grid, _Node(0.0))
        for layer in reversed(layers):
            after = node.before.get(layer)
            if after is None:
                nothing = self._screen.fetching.nothing[layer]
                more = self._screen.sums_of(
                    grid, layer, self._weights, from_dram=nothing, to_dram=False
                )
                after = node.before[layer] = _Node(node.total + more)
            node = after
        return node.total

    def forget(self, grid: int) -> None:
        """Let go of the sums of a grid."""
        self._roots.pop(grid, None)


@dataclass(eq=False, slots=True)
class _Node:
    """The sum over some layers, and those with one more `before` them, by that layer."""

    total: np.ndarray | float
    before: dict[int, _Node] = field(default_factory=dict)
