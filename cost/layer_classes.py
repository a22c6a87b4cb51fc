"""Layers whose tiles cost the same: equal layers, and tiles turned by a right angle.

What a mapping costs depends on loop sizes, precisions, strides and the unrolling, not on
the layer's name or place; and where width and height play equal parts a tile costs what
its transpose does. Both spare searching the same mapping twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cost.lattice import FX, FY, OX, OY
from cost.layer_model import LayerModel
from cost.mapping_search import MappingPoint

_TURNED = {"OX": "OY", "OY": "OX", "FX": "FY", "FY": "FX"}
_SWAP = {OX: OY, OY: OX, FX: FY, FY: FX}


def _signature(model: LayerModel, sizes: np.ndarray, *, turned: bool) -> tuple[object, ...]:
    """All that the cost of a tile depends on, with width and height swapped if `turned`."""
    n = len(sizes)
    order = [_SWAP.get(d, d) if turned else d for d in range(n)]
    stride = model.stride[[1, 0, 3, 2]] if turned else model.stride
    unrolled = [
        (order[int(dim)], int(factor), tuple(model.unroll_level[:, k].tolist()))
        for k, (dim, factor) in enumerate(zip(model.unroll_dim, model.unroll_factor, strict=True))
    ]
    dims = [dim for dim, _, _ in unrolled]
    if len(set(dims)) == len(dims):
        unrolled.sort()  # the order matters only among factors of one dim
    others = [int(sizes[order[d]]) for d in range(n) if d not in (OX, OY)]
    return (
        model.operands,
        model.chain,
        tuple(others),
        tuple(stride.tolist()),
        tuple(map(tuple, model.precision_bits.tolist())),
        tuple(map(tuple, model.relevance[:, order].tolist())),
        tuple(unrolled),
    )


def tile_signature(model: LayerModel, sizes: np.ndarray) -> tuple[object, ...]:
    """All that the cost of a tile of `sizes` depends on, on given hardware and rules."""
    return (*_signature(model, sizes, turned=False), int(sizes[OX]), int(sizes[OY]))


def layer_classes(models: Sequence[LayerModel], sizes: Sequence[np.ndarray]) -> tuple[int, ...]:
    """For each layer the first one that is like it; `sizes` are the whole maps' loops.

    All models must be of one piece of hardware and one rule set.
    """
    first: dict[tuple[object, ...], int] = {}
    return tuple(
        first.setdefault(_signature(model, size, turned=False), i)
        for i, (model, size) in enumerate(zip(models, sizes, strict=True))
    )


def is_symmetric(model: LayerModel, sizes: np.ndarray) -> bool:
    """Whether a tile of the layer costs what its transpose does."""
    return _signature(model, sizes, turned=False) == _signature(model, sizes, turned=True)


def turn(point: MappingPoint) -> MappingPoint:
    """The mapping of the transposed tile."""
    loops = tuple((_TURNED.get(dim, dim), factor) for dim, factor in point.loops)
    return replace(point, loops=loops)
