"""Floors of whole stack options as sums of layer-tile floors, layer by layer.

What a layer adds to a stack depends on the stack's last layer, tile size and mode, but
hardly on its first layer: `LayerSums` gives, for one layer, the sums over all tiles for
all tile sizes at once, as matrix products of counts and a table of floors by size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP
from problems.workload import Operand
from solver.axis_counts import AxisCounts
from solver.fetching import AllFetched, Fetched
from solver.layer_tables import NEVER, LayerTile
from solver.least_by_rest import least_by_rest
from solver.shared_floors import SharedFloors
from solver.stack_tables import StackTables
from solver.way_in import (
    input_bits,
    input_copy_cycles,
    input_pj_per_bit,
    least_arrival,
    link_pj_per_bit,
    output_copy_cycles,
    output_pj_per_bit,
)

LeastOf = Callable[[int, list[LayerTile]], np.ndarray]
"""Least weighted bounds [tile, way, variant] of tiles of a layer."""
STAYING, STREAMED = range(2)
"""Whether a layer's weights stay on chip, where they arrive once, or come with every tile."""
ON_CHIP, IN_DRAM, EITHER, PLAIN = range(4)
"""Where the input of a layer rests; see `LayerSums._settle`."""
ENERGY, CYCLES = (1.0, 0.0), (0.0, 1.0)
"""Weights of a cost (pJ, cycles); others are those of both together."""
Weights = tuple[float, float]
LARGE_SETTLED = 100_000
"""Entries of a layer's table of least costs above which only the last one made is kept; only memory
and speed depend on it."""
SAMPLE = 12
"""Sizes by which it is judged whether sharpening a layer pays."""


@dataclass(kw_only=True, eq=False)
class FloorGrid:
    """Lower bounds of one layer's tiles by size: `costs` [weights, variant, w, h, 2].

    Entry `widths[i]`, `heights[j]`; the variants that are to the top (DRAM) have the way of
    outputs there in the energy, and so do streamed weights theirs from it. What is `sharp` [w, h]
    holds for the places that its variant names, AS_PLACED those below DRAM, and has the input's way
    from DRAM where it rests there; `quick` [w, h] what does so for energy alone. The floors of all
    others hold for any place, without the input's way; `plain_pj` are their energies, before any
    was sharpened.
    """

    widths: np.ndarray
    heights: np.ndarray
    costs: np.ndarray
    plain_pj: np.ndarray
    sharp: np.ndarray
    quick: np.ndarray


