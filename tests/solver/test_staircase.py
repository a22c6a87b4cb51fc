"""What mappings cost at least by what they hold, from answers about some budgets."""

import numpy as np
import pytest

from cost.mapping_search import MappingPoint, pareto_set, weigh_point
from cost.rules import EXACT
from cost.search_input import Aim
from problems import load_problem
from solver.mapping_searches import MappedTile
from solver.mapping_store import MappingStore
from solver.prepare import cost_tables
from solver.staircase import Staircase, first_step

WEIGHTS = (1.0, 0.0)


def _point(cost: float, held: tuple[int, ...]) -> MappingPoint:
    return MappingPoint(
        energy_pj=cost, latency_cycles=0, held_bits=held, loops=(), cuts={}, double_buffered={}
    )


def _no_less(stairs: Staircase, weights: tuple[float, float], point: MappingPoint) -> bool:
    """Whether a mapping costs and holds no less than something that the staircase knows."""
    below = [(weigh_point(weights, p), p.held_bits) for p in stairs.points]
    below += [(c.cost, c.least_bits) for c in stairs.corners]
    mine = weigh_point(weights, point) * (1 + 1e-9)
    return any(
        cost <= mine and all(held[m] <= point.held_bits[m] for m in stairs.shared)
        for cost, held in below
    )


@pytest.mark.parametrize("seed", range(40))
def test_answers_about_budgets_bound_every_mapping(seed: int) -> None:
    """Nothing is ever said to cost more than it does, and what was asked is known."""
    rng = np.random.default_rng(seed)
    shared = (0, 2) if seed % 2 else (0, 1, 2)
    held = rng.integers(1, 9, (30, 3))
    costs = rng.integers(1, 60, 30).astype(float)
    everything = [_point(c, tuple(h)) for c, h in zip(costs, held.tolist(), strict=True)]
    most = (9.0, 9.0, 9.0)
    stairs = first_step(WEIGHTS, shared, most, min(everything, key=lambda p: p.energy_pj))
    for _ in range(25):
        budget = tuple(float(b) if m in shared else 9.0 for m, b in enumerate(rng.uniform(0, 9, 3)))
        fitting = [p for p in everything if all(p.held_bits[m] <= budget[m] for m in shared)]
        best = min(fitting, key=lambda p: p.energy_pj, default=None)
        truth = np.inf if best is None else best.energy_pj
        least, known = stairs.within(budget)
        assert least <= truth
        if known is not None:
            assert known.energy_pj == truth
            continue
        # An answer may be a bound, where the search was left.
        cost = truth if rng.random() < 0.7 else (least + min(truth, 100.0)) / 2
        stairs = stairs.narrowed(budget, cost, [best] if best and cost == truth else [])
        assert stairs.within(budget)[0] == pytest.approx(cost)
        assert all(_no_less(stairs, WEIGHTS, p) for p in everything)
        wide = stairs.widest(budget)
        assert all(w >= b for w, b in zip(wide, budget, strict=True))


EDGE = "resnet-18@edge-tpu-like-df", (2, 3, 4), ("sram_1MB_W", "sram_1MB_A", "sram_1MB_A")
# The best mapping keeps unfinished sums, twice as wide, where the outputs rest.
UNFINISHED = "resnet-18@ascend-like-df", (15, 4, 4), ("sram_1MB_W", *["sram_256KB_O"] * 2)


@pytest.mark.parametrize(
    ("case", "weights"),
    [(EDGE, (1.0, 0.0)), (EDGE, (22.5, 2900.0)), (UNFINISHED, (1.0, 0.0))],
    ids=["energy", "both", "unfinished sums"],
)
def test_what_is_asked_of_mappings_is_true(
    case: tuple[str, tuple[int, int, int], tuple[str, ...]], weights: tuple[float, float]
) -> None:
    """Tests answers against all nondominated mappings of a tile, by all memories on chip."""
    name, size, places = case
    problem = load_problem(name)
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    w, i, o = (names.index(place) for place in places)
    tile = MappedTile(tables.tile_key(*size), (w, i, o), weights)
    store = MappingStore(tables)
    store.find_all({tile: 0.0})
    chip = [m for m, one in enumerate(problem.hardware.memories) if one.instances == 1]
    chip.remove(tables.domains.dram)
    weigh = np.array([m in chip for m in range(len(names))])
    aim = Aim(weights=weights, weighted_only=True, weigh_memory=weigh)
    everything = pareto_set(*store._subject(tile), aim)
    assert len(everything) > 2
    rng = np.random.default_rng(7)
    for number in rng.permutation(len(everything))[:12].tolist():
        held = everything[number].held_bits
        budget = [int(bits * rng.uniform(1, 1.4)) for bits in held]
        store.find_within([(tile, budget)])
        fitting = [p for p in everything if all(p.held_bits[m] <= budget[m] for m in chip)]
        least, known = store.staircase(tile).within(budget)
        assert least == pytest.approx(min(weigh_point(weights, p) for p in fitting), rel=1e-9)
        assert known is not None and all(known.held_bits[m] <= budget[m] for m in chip)
        assert all(_no_less(store.staircase(tile), weights, p) for p in everything)
    # Bounds read the same, in bits beside what they are told the tensors take.
    steps = store.steps(tile)
    assert steps is not None
    cheapest = min(weigh_point(weights, p) for p in everything)
    assert steps.costs[0] == pytest.approx(cheapest, rel=1e-9)
    tensors = {m: min(p.held_bits[m] for p in everything) for m in chip}
    above = steps.above(cheapest, tensors)
    for point in everything:
        beside = np.array([point.held_bits[m] - tensors.get(m, 0) for m in range(len(names))])
        rise = weigh_point(weights, point) - cheapest
        cheaper = above.costs <= rise + 1e-9 * cheapest
        assert (cheaper & (above.bits <= beside).all(axis=1)).any()
