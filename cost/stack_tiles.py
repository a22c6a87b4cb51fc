"""A stack of fused layers cut into tiles: kinds of tiles, their sizes and copied bits.

A stack option is a run of layers with a tile size and an overlap mode. Its tiles fall
into at most 4 x 4 kinds; all tiles of a kind cost the same under the same placements.
"""

from __future__ import annotations

from dataclasses import dataclass

from cost.axis_tiles import AxisKind, axis_kinds, axis_layers, column_sizes
from cost.overlap import OverlapMode
from cost.rules import RuleSet
from problems.workload import Layer, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEdge:
    """Bits that one tile moves on the edge into one layer of the stack.

    `input_bits` is the layer's operand with halo, `fresh_bits` the producer's tile,
    `h_read_bits` / `v_read_bits` come out of the caches, `h_write_bits` /
    `v_write_bits` go into them; `h_write_less_v_bits` is the H write where rows that the
    V write just stored are not stored again (reference rules; else equal).
    """

    input_bits: int
    fresh_bits: int
    h_read_bits: int
    v_read_bits: int
    h_write_bits: int
    h_write_less_v_bits: int
    v_write_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileKind:
    """One kind of tile: how many, where, the size of each layer-tile, and its copies.

    `live_bits`, `h_cache_bits`, `v_cache_bits`, `corner_bits` are the sums that the
    reference's level rules look at (DeFiNES, section III).
    """

    count: int
    column: AxisKind
    row: AxisKind
    sizes: tuple[tuple[int, int], ...]
    output_bits: tuple[int, ...]
    edges: tuple[TileEdge, ...]
    live_bits: int
    h_cache_bits: int
    v_cache_bits: int
    corner_bits: int

    @property
    def loads_weights(self) -> bool:
        """Whether this is the stack's very first tile."""
        return self.column.is_first and self.row.is_first


@dataclass(frozen=True, kw_only=True)
class StackTiling:
    """All kinds of tiles of one stack option, and what its caches take.

    `h_cache_bits[e]`, `v_cache_bits[e]`: bits that the caches of the edge into layer e
    occupy under the exact rules.
    """

    layers: tuple[Layer, ...]
    tile_x: int
    tile_y: int
    mode: OverlapMode
    kinds: tuple[TileKind, ...]
    h_cache_bits: tuple[int, ...]
    v_cache_bits: tuple[int, ...]


def _merge(kinds: tuple[AxisKind, ...]) -> tuple[AxisKind, ...]:
    """Join kinds that cost the same: equal sizes, and equal use of the caches."""
    merged: dict[tuple[object, ...], AxisKind] = {}
    for kind in kinds:
        key = (kind.outputs, kind.inputs, kind.fresh, kind.cached, kind.uses, kind.makes)
        old = merged.get(key)
        if old is None:
            merged[key] = kind
            continue
        merged[key] = AxisKind(
            start=min(old.start, kind.start),
            count=old.count + kind.count,
            is_first=old.is_first or kind.is_first,
            is_last=old.is_last or kind.is_last,
            uses=kind.uses,
            makes=kind.makes,
            next_is_last=False,
            outputs=kind.outputs,
            inputs=kind.inputs,
            fresh=kind.fresh,
            cached=kind.cached,
        )
    return tuple(merged.values())


def _edges(
    layers: tuple[Layer, ...], x: AxisKind, y: AxisKind, input_bits: int, rules: RuleSet
) -> tuple[TileEdge, ...]:
    edges = []
    for e, layer in enumerate(layers):
        channels = layer.input_channels
        width = input_bits if e == 0 else layers[e - 1].precision.output_bits
        data = layer.precision.input_bits
        read = data if rules.cached_reads_at_data_width else layer.precision.output_bits
        ex, ey, fx, fy = x.inputs[e], y.inputs[e], x.fresh[e], y.fresh[e]
        vx = x.cached[e] if x.uses else 0
        vy = y.cached[e] if y.uses else 0
        h_rows, v_columns = (ey - vy, ex) if rules.joint_capacity else (ey, ex - vx)
        # An element-wide overlap can pass what this tile computes itself: then the rest
        # of it lies in the cache already.
        columns = min(x.cached[e], fx) if x.makes else 0
        rows = min(y.cached[e], fy) if y.makes else 0
        if e == 0 and not rules.charge_stack_input_cache:
            columns = rows = 0
        h_write = channels * columns * fy * width
        less = channels * columns * (fy - rows) * width
        edges.append(
            TileEdge(
                input_bits=channels * ex * ey * data,
                fresh_bits=channels * fx * fy * width,
                h_read_bits=channels * vx * h_rows * read,
                v_read_bits=channels * v_columns * vy * read,
                h_write_bits=h_write,
                h_write_less_v_bits=h_write if rules.joint_capacity else less,
                v_write_bits=channels * fx * rows * width,
            )
        )
    return tuple(edges)


