"""Schedules from the cheapest path by close bounds: they run, and they change no optimum."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import Problem
from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.open_options import OptionState
from solver.option_plan import OptionPlan
from solver.option_steps import OptionSteps, plan_cost
from solver.plunge import plunge
from solver.prepare import cost_tables, search_limits
from solver.prune import make_pool
from solver.screen import Screen
from solver.space import parse_tiles, stack_ranges
from solver.weighted import WeightedSolver
from tests.oracle.random_problems import random_problem

WEIGHTS = [(1.0, 0.0), (0.0, 1.0), (1.0, 3000.0)]


class Found:
    """A solver over all options of a problem, and the points (pJ, cycles) that it hands on."""

    def __init__(self, problem: Problem) -> None:
        limits: SearchLimits = search_limits(None, 1, 0)
        tables = cost_tables(problem, EXACT)
        ranges = stack_ranges(problem, EXACT, parse_tiles("all"), tuple(OverlapMode), None)
        self.builder = ChoiceBuilder(tables, limits.left)
        pool = make_pool(Screen(tables, ranges))
        self.points: list[tuple[float, float]] = []
        self.solver = WeightedSolver(pool, self.builder, limits, self.take)

    def take(self, plans: tuple[OptionPlan, ...]) -> None:
        """Remember what a schedule costs."""
        self.points.append(plan_cost(self.builder, plans))


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_is_near_the_optimum(seed: int, weights: tuple[float, float]) -> None:
    """Tests that a plunge is no better than the optimum, says how far off it may be, and leaves
    the optimum as it is."""
    problem = random_problem(Random(seed), 2)
    plain, plunged = Found(problem), Found(problem)
    least = plain.solver.minimise(weights, np.inf).bound
    distance = plunge(plunged.solver, weights)
    costs = [weights[0] * energy + weights[1] * cycles for energy, cycles in plunged.points]
    if costs:
        assert least * (1 - 1e-9) <= min(costs) <= least * (1 + distance) * (1 + 1e-9)
    else:
        assert np.isinf(distance)
    assert plunged.solver.minimise(weights, np.inf).bound == pytest.approx(least, rel=1e-9)


def test_it_ends_after_its_looks() -> None:
    """Tests that without any looks nothing is found, and nothing said about distance."""
    found = Found(random_problem(Random(0), 2))
    assert np.isinf(plunge(found.solver, (1.0, 0.0), most_looks=0))
    assert not found.points


def test_it_ends_where_it_is_hopeless() -> None:
    """Tests that one round is the last where far less is known."""
    problem = random_problem(Random(3), 2)
    once, often = Found(problem), Found(problem)
    plunge(once.solver, (0.0, 1.0), known=1.0)
    plunge(often.solver, (0.0, 1.0))
    assert len(once.points) <= 1 < len(often.points)


def test_it_leaves_options_that_turn_out_to_have_no_placement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tests that a plunge ends where a closer look finds that nothing fits."""

    def nothing_fits(
        _: OptionSteps, asked: list[tuple[OptionState, float]], weights: tuple[float, float]
    ) -> None:
        for state, _enough in asked:
            state.planes.append((*weights, np.inf))

    monkeypatch.setattr("solver.option_steps.OptionSteps.sharpen", nothing_fits)
    found = Found(random_problem(Random(3), 2))
    assert np.isinf(plunge(found.solver, (0.0, 1.0)))
    assert not found.points
