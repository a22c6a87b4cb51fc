"""The lower-bound tables of one kind of tile of a stack option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cost.capacity_bound import Occupancy
from cost.stack_graph import StackGraph
from cost.stack_tiles import TileKind
from solver.pins import FETCHED, PhasePlaces


@dataclass(frozen=True, kw_only=True, eq=False)
class KindTables:
    """Tables of one kind of tile; see `kind_bounds` for the axes of f and g, and for `linked`.

    Axis values: `weights[layer]` (-1: no such operand), `inputs`, `outputs`, `producers` list
    memory indices; `h_use_key` / `h_make_key` name the shared H-cache choices (None: no
    neighbour). A layer's copy phase is led by the edge `primary[layer]`; where it has a second
    one, `pairs[layer]` [producer, second, I, h_use, h_make, v] is the whole table, of which g
    is the least over `seconds[layer]`. `exports` [layer, O] is what writing out costs, part of
    f. `runs[layer]`: whether the layer computes anything in such tiles. `occupancy` is None where
    memories are not shared.
    """

    kind: TileKind
    f: np.ndarray
    g: np.ndarray
    weights: tuple[tuple[int, ...], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producers: tuple[tuple[int, ...], ...]
    seconds: tuple[tuple[int, ...], ...]
    pairs: tuple[np.ndarray | None, ...]
    primary: tuple[int, ...]
    linked: np.ndarray
    exports: np.ndarray
    runs: tuple[bool, ...]
    h_use: tuple[tuple[int, ...], ...]
    h_make: tuple[tuple[int, ...], ...]
    v: tuple[tuple[int, ...], ...]
    h_use_key: tuple[int, bool] | None
    h_make_key: tuple[int, bool] | None
    occupancy: Occupancy | None


def fetching_edge(graph: StackGraph, kind: TileKind, tensor: int) -> int:
    """The edge with whose copy phase a tensor from outside is fetched, -1 if none is.

    That of its first reader that runs in this kind of tile.
    """
    if tensor < len(graph.layers):
        return -1
    return next((i for i in graph.readers[tensor] if kind.runs(graph.edges[i].layer)), -1)


def fetched_places(
    graph: StackGraph,
    kind: TileKind,
    edges: Sequence[int],
    places: Sequence[tuple[int, ...]],
) -> PhasePlaces:
    """Of the `edges` into a layer those along which it fetches, and where tiles may be put first.

    `places` [edge]: memories along the axes of the copy phase for the first edges.
    """
    return tuple(
        (axis, FETCHED, of)
        for axis, (i, of) in enumerate(zip(edges, places, strict=False))
        if fetching_edge(graph, kind, graph.edges[i].tensor) == i
    )
