"""What is left out of an option costs too much, against every placement."""

from itertools import product

import numpy as np
import pytest

from cost.best_prices import best_prices, bound_by, no_prices
from cost.hopeless import without_hopeless
from tests.cost.test_shared_prices import all_shared, least, random_kinds

CASES = [*product(range(3), (False, True), (False, True))]


@pytest.mark.parametrize(("seed", "stairs", "tied"), CASES)
def test_nothing_cheap_is_left_out(seed: int, stairs: bool, tied: bool) -> None:
    """Wherever weights and caches lie, what costs less than `enough` is there as before."""
    x = random_kinds(np.random.default_rng(seed), stairs=stairs, tied=tied)
    known = sorted((least(x, [shared]), shared) for shared in all_shared())
    truth = known[0][0]
    gone = compared = 0
    for prices in (best_prices(x)[0], no_prices(x)):
        for share in (1.0 + 1e-6, 1.1):
            enough = truth * share
            left = without_hopeless(x, prices, enough)
            gone += int(np.isfinite(x.f).sum() - np.isfinite(left.f).sum())
            gone += int(np.isfinite(x.g).sum() - np.isfinite(left.g).sum())
            cheap = [(cost, shared) for cost, shared in known if cost < enough]
            # The dearest of them are those that are lost first.
            for cost, shared in cheap[:20] + cheap[-60:]:
                assert least(left, [shared]) == cost
                compared += 1
    assert gone > 0
    assert compared > 4


def test_all_is_left_where_nothing_is_known_to_be_enough() -> None:
    """With no cut-off, or one that the bound passes, the option stays as it is."""
    x = random_kinds(np.random.default_rng(1), stairs=True)
    prices = best_prices(x)[0]
    for enough in (np.inf, 0.5 * bound_by(x, prices)):
        assert without_hopeless(x, prices, enough) is x
