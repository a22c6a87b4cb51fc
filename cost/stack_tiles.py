"""A stack of fused layers cut into tiles: kinds of tiles, their sizes and copied bits.

A stack option is a set of layers with a tile size and an overlap mode. Its tiles fall
into few kinds; all tiles of a kind cost the same under the same placements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cost.axis_tiles import AxisKind, axis_kinds
from cost.overlap import OverlapMode
from cost.rules import RuleSet
from cost.stack_graph import StackEdge, StackGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEdge:
    """Bits that one tile moves on an edge into one layer of the stack.

    `input_bits` is what the layer reads of the tensor, halo included, and `operand_bits` the
    same as its loops see it, padding and all. Of the producer's tile, `fresh_bits`,
    `moved_bits` go to the layer now. `h_read_bits` / `v_read_bits` come out of the caches,
    `h_write_bits` / `v_write_bits` go into them; `h_write_less_v_bits` is the H write where
    rows that the V write just stored are not stored again (reference rules; else equal).
    """

    input_bits: int
    operand_bits: int
    fresh_bits: int
    moved_bits: int
    h_read_bits: int
    v_read_bits: int
    h_write_bits: int
    h_write_less_v_bits: int
    v_write_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileKind:
    """One kind of tile: how many, where, the size of each layer-tile, and its copies.

    Edges are numbered as in the stack's graph. `operand_bits` [layer]: all that a layer's
    loops see of its activation operands. `tensor_bits` [tensor] are made (or fetched) by this
    kind, `export_bits` [tensor] of those made for the first time. `live_bits`,
    `h_cache_bits`, `v_cache_bits`, `corner_bits` are the sums that the reference's level
    rules look at (DeFiNES, section III), zero under joint capacity.
    """

    count: int
    column: AxisKind
    row: AxisKind
    sizes: tuple[tuple[int, int], ...]
    output_bits: tuple[int, ...]
    operand_bits: tuple[int, ...]
    tensor_bits: tuple[int, ...]
    export_bits: tuple[int, ...]
    edges: tuple[TileEdge, ...]
    live_bits: int
    h_cache_bits: int
    v_cache_bits: int
    corner_bits: int

    @property
    def loads_weights(self) -> bool:
        """Whether this is the stack's very first tile."""
        return self.column.is_first and self.row.is_first

    def runs(self, layer: int) -> bool:
        """Whether a layer of the stack computes anything in this kind of tile."""
        return min(self.sizes[layer]) > 0


@dataclass(frozen=True, kw_only=True, eq=False)
class StackTiling:
    """All kinds of tiles of one stack option, and what its caches take.

    `h_cache_bits[i]`, `v_cache_bits[i]`: bits that the caches of edge i occupy under the
    exact rules.
    """

    graph: StackGraph
    tile_x: int
    tile_y: int
    mode: OverlapMode
    kinds: tuple[TileKind, ...]
    h_cache_bits: tuple[int, ...]
    v_cache_bits: tuple[int, ...]


AxisKinds = Callable[[StackGraph, str, int, bool, bool], tuple[AxisKind, ...]]
"""See `axis_kinds`."""


def _edge(graph: StackGraph, number: int, x: AxisKind, y: AxisKind, rules: RuleSet) -> TileEdge:
    edge = graph.edges[number]
    layer, tensor = graph.layers[edge.layer], graph.tensors[edge.tensor]
    channels, width = edge.channels, tensor.element_bits
    # The reference moves and keeps whole tiles of a map, whatever its reader asks for.
    stored = channels if rules.true_branches else tensor.channels
    # Each part of a concat has channels of its own.
    seen = layer.sizes["B"] * layer.input_channels if layer.computes else channels
    data = layer.precision.input_bits
    read = data if rules.cached_reads_at_data_width else layer.precision.output_bits
    ex, ey = x.edges[number], y.edges[number]
    if rules.joint_capacity:
        h_rows, v_columns, stored_rows = ey.moved, ex.extent, ey.moved
    else:
        h_rows, v_columns, stored_rows = ey.extent, ex.extent - ex.reused, ey.made
    columns, rows = ex.kept, ey.kept
    if edge.tensor >= len(graph.layers) and not rules.charge_stack_input_cache:
        columns = rows = 0
    h_write = stored * columns * stored_rows * width
    less = stored * columns * (stored_rows - rows) * width
    return TileEdge(
        input_bits=channels * ex.extent * ey.extent * data,
        operand_bits=seen * ex.operand * ey.operand * data,
        fresh_bits=tensor.channels * ex.made * ey.made * width,
        moved_bits=stored * ex.moved * ey.moved * width,
        h_read_bits=channels * ex.reused * h_rows * read,
        v_read_bits=channels * v_columns * ey.reused * read,
        h_write_bits=h_write,
        h_write_less_v_bits=h_write if rules.joint_capacity else less,
        v_write_bits=stored * ex.made * rows * width,
    )


def _tensor_bits(
    graph: StackGraph, edges: tuple[TileEdge, ...], outputs: tuple[int, ...]
) -> tuple[int, ...]:
    """Bits of each tensor that one tile makes or fetches."""
    outside = (edges[graph.readers[t][0]].fresh_bits for t in graph.outside)
    return (*outputs, *outside)


