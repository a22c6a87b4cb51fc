"""Bounds by what stays in memories, against trying out every placement."""

from itertools import product

import numpy as np
import pytest

from cost.best_prices import best_prices, bound_by
from cost.divided_room import _Division, divided_room
from cost.shared_prices import SharedKinds
from tests.cost.test_shared_prices import N, all_shared, least, random_kinds

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


def stays_of(x: SharedKinds, shared: tuple[int, ...]) -> np.ndarray:
    """Bits [memory] that weights and caches take."""
    out = np.zeros(len(x.room))
    for e in range(N):
        w, h, v = shared[3 * e : 3 * e + 3]
        out[x.weight_mem[e, w]] += x.weight_bits[e]
        out[x.h_mem[e, h]] += x.h_bits[e, h]
        out[x.v_mem[e, v]] += x.v_bits[e, v]
    return out[:-1]  # but for DRAM


def is_inside(
    x: SharedKinds,
    shared: tuple[int, ...],
    least_bits: np.ndarray,
    most_bits: np.ndarray,
    barred: tuple[np.ndarray, ...],
) -> bool:
    """Whether placements with weights and caches there belong to a part."""
    stays = stays_of(x, shared)
    if (stays < least_bits[:-1]).any() or (stays > most_bits[:-1]).any():
        return False
    return not any(barred[what][e, shared[3 * e + what]] for e in range(N) for what in range(3))


def random_part(
    rng: np.random.Generator, x: SharedKinds, division: _Division
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Limits of what stays around some placement, and places barred that it does not use."""
    every = list(all_shared())
    one = every[rng.integers(len(every))]
    stays = np.append(stays_of(x, one), 0.0)
    low = np.where(rng.random(len(stays)) < 0.5, 0.0, np.maximum(stays - rng.integers(0, 6), 0.0))
    high = np.where(rng.random(len(stays)) < 0.5, x.room, stays + rng.integers(0, 6))
    barred = tuple(rng.random(columns.shape) < 0.3 for columns in division.program.places)
    for e in range(N):
        for what in range(3):
            barred[what][e, one[3 * e + what]] = False
    return low, np.where(np.isinf(high), 0.0, np.minimum(high, x.room)), barred


@pytest.mark.parametrize(("seed", "tied"), [*product(range(10), (False, True))])
def test_no_placement_of_a_part_costs_less(seed: int, tied: bool) -> None:
    """Whatever its limits are; and where it is divided its halves hold all of it."""
    rng = np.random.default_rng(seed)
    x = random_kinds(rng, stairs=True, tied=tied)
    division = _Division(x, None, 1e4)
    every = list(all_shared())
    divided = 0
    for _ in range(12):
        limits = random_part(rng, x, division)
        part = division.part(*limits, None)
        assert part is not None
        inside = [shared for shared in every if is_inside(x, shared, *limits)]
        truth = least(x, inside)
        assert part.bound <= truth * (1 + 1e-9)
        if np.isfinite(part.bound):
            halves = division.halves(part)
            divided += bool(halves)
            for shared in inside if halves else ():
                assert any(is_inside(x, shared, *half) for half in halves)
            for half in halves:
                within = division.part(*half, part)
                assert within is not None and within.bound >= part.bound
    assert divided > 0


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
