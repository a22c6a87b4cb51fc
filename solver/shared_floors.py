"""Floors by size of layers that are alike, computed once where their sizes overlap."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cost.floor_tables import floor_costs
from solver.stack_tables import StackTables


class SharedFloors:
    """`floor_costs` of layers by the widths and heights that occur in any stack."""

    def __init__(self, tables: StackTables, sizes: Mapping[int, tuple[set[int], set[int]]]) -> None:
        self._tables = tables
        self._known: dict[tuple[int, bytes], np.ndarray] = {}
        self._axes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        members: dict[int, list[int]] = {}
        for layer in sizes:
            members.setdefault(tables.alike(layer), []).append(layer)
        for like, layers in members.items():
            widths = set().union(*(sizes[i][0] for i in layers))
            heights = set().union(*(sizes[i][1] for i in layers))
            apart = sum(len(sizes[i][0]) * len(sizes[i][1]) for i in layers)
            if len(widths) * len(heights) <= apart:
                self._axes[like] = np.array(sorted(widths)), np.array(sorted(heights))

    def costs(
        self, layer: int, widths: np.ndarray, heights: np.ndarray, usable: np.ndarray
    ) -> np.ndarray:
        """See `floor_costs`."""
        tables, like = self._tables, self._tables.alike(layer)
        whole = tables.tile_sizes(layer, 1, 1)
        if like not in self._axes:
            return floor_costs(tables.models[layer], whole, widths, heights, usable)
        axes = self._axes[like]
        key = (like, usable.tobytes())
        if key not in self._known:
            self._known[key] = floor_costs(tables.models[layer], whole, *axes, usable)
        i, j = np.searchsorted(axes[0], widths), np.searchsorted(axes[1], heights)
        found: np.ndarray = self._known[key][:, i[:, None], j[None, :]]
        return found
