"""How often each size of a layer occurs in a stack's tiles, for many tile sizes at once.

Along one axis a stack that ends in a given layer asks the same of every layer inside,
wherever it starts. So one set of counts serves all stacks with the same last layer (and
the same maps that leave while they run).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cost.axis_tiles import new_to_reader, output_columns, walk_axis
from cost.stack_graph import StackGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class AxisCounts:
    """One layer along one axis.

    Columns of a tiling compute `outputs[k]` positions in this layer and move `fresh[k, o]`
    new positions of its o-th activation operand, or `alone[k, o]` if no layer but this one reads it
    in the stack; `counts[t, k]` columns do so at the t-th tile size. Where strides pass the kernel
    a mapping may skip the gaps: they are left out. Of an output that is read outside of the stack,
    too, `written[k]` positions are there for the first time. Columns that compute nothing are not
    counted.
    """

    outputs: np.ndarray
    fresh: np.ndarray
    alone: np.ndarray
    written: np.ndarray
    counts: np.ndarray

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sizes, counts) of all that occurs, tile size by tile size, and where each begins."""
        tiles, sizes = np.nonzero(self.counts)
        starts = np.flatnonzero(np.diff(tiles, prepend=-1))
        if len(starts) < len(self.counts):
            raise RuntimeError("a layer of a stack computes nothing at some tile size")
        return sizes, self.counts[tiles, sizes], starts

    def of(self, tiles: np.ndarray) -> AxisCounts:
        """The same for some tile sizes, by their numbers."""
        counts = self.counts[tiles]
        some = counts.any(axis=0)
        return AxisCounts(
            outputs=self.outputs[some],
            fresh=self.fresh[some],
            alone=self.alone[some],
            written=self.written[some],
            counts=counts[:, some],
        )

    def over_tiles(self, costs: np.ndarray) -> np.ndarray:
        """Sums [t, ...] over the columns of each tiling, of `costs` [k, ...].

        A tiling has columns of few sizes: adding those up is far quicker than a product of
        matrices full of zeros. Raises RuntimeError if in some tiling no column computes.
        """
        sizes, counts, starts = self._entries
        weighted = costs[sizes] * counts[(slice(None), *[None] * (costs.ndim - 1))]
        summed: np.ndarray = np.add.reduceat(weighted, starts, axis=0)
        return summed


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of `rows` [n, column], whole numbers from 0 on, and the number of each."""
    codes = rows[:, 0]
    for column in rows.T[1:]:
        # What is alike so far, in as few numbers as there are rows: a word has room to spare.
        codes = np.unique(codes, return_inverse=True)[1] * (int(column.max(initial=0)) + 1) + column
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    return rows[first], number


def axis_counts(
    graph: StackGraph, axis: str, tiles: tuple[int, ...], cached: bool
) -> tuple[AxisCounts, ...]:
    """Counts of every layer of a stack whose last layer is cut to each of `tiles`."""
    side = axis.upper()
    columns = output_columns(graph.layers[-1].sizes["O" + side], tiles)
    walk = walk_axis(graph, axis, columns, cached)
    tiling = np.cumsum(columns.starts) - 1
    out = []
    for e, layer in enumerate(graph.layers):
        outputs = walk.made[e][1] - walk.made[e][0]
        taps = layer.sizes["F" + side]
        # What this reader asks for itself: others of the map may be in no stack with it.
        steps = [walk.edges[i] for i in graph.edges_into[e]]
        asked = [np.minimum(step["moved"], step["extent"] - step["reused"]) for step in steps]
        moved = [np.minimum(positions, outputs * taps) for positions in asked]
        lone = moved
        if graph.kept is None and len(graph.edges) >= len(graph.layers) + 1:
            # Only where the stack branches does it make a difference.
            news = [
                new_to_reader(graph, axis, walk, i, columns, cached) for i in graph.edges_into[e]
            ]
            lone = [np.minimum(positions, outputs * taps) for positions in news]
        written = walk.fresh[e] if e in graph.exports else np.zeros_like(outputs)
        rows = np.array([outputs, written, *moved, *lone]).T
        distinct, number = _distinct(rows)
        shape = len(tiles), len(distinct)
        cells = np.bincount(tiling * shape[1] + number, minlength=shape[0] * shape[1])
        counts = cells.reshape(shape).astype(np.float64)
        some = distinct[:, 0] > 0
        out.append(
            AxisCounts(
                outputs=distinct[some, 0],
                written=distinct[some, 1],
                fresh=distinct[some, 2 : 2 + len(moved)],
                alone=distinct[some, 2 + len(moved) :],
                counts=counts[:, some],
            )
        )
    return tuple(out)
