"""Mappings for first schedules."""

import numpy as np
import pytest

from cost.best_mapping import BestSearch, best_mapping
from cost.least_energy import least_energy_mapping
from cost.mapping_search import Walk, size_vector, weigh_point
from cost.quick_mapping import NEAR, quick_mapping
from cost.rules import DEFINES, EXACT, RuleSet
from problems import load_problem
from solver.prepare import cost_tables

SIZES = {"B": 1, "K": 12, "C": 12, "OY": 18, "OX": 16, "FY": 3, "FX": 3}


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (20.0, 2000.0), (0.0, 1.0)])
def test_it_is_near_the_best_and_never_below(rules: RuleSet, weights: tuple[float, float]) -> None:
    model = cost_tables(load_problem("fsrcnn@meta-proto-df"), rules).models[4]
    levels = (2, 2, 2)
    sizes = size_vector(SIZES)
    quick = quick_mapping(model, sizes, levels, weights)
    best = best_mapping(model, sizes, levels, weights, 0.0)
    assert quick is not None and best is not None
    least = weigh_point(weights, best)
    assert least * (1 - 1e-12) <= weigh_point(weights, quick) <= least * (1 + NEAR)


def test_it_keeps_to_its_budget() -> None:
    problem = load_problem("fsrcnn@meta-proto-df")
    model = cost_tables(problem, EXACT).models[4]
    levels, sizes = (2, 2, 2), size_vector(SIZES)
    free = least_energy_mapping(model, sizes, levels)
    assert free is not None
    # Outputs rest there beside a block of inputs that a mapping may choose.
    shared = [memory.name for memory in problem.hardware.memories].index("sram_64KB")
    budget = np.full(len(free.held_bits), 1e12)
    budget[shared] = free.held_bits[shared] * 0.9
    for found in (
        least_energy_mapping(model, sizes, levels, budget),
        quick_mapping(model, sizes, levels, (20.0, 2000.0), budget),
    ):
        assert found is not None
        assert found.held_bits[shared] <= budget[shared]
        assert found.energy_pj >= free.energy_pj


@pytest.mark.parametrize("weights", [(20.0, 2000.0), (0.0, 1.0)])
def test_search_from_a_known_cost_on(weights: tuple[float, float]) -> None:
    """What is known may be dearer than the best, or the best, which need not be found again."""
    model = cost_tables(load_problem("fsrcnn@meta-proto-df"), EXACT).models[4]
    levels, sizes = (2, 2, 2), size_vector(SIZES)
    best = best_mapping(model, sizes, levels, weights, 0.0)
    assert best is not None
    least = weigh_point(weights, best)
    for by in (1.0, 1.0001, 1.01, 1.5):
        search = BestSearch(model, sizes, levels, weights, 0.0, None, least * by)
        while not search.done:
            search.step()
        assert (search.point is None) <= (by == 1.0)
        if search.point is not None:
            assert weigh_point(weights, search.point) == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("weights", [(20.0, 2000.0), (0.0, 1.0)])
def test_a_leap_that_takes_long_is_given_up(
    weights: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that a search that begins anew in steps comes to the same."""
    model = cost_tables(load_problem("fsrcnn@meta-proto-df"), EXACT).models[4]
    levels, sizes = (3, 3, 3), size_vector({**SIZES, "K": 48, "C": 24, "OY": 60})
    best = best_mapping(model, sizes, levels, weights, 0.0)
    assert best is not None
    least = weigh_point(weights, best)
    begun_anew = 0
    monkeypatch.setattr("cost.best_mapping.NEAR", 9.0)
    turn = Walk.turn
    monkeypatch.setattr(Walk, "turn", lambda walk, nodes=20: turn(walk, nodes))
    for leap in (1 << 30, 1):
        monkeypatch.setattr("cost.best_mapping.LEAP", leap)
        for by in (1.0, 1.04, 2.0):
            search = BestSearch(model, sizes, levels, weights, least * 0.98, None, least * by)
            while not search.done:
                search.step()
            begun_anew += not search._leaps
            found = search.point
            cost = least * by if found is None else weigh_point(weights, found)
            assert cost == pytest.approx(least, rel=1e-9)
        assert (begun_anew > 0) == (leap == 1)
