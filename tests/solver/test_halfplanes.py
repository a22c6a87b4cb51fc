"""The region around a corner in which schedules are sought or excluded."""

import numpy as np
import pytest

from solver.halfplanes import HalfPlanes, Point, weights_along
from solver.objective import Objective


def _weigh(weights: tuple[float, float], point: Point) -> float:
    return weights[0] * point[0] + weights[1] * point[1]


def _planes(rng: np.random.Generator) -> HalfPlanes:
    """Bounds on both costs, and on some sums, below a point that all hold for."""
    point = rng.uniform(50, 100, 2)
    planes = HalfPlanes()
    planes.add(1.0, 0.0, float(point[0] * rng.uniform(0.3, 1)))
    planes.add(0.0, 1.0, float(point[1] * rng.uniform(0.3, 1)))
    for _ in range(rng.integers(0, 4)):
        a, b = rng.uniform(0.1, 1, 2)
        planes.add(float(a), float(b), float((a * point[0] + b * point[1]) * rng.uniform(0.7, 1)))
    return planes


@pytest.mark.parametrize("seed", range(200))
def test_region_holds_what_its_half_plane_cuts_off(seed: int) -> None:
    """Beyond the half-plane nothing around the corner is less, and it cuts off no other points."""
    rng = np.random.default_rng(seed)
    planes = _planes(rng)
    corner = planes.best_corner(Objective.EDP)
    most = corner[0] * corner[1] * rng.uniform(1.001, 1.5)
    region = planes.below(corner, most)
    assert min(region[0][0] * region[0][1], region[-1][0] * region[-1][1]) >= most * (1 - 1e-9)
    weights = weights_along(region, corner)
    enough = max(_weigh(weights, point) for point in region)
    assert min(weights) > 0 and _weigh(weights, corner) < enough
    # As large as those along which the product falls.
    assert _weigh(weights, corner) == pytest.approx(2 * corner[0] * corner[1] / 1e6)
    for energy, latency in planes.with_plane(*weights, enough).corners():
        if _weigh(weights, (energy, latency)) <= enough * (1 + 1e-9):
            assert energy * latency >= most * (1 - 1e-6)
    # What is cut off costs no more than the vertices, along whatever weights.
    some = np.abs(rng.normal(size=(5, 2)))
    found = 0
    for shares in rng.dirichlet(np.ones(len(region)), 2000):
        near = shares @ np.array(region) * rng.normal(1, 0.005, 2)
        inside = all(a * near[0] + b * near[1] >= c for a, b, c in planes.planes)
        if inside and _weigh(weights, tuple(near)) < enough:
            found += 1
            for a, b in some.tolist():
                assert _weigh((a, b), tuple(near)) <= max(_weigh((a, b), p) for p in region)
    assert found > 0


def test_region_ends_on_the_edges_where_they_reach_the_product() -> None:
    """Of E + L >= 10 and E, L >= 1 the corners are (1, 9) and (9, 1); with E * L = 16 at E = 2."""
    planes = HalfPlanes()
    for plane in ((1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 10.0)):
        planes.add(*plane)
    region = planes.below((1.0, 9.0), 16.0)
    assert region == [pytest.approx(p) for p in [(1, 16), (1, 9), (2, 8)]]
    # Above what the edge reaches both corners are around each other.
    region = planes.below((1.0, 9.0), 26.0)
    assert region == [pytest.approx(p) for p in [(1, 26), (1, 9), (9, 1), (26, 1)]]
