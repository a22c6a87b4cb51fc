"""The front against all nondominated points of small random problems."""

import pytest

from problems import InfeasibleError
from solver.front import pareto_front, within
from solver.space import TileSpace
from tests.oracle.all_mappings import Point
from tests.oracle.test_oracle import FAMILIES, HEIGHTS, WIDTHS, cases

ROUNDING = 1e-9


def hull(points: tuple[Point, ...]) -> list[Point]:
    """Corners of the lower left of the convex hull: no weighted sum can miss them."""
    chain: list[Point] = []
    for point in sorted(points):
        if chain and point[1] >= chain[-1][1]:
            continue
        while len(chain) > 1:
            (x, y), (u, v) = chain[-2:]
            if (u - x) * (point[1] - y) - (v - y) * (point[0] - x) > ROUNDING * abs(u * y):
                break
            chain.pop()
        chain.append(point)
    return chain


@pytest.mark.parametrize("family", FAMILIES)
def test_front_covers_every_schedule(family: str) -> None:
    """Tests lines, distance and the points that weighted sums find, over all schedules."""
    rules = FAMILIES[family]
    for seed, problem, points in cases(family)[::3]:
        name = f"seed {seed}, {family}"
        tiles = TileSpace(text="small grid", widths=WIDTHS, heights=HEIGHTS)
        try:
            front = pareto_front(problem, rules=rules, tiles=tiles, workers=1)
        except InfeasibleError:
            assert not points, name
            continue
        assert points, name
        assert front.complete, name
        found = [(p.energy_pj, p.latency_cycles) for p in front.points]
        for a, b, c in front.lines:
            assert all(a * e + b * n >= c * (1 - ROUNDING) for e, n in points), name
        reach = (1 + front.epsilon) * (1 + ROUNDING)
        for e, n in points:
            assert any(f <= e * reach and m <= n * reach for f, m in found), name
        for corner in hull(points):
            assert any((f, m) == pytest.approx(corner, rel=1e-6) for f, m in found), name
        for _, n in found:
            limited = within(front, max_latency_cycles=n)
            assert limited.value is not None, name
            assert limited.bound <= min(f for f, m in points if m <= n * (1 + ROUNDING)) * (
                1 + ROUNDING
            ), name
        nothing = within(front, max_energy_pj=min(points)[0] * 0.99)
        assert nothing.value is None, name
