"""First bounds on every stack option: what no placement and no mapping can avoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP
from cost.overlap import OverlapMode
from solver.axis_counts import AxisCounts, axis_counts
from solver.floor_sums import LayerSums, layer_sums
from solver.space import StackRange
from solver.stack_tables import StackOption, StackTables


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
            r.first, r.last, r.widths[w], r.heights[h], r.modes[m], r.sources[s], r.targets[t]
        )


@dataclass(frozen=True, slots=True)
class _Grid:
    """What ranges that end in the same layer share."""

    last: int
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...]


class Screen:
    """Floors of all stacks as sums over layers, to be sharpened layer by layer."""

    def __init__(self, tables: StackTables, ranges: tuple[StackRange, ...]) -> None:
        self.tables, self.ranges = tables, ranges
        self._counts: dict[tuple[_Grid, str, bool], tuple[AxisCounts, ...]] = {}
        self._start: dict[_Grid, int] = {}
        for r in ranges:
            grid = self._grid_of(r)
            self._start[grid] = min(r.first, self._start.get(grid, r.first))
        sizes: dict[int, tuple[set[int], set[int]]] = {}
        for grid, start in self._start.items():
            stack = tables.problem.workload.layers[start : grid.last + 1]
            for number, (axis, tiles) in enumerate((("x", grid.widths), ("y", grid.heights))):
                for cached in (False, True):
                    counts = axis_counts(stack, axis, tiles, cached, tables.rules.true_spans)
                    self._counts[grid, axis, cached] = counts
                    for e, count in enumerate(counts):
                        found = sizes.setdefault(start + e, (set(), set()))
                        found[number].update(count.outputs.tolist())
        self.layers: dict[int, LayerSums] = layer_sums(tables, sizes)
        self._known: dict[tuple[_Grid, int, bool, bool], tuple[np.ndarray, np.ndarray]] = {}

    @staticmethod
    def _grid_of(r: StackRange) -> _Grid:
        return _Grid(r.last, r.widths, r.heights, r.modes)

    def _axes(self, grid: _Grid, mode: OverlapMode, layer: int) -> tuple[AxisCounts, AxisCounts]:
        e = layer - self._start[grid]
        return (
            self._counts[grid, "x", mode.caches_columns][e],
            self._counts[grid, "y", mode.caches_rows][e],
        )

    def _sums(
        self, grid: _Grid, layer: int, *, from_dram: bool, to_dram: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """(pJ, cycles) [mode, width, height] of one layer in the stacks of a grid."""
        key = (grid, layer, from_dram, to_dram)
        if key not in self._known:
            found = [
                self.layers[layer].sums(
                    *self._axes(grid, mode, layer), from_dram=from_dram, to_dram=to_dram
                )
                for mode in grid.modes
            ]
            self._known[key] = np.stack([e for e, _ in found]), np.stack([c for _, c in found])
        return self._known[key]

    def screen(self) -> tuple[ScreenedRange, ...]:
        """Floors of every option of every range, by all that was sharpened so far."""
        dram = self.tables.domains.dram
        later: dict[tuple[_Grid, int, bool], tuple[np.ndarray, np.ndarray]] = {}
        heads: dict[tuple[_Grid, int, bool, bool], tuple[np.ndarray, np.ndarray]] = {}
        for grid, start in self._start.items():
            shape = (len(grid.modes), len(grid.widths), len(grid.heights))
            for to_dram in (False, True):
                total = np.zeros(shape), np.zeros(shape)
                for layer in range(grid.last, start - 1, -1):
                    later[grid, layer, to_dram] = total
                    last = to_dram and layer == grid.last
                    inner = self._sums(grid, layer, from_dram=False, to_dram=last)
                    first = self._sums(grid, layer, from_dram=True, to_dram=last)
                    heads[grid, layer, to_dram, False] = inner
                    heads[grid, layer, to_dram, True] = first
                    total = total[0] + inner[0], total[1] + inner[1]
        out = []
        for r in self.ranges:
            grid = self._grid_of(r)
            shape = (len(r.modes), len(r.widths), len(r.heights), len(r.sources), len(r.targets))
            energy, latency = np.empty(shape), np.empty(shape)
            for s, source in enumerate(r.sources):
                for t, target in enumerate(r.targets):
                    tail = later[grid, r.first, target == dram]
                    head = heads[grid, r.first, target == dram, source == dram]
                    energy[..., s, t] = tail[0] + head[0]
                    latency[..., s, t] = tail[1] + head[1]
                    if not self._maps_fit(r, source, target):
                        energy[..., s, t] = latency[..., s, t] = np.inf
            out.append(ScreenedRange(range=r, energy=energy, latency=latency))
        return tuple(out)

    def _maps_fit(self, r: StackRange, source: int, target: int) -> bool:
        """Whether the maps before and after the stack fit the memory that both rest in."""
        if source != target or source == self.tables.domains.dram:
            return True
        layers = self.tables.problem.workload.layers
        bits = 0
        for made in (layers[r.first - 1], layers[r.last]):
            elements = made.channels * made.sizes["OX"] * made.sizes["OY"]
            bits += elements * made.precision.output_bits
        return bits <= self.tables.domains.sizes_bits[source]

    def sharpen(self, layer: int, alive: list[tuple[StackRange, np.ndarray]]) -> None:
        """Put least bounds of mappings in place of one layer's floors.

        `alive`: ranges with masks of the options that matter, [mode, width, height, source,
        target]; sizes that occur in none of them keep their floors.
        """
        dram = self.tables.domains.dram
        cases: dict[tuple[_Grid, bool, bool], np.ndarray] = {}
        for r, mask in alive:
            if not r.first <= layer <= r.last:
                continue
            grid = self._grid_of(r)
            for s, source in enumerate(r.sources):
                for t, target in enumerate(r.targets):
                    here = mask[..., s, t]
                    if here.any():
                        ends = (
                            layer == r.first and source == dram,
                            layer == r.last and target == dram,
                        )
                        seen = cases.get((grid, *ends))
                        cases[(grid, *ends)] = here if seen is None else seen | here
        self._sharpen_sizes(layer, cases)
        self._known = {key: sums for key, sums in self._known.items() if key[1] != layer}

    def _sharpen_sizes(self, layer: int, cases: dict[tuple[_Grid, bool, bool], np.ndarray]) -> None:
        sums = self.layers[layer]
        wanted: dict[int, np.ndarray] = {}
        for (grid, from_dram, to_dram), mask in cases.items():
            variants = [TO_TOP if to_dram else AS_PLACED]
            if from_dram:
                variants.append(FROM_AND_TO_TOP if to_dram else FROM_TOP)
            for m, mode in enumerate(grid.modes):
                need = sums.needed(*self._axes(grid, mode, layer), mask[m].astype(np.float64))
                for variant in variants:
                    wanted[variant] = need | wanted.get(variant, np.zeros_like(need))
        for variant, need in wanted.items():
            sums.sharpen(variant, need)
