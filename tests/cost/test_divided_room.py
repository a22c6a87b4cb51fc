"""Bounds by what stays in memories, against trying out every placement."""

from itertools import product

import numpy as np
import pytest

from cost.best_prices import best_prices, bound_by
from cost.divided_room import divided_room
from tests.cost.test_shared_prices import least, random_kinds

CASES = [*product(range(6), (False, True), (False, True))]


@pytest.mark.parametrize(("seed", "stairs", "tied"), CASES)
def test_the_bound_rises_with_the_parts(seed: int, stairs: bool, tied: bool) -> None:
    """From that of prices alone on, and never above the truth."""
    x = random_kinds(np.random.default_rng(seed), stairs=stairs, tied=tied)
    truth = least(x)
    prices, basis = best_prices(x)
    whole = bound_by(x, prices)
    bounds = [divided_room(x, basis, 2 * truth, parts).bound for parts in (0, 8, 400)]
    assert bounds[0] >= whole * (1 - 1e-9)
    assert bounds == sorted(bounds)
    assert bounds[-1] <= truth * (1 + 1e-9)


def test_parts_close_most_of_the_gap_that_prices_leave() -> None:
    """In the mean: what is left is of inputs and outputs that lie in two places."""
    before = after = 0.0
    for seed in range(12):
        x = random_kinds(np.random.default_rng(seed), stairs=True)
        truth = least(x)
        prices, basis = best_prices(x)
        before += 1 - bound_by(x, prices) / truth
        after += 1 - divided_room(x, basis, 2 * truth, 400).bound / truth
    assert after < 0.5 * before


@pytest.mark.parametrize("seed", range(6))
def test_it_ends_where_the_bound_is_enough(seed: int) -> None:
    """No more is found out than was asked, and what parts take is told only of open ones."""
    x = random_kinds(np.random.default_rng(seed), stairs=True)
    truth = least(x)
    some = divided_room(x, None, 0.5 * truth, 400)
    assert 0.5 * truth <= some.bound <= truth * (1 + 1e-9)
    assert len(some.taken) == 0
    more = divided_room(x, None, 2 * truth, 0)
    assert more.bound <= truth * (1 + 1e-9)
    kinds, layers = x.f.shape[:2]
    assert {tuple(entry[:2]) for entry in more.taken.tolist()} == set(
        product(range(kinds), range(layers))
    )


def test_where_nothing_fits_every_part_is_dear() -> None:
    """No placement: the bound is beyond any that is asked for."""
    x = random_kinds(np.random.default_rng(0))
    x = x._replace(input_mem=np.array([1, 1]), output_mem=np.array([1, 1]))
    full = x._replace(room=np.array([60.0, 5.0, np.inf]))
    assert np.isinf(least(full))
    enough = 4 * bound_by(full, best_prices(x)[0])
    assert divided_room(full, None, enough, 400).bound >= enough
