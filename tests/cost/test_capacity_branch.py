"""Bounds of placements that share memories, against trying out every placement."""

from itertools import product

import numpy as np
import pytest

from cost.capacity_bound import Occupancy, capacity_prices, occupied
from cost.capacity_branch import divided_bound
from tests.cost.random_stairs import NO_STAIRS, random_stairs, rise_within

N_MEM = 3
"""The last is DRAM."""


def random_kind(
    rng: np.random.Generator, *, stairs: bool = False
) -> tuple[np.ndarray, np.ndarray, Occupancy]:
    """Cost tables (f, g) of one kind of tile of three layers, and what placements occupy."""
    n, n_w, n_io, n_h, n_v = 3, 2, 3, 2, 2
    cost_f = rng.uniform(1, 10, (n, n_w, n_io, n_io))
    cost_g = rng.uniform(0, 5, (n, n_io, n_io, n_h, 1, n_v))
    dram = N_MEM - 1
    # What costs less lies further in, where there is little room.
    cost_f[:, 0] *= 0.3
    cost_f[:, :, :, 0] *= 0.5
    x = Occupancy(
        weight_mem=np.array([[0, dram]] * n),
        input_mem=np.arange(N_MEM),
        output_mem=np.arange(N_MEM),
        h_mem=np.array([[0, 1]] * n),
        v_mem=np.array([[0, 1]] * n),
        fetch_mem=np.full((n, n_io), -1),
        weight_bits=rng.integers(1, 40, n).astype(float),
        input_bits=rng.integers(1, 20, (n, n_io)).astype(float),
        output_bits=rng.integers(1, 20, (n, n_io)).astype(float),
        h_bits=rng.integers(1, 12, (n, n_h)).astype(float),
        v_bits=rng.integers(1, 12, (n, n_v)).astype(float),
        output_waiting_bits=np.zeros(n),
        fetch_bits=np.zeros(n),
        waits=np.zeros((n, 2), dtype=np.int64),
        fetch_waits=np.zeros((n, 2), dtype=np.int64),
        runs=np.ones(n, dtype=np.bool_),
        room=np.array([rng.uniform(30, 90), rng.uniform(30, 90), np.inf]),
        linked=np.array([False, True, True]),
        **(random_stairs(rng, cost_f.shape) if stairs else NO_STAIRS),
    )
    return cost_f, cost_g, x


def least(cost_f: np.ndarray, cost_g: np.ndarray, x: Occupancy) -> float:
    """Least cost of all placements that fit, one by one."""
    n, n_w, n_i, n_o = cost_f.shape
    best = np.inf
    ways = list(product(range(n_w), range(n_i), range(n_o), range(2), range(2)))
    for picks in product(ways, repeat=n):
        pick_f = np.array([(w, i, o) for w, i, o, _, _ in picks])
        # A layer's input comes from where the layer before it left it; the first one's does not
        # matter, so the cheapest will do.
        sources = [int(cost_g[0, :, picks[0][1], picks[0][3], 0, picks[0][4]].argmin())]
        sources += [pick[2] for pick in picks[:-1]]
        pick_g = np.array(
            [(p, i, a, 0, c) for p, (_, i, _, a, c) in zip(sources, picks, strict=True)]
        )
        cost = rise_within(x, pick_f, occupied(pick_f, pick_g, x))
        if np.isinf(cost):
            continue
        cost += sum(cost_f[e, w, i, o] for e, (w, i, o, _, _) in enumerate(picks))
        cost += sum(cost_g[e, p, i, a, b, c] for e, (p, i, a, b, c) in enumerate(pick_g))
        best = min(best, float(cost))
    return best


def bound(
    cost_f: np.ndarray, cost_g: np.ndarray, x: Occupancy, parts: int, enough: float = np.inf
) -> float:
    """The bound by so many parts, from no prices on."""
    start = np.zeros((len(cost_f), N_MEM))
    return float(divided_bound(cost_f, cost_g, x, 60, parts, enough, start)[0])


@pytest.mark.parametrize(("seed", "stairs"), [*product(range(3), (False, True))])
def test_divided_bounds_close_the_gap_that_prices_leave(seed: int, stairs: bool) -> None:
    """The bound rises with the parts, from that of prices alone, and never above the truth."""
    cost_f, cost_g, x = random_kind(np.random.default_rng(seed), stairs=stairs)
    priced = capacity_prices(cost_f, cost_g, x, 60)[0]
    bounds = [bound(cost_f, cost_g, x, parts) for parts in (0, 10, 400)]
    truth = least(cost_f, cost_g, x)
    assert bounds[0] == priced
    assert bounds == sorted(bounds)
    assert bounds[-1] <= truth * (1 + 1e-9)
    assert truth - bounds[-1] <= 0.5 * (truth - priced) + 1e-9 * truth


def test_nothing_is_divided_once_the_bound_is_enough() -> None:
    """The bound of prices alone is left as it is where it reaches what was asked for."""
    cost_f, cost_g, x = random_kind(np.random.default_rng(1))
    bounds = [bound(cost_f, cost_g, x, 400, enough) for enough in (0.0, np.inf)]
    assert bounds[0] == capacity_prices(cost_f, cost_g, x, 60)[0] < bounds[1]


def test_without_placements_the_bound_is_infinite() -> None:
    """Without any entry for one layer there is no placement."""
    cost_f, cost_g, x = random_kind(np.random.default_rng(2))
    cost_f[1] = np.inf
    assert bound(cost_f, cost_g, x, 10) == np.inf
