"""Bounds of stacks of whole maps against those of each option, and its least cost."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from benchmarks.synthetic import synthetic_problem
from cost.rules import EXACT
from problems import InfeasibleError, Problem
from solver.choices import ChoiceBuilder
from solver.objective import Objective
from solver.open_options import OpenOptions
from solver.prepare import cost_tables
from solver.prune import make_pool
from solver.screen import Screen
from solver.solve import solve
from solver.space import EFFICIENT, TileSpace, stack_ranges
from solver.stack_option import StackOption
from solver.whole_maps import WholeMaps
from tests.oracle.random_problems import random_problem
from tests.oracle.random_repeats import random_repeats
from tests.solver.test_screen import MODES, least_cost

WEIGHTS = [(1.0, 0.0), (0.0, 1.0), (3.0, 7.0)]


def draw(seed: int) -> Problem:
    """A small chain, or a block with an add."""
    rng = Random(seed)
    if seed % 2:
        return random_repeats(rng, size=3, levels=2 + seed % 3 // 2, tight=1.0 + seed % 5)
    return random_problem(rng, 3, size=3, levels=3, tight=1.0 + seed % 5)


def whole_options(options: OpenOptions, maps: WholeMaps) -> list[tuple[int, StackOption]]:
    """Numbers and options of all stacks of whole maps."""
    return [(i, option) for i, option in options.with_largest_tiles() if maps.holds(option)]


def test_no_stack_costs_less() -> None:
    """Tests bounds against the least costs of options, by the exact search of each."""
    compared = close = 0
    for seed in range(60):
        problem = draw(seed)
        tables = cost_tables(problem, EXACT)
        pool = make_pool(Screen(tables, stack_ranges(problem, EXACT, EFFICIENT, MODES, None)))
        options, maps = OpenOptions(pool), WholeMaps(tables)
        weights = WEIGHTS[seed % 3]
        found = whole_options(options, maps)
        if not found:
            continue
        bounds = maps.bounds(ChoiceBuilder(tables), weights)
        for _, option in found:
            assert len(tables.tiling(option).kinds) == 1
            bound = bounds[option.first, option.source, option.last, option.target]
            cost = least_cost(tables, option, weights)
            assert bound > 0
            assert bound <= cost * (1 + 1e-9), (seed, option)
            compared += 1
            close += bound >= cost * (1 - 1e-9) or np.isinf(cost)
    assert compared > 150
    assert close > 0.5 * compared


def test_they_are_about_as_close_as_those_of_single_options() -> None:
    """Tests bounds of a deep network's stacks against bounds after searches for mappings."""
    problem = synthetic_problem("chain-12", size=56, channels=16, hardware="meta-proto-df")
    tables = cost_tables(problem, EXACT)
    maps, builder = WholeMaps(tables), ChoiceBuilder(tables)
    weights = (0.64, 246.0)
    bounds = maps.bounds(builder, weights)
    rng, ratios = Random(0), []
    every = np.argwhere(np.isfinite(bounds)).tolist()
    for first, source, last, target in rng.sample(every, 40):
        layers = tuple(range(first, last + 1))
        sizes = problem.workload.layers[last].sizes
        carried = first - 1 if source != tables.domains.dram else -1
        option = StackOption(layers, sizes["OX"], sizes["OY"], MODES[0], source, target, carried)
        assert maps.holds(option)
        sharp = builder.sharpen(option, weights, np.inf)
        ratios.append(bounds[first, source, last, target] / sharp)
    assert max(ratios) <= 1 + 1e-9
    assert np.mean(ratios) > 0.995


@pytest.mark.parametrize("objective", list(Objective), ids=lambda objective: objective.value)
def test_optima_are_those_without(objective: Objective, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that searches that bound whole maps together find what others do."""
    small = TileSpace(text="small grid", widths=(1, 3), heights=(1, 3))
    found: list[list[float]] = [[], []]
    for number, many in enumerate((0, 1 << 40)):
        monkeypatch.setattr("solver.weighted.MANY_WHOLE", many)
        for seed in range(16):
            try:
                result = solve(draw(seed), objective=objective, tiles=small, workers=1)
            except InfeasibleError:
                found[number].append(np.inf)
                continue
            assert result.value is not None
            found[number].append(result.value)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_branches_and_parts_of_maps_are_left_out() -> None:
    """Tests that neither blocks with adds nor layers that read part of a map are such stacks."""
    problem = synthetic_problem("resnet-50", size=56, channels=16, hardware="meta-proto-df")
    tables = cost_tables(problem, EXACT)
    maps, dram = WholeMaps(tables), tables.domains.dram
    names = [layer.name for layer in problem.workload.layers]

    def option(*layers: str) -> StackOption:
        positions = tuple(names.index(name) for name in layers)
        sizes = problem.workload.layers[positions[-1]].sizes
        return StackOption(positions, sizes["OX"], sizes["OY"], MODES[0], dram, dram, -1)

    assert maps.holds(option("s1b01.1", "s1b01.2", "s1b01.3"))
    assert not maps.holds(option("s1b01.3"))
    assert not maps.holds(option("s1b01.3", "s1b01.add"))
    assert not maps.holds(option("s1b01.1", "s1b01.3"))
