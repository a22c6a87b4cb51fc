"""Tiles of a stack under the reference's rules: classes, sizes, cached amounts, peaks.

Tiles of one stack differ only in where they lie: in the first or last column or row, or
in between. Each class is evaluated once and counts as often as it occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from cost.overlap import OverlapMode
from cost.reference_backward import BackwardPass, backward_pass, tile_sizes
from cost.reference_graph import (
    Extent,
    ReferenceRuleError,
    StackGraph,
    input_bits,
    input_elements,
    input_extent,
    output_bits,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileClass:
    """Tiles of a stack's output that are alike: how many, their size, their position."""

    count: int
    width: int
    height: int
    first_column: bool
    last_column: bool
    first_row: bool
    last_row: bool

    @property
    def very_first(self) -> bool:
        """Whether this is the tile that starts the stack and brings its weights."""
        return self.first_column and self.first_row

    @property
    def very_last(self) -> bool:
        """Whether this is the tile that ends the stack."""
        return self.last_column and self.last_row

    def reads_columns(self, mode: OverlapMode) -> bool:
        """Whether columns come from the left-hand tile's cache."""
        return mode.caches_columns and not self.first_column

    def writes_columns(self, mode: OverlapMode) -> bool:
        """Whether columns are kept for the right-hand tile."""
        return mode.caches_columns and not self.last_column

    def reads_rows(self, mode: OverlapMode) -> bool:
        """Whether rows come from the cache of the tiles above."""
        return mode.caches_rows and not self.first_row

    def writes_rows(self, mode: OverlapMode) -> bool:
        """Whether rows are kept for the tiles below."""
        return mode.caches_rows and not self.last_row


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGeometry:
    """What one tile class computes, reads from caches, and leaves in them.

    Attributes
    ----------
    sizes
        Columns and rows that each node, stack inputs included, produces.
    overlap
        Cached columns and rows of operand i of a layer, by (layer, i); they are read
        only where the class reads that cache.
    kept
        Columns and rows of each producer that go into the caches where the class
        fills them.
    column_cache_bits, row_cache_bits, corner_bits
        Room that the caches need over the whole stack: columns for one neighbour, rows
        over the full width of the map, and what both count twice.
    alive_bits
        Peak of the feature maps alive at once while the tile is computed.
    """

    tile: TileClass
    sizes: dict[str, Extent]
    overlap: dict[tuple[str, int], Extent]
    kept: dict[str, Extent]
    column_cache_bits: int
    row_cache_bits: int
    corner_bits: int
    alive_bits: int


@dataclass(frozen=True, slots=True)
class _Span:
    """One kind of column (or row) of the tile grid."""

    count: int
    size: int
    first: bool
    last: bool


def tile_classes(stack: StackGraph, tile: Extent) -> tuple[TileClass, ...]:
    """Classes of tiles of at most `tile` columns and rows, row by row.

    The odd-sized tiles are the first column and the first row.

    Raises
    ------
    ReferenceRuleError
        If a tile size is not positive.
    """
    if min(tile) < 1:
        raise ReferenceRuleError(f"tile size must be at least 1x1, got {tile[0]}x{tile[1]}")
    width, height = stack.full_sizes[stack.last.name]
    return tuple(
        TileClass(
            count=row.count * column.count,
            width=column.size,
            height=row.size,
            first_column=column.first,
            last_column=column.last,
            first_row=row.first,
            last_row=row.last,
        )
        for row, column in product(_spans(height, tile[1]), _spans(width, tile[0]))
    )


def tile_geometry(stack: StackGraph, mode: OverlapMode, tile: TileClass) -> TileGeometry:
    """Sizes, cached amounts and peak of one tile class.

    The amounts to cache are sized as if everything were cached, whatever the mode is:
    so does the reference.
    """
    extent = (tile.width, tile.height)
    sizing = backward_pass(
        stack, extent, reuse_columns=not tile.first_column, reuse_rows=not tile.first_row
    )
    sizes = tile_sizes(
        stack,
        extent,
        reuse_columns=tile.reads_columns(mode),
        reuse_rows=tile.reads_rows(mode),
    )
    columns, rows, corner = _cache_bits(stack, sizing)
    return TileGeometry(
        tile=tile,
        sizes=sizes,
        overlap=sizing.overlap,
        kept={name: _kept(tile, kept, sizing.sizes[name]) for name, kept in sizing.kept.items()},
        column_cache_bits=columns,
        row_cache_bits=rows,
        corner_bits=corner,
        alive_bits=_peak_bits(stack, sizes),
    )


def _spans(outputs: int, tile: int) -> tuple[_Span, ...]:
    if tile >= outputs:
        return (_Span(1, outputs, True, True),)
    count = -(-outputs // tile)
    first = _Span(1, outputs % tile or tile, True, False)
    last = _Span(1, tile, False, True)
    if count == 2:
        return (first, last)
    return (first, _Span(count - 2, tile, False, False), last)


def _kept(tile: TileClass, kept: Extent, own: Extent) -> Extent:
    """A tile that is not the first only adds what it computes itself."""
    columns = kept[0] if tile.first_column else min(kept[0], own[0])
    rows = kept[1] if tile.first_row else min(kept[1], own[1])
    return columns, rows


def _cache_bits(stack: StackGraph, sizing: BackwardPass) -> tuple[int, int, int]:
    """Bits of the column cache, of the row cache, and of their common corner."""
    columns = rows = corner = 0
    for layer in stack.layers:
        outputs = sizing.sizes[layer.name]
        elements = input_elements(layer, outputs)
        width, height = input_extent(layer, outputs)
        full_width, _ = input_extent(layer, stack.full_sizes[layer.name])
        bits = layer.precision.input_bits
        for position in range(len(layer.sources)):
            overlap_x, overlap_y = sizing.overlap[layer.name, position]
            columns += elements // width * overlap_x * bits
            rows += elements // width * full_width // height * overlap_y * bits
            corner += elements // width * overlap_x // height * overlap_y * bits
    return columns, rows, corner


def _peak_bits(stack: StackGraph, sizes: dict[str, Extent]) -> int:
    """Peak of live feature maps over the nodes of the stack.

    While a layer runs, its operands stand for its producers' outputs: they carry the
    halo that comes from caches.
    """
    stored: dict[str, int] = {}
    alive = peak = 0
    for source in stack.inputs:
        stored[source.name] = source.bits(sizes[source.name])
        alive += stored[source.name]
        peak = max(peak, alive)
    for layer in stack.layers:
        operands = input_bits(layer, sizes[layer.name])
        produced = output_bits(layer, sizes[layer.name])
        producers = set(layer.sources)
        waiting = sum(stored[name] for name in producers)
        alive += operands - waiting
        peak = max(peak, alive)
        alive += produced
        peak = max(peak, alive)
        alive += waiting - operands
        peak = max(peak, alive)
        done = [name for name in producers if stack.last_consumer[name] == layer.name]
        alive -= sum(stored[name] for name in done)
        stored[layer.name] = produced
    return peak
