"""What the mappings of a layer-tile cost at least by what they hold, as far as it is known.

Where memory runs short a mapping that is dearer and holds less may be the best that fits. All of
them are too many to look through. Asking for the best within what is free, again and again, finds
those that matter: each answer says what everything that holds no more costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import floor

from cost.mapping_search import MappingPoint, weigh_point

EQUAL = 1e-12
"""Relative difference of costs that counts as none."""


@dataclass(frozen=True, slots=True)
class Corner:
    """Weighted cost and bits [memory] that some mappings, not known yet, cost and hold at least."""

    cost: float
    least_bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Staircase:
    """Every mapping costs and holds no less than one of `points` or than one of `corners`.

    What counts is what it holds of `shared` memories, of which it may take `most_bits` [memory].
    Points cheapest first.
    """

    weights: tuple[float, float]
    shared: tuple[int, ...]
    most_bits: tuple[float, ...]
    points: tuple[MappingPoint, ...]
    corners: tuple[Corner, ...]

    def within(self, budget: Sequence[float]) -> tuple[float, MappingPoint | None]:
        """What a mapping that holds no more costs at least, and one that costs just that."""
        corners = [c.cost for c in self.corners if self._fits(c.least_bits, budget)]
        least = min(corners, default=float("inf"))
        for point in self.points:
            if self._fits(point.held_bits, budget):
                cost = weigh_point(self.weights, point)
                return min(cost, least), point if cost <= least * (1 + EQUAL) else None
        return least, None

    def widest(self, budget: Sequence[float]) -> tuple[float, ...]:
        """A budget no smaller in which no point is cheaper than what is known of `budget`."""
        least, _ = self.within(budget)
        cheaper = [p for p in self.points if weigh_point(self.weights, p) < least * (1 - EQUAL)]
        wide = list(budget)
        for m in self.shared:
            others = [k for k in self.shared if k != m]
            near = [p for p in cheaper if all(p.held_bits[k] <= wide[k] for k in others)]
            room = min((p.held_bits[m] - 1.0 for p in near), default=self.most_bits[m])
            wide[m] = max(budget[m], room)
        return tuple(wide)

    def narrowed(
        self, budget: Sequence[float], cost: float, found: Iterable[MappingPoint]
    ) -> Staircase:
        """Where what holds no more than `budget` [memory] costs `cost` at least; points of it."""
        corners = []
        for corner in self.corners:
            if cost <= corner.cost or not self._fits(corner.least_bits, budget):
                corners.append(corner)
                continue
            # Of its mappings some hold no more, and others more of one memory or another.
            corners.append(Corner(cost, corner.least_bits))
            for m in self.shared:
                more = list(corner.least_bits)
                more[m] = floor(budget[m]) + 1
                if more[m] <= self.most_bits[m]:
                    corners.append(Corner(corner.cost, tuple(more)))
        news = [p for p in found if self.within(p.held_bits)[1] is None]
        points = sorted([*self.points, *news], key=lambda p: weigh_point(self.weights, p))
        return replace(self, points=tuple(points), corners=self._least(corners, points))

    def _least(
        self, corners: Iterable[Corner], points: Iterable[MappingPoint]
    ) -> tuple[Corner, ...]:
        """The corners that no point and no other corner goes below."""
        below = [(weigh_point(self.weights, p), p.held_bits) for p in points]
        kept: list[Corner] = []
        for corner in sorted(corners, key=lambda c: (c.cost, c.least_bits)):
            if corner.cost == float("inf"):
                continue
            others = [(c.cost, c.least_bits) for c in kept]
            if not any(
                cost <= corner.cost * (1 + EQUAL) and self._fits(held, corner.least_bits)
                for cost, held in (*below, *others)
            ):
                kept.append(corner)
        return tuple(kept)

    def _fits(self, held: Sequence[float], budget: Sequence[float]) -> bool:
        return all(held[m] <= budget[m] for m in self.shared)


def first_step(
    weights: tuple[float, float],
    shared: tuple[int, ...],
    most_bits: tuple[float, ...],
    best: MappingPoint,
) -> Staircase:
    """What is known by the best mapping: none costs less."""
    corner = Corner(weigh_point(weights, best), (0,) * len(best.held_bits))
    return Staircase(weights, shared, most_bits, (best,), (corner,))
