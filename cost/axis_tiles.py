"""Tiles of a stack of fused layers along one axis: kinds of columns (or rows) and sizes.

The tiling of the stack's output along one axis has a first column of the remainder's
width (or a full one), then full columns (DeFiNES, section III). What a column computes in
each layer follows backwards from the output as intervals of positions, clipped to the
maps: a tensor is made wherever a reader in the stack needs it, and with caching on this
axis only where no earlier column made it. The reference's rules know sizes only
(`axis_sizes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cost.axis_sizes import sizes_by_reader
from cost.stack_graph import AxisRead, StackGraph

KEPT_AXES = 4096
"""Tilings of one axis remembered at a time: a tile width occurs with many heights."""
_FAR = np.int64(1 << 41)
"""Beyond every position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStep:
    """One edge into a layer in one column, in positions along the axis.

    The layer reads `extent` positions: `moved` of those that the producer makes in this
    column (`made` in all), `reused` out of a cache. `kept` of those made go into the cache;
    `held` is what the cache holds afterwards. `overlap` is the window's overlap with the
    next one, whatever the mode (reference rules); `operand` the extent as the layer's loops
    see it, padding included.
    """

    extent: int
    operand: int
    made: int
    moved: int
    reused: int
    kept: int
    held: int
    overlap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisKind:
    """One kind of column of a tiling: `runs` (first, count) of columns that are alike.

    `outputs` computed per layer of the stack, steps per edge, and `fresh` positions of each
    tensor made, of an export for the first time (what it writes). `uses` / `makes`:
    whether caches are read / filled on this axis by this column.
    """

    runs: tuple[tuple[int, int], ...]
    is_first: bool
    is_last: bool
    uses: bool
    makes: bool
    next_is_last: bool
    outputs: tuple[int, ...]
    fresh: tuple[int, ...]
    edges: tuple[EdgeStep, ...]

    @property
    def count(self) -> int:
        """Columns of this kind."""
        return sum(count for _, count in self.runs)


