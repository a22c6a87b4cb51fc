"""Half-planes that contain every schedule's (energy, latency), and their best corner."""

from __future__ import annotations

import math

from solver.objective import Objective

Point = tuple[float, float]
"""(pJ, cycles)."""
LEEWAY = 1e-9
"""Relative rounding of nearly parallel planes' corners."""


class HalfPlanes:
    """Constraints a * E + b * L >= c with a, b >= 0 over positive points.

    The objective is quasi-concave, so over the polygon that they bound its minimum lies
    on a corner: a lower bound for every schedule (docs/formulation.md).
    """

    def __init__(self) -> None:
        self.planes: list[tuple[float, float, float]] = []

    def add(self, energy_weight: float, latency_weight: float, bound: float) -> None:
        """Add energy_weight * E + latency_weight * L >= bound."""
        self.planes.append((energy_weight, latency_weight, bound))

    def with_plane(self, energy_weight: float, latency_weight: float, bound: float) -> HalfPlanes:
        """A copy with one plane more."""
        copy = HalfPlanes()
        copy.planes = [*self.planes, (energy_weight, latency_weight, bound)]
        return copy

    def corners(self) -> list[Point]:
        """Corners of the region, those on the outermost planes alone."""
        found = []
        for i, (a, b, c) in enumerate(self.planes):
            for d, e, f in self.planes[i + 1 :]:
                det = a * e - b * d
                if det == 0:
                    continue
                point = ((c * e - b * f) / det, (a * f - c * d) / det)
                # A corner too many only lowers the bound; one too few would break it.
                if all(p * point[0] + q * point[1] >= r * (1 - LEEWAY) for p, q, r in self.planes):
                    found.append(point)
        return found

    def best_corner(self, objective: Objective) -> Point:
        """The corner of least objective."""
        return min(self.corners(), key=lambda p: float(objective.of(*p)))

    def below(self, corner: Point, most: float) -> list[Point]:
        """Vertices of the region around `corner` where E * L is less than `most`, as it is there.

        From the end of least E to that of most E, corners between. Past the outermost corners E or
        L stays as it is. Points with products of at least `most` are convex: of all half-planes
        beyond which nothing around the corner is less, the one through both ends claims least.
        """
        corners = sorted(self.corners())
        at = min(range(len(corners)), key=lambda i: math.dist(corners[i], corner))
        left, right = corners[at::-1], corners[at:]
        energy, latency = left[-1][0], right[-1][1]
        return [
            *_up_to(left, (energy, most / energy), most)[:0:-1],
            *_up_to(right, (most / latency, latency), most),
        ]


def weights_along(region: list[Point], corner: Point) -> tuple[float, float]:
    """Weights of the half-plane through the ends of a region around a corner.

    As large as those along which E * L falls at the corner.
    """
    (less, more_cycles), (more, less_cycles) = region[0], region[-1]
    energy, latency = corner
    weights = more_cycles - less_cycles, more - less
    size = 2 * energy * latency / 1e6 / (weights[0] * energy + weights[1] * latency)
    return weights[0] * size, weights[1] * size


def _up_to(corners: list[Point], last: Point, most: float) -> list[Point]:
    """Corners, and the first point along their edges with a product of at least `most`.

    If none has: `last`.
    """
    for n, (here, there) in enumerate(zip(corners, corners[1:], strict=False)):
        end = _where(here, there, most)
        if end is not None:
            return [*corners[: n + 1], end]
    return [*corners, last]


def _where(here: Point, there: Point, most: float) -> Point | None:
    """The first point from one to the other with a product of at least `most`; None: none has."""
    (energy, latency), along = here, (there[0] - here[0], there[1] - here[1])
    # The product after a share t of the way: square * t * t + slope * t + product.
    square = along[0] * along[1]
    slope = energy * along[1] + latency * along[0]
    product = energy * latency
    if product >= most:
        return here
    inside = slope * slope - 4 * square * (product - most)
    if slope <= 0 or inside < 0:
        return None
    share = 2 * (most - product) / (slope + math.sqrt(inside))
    return (energy + share * along[0], latency + share * along[1]) if share <= 1 else None