def _reference_caches(
    layers: tuple[Layer, ...], x: AxisKind, y: AxisKind, rules: RuleSet
) -> tuple[int, int, int]:
    """(H, V, corner) bits over all edges as the reference sizes them: as if fully cached."""
    chain_x, chain_y = axis_layers(layers, "x"), axis_layers(layers, "y")
    spans = rules.true_spans
    sized_y = column_sizes(chain_y, y.outputs[-1], not y.is_first, spans)
    sized_x = column_sizes(chain_x, x.outputs[-1], not x.is_first, spans)
    h = v = corner = 0
    for e, layer in enumerate(layers):
        unit = layer.input_channels * layer.precision.input_bits
        full_width = chain_x[e].inputs(chain_x[e].outputs, spans)
        h += unit * sized_y[1][e] * sized_x[3][e]
        v += unit * full_width * sized_y[3][e]
        corner += unit * sized_x[3][e] * sized_y[3][e]
    return h, v, corner


def tile_stack(
    workload: Workload,
    layers: tuple[Layer, ...],
    tile_x: int,
    tile_y: int,
    mode: OverlapMode,
    rules: RuleSet,
) -> StackTiling:
    """Cut the chain `layers` into tiles of tile_x by tile_y outputs of its last layer."""
    spans = rules.true_spans
    h_cached = mode is not OverlapMode.FULLY_RECOMPUTE
    v_cached = mode is OverlapMode.FULLY_CACHED
    chain_x, chain_y = axis_layers(layers, "x"), axis_layers(layers, "y")
    columns = axis_kinds(chain_x, tile_x, h_cached, spans)
    rows = axis_kinds(chain_y, tile_y, v_cached, spans)
    if rules.joint_capacity:
        columns, rows = _merge(columns), _merge(rows)
    producer = workload.by_name.get(layers[0].sources[0])
    bits = producer.precision.output_bits if producer else workload.input_bits
    kinds = []
    for y in rows:
        for x in columns:
            edges = _edges(layers, x, y, bits, rules)
            outputs = tuple(
                layer.channels * x.outputs[i] * y.outputs[i] * layer.precision.output_bits
                for i, layer in enumerate(layers)
            )
            live = max(
                [edges[0].fresh_bits]
                + [edge.input_bits + out for edge, out in zip(edges, outputs, strict=True)]
            )
            h, v, corner = _reference_caches(layers, x, y, rules)
            kinds.append(
                TileKind(
                    count=x.count * y.count,
                    column=x,
                    row=y,
                    sizes=tuple(zip(x.outputs, y.outputs, strict=True)),
                    output_bits=outputs,
                    edges=edges,
                    live_bits=live,
                    h_cache_bits=h,
                    v_cache_bits=v,
                    corner_bits=corner,
                )
            )
    h_bits, v_bits = _exact_caches(layers, columns, rows, rules)
    return StackTiling(
        layers=layers,
        tile_x=tile_x,
        tile_y=tile_y,
        mode=mode,
        kinds=tuple(kinds),
        h_cache_bits=h_bits,
        v_cache_bits=v_bits,
    )


def _exact_caches(
    layers: tuple[Layer, ...],
    columns: tuple[AxisKind, ...],
    rows: tuple[AxisKind, ...],
    rules: RuleSet,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bits of the H and V cache per edge: what any tile reads, plus old corners in V.

    The H cache holds the overlap columns of one tile row. The V cache holds the overlap
    rows over the whole width; the next tile still needs the old rows of its own halo
    while this tile overwrites them, so one corner more.
    """
    chain = axis_layers(layers, "x")
    h_bits, v_bits = [], []
    for e, layer in enumerate(layers):
        unit = layer.input_channels * layer.precision.input_bits
        vx = max((x.cached[e] for x in columns if x.makes), default=0)
        vy = max((y.cached[e] for y in rows if y.makes), default=0)
        height = max(y.inputs[e] - (y.cached[e] if y.uses else 0) for y in rows)
        full_width = chain[e].inputs(chain[e].outputs, rules.true_spans)
        h_bits.append(unit * vx * height)
        v_bits.append(unit * vy * (full_width + vx))
    return tuple(h_bits), tuple(v_bits)
