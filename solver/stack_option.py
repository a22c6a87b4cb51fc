"""A stack option: which layers, cut how, between which memories."""

from __future__ import annotations

from dataclasses import dataclass

from cost.overlap import OverlapMode
from cost.stack_tiles import StackTiling


@dataclass(frozen=True, slots=True, order=True)
class StackOption:
    """A set of layers (positions) cut into tiles in one overlap mode.

    `source` and `target` are the memories (indices) that the map of layer `carried` comes
    from and its output goes to; other maps come from DRAM, and so do all if it is -1.
    """

    layers: tuple[int, ...]
    tile_x: int
    tile_y: int
    mode: OverlapMode
    source: int
    target: int
    carried: int

    @property
    def first(self) -> int:
        """Position of the first layer."""
        return self.layers[0]

    @property
    def last(self) -> int:
        """Position of the last layer."""
        return self.layers[-1]


def main_kind(tiling: StackTiling) -> int:
    """Number of the commonest kind of tile, on which bounds look closest."""
    return max(range(len(tiling.kinds)), key=lambda i: tiling.kinds[i].count)


def tiles_that_run(tiling: StackTiling) -> list[int]:
    """In how many tiles each layer of a stack computes anything."""
    return [
        sum(kind.count for kind in tiling.kinds if kind.runs(e))
        for e in range(len(tiling.graph.layers))
    ]