def _live_peak(graph: StackGraph, edges: tuple[TileEdge, ...], tensor_bits: tuple[int, ...]) -> int:
    """Most bits of feature maps alive at once in a tile, as the reference counts them.

    All that comes from outside is there from the beginning. While a layer runs, its operands,
    halo included, stand for the tiles that they are made of.
    """
    alive = peak = sum(tensor_bits[t] for t in graph.outside)
    for e in range(len(graph.layers)):
        read = {graph.edges[i].tensor for i in graph.edges_into[e]}
        waiting = sum(tensor_bits[t] for t in read)
        operands = sum(edges[i].input_bits for i in graph.edges_into[e])
        peak = max(peak, alive - waiting + operands + tensor_bits[e], alive + tensor_bits[e])
        alive += tensor_bits[e]
        alive -= sum(tensor_bits[t] for t in read if graph.edges[graph.readers[t][-1]].layer == e)
    return peak


def tile_stack(
    graph: StackGraph,
    tile_x: int,
    tile_y: int,
    mode: OverlapMode,
    rules: RuleSet,
    kinds_along: AxisKinds = axis_kinds,
) -> StackTiling:
    """Cut a stack into tiles of tile_x by tile_y outputs of its last layer.

    `kinds_along`: `axis_kinds`, or the same remembered from call to call.
    """
    merge = rules.joint_capacity
    columns = kinds_along(graph, "x", tile_x, mode.caches_columns, merge)
    rows = kinds_along(graph, "y", tile_y, mode.caches_rows, merge)
    sized = None if merge else _ReferenceCaches(graph, tile_x, tile_y)
    kinds = []
    for y in rows:
        for x in columns:
            edges = tuple(_edge(graph, i, x, y, rules) for i in range(len(graph.edges)))
            outputs = tuple(
                graph.tensors[e].channels * w * h * graph.tensors[e].element_bits
                for e, (w, h) in enumerate(zip(x.outputs, y.outputs, strict=True))
            )
            live = h = v = corner = 0
            if sized is not None:
                live = _live_peak(graph, edges, _tensor_bits(graph, edges, outputs))
                h, v, corner = sized.bits(x, y)
            kinds.append(
                TileKind(
                    count=x.count * y.count,
                    column=x,
                    row=y,
                    sizes=tuple(zip(x.outputs, y.outputs, strict=True)),
                    output_bits=outputs,
                    operand_bits=tuple(
                        sum(edges[i].operand_bits for i in graph.edges_into[e])
                        for e in range(len(graph.layers))
                    ),
                    tensor_bits=_tensor_bits(graph, edges, outputs),
                    export_bits=tuple(
                        t.channels * w * h * t.element_bits
                        for t, w, h in zip(graph.tensors, x.fresh, y.fresh, strict=True)
                    ),
                    edges=edges,
                    live_bits=live,
                    h_cache_bits=h,
                    v_cache_bits=v,
                    corner_bits=corner,
                )
            )
    caches = [_cache_bits(graph, edge, i, columns, rows) for i, edge in enumerate(graph.edges)]
    return StackTiling(
        graph=graph,
        tile_x=tile_x,
        tile_y=tile_y,
        mode=mode,
        kinds=tuple(kinds),
        h_cache_bits=tuple(h for h, _ in caches),
        v_cache_bits=tuple(v for _, v in caches),
    )


def _cache_bits(
    graph: StackGraph,
    edge: StackEdge,
    number: int,
    columns: tuple[AxisKind, ...],
    rows: tuple[AxisKind, ...],
) -> tuple[int, int]:
    """Bits of the H and V cache of an edge: what any tile finds there, plus old corners in V.

    The H cache holds the columns that later tiles of a tile row need. The V cache holds the
    rows that later tile rows need over the whole width; the next tile still needs the old
    rows of its own halo while this tile overwrites them, so one corner more.
    """
    unit = edge.channels * graph.layers[edge.layer].precision.input_bits
    held_x = max(x.edges[number].held for x in columns)
    held_y = max(y.edges[number].held for y in rows)
    height = max(y.edges[number].moved for y in rows)
    return unit * held_x * height, unit * held_y * (_full_width(graph, edge) + held_x)


def _full_width(graph: StackGraph, edge: StackEdge) -> int:
    """Positions along x that the whole layer reads of a tensor."""
    read, total = edge.x, graph.layers[edge.layer].sizes["OX"]
    low = max(0, -read.offset)
    high = min(read.size, read.stride * (total - 1) - read.offset + read.window)
    return high - low


class _ReferenceCaches:
    """Cache sizes as the reference takes them: as if all were cached, whatever the mode."""

    def __init__(self, graph: StackGraph, tile_x: int, tile_y: int) -> None:
        self._graph = graph
        self._columns = axis_kinds(graph, "x", tile_x, True, False)
        self._rows = axis_kinds(graph, "y", tile_y, True, False)

    def bits(self, x: AxisKind, y: AxisKind) -> tuple[int, int, int]:
        """(H, V, corner) bits over all edges for a tile in columns x, rows y."""
        across = next(k for k in self._columns if k.runs == x.runs)
        down = next(k for k in self._rows if k.runs == y.runs)
        h = v = corner = 0
        for i, edge in enumerate(self._graph.edges):
            unit = edge.channels * self._graph.layers[edge.layer].precision.input_bits
            columns, rows = across.edges[i].overlap, down.edges[i].overlap
            h += unit * down.edges[i].extent * columns
            v += unit * _full_width(self._graph, edge) * rows
            corner += unit * columns * rows
        return h, v, corner
