"""Loops that matter to every operand alike, as loops of one dimension.

What a mapping costs does not tell apart dimensions of the same relevance to all three operands:
the rows and columns of a pointwise convolution of stride 1, say, or all dimensions of an add.
Taken together their loops form far fewer blocks, and every mapping of the whole is one of the
parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cost.lattice import FX, FY, OX, OY
from cost.layer_model import LayerModel
from cost.mapping_search import MappingPoint
from problems.workload import LOOP_DIMS


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedLoops:
    """Sizes that cost the same, by dim, and the temporal bounds (dim, bound) taken together.

    `parts[dim]`: what loops of that dim stand for.
    """

    sizes: np.ndarray
    parts: dict[str, tuple[tuple[str, int], ...]]

    def split(self, point: MappingPoint) -> MappingPoint:
        """A mapping for `sizes` as one of the dims as they are: same cost, cuts and blocks."""
        left = {part: bound for parts in self.parts.values() for part, bound in parts}
        loops = []
        for dim, factor in point.loops:
            if dim in self.parts:
                dim = next(part for part, _ in self.parts[dim] if left[part] % factor == 0)
                left[dim] //= factor
            loops.append((dim, factor))
        return replace(point, loops=tuple(loops))


def merged_loops(model: LayerModel, sizes: np.ndarray) -> MergedLoops:
    """The loops of a layer-tile of `sizes`, by dim, with those taken together that act alike.

    Only dims that their spatial unrolling divides, so that no block is cut off at the border,
    and only under rules that count whole elements.
    """
    a = model.arrays
    merged = sizes.copy()
    parts: dict[str, tuple[tuple[str, int], ...]] = {}
    if not (a.exact and a.explicit):
        return MergedLoops(sizes=merged, parts=parts)
    alike: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for d in range(len(sizes)):
        unrolled = [int(f) for k, f in zip(a.unroll_dim, a.unroll_factor, strict=True) if k == d]
        factor = min(unrolled[0], int(sizes[d])) if unrolled else 1
        if len(unrolled) > 1 or sizes[d] % factor or sizes[d] == factor:
            continue
        relevance = tuple(int(r) for r in a.rel[:, d])
        if 2 in relevance:
            # Without taps and gaps as many inputs as outputs.
            plain = (d == OX and sizes[FX] == 1 and a.stride[0] == 1) or (
                d == OY and sizes[FY] == 1 and a.stride[1] == 1
            )
            if not plain:
                continue
            relevance = tuple(min(r, 1) for r in relevance)
        alike.setdefault(relevance, []).append((d, int(sizes[d]) // factor))
    for dims in alike.values():
        if len(dims) < 2:
            continue
        first, others = dims[0][0], dims[1:]
        for d, bound in others:
            merged[first] *= bound
            merged[d] //= bound
        parts[LOOP_DIMS[first]] = tuple((LOOP_DIMS[d], bound) for d, bound in dims)
    return MergedLoops(sizes=merged, parts=parts)
