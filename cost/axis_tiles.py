"""Tiles of a chain of fused layers along one axis: kinds of columns (or rows) and sizes.

The tiling of the stack's output along one axis has a first column of the remainder's
width (or a full one), then full columns (DeFiNES, section III). What a column computes in
each layer follows backwards from the output: with caching on this axis a column that is
not the first computes only what its left neighbours left over.
"""

from __future__ import annotations

from dataclasses import dataclass

from problems.workload import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisLayer:
    """One layer along one axis: output size, taps, stride, dilation of the full map."""

    outputs: int
    taps: int
    stride: int
    dilation: int

    def inputs(self, outputs: int, spans: bool) -> int:
        """Input extent of `outputs`: their span, or the reference's distinct pixels."""
        if spans:
            return self.stride * (outputs - 1) + self.dilation * (self.taps - 1) + 1
        return outputs * self.taps - max(0, self.taps - self.stride) * (outputs - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisKind:
    """One kind of column of a tiling.

    Per layer of the stack: `outputs` it computes, `inputs` its operand spans (halo
    included), `fresh` inputs that the producer computes for this column, `cached` inputs
    that neighbours may leave in a cache. `uses` / `makes`: whether caches are read /
    filled on this axis by this column. `count` columns from number `start` on are alike.
    """

    start: int
    count: int
    is_first: bool
    is_last: bool
    uses: bool
    makes: bool
    next_is_last: bool
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    fresh: tuple[int, ...]
    cached: tuple[int, ...]


def axis_layers(layers: tuple[Layer, ...], axis: str) -> tuple[AxisLayer, ...]:
    """The chain of layers along axis "x" or "y"."""
    out, taps = ("OX", "FX") if axis == "x" else ("OY", "FY")
    return tuple(
        AxisLayer(
            outputs=layer.sizes[out],
            taps=layer.sizes[taps],
            stride=layer.stride_x if axis == "x" else layer.stride_y,
            dilation=layer.dilation_x if axis == "x" else layer.dilation_y,
        )
        for layer in layers
    )


def column_sizes(
    chain: tuple[AxisLayer, ...], width: int, reuses: bool, spans: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(outputs, inputs, fresh, cached) per layer of a column of output width `width`.

    `reuses`: the overlap with earlier columns is not computed again.
    """
    outputs: list[int] = []
    inputs: list[int] = []
    fresh: list[int] = []
    cached: list[int] = []
    size = width
    for layer in reversed(chain):
        span = layer.inputs(size, spans)
        overlap = max(0, span - layer.stride * size)
        outputs.append(size)
        inputs.append(span)
        cached.append(overlap)
        size = span - overlap if reuses else span
        fresh.append(size)
    return tuple(outputs[::-1]), tuple(inputs[::-1]), tuple(fresh[::-1]), tuple(cached[::-1])


def axis_kinds(
    chain: tuple[AxisLayer, ...], tile: int, caches: bool, spans: bool
) -> tuple[AxisKind, ...]:
    """Kinds of columns for tile width `tile`, left to right, at most four.

    A middle column whose right neighbour is the last one is a kind of its own: the
    reference keeps what it hands over where the right-hand tile wants it (Q6).
    """
    total = chain[-1].outputs
    tile = min(tile, total)
    columns = -(-total // tile)
    rest = total - (columns - 1) * tile
    spots = [(1, rest, True, columns == 1, columns == 2)]
    if columns > 3:
        spots.append((columns - 3, tile, False, False, False))
    if columns > 2:
        spots.append((1, tile, False, False, True))
    if columns > 1:
        spots.append((1, tile, False, True, False))
    kinds = []
    start = 0
    for count, width, first, last, next_is_last in spots:
        reuses = caches and not first
        outputs, inputs, fresh, cached = column_sizes(chain, width, reuses, spans)
        kinds.append(
            AxisKind(
                start=start,
                count=count,
                is_first=first,
                is_last=last,
                uses=reuses,
                makes=caches and not last,
                next_is_last=next_is_last,
                outputs=outputs,
                inputs=inputs,
                fresh=fresh,
                cached=cached,
            )
        )
        start += count
    return tuple(kinds)


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
