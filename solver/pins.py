"""Decisions fixed by hand: the rest of the schedule is completed optimally around them."""

from __future__ import annotations

from dataclasses import dataclass

from cost.overlap import OverlapMode
from cost.schedule import ScheduledMapping

TENSORS, CACHES, FETCHED = ("W", "I", "O"), ("H", "V"), "F"
"""What a layer-tile keeps in a memory: its operands (both of a join are I), the columns and
rows that it shares with its neighbours, and tiles from outside of its stack where the layer, if it
fetches them, puts them first."""
PhasePlaces = tuple[tuple[int, str, tuple[int, ...]], ...]
"""Axis of a copy phase, one of CACHES or FETCHED, and memories along it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedLayer:
    """What is fixed of one layer (position) of a stack, in every kind of tile.

    `memories`: (one of TENSORS, CACHES or FETCHED, memory). One of `mappings` is that of every
    layer-tile whose temporal loops are as long as those of some of them.
    """

    position: int
    memories: tuple[tuple[str, int], ...] = ()
    mappings: tuple[ScheduledMapping, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedStack:
    """Layers (positions) that make one stack, and what else of it is fixed.

    `source`, `target`: the memories (indices) that the map carried into it and its output rest
    in. `inside`: what is fixed of its layers.
    """

    layers: tuple[int, ...]
    tile: tuple[int, int] | None = None
    mode: OverlapMode | None = None
    source: int | None = None
    target: int | None = None
    inside: tuple[PinnedLayer, ...] = ()

    @property
    def targets(self) -> frozenset[int]:
        """All memories that its output has to rest in: the last layer's tiles lie in the map."""
        places = {
            memory
            for layer in self.inside
            if layer.position == self.layers[-1]
            for what, memory in layer.memories
            if what == "O"
        }
        return frozenset(places if self.target is None else {*places, self.target})


LayerOfStack = tuple[tuple[int, ...], PinnedLayer]
"""The layers of a stack, and what is fixed of one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Fixed decisions, layers by position.

    After a layer of `cut_after` a stack ends: none that holds it holds a reader of it.
    The layers of each group in `fused` are in one stack.
    """

    stacks: tuple[PinnedStack, ...] = ()
    cut_after: tuple[int, ...] = ()
    fused: tuple[tuple[int, ...], ...] = ()

    @property
    def inside(self) -> tuple[LayerOfStack, ...]:
        """What is fixed of the layers of stacks."""
        return tuple((stack.layers, layer) for stack in self.stacks for layer in stack.inside)


def joined(some: Pins, more: Pins) -> Pins:
    """All that either fixes."""
    return Pins(
        stacks=some.stacks + more.stacks,
        cut_after=tuple(sorted({*some.cut_after, *more.cut_after})),
        fused=some.fused + more.fused,
    )
