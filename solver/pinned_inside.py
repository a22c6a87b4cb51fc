"""What is fixed by hand inside of stacks, as the tables of kinds of tile need it.

Places that a pin excludes cost infinitely much, and so does everything but a fixed mapping, which
costs what the kernel says. All searches look places up in these tables.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cost.kernel import evaluate_layer_tile
from cost.mapping import LayerTile, TemporalMapping
from cost.mapping_search import MappingPoint
from cost.rules import RuleSet
from cost.schedule import ScheduledMapping
from problems.problem import Problem
from solver.pinned_mappings import matches, resting
from solver.pins import LayerOfStack, PhasePlaces, PinnedLayer

Memories = tuple[int, int, int]
"""Memories of W, I and O."""
Places = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""The same on the axes of a table."""
FREE = -1
"""Number of layer-tiles whose mapping is not fixed."""


class PinnedInside:
    """Fixed memories and mappings by stack and layer."""

    def __init__(
        self, problem: Problem, rules: RuleSet, entries: Iterable[LayerOfStack] = ()
    ) -> None:
        self.problem, self.rules = problem, rules
        self._layers: dict[tuple[tuple[int, ...], int], list[PinnedLayer]] = {}
        for stack, layer in entries:
            self._layers.setdefault((stack, layer.position), []).append(layer)
        self._numbers = {at: number for number, at in enumerate(self._layers)}
        self._pinned = list(self._layers.values())
        self._points: dict[tuple[int, int, int], dict[Memories, tuple[MappingPoint, ...]]] = {}
        self._known: dict[tuple[int, int, int, bool], list[ScheduledMapping] | None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is fixed."""
        return not self._layers

    def holds(self, stack: tuple[int, ...], position: int) -> bool:
        """Whether anything of a layer of a stack is fixed."""
        return (stack, position) in self._layers

    def number(
        self, stack: tuple[int, ...], position: int, size: tuple[int, int], *, own_weights: bool
    ) -> int:
        """Number under which the mappings fixed for a layer-tile are known, or FREE.

        `own_weights`: the tile reads its weights from DRAM, wherever they stay.
        """
        number = self._numbers.get((stack, position), FREE)
        if number == FREE or self._allowed(number, size, own_weights=own_weights) is None:
            return FREE
        return number

    def points(
        self, number: int, size: tuple[int, int]
    ) -> dict[Memories, tuple[MappingPoint, ...]]:
        """The mappings that a layer-tile may have, by where its tensors rest under them.

        Those that no memory is too small for.
        """
        key = (number, *size)
        if key not in self._points:
            position = self._pinned[number][0].position
            found: dict[Memories, tuple[MappingPoint, ...]] = {}
            for mapping in self._allowed(number, size, own_weights=False) or ():
                point = self._point(position, size, mapping)
                if all(
                    bits <= memory.size_bits
                    for bits, memory in zip(
                        point.held_bits, self.problem.hardware.memories, strict=True
                    )
                ):
                    at = resting(self.problem, position, mapping)
                    found[at] = (*found.get(at, ()), point)
            self._points[key] = found
        return self._points[key]

    def _allowed(
        self, number: int, size: tuple[int, int], *, own_weights: bool
    ) -> list[ScheduledMapping] | None:
        """The fixed mappings of a layer-tile; None if it is free."""
        key = (number, *size, own_weights)
        if key not in self._known:
            self._known[key] = self._find_allowed(number, size, own_weights=own_weights)
        return self._known[key]

    def _find_allowed(
        self, number: int, size: tuple[int, int], *, own_weights: bool
    ) -> list[ScheduledMapping] | None:
        position = self._pinned[number][0].position
        found = None
        for pinned in self._pinned[number]:
            own = [
                m
                for m in pinned.mappings
                if matches(self.problem, position, m, *size, own_weights=own_weights)
            ]
            if own:
                found = own if found is None else [m for m in found if m in own]
        return found

    def _point(
        self, position: int, size: tuple[int, int], mapping: ScheduledMapping
    ) -> MappingPoint:
        hardware, workload = self.problem.hardware, self.problem.workload
        layer = workload.layers[position]
        walked = {"OX": size[0], "OY": size[1]}
        flags = mapping.double_buffered if self.rules.explicit_double_buffering else None
        cost = evaluate_layer_tile(
            hardware,
            hardware.unrolling(workload.name, layer),
            LayerTile(
                layer=layer,
                sizes=tuple((dim, walked.get(dim, full)) for dim, full in layer.loops),
                levels={name: len(cuts) for name, cuts in mapping.cuts.items()},
            ),
            TemporalMapping(loops=mapping.loops, cuts=mapping.cuts, double_buffered=flags),
            self.rules,
        )
        return MappingPoint(
            energy_pj=cost.energy_pj,
            latency_cycles=cost.latency_cycles,
            held_bits=tuple(cost.held_bits.get(m, 0) for m in range(len(hardware.memories))),
            loops=mapping.loops,
            cuts=dict(mapping.cuts),
            double_buffered=dict(mapping.double_buffered),
        )

    def keep_layer(
        self,
        costs: np.ndarray,
        stack: tuple[int, ...],
        position: int,
        size: tuple[int, int],
        places: Places,
        *,
        own_weights: bool,
    ) -> None:
        """Close what pins exclude in costs [W, I, O, (pJ, cycles)] of a layer-tile.

        See `number`.
        """
        number = self._numbers.get((stack, position), FREE)
        if number == FREE:
            return
        for pinned in self._pinned[number]:
            for what, memory in pinned.memories:
                if what in "WIO" and not (what == "W" and own_weights):
                    axis = "WIO".index(what)
                    closed = [n for n, m in enumerate(places[axis]) if m != memory]
                    costs[(slice(None),) * axis + (closed,)] = np.inf
        if self._allowed(number, size, own_weights=own_weights) is None:
            return
        fixed = np.full_like(costs, np.inf)
        for memories, points in self.points(number, size).items():
            if all(m in some for m, some in zip(memories, places, strict=True)):
                at = tuple(some.index(m) for m, some in zip(memories, places, strict=True))
                if np.isfinite(costs[at]).all():
                    each = [(point.energy_pj, point.latency_cycles) for point in points]
                    fixed[at] = np.min(each, axis=0)
        costs[:] = fixed

    def kept_phase(
        self,
        costs: np.ndarray,
        stack: tuple[int, ...],
        position: int,
        places_of: PhasePlaces,
    ) -> np.ndarray:
        """Costs [producer, second, I, h_use, h_make, v, ..] of a copy phase, closed alike.

        `places_of`: what is placed along some axes, and where it may be.
        """
        for pinned in self._layers.get((stack, position), ()):
            for what, memory in pinned.memories:
                for axis, name, places in places_of:
                    if what == name and places != (-1,):
                        costs = costs.copy()  # others have it, too
                        closed = [n for n, m in enumerate(places) if m != memory]
                        costs[(slice(None),) * axis + (closed,)] = np.inf
        return costs
