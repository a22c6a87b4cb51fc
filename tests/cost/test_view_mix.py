"""The best mix of latency views, as the value of a matrix game."""

from random import Random

import numpy as np
import pytest
from ortools.linear_solver import pywraplp

from cost.view_mix import best_shares


def game_value(planes: np.ndarray) -> float:
    """The most that the least of some planes [j, v] can be, over shares [v]."""
    solver = pywraplp.Solver.CreateSolver("GLOP")
    shares = [solver.NumVar(0.0, 1.0, f"share {v}") for v in range(planes.shape[1])]
    value = solver.NumVar(-solver.infinity(), solver.infinity(), "value")
    solver.Add(sum(shares) == 1.0)
    for plane in planes.tolist():
        solver.Add(value <= sum(p * share for p, share in zip(plane, shares, strict=True)))
    solver.Maximize(value)
    assert solver.Solve() == pywraplp.Solver.OPTIMAL
    return float(value.solution_value())


@pytest.mark.parametrize("seed", range(40))
def test_shares_attain_the_value_of_the_game(seed: int) -> None:
    """Tests random planes with many ties, of small values and large ones."""
    rng = Random(seed)
    n, views = rng.randint(1, 9), rng.randint(1, 16)
    size = rng.choice([1.0, 1e3, 1e6])
    planes = np.array(
        [[size * rng.choice([0, 1, rng.random()]) for _ in range(views)] for _ in range(n)]
    )
    shares = np.zeros(views)
    value = best_shares(planes, shares)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1.0)
    assert value == pytest.approx((planes @ shares).min(), abs=1e-9 * size)
    assert value == pytest.approx(game_value(planes), abs=1e-6 * size)


def test_planes_alike_leave_any_shares() -> None:
    """Tests planes of one value only."""
    shares = np.zeros(3)
    assert best_shares(np.full((2, 3), 7.0), shares) == 7.0
    assert shares.sum() == pytest.approx(1.0)