class LayerSums:
    """Sums of one layer's floors over the tiles of stacks, and what they are made of."""

    def __init__(
        self,
        tables: StackTables,
        layer: int,
        widths: np.ndarray,
        heights: np.ndarray,
        floors: SharedFloors,
    ) -> None:
        self.tables, self.layer = tables, layer
        self.weights = self._weight_ways()
        self.arrival = least_arrival(tables, layer)
        self.write_pj = output_pj_per_bit(tables)
        self.read_pj = input_pj_per_bit(tables)
        self.grid = self._grid(widths, heights, floors)
        self._learnt: tuple[Weights, np.ndarray] = (ENERGY, np.zeros(0))
        """Bounds [weights, variant, w, h] of the cost under some weights of both."""
        self._weighed: dict[Weights, np.ndarray] = {}
        self._settled: dict[tuple[Weights, bool], np.ndarray] = {}
        """See `_settle`; forgotten whenever bounds rise."""

    def _weight_ways(self) -> tuple[int, ...]:
        """The ways weights may take: staying (also where none are), streamed."""
        layer = self.tables.problem.workload.layers[self.layer]
        if not self.tables.rules.charge_weight_arrival or not layer.has_weights:
            return (STAYING,)
        dram = self.tables.domains.dram
        stays = any(m != dram for m in self.tables.weight_places[self.layer])
        return (STAYING, STREAMED) if stays else (STREAMED,)

    def _usable(self, way: int) -> np.ndarray:
        """[operand, level] where tensors may rest if the weights go this way."""
        usable = self.tables.usable_levels(self.layer)
        if STREAMED not in self.weights:
            return usable
        top = len(self.tables.models[self.layer].chain[0]) - 1
        usable = usable.copy()
        if way == STREAMED:
            usable[0, :top] = False
        usable[0, top] = way == STREAMED
        return usable

    def _grid(self, widths: np.ndarray, heights: np.ndarray, floors: SharedFloors) -> FloorGrid:
        tables = self.tables
        layer = tables.problem.workload.layers[self.layer]
        costs = np.full((2, 4, len(widths), len(heights), 2), np.inf)
        for way in self.weights:
            floor = floors.costs(self.layer, widths, heights, self._usable(way))
            # Differences and products with weights of zero are taken, so no infinity may enter.
            costs[way] = np.minimum(floor, NEVER)
        self._out_bits = layer.channels * layer.precision.output_bits
        self._batch = layer.sizes["B"]
        to_dram_pj = np.outer(widths, heights) * self._out_bits * self.write_pj
        costs[:, [TO_TOP, FROM_AND_TO_TOP], ..., 0] += to_dram_pj
        if STREAMED in self.weights:
            link = link_pj_per_bit(tables.problem.hardware, Operand.W, inward=True)
            costs[STREAMED, ..., 0] += layer.weight_volume_bits * link
        return FloorGrid(
            widths=widths,
            heights=heights,
            costs=costs,
            plain_pj=costs[..., 0].copy(),
            sharp=np.zeros((len(widths), len(heights)), dtype=np.bool_),
            quick=np.zeros((len(widths), len(heights)), dtype=np.bool_),
        )

    def missing(self, wanted: np.ndarray, *, timed: bool) -> np.ndarray:
        """[w, h]: sizes `wanted` that `sharpen` would bound."""
        grid = self.grid
        found: np.ndarray = wanted & ~(grid.sharp if timed else grid.sharp | grid.quick)
        return found

    def sharpen(self, wanted: np.ndarray, pause: Callable[[], object], *, timed: bool) -> None:
        """Raise the floors of the sizes `wanted` [w, h] to least bounds over all mappings.

        Without `timed` those of energy, sooner.
        """
        grid = self.grid
        i, j = np.nonzero(self.missing(wanted, timed=timed))
        if not len(i):
            return
        self._raise(i, j, self._least(i, j, pause, timed=timed))
        (grid.sharp if timed else grid.quick)[i, j] = True

    def _raise(self, i: np.ndarray, j: np.ndarray, least: np.ndarray) -> None:
        """Put bounds [tile, way, variant, (pJ, cycles)] where they are above what there is."""
        costs = self.grid.costs
        for n, way in enumerate(self.weights):
            for variant in range(4):
                old = costs[way, variant, i, j]
                costs[way, variant, i, j] = np.maximum(old, least[:, n, variant])
        self._weighed.clear()
        self._settled.clear()

    def _least(
        self, i: np.ndarray, j: np.ndarray, pause: Callable[[], object], *, timed: bool
    ) -> np.ndarray:
        """Least bounds [tile, way, variant, (pJ, cycles)] of tiles widths[i] x heights[j]."""
        at = self.grid.widths[i], self.grid.heights[j]
        return least_by_rest(self.tables, self.layer, *at, pause, timed=timed)

    def learn(self, tiles: set[LayerTile], pause: Callable[[], object]) -> None:
        """Take over least bounds of `tiles`, each for all alike, that have risen since."""
        grid = self.grid
        i, j = np.nonzero(grid.sharp)
        _, widths, heights = np.array(sorted(tiles), dtype=np.int64).T
        risen = self.tables.size_codes(self.layer, widths, heights)
        here = np.isin(self.tables.size_codes(self.layer, grid.widths[i], grid.heights[j]), risen)
        if here.any():
            self._raise(i[here], j[here], self._least(i[here], j[here], pause, timed=True))

    def learn_jointly(
        self, weights: Weights, tiles: Mapping[LayerTile, np.ndarray], of_tile: LeastOf
    ) -> None:
        """Take over bounds [W, I, O level] of weighted costs of `tiles`, each for all alike.

        `of_tile`: least [tile, way, variant] of some of them.
        """
        grid, ordered = self.grid, sorted(tiles)
        i, j = np.nonzero(grid.sharp)
        _, widths, heights = np.array(ordered, dtype=np.int64).T
        risen = self.tables.size_codes(self.layer, widths, heights)
        codes = self.tables.size_codes(self.layer, grid.widths[i], grid.heights[j])
        order = np.argsort(risen, kind="stable")
        at = np.minimum(np.searchsorted(risen[order], codes), len(risen) - 1)
        here = np.flatnonzero(risen[order][at] == codes)
        if not len(here):
            return
        numbers = order[at[here]]
        least = of_tile(self.layer, [ordered[n] for n in numbers.tolist()])
        if self._learnt[0] != weights:
            self._learnt = weights, np.zeros(grid.costs.shape[:-1])
        for n, way in enumerate(self.weights):
            for variant in range(4):
                cells = way, variant, i[here], j[here]
                known = self._learnt[1]
                known[cells] = np.maximum(known[cells], least[:, n, variant])
        self._weighed.clear()
        self._settled.clear()

    def weigh(self, weights: Weights) -> np.ndarray:
        """Bounds [weights, variant, w, h] of weighted costs."""
        if weights in (ENERGY, CYCLES):
            alone: np.ndarray = self.grid.costs[..., weights.index(1.0)]
            return alone
        if weights not in self._weighed:
            costs = self.grid.costs
            both = np.where((costs >= NEVER).any(axis=-1), NEVER, costs @ np.array(weights))
            if self._learnt[0] == weights:
                np.maximum(both, self._learnt[1], out=both)
            self._weighed = {weights: both}
            self._settled.clear()  # those of other weights are not asked for again
        return self._weighed[weights]

    def codes(self, where: np.ndarray) -> list[int]:
        """A number for each size marked in `where` [w, h], the same for tiles that are alike."""
        i, j = np.nonzero(where)
        codes = self.tables.size_codes(self.layer, self.grid.widths[i], self.grid.heights[j])
        return list(np.unique(codes).tolist())

    def promise(
        self, wanted: np.ndarray, weights: tuple[float, float], pause: Callable[[], object]
    ) -> tuple[float, int]:
        """What `sharpen` would bring and take: (weighted rise per map by a sample, tiles)."""
        grid = self.grid
        at = np.argwhere(self.missing(wanted, timed=True))
        if not len(at):
            return 0.0, 0
        i, j = at[:: -(-len(at) // SAMPLE)].T
        least = self._least(i, j, pause, timed=True)[:, 0].min(axis=1)
        rise = np.maximum(least - grid.costs[self.weights[0], AS_PLACED, i, j], 0.0)
        layer = self.tables.problem.workload.layers[self.layer]
        tiles = layer.sizes["OX"] * layer.sizes["OY"] / (grid.widths[i] * grid.heights[j])
        return float(np.mean((rise @ np.array(weights)) * tiles)), len(at)

    def needed(self, x: AxisCounts, y: AxisCounts, alive: np.ndarray) -> np.ndarray:
        """[w, h] of the grid: sizes that occur in tiles `alive` [tile_x, tile_y]."""
        need = (x.counts > 0).T.astype(np.float64) @ alive @ (y.counts > 0)
        out = np.zeros_like(self.grid.sharp)
        ix, iy = self._places(x, y)
        where = np.argwhere(need > 0)
        out[ix[where[:, 0]], iy[where[:, 1]]] = True
        return out

    def _places(self, x: AxisCounts, y: AxisCounts) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.searchsorted(self.grid.widths, x.outputs),
            np.searchsorted(self.grid.heights, y.outputs),
        )

    def sums(
        self,
        x: AxisCounts,
        y: AxisCounts,
        weights: Weights,
        *,
        from_dram: AllFetched,
        to_dram: bool,
        exported: bool = False,
    ) -> np.ndarray:
        """Weighted cost [tile_x, tile_y] of the layer over all tiles of a stack.

        `from_dram` [operand]: whether tiles are fetched, charged here; `to_dram`: it is the last
        layer and its output goes to DRAM; `exported`: its output is written out beside, with energy
        that is charged elsewhere, so that no tile pays for it twice.
        """
        ix, iy = self._places(x, y)
        per_pj, per_cycle = weights

        def of_tiles(table: np.ndarray) -> np.ndarray:
            # Far quicker than both at a time.
            found: np.ndarray = table[..., ix, :][..., iy]
            return found

        fetches = any(how is not Fetched.NOT for how in from_dram)
        settled = self._settle(weights, to_dram=to_dram)
        if not fetches and (to_dram or not exported):
            return self._over_tiles(x, y, weights, of_tiles(settled[EITHER]))
        if to_dram or not exported:
            on_chip, in_dram = of_tiles(settled[ON_CHIP]), of_tiles(settled[IN_DRAM])
        else:
            costs = self.weigh(weights)
            on_chip, in_dram = of_tiles(costs[:, TO_TOP]), of_tiles(costs[:, FROM_AND_TO_TOP])
            for above, variant in ((on_chip, AS_PLACED), (in_dram, FROM_TOP)):
                below = of_tiles(costs[:, variant])
                # Of what is written out beside energy is charged elsewhere.
                if per_pj:
                    above -= per_pj * self._leaving_pj(x, y)
                if per_cycle:
                    below += per_cycle * self._leaving_cycles(x, y)
                np.minimum(above, below, out=above)
        for operand, how in enumerate(from_dram if per_cycle else ()):
            if how is not Fetched.NOT:
                # Operands rest on chip all or none, and come through DRAM's one port for them.
                fresh = self._fresh(x, y, operand, how)
                copied = input_copy_cycles(self.tables, self.layer, fresh, operand)
                on_chip += per_cycle * copied
        if per_pj and fetches:
            way_in = np.zeros((len(x.outputs), len(y.outputs)))
            for operand, how in enumerate(from_dram):
                if how is not Fetched.NOT:
                    fresh = self._fresh(x, y, operand, how)
                    way_in += fresh * input_bits(self.tables, self.layer, operand) * self.read_pj
            way_in *= per_pj
            # Least bounds of an operand that rests in DRAM hold its way in already.
            np.maximum(in_dram, of_tiles(settled[PLAIN]) + way_in, out=in_dram)
            on_chip += way_in
        return self._over_tiles(x, y, weights, np.minimum(on_chip, in_dram))

    def _settle(self, weights: Weights, *, to_dram: bool) -> np.ndarray:
        """Least weighted costs [ON_CHIP/IN_DRAM/EITHER/PLAIN, weights, w, h] by where the input is.

        `to_dram`: the output rests in DRAM, else where it suits. PLAIN: in DRAM, without its way.
        """
        found = self._settled.get((weights, to_dram))
        if found is None:
            costs = self.weigh(weights)
            on_chip, in_dram = costs[:, TO_TOP], costs[:, FROM_AND_TO_TOP]
            if not to_dram:
                on_chip = np.minimum(on_chip, costs[:, AS_PLACED])
                in_dram = np.minimum(in_dram, costs[:, FROM_TOP])
            variants = [FROM_AND_TO_TOP] if to_dram else [FROM_TOP, FROM_AND_TO_TOP]
            cycles = np.minimum(self.grid.costs[..., 1][:, variants].min(axis=1), NEVER)
            plain_pj = np.minimum(self.grid.plain_pj[:, variants[0]], NEVER)
            plain = weights[0] * plain_pj + weights[1] * cycles
            found = np.stack([on_chip, in_dram, np.minimum(on_chip, in_dram), plain])
            if found[0].size > LARGE_SETTLED:
                self._settled.clear()
            self._settled[weights, to_dram] = found
        return found

    def _over_tiles(
        self, x: AxisCounts, y: AxisCounts, weights: Weights, least: np.ndarray
    ) -> np.ndarray:
        """Sums [tile_x, tile_y] over all tiles of their `least` costs [weights, ...]."""
        arrival = weights[0] * self.arrival[0] + weights[1] * self.arrival[1]
        ways = [
            y.over_tiles(x.over_tiles(least[way]).T).T + (arrival if way == STAYING else 0.0)
            for way in self.weights
        ]
        total = np.minimum.reduce(ways)
        return np.where(total >= NEVER / 2, np.inf, total)

    @staticmethod
    def _fresh(x: AxisCounts, y: AxisCounts, operand: int, how: Fetched) -> np.ndarray:
        """Positions [tile, tile] of an operand that come from DRAM for a tile."""
        across, down = (
            (axis.alone if how is Fetched.FOR_ONE else axis.fresh)[:, operand] for axis in (x, y)
        )
        return np.outer(across, down)

    def _leaving_pj(self, x: AxisCounts, y: AxisCounts) -> np.ndarray:
        """pJ [tile, tile] by columns and rows of a whole tile on its way to DRAM.

        Of a map that leaves, too, no tile writes more.
        """
        return np.outer(x.outputs, y.outputs) * (self._batch * self._out_bits * self.write_pj)

    def _leaving_cycles(self, x: AxisCounts, y: AxisCounts) -> np.ndarray:
        """Cycles [tile, tile] of what leaves for the first time of a map that rests on chip."""
        return output_copy_cycles(self.tables, self.layer, np.outer(x.written, y.written))


def layer_sums(
    tables: StackTables, sizes: Mapping[int, tuple[set[int], set[int]]]
) -> dict[int, LayerSums]:
    """`LayerSums` of every layer in `sizes`: the widths and heights that occur."""
    floors = SharedFloors(tables, sizes)
    return {
        layer: LayerSums(tables, layer, np.array(sorted(widths)), np.array(sorted(heights)), floors)
        for layer, (widths, heights) in sizes.items()
    }
