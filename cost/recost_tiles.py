"""Geometry of a scheduled stack, walked column by column and row by row.

Used to check schedules, so it shares nothing with the tables that the solver searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from cost.overlap import OverlapMode
from cost.recost_sizes import sized_columns
from cost.rules import RuleSet
from problems.workload import Layer, Workload

Axis = Literal["X", "Y"]
Span = tuple[int, int]
"""Positions [begin, end) along an axis."""
Edge = tuple[str, str]
"""A feature map (its layer's name, or that of the network input) on its way into a layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStep:
    """One edge in one column (or row) of tiles, in positions.

    The layer reads `extent` positions (`operand` of them as its loops see it, padding
    included). Of these `reused` come out of a cache and `moved` from what the producer makes
    now, which is `fresh` in all. The next tiles will need `stored` that have been made by
    then, of which `kept` are handed over by this tile; `overlap` is how far two windows
    overlap.
    """

    extent: int
    operand: int
    fresh: int
    moved: int
    reused: int
    kept: int
    stored: int
    overlap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisColumn:
    """One column (or row): outputs per layer, steps per edge, new positions per export."""

    outputs: Mapping[str, int]
    edges: Mapping[Edge, EdgeStep]
    new: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackGeometry:
    """All columns and rows of a stack, left to right and top to bottom."""

    columns: tuple[AxisColumn, ...]
    rows: tuple[AxisColumn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeBits:
    """What one tile moves on the edge into one layer, in bits.

    `input` is what the layer reads, `operand` the same as its loops see it; `fresh` what the
    producer makes, `moved` what of it the layer reads; `*_read` come from the caches of the
    tiles on the left and above, `*_write` go to those of the tiles on the right and below;
    `h_write_beside_v_bits` is the H write without the rows that a V write holds already.
    """

    input_bits: int
    operand_bits: int
    fresh_bits: int
    moved_bits: int
    h_read_bits: int
    v_read_bits: int
    h_write_bits: int
    v_write_bits: int
    h_write_beside_v_bits: int


def tile_sizes(total: int, tile: int) -> tuple[int, ...]:
    """Sizes of the tiles along an axis: the first takes what the others leave over."""
    count = -(-total // tile)
    return (total - (count - 1) * tile, *(tile,) * (count - 1))


def map_size(workload: Workload, name: str, axis: Axis) -> int:
    """Positions of a whole feature map."""
    if name == workload.input_name:
        return workload.input_width if axis == "X" else workload.input_height
    return workload.by_name[name].sizes["O" + axis]


def map_channels(workload: Workload, name: str) -> int:
    """Channels of a feature map, times the batch."""
    if name == workload.input_name:
        return workload.input_channels
    return workload.by_name[name].sizes["B"] * workload.by_name[name].channels


def element_bits(workload: Workload, name: str) -> int:
    """Bits of an element of a feature map."""
    if name == workload.input_name:
        return workload.input_bits
    return workload.by_name[name].precision.output_bits


def map_bits(workload: Workload, name: str) -> int:
    """Bits of a whole feature map."""
    size = map_size(workload, name, "X") * map_size(workload, name, "Y")
    return map_channels(workload, name) * size * element_bits(workload, name)


def operand_span(
    workload: Workload, layer: Layer, source: str, axis: Axis, outputs: Span, rules: RuleSet
) -> tuple[Span, int, int]:
    """([begin, end) of `source` that `outputs` of the layer read, as loops see it, stride)."""
    first, end = outputs
    count = end - first
    size = map_size(workload, source, axis)
    if not (layer.input_index.tied_x if axis == "X" else layer.input_index.tied_y):
        total = layer.sizes["O" + axis]
        if size == total or not rules.true_branches:
            return (first, end), count, 1
        # A larger map is read at every n-th position, around its middle.
        step = max(1, (size - 1) // (total - 1)) if total > 1 else 1
        margin = (size - 1 - step * (total - 1)) // 2
        return (margin + step * first, margin + step * (end - 1) + 1), count, step
    taps = layer.sizes["F" + axis]
    stride = layer.stride_x if axis == "X" else layer.stride_y
    dilation = layer.dilation_x if axis == "X" else layer.dilation_y
    if not rules.true_spans:
        # Distinct pixels, numbered one after another.
        distinct = count * taps - max(0, taps - stride) * (count - 1)
        begin = first * min(stride, taps)
        return (begin, begin + distinct), distinct, min(stride, taps)
    pad = (layer.padding.left if axis == "X" else layer.padding.top) if rules.true_padding else 0
    begin, stop = stride * first - pad, stride * (end - 1) + dilation * (taps - 1) + 1 - pad
    clipped = (max(0, begin), min(size, stop)) if rules.true_padding else (begin, stop)
    return clipped, stop - begin, stride


def _walk_sizes(
    workload: Workload, names: Sequence[str], axis: Axis, tile: int, cached: bool
) -> tuple[AxisColumn, ...]:
    """`walk_axis` where tiles are sizes and no places (the reference's rules)."""
    layers = [workload.by_name[name] for name in names]
    tiles = tile_sizes(layers[-1].sizes["O" + axis], tile)
    columns = []
    for walked in sized_columns(layers, axis, tiles, cached):
        edges = {}
        seen: set[str] = set()
        for layer in layers:
            extent, overlap = walked.windows[layer.name]
            for source in layer.sources:
                made = walked.made[source]
                edges[source, layer.name] = EdgeStep(
                    extent=extent,
                    operand=extent,
                    fresh=made,
                    moved=made,
                    reused=overlap if walked.from_cache else 0,
                    kept=0 if source in seen else walked.kept[source],
                    stored=overlap if walked.kept[source] else 0,
                    overlap=overlap,
                )
            seen.update(layer.sources)
        outputs = {name: walked.made[name] for name in names}
        columns.append(AxisColumn(outputs=outputs, edges=edges, new={}))
    return tuple(columns)


def walk_axis(
    workload: Workload,
    names: Sequence[str],
    axis: Axis,
    tile: int,
    cached: bool,
    exports: frozenset[str],
    rules: RuleSet,
) -> tuple[AxisColumn, ...]:
    """Columns (`axis` X) or rows (Y) of the stack of layers `names`, the last of which ends it."""
    if not rules.true_branches:
        return _walk_sizes(workload, names, axis, tile, cached)
    layers = [workload.by_name[name] for name in names]
    sizes = tile_sizes(layers[-1].sizes["O" + axis], tile)
    spans: list[dict[str, Span]] = []
    reads: list[dict[Edge, Span]] = []
    done: dict[str, int] = {}
    before: list[dict[str, int]] = []
    start = 0
    for number, size in enumerate(sizes):
        made = {names[-1]: (start, start + size)}
        start += size
        needs: dict[Edge, Span] = {}
        seen = dict(done)
        sources = [*reversed(names[:-1]), *dict.fromkeys(_outside(layers, names))]
        for layer_name in [names[-1], *sources]:
            if layer_name != names[-1]:
                wanted = [
                    needs[edge]
                    for edge in needs
                    if edge[0] == layer_name and needs[edge][1] > needs[edge][0]
                ]
                whole = map_size(workload, layer_name, axis)
                made[layer_name] = _made(
                    wanted,
                    done.get(layer_name),
                    cached,
                    (number == 0, number == len(sizes) - 1) if layer_name in exports else None,
                    whole,
                )
            if layer_name in names and made[layer_name][1] > made[layer_name][0]:
                layer = workload.by_name[layer_name]
                for source in layer.sources:
                    span = operand_span(workload, layer, source, axis, made[layer_name], rules)[0]
                    needs[source, layer_name] = span
        for name, span in made.items():
            done[name] = max(done.get(name, span[1]), span[1])
        spans.append(made)
        reads.append(needs)
        before.append(seen)
    return tuple(
        _column(workload, layers, axis, number, spans, reads, before, cached, exports, rules)
        for number in range(len(sizes))
    )


def _some(span: Span | None) -> bool:
    return span is not None and span[1] > span[0]


def _outside(layers: Sequence[Layer], names: Sequence[str]) -> list[str]:
    return [source for layer in layers for source in layer.sources if source not in names]


def _made(
    wanted: list[Span],
    done: int | None,
    cached: bool,
    export: tuple[bool, bool] | None,
    whole: int,
) -> Span:
    """What of a map is made so that `wanted` can be read, `done` of it having been made."""
    if export is not None:
        if export[0]:
            wanted = [*wanted, (0, 0)]
        if export[1]:
            wanted = [*wanted, (whole, whole)]
    if not wanted:
        return (done or 0, done or 0)
    begin, end = min(low for low, _ in wanted), max(high for _, high in wanted)
    if done is not None:
        if export is not None:
            begin = min(begin, done)
        if cached:
            begin = max(begin, done)
    return (begin, max(begin, end))


def _column(
    workload: Workload,
    layers: Sequence[Layer],
    axis: Axis,
    number: int,
    spans: list[dict[str, Span]],
    reads: list[dict[Edge, Span]],
    before: list[dict[str, int]],
    cached: bool,
    exports: frozenset[str],
    rules: RuleSet,
) -> AxisColumn:
    made = spans[number]
    edges = {}
    for layer in layers:
        outputs = made[layer.name]
        for source in layer.sources:
            edge = (source, layer.name)
            fresh = made[source]
            low, high = reads[number].get(edge, (0, 0))
            operand = overlap = 0
            if high > low:
                _, operand, stride = operand_span(workload, layer, source, axis, outputs, rules)
                overlap = max(0, high - low - stride * (outputs[1] - outputs[0]))
            moved = max(0, min(high, fresh[1]) - max(low, fresh[0])) if cached else high - low
            # The first position that any later column reads.
            following = (r[edge] for r in islice(reads, number + 1, None) if _some(r.get(edge)))
            later = next((span[0] for span in following), None)
            stored = kept = 0
            if cached and later is not None:
                reach = max(made[source][1], before[number].get(source, 0))
                stored = max(0, reach - later)
                kept = max(0, fresh[1] - max(later, fresh[0]))
            edges[edge] = EdgeStep(
                extent=high - low,
                operand=operand,
                fresh=fresh[1] - fresh[0],
                moved=moved,
                reused=high - low - moved,
                kept=kept,
                stored=stored,
                overlap=overlap,
            )
    new = {}
    for name in exports:
        begin, end = made[name]
        old = before[number].get(name, begin)
        new[name] = max(0, end - max(begin, old))
    return AxisColumn(
        outputs={layer.name: made[layer.name][1] - made[layer.name][0] for layer in layers},
        edges=edges,
        new=new,
    )


def stack_geometry(
    workload: Workload,
    names: Sequence[str],
    tile: tuple[int, int],
    mode: OverlapMode,
    exports: frozenset[str],
    rules: RuleSet,
) -> StackGeometry:
    """Walk every column and row of tiles of a stack back from its last layer."""
    return StackGeometry(
        columns=walk_axis(workload, names, "X", tile[0], mode.caches_columns, exports, rules),
        rows=walk_axis(workload, names, "Y", tile[1], mode.caches_rows, exports, rules),
    )


def edge_channels(workload: Workload, edge: Edge, rules: RuleSet) -> int:
    """Channels that a layer reads on an edge, times the batch."""
    layer = workload.by_name[edge[1]]
    asked = layer.sizes["B"] * layer.input_channels
    return min(asked, map_channels(workload, edge[0])) if rules.true_branches else asked


def tile_format(
    workload: Workload, names: Sequence[str], source: str, rules: RuleSet
) -> tuple[int, int]:
    """(channels times batch, bits of an element) of a map's tiles in the stack of `names`.

    The reference takes of a map from outside the fewest channels and the widest elements that
    the stack's layers ask for.
    """
    if rules.true_branches or source in names or source == workload.input_name:
        return map_channels(workload, source), element_bits(workload, source)
    readers = [workload.by_name[name] for name in names if source in workload.by_name[name].sources]
    return (
        min(layer.sizes["B"] * layer.input_channels for layer in readers),
        max(layer.precision.input_bits for layer in readers),
    )


def edge_bits(
    workload: Workload,
    names: Sequence[str],
    edge: Edge,
    x: AxisColumn,
    y: AxisColumn,
    rules: RuleSet,
) -> EdgeBits:
    """Amounts on an edge of the stack of `names` in a tile of column `x` and row `y`."""
    layer = workload.by_name[edge[1]]
    across, down = x.edges[edge], y.edges[edge]
    channels, data = edge_channels(workload, edge, rules), layer.precision.input_bits
    made_channels, width = tile_format(workload, names, edge[0], rules)
    # The reference moves and keeps whole tiles, exact rules what the reader asks for.
    moving = min(channels, made_channels) if rules.true_branches else made_channels
    seen = layer.sizes["B"] * layer.input_channels if layer.computes else channels
    if rules.cached_reads_at_data_width:
        h_read = across.reused * (down.extent - down.reused) * data
        v_read = across.extent * down.reused * data
    else:
        # The reference counts the corner with the columns, and takes the wrong width.
        h_read = across.reused * down.extent * layer.precision.output_bits
        v_read = (across.extent - across.reused) * down.reused * layer.precision.output_bits
    return EdgeBits(
        input_bits=channels * across.extent * down.extent * data,
        operand_bits=seen * across.operand * down.operand * data,
        fresh_bits=made_channels * across.fresh * down.fresh * width,
        moved_bits=moving * across.moved * down.moved * width,
        h_read_bits=channels * h_read,
        v_read_bits=channels * v_read,
        h_write_bits=moving * across.kept * down.moved * width,
        v_write_bits=moving * across.fresh * down.kept * width,
        h_write_beside_v_bits=moving * across.kept * (down.moved - down.kept) * width,
    )