@dataclass(frozen=True, kw_only=True, eq=False)
class AxisWalk:
    """Columns of one or more tilings, one after another: arrays over all columns.

    `made[t]` (begin, end) and `fresh[t]` per tensor; per edge the values of `EdgeStep`.
    """

    made: list[tuple[np.ndarray, np.ndarray]]
    fresh: list[np.ndarray]
    edges: list[dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Output intervals [begin, end) of columns; `starts` / `ends` mark first and last ones."""

    begin: np.ndarray
    end: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def output_columns(total: int, tiles: tuple[int, ...]) -> Columns:
    """Columns of the tilings of `total` outputs by each of `tiles`, one after another."""
    begins, ends, starts, lasts = [], [], [], []
    for tile in tiles:
        width = min(tile, total)
        count = -(-total // width)
        end = total - width * np.arange(count - 1, -1, -1, dtype=np.int64)
        begin = np.concatenate([[0], end[:-1]])
        first = np.zeros(count, dtype=np.bool_)
        last = first.copy()
        first[0] = last[-1] = True
        begins.append(begin)
        ends.append(end)
        starts.append(first)
        lasts.append(last)
    return Columns(
        begin=np.concatenate(begins),
        end=np.concatenate(ends),
        starts=np.concatenate(starts),
        ends=np.concatenate(lasts),
    )


def axis_reads(graph: StackGraph, axis: str) -> tuple[AxisRead, ...]:
    """What each edge reads along axis "x" or "y"."""
    return tuple(edge.x if axis == "x" else edge.y for edge in graph.edges)


def _sizes(graph: StackGraph, axis: str) -> tuple[int, ...]:
    return tuple(t.width if axis == "x" else t.height for t in graph.tensors)


def walk_axis(graph: StackGraph, axis: str, columns: Columns, cached: bool) -> AxisWalk:
    """Walk all columns of a stack back from its output along axis "x" or "y"."""
    if graph.kept is not None:
        widths, starts, ends = columns.end - columns.begin, columns.starts, columns.ends
        counts, steps = sizes_by_reader(graph, int(axis == "y"), widths, starts, ends, cached)
        return AxisWalk(made=[(np.zeros_like(n), n) for n in counts], fresh=counts, edges=steps)
    reads, sizes = axis_reads(graph, axis), _sizes(graph, axis)
    n = len(graph.layers)
    made: list[tuple[np.ndarray, np.ndarray]] = [(columns.begin, columns.end)] * len(sizes)
    before = [columns.begin] * len(sizes)
    spans: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    spans = [(columns.begin, columns.end, columns.begin)] * len(reads)
    for t in [*range(n - 1, -1, -1), *range(n, len(sizes))]:
        if t != n - 1:
            exported = t in graph.exports
            needs = [spans[i] for i in graph.readers[t]]
            made[t], before[t] = _made(needs, sizes[t], columns, cached, exported)
        if t < n:
            for i in graph.edges_into[t]:
                spans[i] = _needs(reads[i], made[t], sizes[t])
    edges = [
        _edge_steps(reads[i], spans[i], made[edge.layer], made[edge.tensor], columns, cached)
        for i, edge in enumerate(graph.edges)
    ]
    fresh = []
    for t, (begin, end) in enumerate(made):
        again = before[t] if t in graph.exports else begin
        fresh.append(np.maximum(0, end - np.maximum(begin, again)))
    return AxisWalk(made=made, fresh=fresh, edges=edges)


def _within(positions: np.ndarray, size: int) -> np.ndarray:
    """Positions clipped to [0, size]; short arrays, for which `np.clip` takes long."""
    clipped: np.ndarray = np.minimum(np.maximum(positions, 0), size)
    return clipped


def _one_on(values: np.ndarray) -> np.ndarray:
    """Of each column the value of the one before (of the first that of the last)."""
    return np.concatenate((values[-1:], values[:-1]))


def _one_back(values: np.ndarray) -> np.ndarray:
    """Of each column the value of the next."""
    return np.concatenate((values[1:], values[:1]))


def _needs(
    read: AxisRead, made: tuple[np.ndarray, np.ndarray], total: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[begin, end) read for outputs `made` (of `total`), and the first position still needed."""
    begin, end = made
    low = _within(read.stride * begin - read.offset, read.size)
    high = _within(read.stride * (end - 1) - read.offset + read.window, read.size)
    still = np.where(begin >= total, read.size, low)
    empty = end <= begin
    return np.where(empty, still, low), np.where(empty, still, high), still


def _made(
    needs: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    size: int,
    columns: Columns,
    cached: bool,
    exported: bool,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """[begin, end) of a tensor that its readers need, and the end of what was made before."""
    far = _FAR
    begin, end = np.full_like(columns.begin, far), np.full_like(columns.begin, -1)
    for low, high, _ in needs:
        some = high > low
        begin = np.where(some, np.minimum(begin, low), begin)
        end = np.where(some, np.maximum(end, high), end)
    if exported:
        # All of it leaves, so all of it is made.
        begin = np.where(columns.starts, 0, begin)
        end = np.where(columns.ends, size, end)
    # Ends so far, tiling by tiling.
    shift = np.cumsum(columns.starts) * (far << 1)
    done = np.maximum.accumulate(end + shift) - shift
    before = np.where(columns.starts, np.where(begin == far, 0, begin), _one_on(done))
    nothing = end < 0
    if exported:
        begin = np.minimum(begin, before)
    if cached:
        begin = np.maximum(begin, before)
    begin = np.where(nothing, done, np.minimum(begin, np.maximum(done, 0)))
    end = np.where(nothing, done, np.maximum(end, begin))
    return (begin, end), before


def new_to_reader(
    graph: StackGraph, axis: str, walk: AxisWalk, edge: int, columns: Columns, cached: bool
) -> np.ndarray:
    """New positions per column of the tensor on an edge, were its reader there the only one."""
    layer = graph.edges[edge].layer
    read = axis_reads(graph, axis)[edge]
    low, high, _ = _needs(read, walk.made[layer], _sizes(graph, axis)[layer])
    extent: np.ndarray = high - low
    if not cached:
        return extent
    shift = np.cumsum(columns.starts) * (_FAR << 1)
    done = np.maximum.accumulate(np.where(high > low, high, -1) + shift) - shift
    before = np.where(columns.starts, low, _one_on(done))
    news: np.ndarray = np.maximum(0, high - np.maximum(low, before))
    return news


def _edge_steps(
    read: AxisRead,
    needs: tuple[np.ndarray, np.ndarray, np.ndarray],
    outputs: tuple[np.ndarray, np.ndarray],
    made: tuple[np.ndarray, np.ndarray],
    columns: Columns,
    cached: bool,
) -> dict[str, np.ndarray]:
    low, high, still = needs
    begin, end = made
    extent = high - low
    count = outputs[1] - outputs[0]
    span = count if read.direct else read.stride * (count - 1) + read.window
    operand = np.where(count > 0, span, 0)
    none = np.zeros_like(extent)
    moved, reused, kept, held = extent, none, none, none
    if cached:
        moved = np.maximum(0, np.minimum(high, end) - np.maximum(low, begin))
        reused = extent - moved
        next_from = np.where(columns.ends, np.int64(1 << 42), _one_back(still))
        held = np.maximum(0, end - next_from)
        kept = np.maximum(0, end - np.maximum(next_from, begin))
    return {
        "extent": extent,
        "operand": operand,
        "made": end - begin,
        "moved": moved,
        "reused": reused,
        "kept": kept,
        "held": held,
        "overlap": np.maximum(0, extent - read.stride * count),
    }


@lru_cache(KEPT_AXES)
def axis_kinds(
    graph: StackGraph, axis: str, tile: int, caches: bool, merge: bool
) -> tuple[AxisKind, ...]:
    """Kinds of columns for tile width `tile`, in the order of their first columns.

    Columns are of one kind if they cost the same. Without `merge` (the reference's rules)
    also whether they are first, last or before the last tells them apart (Q6).
    """
    total = graph.layers[-1].sizes["OX" if axis == "x" else "OY"]
    columns = output_columns(total, (tile,))
    walk = walk_axis(graph, axis, columns, caches)
    n = len(columns.begin)
    first, last = np.arange(n) == 0, np.arange(n) == n - 1
    before_last = np.arange(n) == n - 2
    uses, makes = caches & ~first, caches & ~last
    outputs = [end - begin for begin, end in walk.made[: len(graph.layers)]]
    rows = [*outputs, *walk.fresh]
    for step in walk.edges:
        rows += list(step.values())
    rows += [uses, makes] if merge else [uses, makes, first, last, before_last]
    alike: dict[bytes, list[int]] = {}
    for c, column in enumerate(np.array(rows, dtype=np.int64).T):
        alike.setdefault(column.tobytes(), []).append(c)
    kinds = []
    for at in map(np.array, alike.values()):
        c = int(at[0])
        kinds.append(
            AxisKind(
                runs=_runs(at),
                is_first=bool(first[at].any()),
                is_last=bool(last[at].any()),
                uses=bool(uses[c]),
                makes=bool(makes[c]),
                next_is_last=bool(before_last[c]) and not merge,
                outputs=tuple(int(v[c]) for v in outputs),
                fresh=tuple(int(v[c]) for v in walk.fresh),
                edges=tuple(
                    EdgeStep(**{name: int(v[c]) for name, v in step.items()}) for step in walk.edges
                ),
            )
        )
    return tuple(kinds)


def _runs(at: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Runs (first, count) of ascending numbers."""
    breaks = np.flatnonzero(np.diff(at) > 1) + 1
    return tuple((int(run[0]), len(run)) for run in np.split(at, breaks))


def efficient_sizes(total: int, unrolling: int) -> tuple[int, ...]:
    """Tile sizes worth trying on an axis of `total` outputs, ascending.

    For each number of tiles n the least size ceil(total / n), and that size rounded up
    to a multiple of the spatial `unrolling`.
    """
    sizes = set()
    for tile in range(1, total + 1):
        least = -(-total // -(-total // tile))
        sizes.add(least)
        sizes.add(min(total, -(-least // unrolling) * unrolling))
    return tuple(sorted(sizes))
