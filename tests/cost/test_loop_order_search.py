"""The reference's mapping search: factors, orders, allocation and the mappings it picked."""

from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost.loop_order_search import LoopOrderSearch
from cost.loop_orders import TooFewLoopFactorsError, loop_factors, loop_orders, prime_factors
from cost.mapping import LayerTile
from problems import load_problem
from tests.cost.golden_tiles import FILES, layer_tile, mapping, problem_of, records, unrolling


def check_recorded_mappings(path: Path, every: int) -> None:
    """Search the layer-tiles of a file anew, one in `every`."""
    problem = problem_of(path)
    searches: dict[int, LoopOrderSearch] = {}
    for record in list(records(path))[::every]:
        limit = record["limit"]
        search = searches.setdefault(limit, LoopOrderSearch(hardware=problem.hardware, limit=limit))
        found = search.best(unrolling(problem, record), layer_tile(problem, record))
        assert found is not None
        assert found.mapping == mapping(record)
        assert found.cost.energy_pj == pytest.approx(record["energy_pj"], rel=1e-9)
        assert found.cost.latency_cycles == record["cycles"][-1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_search_picks_the_recorded_mapping(path: Path) -> None:
    """Tests that loop order and cuts equal the reference's, ties included (a sample)."""
    check_recorded_mappings(path, every=12)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_search_picks_every_recorded_mapping(path: Path) -> None:
    """Tests that loop order and cuts equal the reference's for all recorded layer-tiles."""
    check_recorded_mappings(path, every=1)


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(2, 3)), max_size=6))
def test_orders_are_all_distinct_permutations(loops: list[tuple[str, int]]) -> None:
    """Tests that every order of a multiset of loops is visited exactly once."""
    orders = list(loop_orders(loops))
    assert len(orders) == len(set(orders))
    assert set(orders) == set(permutations(loops))


def test_orders_are_visited_by_prefix_shifts() -> None:
    """Tests the visiting order: it settles ties between mappings of equal energy."""
    a, b, c = ("A", 2), ("B", 2), ("C", 2)
    orders = list(loop_orders([a, b, c]))
    assert orders == [(c, b, a), (a, c, b), (c, a, b), (b, c, a), (a, b, c), (b, a, c)]


@given(st.integers(1, 10_000))
def test_prime_factors_multiply_back(number: int) -> None:
    """Tests that prime factors ascend, are prime and multiply to the number."""
    product = 1
    factors = prime_factors(number)
    for factor in factors:
        product *= factor
        assert prime_factors(factor) == [factor]
    assert product == number
    assert factors == sorted(factors)


def test_merging_starts_at_the_dim_with_most_factors() -> None:
    """Tests that the two smallest factors of the first longest dim are merged first."""
    temporal = [("K", 8), ("OY", 18), ("OX", 5)]
    assert loop_factors(temporal, 7) == [
        *[("K", 2)] * 3,
        ("OY", 2),
        ("OY", 3),
        ("OY", 3),
        ("OX", 5),
    ]
    assert loop_factors(temporal, 6)[:2] == [("K", 2), ("K", 4)]
    assert loop_factors(temporal, 5)[2:4] == [("OY", 3), ("OY", 6)]


def test_too_low_a_limit_is_refused() -> None:
    """Tests that a limit below the number of loop dims names both instead of failing later."""
    with pytest.raises(TooFewLoopFactorsError, match="limit of 2 .* 3 loop dims K, OY, OX"):
        loop_factors([("K", 8), ("OY", 18), ("OX", 5), ("FX", 1)], 2)


def test_tile_without_temporal_loops_has_one_empty_order() -> None:
    """Tests that a layer-tile which fits the array whole is mapped, not refused."""
    problem = load_problem("fsrcnn@meta-proto-df")
    layer = problem.workload.by_name["1"]
    sizes = {**dict(layer.loops), "C": 2, "OX": 4, "OY": 4}
    search = LoopOrderSearch(hardware=problem.hardware, limit=6)
    tile = LayerTile(layer=layer, sizes=tuple(sizes.items()), levels={"W": 2, "I": 1, "O": 2})
    found = search.best(problem.hardware.unrolling("fsrcnn", layer), tile)
    assert found is not None
    assert found.mapping.loops == ()
    assert found.mapping.cuts == {"O": (0, 0), "W": (0, 0), "I": (0,)}
    assert found.cost.temporal_cycles == 1


def test_tile_that_fits_nowhere_has_no_mapping() -> None:
    """Tests that a tensor larger than its highest memory is answered with None."""
    problem = load_problem("fsrcnn@meta-proto-df")
    layer = problem.workload.by_name["1"]
    search = LoopOrderSearch(hardware=problem.hardware, limit=8)
    tile = LayerTile(layer=layer, sizes=layer.loops, levels={"W": 2, "I": 1, "O": 4})
    assert search.best(problem.hardware.unrolling("fsrcnn", layer), tile) is None
