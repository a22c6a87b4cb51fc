"""Elements of a tensor that a box of loop iterations touches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from problems.workload import LOOP_DIMS, Layer, TensorIndex

DIM_POSITION = {dim: position for position, dim in enumerate(LOOP_DIMS)}
NO_LOOPS = (1,) * len(LOOP_DIMS)
"""Extents, one per entry of `LOOP_DIMS`, of a single iteration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiedAxis:
    """An axis of the input: positions in `LOOP_DIMS` of its two loops, and the steps."""

    output: int
    tap: int
    stride: int
    dilation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorShape:
    """Which loops span a tensor: positions in `LOOP_DIMS`.

    `direct` dims are relevant, those of no tied axis and not direct are `irrelevant`; the
    dims of a tied axis are neither.
    """

    direct: tuple[int, ...]
    irrelevant: frozenset[int]
    tied: tuple[TiedAxis, ...]
    spans: bool


def tensor_shape(layer: Layer, index: TensorIndex, spans: bool) -> TensorShape:
    """Resolve a tensor index of `layer`; `spans` selects the rule for tied extents."""
    direct = tuple(DIM_POSITION[dim] for dim in index.direct)
    tied = []
    for used, letter, stride, dilation in (
        (index.tied_x, "X", layer.stride_x, layer.dilation_x),
        (index.tied_y, "Y", layer.stride_y, layer.dilation_y),
    ):
        if used:
            output, tap = DIM_POSITION["O" + letter], DIM_POSITION["F" + letter]
            tied.append(TiedAxis(output=output, tap=tap, stride=stride, dilation=dilation))
    own = {*direct, *(a.output for a in tied), *(a.tap for a in tied)}
    irrelevant = frozenset(range(len(LOOP_DIMS))) - own
    return TensorShape(direct=direct, irrelevant=irrelevant, tied=tuple(tied), spans=spans)


def tied_extent(axis: TiedAxis, outputs: float, taps: float, spans: bool) -> float:
    """Positions along a tied axis that `outputs` outputs of `taps` filter taps touch.

    With `spans` everything from the first to the last position counts. Without, as in the
    reference: distinct positions at dilation 1, truncated where extents are fractions.

    >>> axis = TiedAxis(output=5, tap=7, stride=2, dilation=1)
    >>> tied_extent(axis, 4, 1, spans=True), tied_extent(axis, 4, 1, spans=False)
    (7, 4)
    """
    if spans:
        return axis.stride * (outputs - 1) + axis.dilation * (taps - 1) + 1
    return math.trunc(outputs * taps - max(0, taps - axis.stride) * (outputs - 1))


def tensor_elements(shape: TensorShape, extents: Sequence[float]) -> float:
    """Elements that loops of the given extents (one per `LOOP_DIMS` entry) touch."""
    elements: float = 1
    for position in shape.direct:
        elements *= extents[position]
    for axis in shape.tied:
        elements *= tied_extent(axis, extents[axis.output], extents[axis.tap], shape.spans)
    return elements
