"""How often each size of a layer occurs in a stack's tiles, for many tile sizes at once.

Along one axis a stack that ends in a given layer asks the same of every layer inside,
wherever it starts. So one set of counts serves all stacks with the same last layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.axis_tiles import axis_kinds, axis_layers
from problems.workload import Layer


@dataclass(frozen=True, kw_only=True, eq=False)
class AxisCounts:
    """One layer along one axis.

    Columns of a tiling compute `outputs[k]` positions in this layer and need `fresh[k]`
    new positions of its input; `counts[t, k]` columns do so at the t-th tile size. Where
    strides pass the kernel a mapping may skip the gaps: `fresh` leaves them out.
    """

    outputs: np.ndarray
    fresh: np.ndarray
    counts: np.ndarray


def axis_counts(
    layers: tuple[Layer, ...], axis: str, tiles: tuple[int, ...], cached: bool, spans: bool
) -> tuple[AxisCounts, ...]:
    """Counts of every layer of the chain `layers` whose last is cut to each of `tiles`."""
    chain = axis_layers(layers, axis)
    kinds = [axis_kinds(chain, tile, cached, spans) for tile in tiles]
    out = []
    for e, layer in enumerate(chain):
        pairs = [
            [(k.outputs[e], min(k.fresh[e], k.outputs[e] * layer.taps), k.count) for k in row]
            for row in kinds
        ]
        distinct = sorted({(outputs, fresh) for row in pairs for outputs, fresh, _ in row})
        number = {pair: i for i, pair in enumerate(distinct)}
        counts = np.zeros((len(tiles), len(distinct)))
        for t, row in enumerate(pairs):
            for outputs, fresh, count in row:
                counts[t, number[outputs, fresh]] += count
        out.append(
            AxisCounts(
                outputs=np.array([outputs for outputs, _ in distinct], dtype=np.int64),
                fresh=np.array([fresh for _, fresh in distinct], dtype=np.int64),
                counts=counts,
            )
        )
    return tuple(out)
