"""First bounds on every stack option: what no placement and no mapping can avoid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from cost.overlap import OverlapMode
from cost.stack_graph import stack_graph
from problems.workload import Operand
from solver.axis_counts import AxisCounts, axis_counts
from solver.floor_sums import CYCLES, ENERGY, AllFetched, Fetched, LayerSums, layer_sums
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
        self._counts: dict[tuple[_Grid, str, bool, int], AxisCounts] = {}
        members: dict[_Grid, set[int]] = {}
        for r in ranges:
            members.setdefault(self._grid_of(r), set()).update(r.layers)
        sizes: dict[int, tuple[set[int], set[int]]] = {}
        for grid, layers in members.items():
            graph = stack_graph(
                tables.problem.workload, tuple(sorted(layers)), tables.rules, grid.exports
            )
            for number, (axis, tiles) in enumerate((("x", grid.widths), ("y", grid.heights))):
                for cached in (False, True):
                    counts = axis_counts(graph, axis, tiles, cached)
                    for position, count in zip(graph.positions, counts, strict=True):
                        self._counts[grid, axis, cached, position] = count
                        found = sizes.setdefault(position, (set(), set()))
                        found[number].update(count.outputs.tolist())
        # Concats cost nothing, so they have no sums.
        computing = {p: s for p, s in sizes.items() if tables.problem.workload.layers[p].computes}
        self.layers: dict[int, LayerSums] = (
            layer_sums(tables, computing) if whole is None else whole.layers
        )
        self._fetching: dict[tuple[tuple[int, ...], int], dict[int, AllFetched]] = {}
        self._known: dict[tuple[_Grid, int, AllFetched, bool, int], np.ndarray] = {}

    @staticmethod
    def _grid_of(r: StackRange) -> _Grid:
        return _Grid(r.last, r.exports, r.widths, r.heights, r.modes)

    def _axes(self, grid: _Grid, mode: OverlapMode, layer: int) -> tuple[AxisCounts, AxisCounts]:
        return (
            self._counts[grid, "x", mode.caches_columns, layer],
            self._counts[grid, "y", mode.caches_rows, layer],
        )

    def _sums(
        self, grid: _Grid, layer: int, what: int, *, from_dram: AllFetched, to_dram: bool
    ) -> np.ndarray:
        """pJ or cycles [mode, width, height] of one layer in the stacks of a grid."""
        if layer not in self.layers:
            return np.zeros((len(grid.modes), len(grid.widths), len(grid.heights)))
        key = (grid, layer, from_dram, to_dram, what)
        if key not in self._known:
            found = [
                self.layers[layer].sums(
                    *self._axes(grid, mode, layer),
                    what,
                    from_dram=from_dram,
                    to_dram=to_dram,
                    exported=layer in grid.exports,
                )
                for mode in grid.modes
            ]
            self._known[key] = np.stack(found)
        return self._known[key]

    def _fetched(self, r: StackRange, source: int) -> dict[int, AllFetched]:
        """How operands come from DRAM, by layer of a stack.

        `source`: the memory that the carried map lies in. A tensor with several readers is
        charged to the first one.
        """
        carried = r.carried if source != r.dram else -1
        if (r.layers, carried) not in self._fetching:
            self._fetching[r.layers, carried] = self._find_fetched(r.layers, carried)
        return self._fetching[r.layers, carried]

    def _find_fetched(self, layers: tuple[int, ...], carried: int) -> dict[int, AllFetched]:
        graph = self.tables.graph(layers)
        found = {
            p: [Fetched.NOT] * len(into) for p, into in zip(layers, graph.edges_into, strict=True)
        }
        for edge in graph.edges:
            from_chip = carried >= 0 and graph.tensors[edge.tensor].producer == carried
            if edge.fetches and not from_chip:
                shared = len(graph.readers[edge.tensor]) > 1
                how = Fetched.FOR_SEVERAL if shared else Fetched.FOR_ONE
                found[layers[edge.layer]][edge.operand] = how
        return {p: tuple(flags) for p, flags in found.items()}

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

    def floors(self, what: int) -> list[np.ndarray]:
        """Floors on pJ or cycles of every option, range by range; see `ScreenedRange`."""
        out = []
        last_use = {self._grid_of(r): number for number, r in enumerate(self.ranges)}
        for number, r in enumerate(self.ranges):
            grid = self._grid_of(r)
            shape = (len(r.modes), len(r.widths), len(r.heights), len(r.sources), len(r.targets))
            floors = np.empty(shape)
            exported = self._exported_pj(r) if what == ENERGY else 0.0
            known: dict[tuple[bool, bool], np.ndarray] = {}
            for s, source in enumerate(r.sources):
                for t, target in enumerate(r.targets):
                    ends = (source == r.dram, target == r.dram)
                    if ends not in known:
                        parts = [
                            self._sums(
                                grid,
                                layer,
                                what,
                                from_dram=fetched,
                                to_dram=layer == r.last and target == r.dram,
                            )
                            for layer, fetched in self._fetched(r, source).items()
                        ]
                        known[ends] = sum(parts) + exported
                    fits = self._maps_fit(r, source, target)
                    floors[..., s, t] = known[ends] if fits else np.inf
            out.append(floors)
            if number == last_use[grid] and len(grid.widths) * len(grid.heights) > LARGE_GRID:
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

    def wanted(self, near: Near, layers: Iterable[int] | None = None) -> Wanted:
        """Sizes of layer-tiles that occur in options that matter, of all layers or of some."""
        asked = self.layers.keys() if layers is None else self.layers.keys() & set(layers)
        cases: dict[tuple[int, _Grid], np.ndarray] = {}
        for r, mask in near:
            grid = self._grid_of(r)
            here = mask.any(axis=(-2, -1))
            for layer in r.layers:
                if layer in asked:
                    seen = cases.get((layer, grid))
                    cases[layer, grid] = here if seen is None else seen | here
        wanted: dict[int, np.ndarray] = {}
        for (layer, grid), mask in cases.items():
            sums = self.layers[layer]
            for m, mode in enumerate(grid.modes):
                if mask[m].any():
                    need = sums.needed(*self._axes(grid, mode, layer), mask[m].astype(np.float64))
                    seen = wanted.get(layer)
                    wanted[layer] = need if seen is None else need | seen
        return dict(sorted(wanted.items()))
