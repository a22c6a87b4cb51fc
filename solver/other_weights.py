"""What mappings cost under some weights by what is known of them under others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cost.mapping_search import MappingPoint, weigh_point
from solver.halfplanes import HalfPlanes

ROUNDING = 1e-10
"""Relative error that corners of nearly parallel planes may have."""


@dataclass(frozen=True, slots=True)
class KnownMinimum:
    """The least weighted cost of a layer-tile's mappings under some weights, and the best one."""

    weights: tuple[float, float]
    cost: float
    point: MappingPoint


def carried_over(
    weights: tuple[float, float], floor: tuple[float, float], known: Sequence[KnownMinimum]
) -> tuple[float, MappingPoint | None]:
    """Lower bound of the weighted cost of all mappings, and one that costs no more if there is.

    Least pJ and cycles, `floor`, and each minimum that is known leave a region of the plane, and
    the least over its corners bounds what lies there.
    """
    planes = HalfPlanes()
    planes.add(1.0, 0.0, floor[0])
    planes.add(0.0, 1.0, floor[1])
    for one in known:
        planes.add(*one.weights, one.cost)
    corners = [weights[0] * e + weights[1] * c for e, c in planes.corners()]
    bound = min(corners, default=0.0) * (1 - ROUNDING)
    best = min((one.point for one in known), key=lambda p: weigh_point(weights, p))
    attains = weigh_point(weights, best) <= bound * (1 + 2 * ROUNDING)
    return bound, best if attains else None
