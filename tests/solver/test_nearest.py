"""The cheapest of many options, asked for again and again while bounds rise."""

from __future__ import annotations

import numpy as np
import pytest

import solver.nearest
from solver.nearest import Nearest


@pytest.mark.parametrize("kept", [1, 4, 40, 1000])
def test_it_finds_the_cheapest_while_bounds_rise(
    monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Tests that what it finds costs as little as what a sort of all options finds."""
    monkeypatch.setattr(solver.nearest, "KEPT", kept)
    rng = np.random.default_rng(kept)
    sizes = np.array([3, 1, 40, 90, 66])
    bounds, others = rng.integers(0, 50, sizes.sum()) * 1.0, rng.integers(0, 20, len(sizes)) * 1.0
    nearest = Nearest(sizes)
    for _ in range(200):
        through = bounds + np.repeat(others, sizes)
        found = nearest.find(bounds, others, 16)
        assert len(set(found.tolist())) == 16
        np.testing.assert_array_equal(np.sort(through[found]), np.sort(through)[:16])
        bounds[rng.choice(found, 5)] += rng.integers(0, 9, 5)
        bounds[rng.integers(0, len(bounds), 20)] += rng.integers(0, 3, 20)
        others[rng.integers(0, len(others))] += rng.integers(0, 2)
        if rng.random() < 0.1:
            bounds[rng.choice(found, 3)] = np.inf


def test_all_are_found_where_there_are_few() -> None:
    """Tests fewer options than are asked for, and none."""
    few = Nearest(np.array([2, 1]))
    assert sorted(few.find(np.array([3.0, 1.0, 2.0]), np.zeros(2), 16).tolist()) == [0, 1, 2]
    assert not len(Nearest(np.zeros(0, dtype=np.int64)).find(np.zeros(0), np.zeros(0), 16))
