"""Bounds over all kinds of tile at once, against trying out every placement."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import pytest

from cost.best_prices import Prices, best_prices, bound_by, no_prices
from cost.capacity_bound import capacity_prices, occupied
from cost.shared_prices import (
    PLACE_LEFT,
    PLACE_SECOND,
    SharedKinds,
    add_shifts,
    add_ties,
    occupancy_of,
    tied_charges,
)
from tests.cost.random_stairs import NO_STAIRS, random_stairs, rise_within

N, N_MEM = 2, 3
"""Layers and memories; the last memory is DRAM."""
COUNTS = (1.0, 4.0, 2.0)


def random_kinds(
    rng: np.random.Generator, *, stairs: bool = False, tied: bool = False
) -> SharedKinds:
    """Three kinds of tile of two layers that like their caches in different memories.

    If `tied` the second layer reads what the first one has fetched, too.
    """
    n_kinds, n_w, n_io, n_cache, dram = len(COUNTS), 2, 2, 3, N_MEM - 1
    f = rng.uniform(1, 10, (n_kinds, N, n_w, n_io, n_io))
    g = rng.uniform(0, 5, (n_kinds, N, n_io, n_io, n_cache, 1, n_cache))
    f[:, :, 0] *= 0.3
    g += rng.uniform(0, 20, (n_kinds, N, 1, 1, n_cache, 1, 1))
    g += rng.uniform(0, 20, (n_kinds, N, 1, 1, 1, 1, n_cache))
    pairs = np.zeros((n_kinds, int(tied), n_io, n_io, *g.shape[3:]))
    ties = np.zeros((0, 5), dtype=np.int64)
    if tied:
        # Where it is cheap for the first layer it is dear for the second one.
        likes = np.array([0.0, 15.0])
        g[:, 0] += likes[:, None, None, None, None]
        pairs[:, 0] = g[:, 1, :, None] + rng.uniform(0, 5, (n_kinds, 1, n_io, 1, 1, 1, 1))
        pairs[:, 0] += likes[::-1, None, None, None, None]
        g[:, 1] = pairs[:, 0].min(axis=2)
        ties = np.array([(k, 0, PLACE_LEFT, 1, PLACE_SECOND) for k in range(n_kinds)])
    known = [random_stairs(rng, f.shape[1:]) if stairs and k else NO_STAIRS for k in range(n_kinds)]
    n_stairs = np.array([len(own["stairs"]) for own in known])
    steps = np.cumsum([0, *(len(own["step_costs"]) for own in known)])
    table = np.zeros((n_kinds, n_stairs.max(), 6), dtype=np.int64)
    for k, own in enumerate(known):
        table[k, : n_stairs[k]] = own["stairs"] + [0, 0, 0, 0, steps[k], steps[k]]
    return SharedKinds(
        counts=np.array(COUNTS),
        f=f,
        g=g,
        weight_mem=np.array([[0, dram]] * N),
        input_mem=np.array([1, dram]),
        output_mem=np.array([1, dram]),
        h_mem=np.array([[0, 1, dram]] * N),
        v_mem=np.array([[0, 1, dram]] * N),
        fetch_mem=np.full((n_kinds, N, n_io), -1),
        weight_bits=rng.integers(1, 30, N).astype(float),
        input_bits=rng.integers(1, 20, (n_kinds, N, n_io)).astype(float),
        output_bits=rng.integers(1, 20, (n_kinds, N, n_io)).astype(float),
        h_bits=rng.integers(1, 12, (N, n_cache)).astype(float),
        v_bits=rng.integers(1, 12, (N, n_cache)).astype(float),
        output_waiting_bits=np.zeros((n_kinds, N)),
        fetch_bits=np.zeros((n_kinds, N)),
        waits=np.zeros((N, 2), dtype=np.int64),
        fetch_waits=np.zeros((n_kinds, N, 2), dtype=np.int64),
        runs=np.ones((n_kinds, N), dtype=np.bool_),
        room=np.array([rng.uniform(20, 60), rng.uniform(30, 70), np.inf]),
        linked=np.array([False, True]),
        n_stairs=n_stairs,
        stairs=table,
        step_costs=np.concatenate([own["step_costs"] for own in known]),
        step_bits=np.concatenate([own["step_bits"] for own in known]),
        ties=ties,
        pairs=pairs,
        pair_of=np.array([-1, 0 if tied else -1]),
    )


def all_shared() -> Iterator[tuple[int, ...]]:
    """Where weights and caches may lie, (w, h, v) by layer."""
    yield from product(range(2), range(3), range(3), repeat=N)


def least(x: SharedKinds, among: Iterable[tuple[int, ...]] | None = None) -> float:
    """Least cost of all placements that fit in all kinds of tile, one by one.

    With weights and caches in some of the places alone, if given.
    """
    best = np.inf
    for shared in all_shared() if among is None else among:
        total = 0.0
        for k, count in enumerate(COUNTS):
            total += count * _least_of_kind(x, k, shared)
        best = min(best, total)
    return best


def _least_of_kind(x: SharedKinds, k: int, shared: tuple[int, ...]) -> float:
    """Of one kind of tile, with weights and caches where `shared` (w, h, v by layer) says."""
    best = np.inf
    places = [shared[3 * e : 3 * e + 3] for e in range(N)]
    for first, *picks in product(range(2), repeat=2 * N + 1):
        pick_f = np.array([(w, *picks[2 * e : 2 * e + 2]) for e, (w, _, _) in enumerate(places)])
        cost = sum(float(x.f[k, e][tuple(pick_f[e])]) for e in range(N))
        pick_g = []
        for e, (_, h, v) in enumerate(places):
            moves = x.g[k, e, :, pick_f[e, 1], h, 0, v]
            if e == 1 and len(x.ties):
                moves = x.pairs[k, 0, :, first, pick_f[e, 1], h, 0, v]
            p = first if e == 0 else int(pick_f[e - 1, 2])
            pick_g.append((p, pick_f[e, 1], h, 0, v))
            cost += float(moves[p])
        one = occupancy_of(x, k)
        cost += rise_within(one, pick_f, occupied(pick_f, np.array(pick_g), one))
        best = min(best, cost)
    return best


def bound_of(x: SharedKinds) -> float:
    """The highest bound by prices."""
    return bound_by(x, best_prices(x)[0])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("seed", "stairs"), [*product(range(8), (False, True))])
def test_no_placement_costs_less(seed: int, stairs: bool, tied: bool) -> None:
    """The bound is at most the truth, above that of each kind alone, and highest of all."""
    rng = np.random.default_rng(seed)
    x = random_kinds(rng, stairs=stairs, tied=tied)
    truth = least(x)
    prices, basis = best_prices(x)
    bound = bound_by(x, prices)
    alone = sum(
        count * capacity_prices(x.f[k], x.g[k], occupancy_of(x, k), 60)[0]
        for k, count in enumerate(COUNTS)
    )
    assert bound <= truth * (1 + 1e-9)
    assert bound - alone >= 0.5 * (truth - alone) - 1e-9 * truth
    assert alone <= bound * (1 + 1e-9)
    assert (prices.room >= 0).all()
    for other in (no_prices(x), *(_moved(rng, prices) for _ in range(20))):
        assert bound_by(x, other) <= bound * (1 + 1e-9)
    assert basis is not None
    again = bound_by(x, best_prices(x, basis)[0])
    assert abs(again - bound) <= 1e-9 * bound


def _moved(rng: np.random.Generator, prices: Prices) -> Prices:
    """Other valid prices nearby."""
    room = np.maximum(prices.room + rng.normal(0, 0.3, prices.room.shape) * (prices.room > 0), 0.0)
    choice = prices.choice + rng.normal(0, 0.3, prices.choice.shape)
    choice -= choice.mean(axis=1, keepdims=True)
    tie = prices.tie + rng.normal(0, 0.3, prices.tie.shape)
    return Prices(room=room, choice=choice, tie=tie)


@pytest.mark.parametrize("seed", range(6))
def test_a_basis_serves_when_costs_and_steps_have_changed(seed: int) -> None:
    """Searching on from prices found at other costs leads to the same bound."""
    rng = np.random.default_rng(seed)
    x = random_kinds(rng, stairs=True, tied=True)
    begin = best_prices(x._replace(n_stairs=x.n_stairs // 2))[1]
    f = x.f * rng.uniform(1, 1.5, x.f.shape)
    f[rng.random(f.shape) < 0.1] = np.inf
    dearer = x._replace(f=f)
    bound = bound_of(dearer)
    again = bound_by(dearer, best_prices(dearer, begin)[0])
    assert again == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_prices_of_choices_add_up_to_nothing(seed: int) -> None:
    """Where all kinds choose alike they pay nothing."""
    x = random_kinds(np.random.default_rng(seed))
    shift = best_prices(x)[0].choice
    assert np.abs(shift).max() > 0.1
    assert np.abs(shift.sum(axis=1)).max() < 1e-9 * np.abs(shift).max()
    charged = 0.0
    for k, count in enumerate(COUNTS):
        f, g = x.f[k].copy(), x.g[k].copy()
        add_shifts(f, g, shift, k, count)
        charged += count * float((f - x.f[k])[0, 1, 0, 0] + (g - x.g[k])[0, 0, 0, 2, 0, 1])
    assert abs(charged) < 1e-9 * np.abs(shift).max()


def test_nothing_allowed_costs_infinitely_much() -> None:
    """A kind of tile without any entry for one layer has no placement."""
    x = random_kinds(np.random.default_rng(0))
    x.f[1, 1] = np.inf
    assert bound_of(x) == np.inf


@pytest.mark.parametrize("seed", range(8))
def test_a_tile_that_waits_is_in_one_memory(seed: int) -> None:
    """Who knows of it is nearer the truth, and pays nothing where both say the same place."""
    x = random_kinds(np.random.default_rng(seed), tied=True)
    free = x._replace(ties=x.ties[:0])
    truth = least(x)
    without = bound_of(free)
    prices, _ = best_prices(x)
    bound = bound_by(x, prices)
    assert without < bound <= truth * (1 + 1e-9)
    assert bound - without >= 0.5 * (truth - without)
    for k in range(len(COUNTS)):
        f, g = x.f[k].copy(), x.g[k].copy()
        charges = tied_charges(x, prices.tie, k)
        add_ties(x, f, g, charges, k)
        assert (f == x.f[k]).all()
        for p, s in product(range(2), repeat=2):
            paid = charges[PLACE_LEFT, 0, p] + charges[PLACE_SECOND, 1, s]
            assert p != s or abs(paid) < 1e-12
        assert np.allclose(g[0] - x.g[k, 0], charges[PLACE_LEFT, 0, :2, None, None, None, None])
        seconds = charges[PLACE_SECOND, 1, :2, None, None, None, None]
        assert np.allclose(g[1], (x.pairs[k, 0] + seconds).min(axis=1))


def test_the_solver_of_programs_writes_nothing() -> None:
    """Standard output belongs to the commands, some of which write JSON there."""
    code = (
        "from tests.cost.test_shared_prices import *;"
        "best_prices(random_kinds(np.random.default_rng(0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
