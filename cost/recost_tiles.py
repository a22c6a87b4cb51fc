"""Geometry of a scheduled stack, walked column by column and row by row.

Used to check schedules, so it shares nothing with the tables that the solver searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cost.overlap import OverlapMode
from cost.rules import RuleSet
from problems.workload import Layer, Workload

Axis = Literal["X", "Y"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisStep:
    """One layer in one column (or row) of tiles.

    The layer computes `outputs` positions from `extent` positions of its operand. Of
    these `reused` come out of a cache and `fresh` from the producer, which computes just
    that many. The next tile will again need `overlap` of them; `kept` are those of the
    fresh ones that are handed over to it in a cache.
    """

    outputs: int
    extent: int
    fresh: int
    overlap: int
    reused: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackGeometry:
    """`columns[i][n]` and `rows[j][n]`: step of the stack's layer n in column i / row j."""

    columns: tuple[tuple[AxisStep, ...], ...]
    rows: tuple[tuple[AxisStep, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What one tile moves on the edge into one layer, in bits.

    `input` is the whole operand tile, `fresh` what the producer makes of it;
    `*_read` come from the caches of the tiles on the left and above, `*_write` go to
    those of the tiles on the right and below; `h_write_beside_v_bits` is the H write
    without the rows that a V write holds already.
    """

    input_bits: int
    fresh_bits: int
    h_read_bits: int
    v_read_bits: int
    h_write_bits: int
    v_write_bits: int
    h_write_beside_v_bits: int


def operand_extent(layer: Layer, axis: Axis, outputs: int, rules: RuleSet) -> int:
    """Positions of the layer's activation operand that `outputs` outputs touch."""
    if not (layer.input_index.tied_x if axis == "X" else layer.input_index.tied_y):
        return outputs
    taps = layer.sizes["F" + axis]
    stride, dilation = _steps(layer, axis)
    if rules.true_spans:
        return stride * (outputs - 1) + dilation * (taps - 1) + 1
    return outputs * taps - max(0, taps - stride) * (outputs - 1)


def tile_sizes(total: int, tile: int) -> tuple[int, ...]:
    """Sizes of the tiles along an axis: the first takes what the others leave over."""
    count = -(-total // tile)
    return (total - (count - 1) * tile, *(tile,) * (count - 1))


def stack_geometry(
    layers: Sequence[Layer], tile_x: int, tile_y: int, mode: OverlapMode, rules: RuleSet
) -> StackGeometry:
    """Walk every column and row of tiles of a stack back from its last layer."""
    last = layers[-1].sizes
    return StackGeometry(
        columns=walk_axis(layers, "X", last["OX"], tile_x, mode.caches_columns, rules),
        rows=walk_axis(layers, "Y", last["OY"], tile_y, mode.caches_rows, rules),
    )


def walk_axis(
    layers: Sequence[Layer], axis: Axis, total: int, tile: int, cached: bool, rules: RuleSet
) -> tuple[tuple[AxisStep, ...], ...]:
    """Steps of all layers in each column (`axis` X) or row (Y) of a stack."""
    sizes = tile_sizes(total, tile)
    result = []
    for position, size in enumerate(sizes):
        steps: list[AxisStep] = []
        outputs = size
        for layer in reversed(layers):
            extent = operand_extent(layer, axis, outputs, rules)
            tied = layer.input_index.tied_x if axis == "X" else layer.input_index.tied_y
            stride = _steps(layer, axis)[0] if tied else 1
            overlap = max(0, extent - stride * outputs)
            reused = overlap if cached and position > 0 else 0
            fresh = extent - reused
            makes = cached and position + 1 < len(sizes)
            steps.append(
                AxisStep(
                    outputs=outputs,
                    extent=extent,
                    fresh=fresh,
                    overlap=overlap,
                    reused=reused,
                    kept=min(overlap, fresh) if makes else 0,
                )
            )
            outputs = fresh
        result.append(tuple(reversed(steps)))
    return tuple(result)


def producer_bits(workload: Workload, position: int) -> int:
    """Bits per element of what layer `position` of a chain reads."""
    if position == 0:
        return workload.input_bits
    return workload.layers[position - 1].precision.output_bits


def map_bits(workload: Workload, position: int) -> int:
    """Bits of the whole feature map after layer `position` of a chain."""
    layer = workload.layers[position]
    sizes = layer.sizes
    elements = sizes["B"] * layer.channels * sizes["OX"] * sizes["OY"]
    return elements * layer.precision.output_bits


def operand_channels(layer: Layer) -> int:
    """Channels of the activation operand, times the batch."""
    return layer.sizes["B"] * layer.input_channels


def edge(layer: Layer, x: AxisStep, y: AxisStep, fresh_width: int, rules: RuleSet) -> Edge:
    """Amounts on the edge into `layer`; the producer's elements have `fresh_width` bits."""
    channels = operand_channels(layer)
    data = layer.precision.input_bits
    if rules.cached_reads_at_data_width:
        h_read = x.reused * (y.extent - y.reused) * data
        v_read = x.extent * y.reused * data
    else:
        # The reference counts the corner with the columns, and takes the wrong width.
        h_read = x.reused * y.extent * layer.precision.output_bits
        v_read = (x.extent - x.reused) * y.reused * layer.precision.output_bits
    return Edge(
        input_bits=channels * x.extent * y.extent * data,
        fresh_bits=channels * x.fresh * y.fresh * fresh_width,
        h_read_bits=channels * h_read,
        v_read_bits=channels * v_read,
        h_write_bits=channels * x.kept * y.fresh * fresh_width,
        v_write_bits=channels * x.fresh * y.kept * fresh_width,
        h_write_beside_v_bits=channels * x.kept * (y.fresh - y.kept) * fresh_width,
    )


def _steps(layer: Layer, axis: Axis) -> tuple[int, int]:
    if axis == "X":
        return layer.stride_x, layer.dilation_x
    return layer.stride_y, layer.dilation_y
