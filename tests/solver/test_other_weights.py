"""What is known of mappings under some weights, under others."""

import numpy as np
import pytest

from cost.mapping_search import MappingPoint, weigh_point
from cost.rules import EXACT
from problems import load_problem
from solver.mapping_searches import MappedTile
from solver.mapping_store import MappingStore
from solver.other_weights import KnownMinimum, carried_over
from solver.prepare import cost_tables


def _point(energy: float, cycles: float) -> MappingPoint:
    return MappingPoint(
        energy_pj=energy,
        latency_cycles=int(cycles),
        held_bits=(),
        loops=(),
        cuts={},
        double_buffered={},
    )


def _minimum(weights: tuple[float, float], points: list[MappingPoint]) -> KnownMinimum:
    best = min(points, key=lambda p: weigh_point(weights, p))
    return KnownMinimum(weights, weigh_point(weights, best), best)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_carried_over_bounds_all_mappings(seed: int) -> None:
    """No mapping costs less than the bound, and what is said to attain it is the best."""
    rng = np.random.default_rng(seed)
    points = [_point(*pair) for pair in rng.uniform(10, 1000, (20, 2)).tolist()]
    floor = (
        min(p.energy_pj for p in points) * rng.uniform(0.5, 1),
        min(p.latency_cycles for p in points) * rng.uniform(0.5, 1),
    )
    known: list[KnownMinimum] = []
    for _ in range(6):
        weights = (float(rng.uniform(0.01, 1)), float(rng.uniform(0.01, 1)))
        known.append(_minimum(weights, points))
        for asked in rng.uniform(0.01, 1, (5, 2)).tolist():
            truth = _minimum((asked[0], asked[1]), points).cost
            bound, best = carried_over((asked[0], asked[1]), floor, known)
            assert bound <= truth
            if best is not None:
                assert weigh_point((asked[0], asked[1]), best) == pytest.approx(truth, rel=1e-9)


def test_between_weights_with_the_same_best_nothing_is_searched() -> None:
    """The mapping that is best under two weights is known to be so in between."""
    points = [_point(100, 200), _point(150, 120), _point(400, 100)]
    known = [_minimum((1.0, 1.0), points), _minimum((1.0, 1.5), points)]
    assert all(one.point == points[1] for one in known)
    bound, best = carried_over((1.0, 1.2), (90.0, 90.0), known)
    assert best == points[1]
    assert bound == pytest.approx(150 + 1.2 * 120)


def test_minima_carried_over_are_those_of_a_search() -> None:
    """Tests bounds and mappings of a real tile against searches that know of nothing else."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    memories = (names.index("sram_32KB"), names.index("sram_1MB_A"), names.index("sram_64KB"))
    key = tables.tile_key(4, 16, 18)
    store = MappingStore(tables)
    attained = 0
    for slope in (1.0, 1.1, 1.05, 2.0, 1.5):
        weights = (2e7, slope * 2e9)
        tile = MappedTile(key, memories, weights)
        alone = MappingStore(tables)
        alone.find_all({tile: 0.0})
        truth = alone.costs(key, weights)[memories]
        before = store.costs(key, weights).get(memories, 0.0)
        assert before <= truth * (1 + 1e-9)
        attained += store.best(tile) is not None
        store.find_all({tile: before})
        assert store.costs(key, weights)[memories] == pytest.approx(truth, rel=1e-9)
    assert attained > 0
