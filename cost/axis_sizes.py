"""Sizes of a stack's tiles along one axis as the reference has them: by size alone.

A map is as large as the largest of its readers asks for; where in the map a tile lies is
not looked at. A reader's halo comes from a cache if the axis is cached and the tile is not
the first. What is kept of a map is written once, with the copies before its first reader.
"""

from __future__ import annotations

import numpy as np

from cost.stack_graph import AxisRead, StackGraph


def sizes_by_reader(
    graph: StackGraph,
    axis: int,
    widths: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    cached: bool,
) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    """Positions made of each tensor, and per edge the values of an `EdgeStep`.

    Columns (`axis` 0) or rows (1) are `widths` wide at the stack's output; `starts` and `ends`
    mark the first and last ones of each tiling.
    """
    reads = [edge.x if axis == 0 else edge.y for edge in graph.edges]
    none = np.zeros_like(widths)
    uses = ~starts if cached else np.zeros_like(starts)
    made = [none] * len(graph.tensors)
    made[len(graph.layers) - 1] = widths
    windows = [(none, none)] * len(graph.edges)
    for e in reversed(range(len(graph.layers))):
        for i in graph.edges_into[e]:
            extent, overlap = windows[i] = _window(reads[i], made[e])
            t = graph.edges[i].tensor
            made[t] = np.maximum(made[t], np.where(uses, extent - overlap, extent))
    steps = []
    for i, (extent, overlap) in enumerate(windows):
        t = graph.edges[i].tensor
        kept = none
        if cached and graph.kept is not None and graph.readers[t][0] == i:
            most = np.full_like(widths, graph.kept[t][axis])
            kept = np.where(ends, 0, np.where(starts, most, np.minimum(most, made[t])))
        steps.append(
            {
                "extent": extent,
                "operand": extent,
                "made": made[t],
                "moved": made[t],
                "reused": np.where(uses, overlap, 0),
                "kept": kept,
                "held": np.where(ends, 0, overlap) if cached else none,
                "overlap": overlap,
            }
        )
    return made, steps


def _window(read: AxisRead, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `outputs` positions of a layer read, and what of it the next ones read again."""
    extent = read.stride * (outputs - 1) + read.window
    return extent, np.maximum(0, extent - read.stride * outputs)
