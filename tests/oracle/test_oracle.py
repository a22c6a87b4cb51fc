"""The solver against brute force over the whole space of small random problems."""

from functools import cache
from random import Random

import pytest

from cost.recost import recost
from cost.rules import DEFINES, EXACT, RuleSet
from problems import InfeasibleError, Problem
from solver.objective import Objective
from solver.result import Status
from solver.solve import solve
from solver.space import TileSpace
from tests.oracle.all_mappings import Point
from tests.oracle.brute_force import BruteForce, TooLargeError
from tests.oracle.random_kinds import random_concat, random_matmul
from tests.oracle.random_problems import random_graph, random_problem, random_shortcut
from tests.oracle.random_repeats import random_repeats

WIDTHS, HEIGHTS = (1, 2), (1, 3)
CASES, BLOCKS = 36, 6
"""Problems per family; each is solved for all three objectives."""
FEWER = {"shortcuts, defines": 18}
"""Families whose enumeration takes longest."""
FAMILIES = {
    "chains, exact": EXACT,
    "chains, defines": DEFINES,
    "branches and padding": EXACT,
    "shortcuts, defines": DEFINES,
    "matmuls of two maps": EXACT,
    "concats": EXACT,
    "repeated layers": EXACT,
}
GRAPHS = {
    "branches and padding": random_graph,
    "shortcuts, defines": random_shortcut,
    "matmuls of two maps": random_matmul,
    "concats": random_concat,
    "repeated layers": random_repeats,
}


def draw(family: str, seed: int, size: int = 2) -> Problem:
    """A problem of a family; `size` bounds the maps of graphs."""
    rng, levels = Random(seed), 2 + seed % 3 // 2
    if family in GRAPHS:
        return GRAPHS[family](rng, size=size, levels=levels, tight=(1, 1, 4)[seed % 3])
    return random_problem(rng, 1 + (seed % 2) + (seed % 8 == 7), size=3, levels=levels)


@cache
def cases(family: str) -> tuple[tuple[int, Problem, tuple[Point, ...]], ...]:
    """Seeds, problems and all their nondominated points; those too large are passed over."""
    rules = FAMILIES[family]
    found: list[tuple[int, Problem, tuple[Point, ...]]] = []
    seed = 0
    while len(found) < FEWER.get(family, CASES):
        problem = draw(family, seed)
        try:
            points = BruteForce(problem, rules, WIDTHS, HEIGHTS).points()
            found.append((seed, problem, points))
        except TooLargeError:
            pass
        seed += 1
    return tuple(found)


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("objective", list(Objective), ids=lambda objective: objective.value)
@pytest.mark.parametrize("family", FAMILIES)
def test_optimum_equals_brute_force(family: str, objective: Objective, block: int) -> None:
    """Tests that the optimum is that of all schedules, and re-costs to what it states."""
    for seed, problem, points in cases(family)[block::BLOCKS]:
        check(f"seed {seed}, {family}", problem, FAMILIES[family], objective, points)


@pytest.mark.parametrize("objective", list(Objective), ids=lambda objective: objective.value)
@pytest.mark.parametrize("seed", [2461, 3025, 3105])
def test_what_fuzzing_found(seed: int, objective: Objective) -> None:
    """Inputs that climb; floors with dilation; floors where words written are narrower."""
    problem = draw("branches and padding", seed, size=3)
    points = BruteForce(problem, EXACT, WIDTHS, HEIGHTS).points()
    check(f"seed {seed}", problem, EXACT, objective, points)


def check(
    name: str, problem: Problem, rules: RuleSet, objective: Objective, points: tuple[Point, ...]
) -> None:
    """The solver finds the best of all points, or that there is none."""
    wanted = min((objective.of(*point) for point in points), default=None)
    where = f"{name}, {objective.value}"
    try:
        result = solve(
            problem,
            objective=objective,
            rules=rules,
            tiles=TileSpace(text="small grid", widths=WIDTHS, heights=HEIGHTS),
            workers=1,
        )
    except InfeasibleError:
        assert wanted is None, f"{where}: infeasible, brute force finds {wanted}"
        return
    assert wanted is not None, f"{where}: {result.value}, brute force finds nothing"
    assert result.schedule is not None, where
    assert result.value == pytest.approx(wanted, rel=1e-9), where
    assert result.status is Status.OPTIMAL, where
    assert recost(problem, result.schedule, rules).violations == (), where
