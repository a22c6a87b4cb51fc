"""Half-planes that contain every schedule's (energy, latency), and their best corner."""

from __future__ import annotations

from solver.objective import Objective

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

    def corners(self) -> list[tuple[float, float]]:
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

    def best_corner(self, objective: Objective) -> tuple[float, float]:
        """The corner of least objective."""
        return min(self.corners(), key=lambda p: float(objective.of(*p)))
