"""First bounds of options, floors and sharpened ones, against those of their placements."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import DEFINES, EXACT, RuleSet
from problems import Problem, load_problem
from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.open_options import OptionState
from solver.option_steps import OptionSteps
from solver.prepare import cost_tables
from solver.prune import Pool, make_pool
from solver.screen import Screen
from solver.space import parse_tiles, stack_ranges
from solver.stack_option import StackOption
from solver.stack_tables import StackTables
from tests.oracle.random_kinds import random_concat, random_matmul
from tests.oracle.random_problems import random_graph, random_problem, random_shortcut

ENERGY = np.array([[1.0, 0.0]])
MOST_OPTIONS, FEW_OPTIONS = 60, 5
LIMITS = SearchLimits(deadline=None, workers=1, seed=0)
MODES = tuple(OverlapMode)


def chain(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """A random chain of two layers."""
    return random_problem(rng, 2, size=size + 1, levels=levels, tight=tight)


FAMILIES = (chain, random_graph, random_shortcut, random_concat, random_matmul)


def sharpen_all(pool: Pool) -> None:
    """Bound all layer-tiles of a pool."""
    wanted = pool.screen.wanted([(r.screened.range, r.alive) for r in pool.ranges])
    pool.screen.sharpen(wanted, wanted, lambda: None)
    pool.refresh()


def check(tables: StackTables, pool: Pool, rng: Random) -> float:
    """No floor of a kind of tile is above the bound of its placements; how close options come.

    Energies alone: floors know some stalls that bounds of placements do not. Those of whole options
    know that weights go one way for all tiles, so they may be higher than those of placements.
    """
    options = [(r, *found) for r in pool.ranges for found in r.options()]
    closest = 0.0
    for r, index, option in rng.sample(options, min(MOST_OPTIONS, len(options))):
        placed = tables.option_bounds(option, ENERGY)[0]
        floors = tables.kind_floors(option)[:, 0]
        for number, floor in enumerate(floors.tolist()):
            assert floor <= tables.kind_bound(option, number, ENERGY)[0] * (1 + 1e-9), option
        if 0 < placed < np.inf:
            closest = max(closest, float(r.energy[index]) / placed)
    return closest


def least_cost(tables: StackTables, option: StackOption, weights: tuple[float, float]) -> float:
    """What an option costs at least, solved to the end with nothing but prices on memories."""
    builder = ChoiceBuilder(tables)
    builder.parts = 0
    steps = OptionSteps(builder, LIMITS, hasty=False)
    state = OptionState(option=option, floor=(0.0, 0.0))
    while weights not in state.solved and np.isfinite(state.bound(weights)):
        steps.tighten(state, weights, np.inf, np.inf)
    return state.bound(weights)


def check_solved(tables: StackTables, pool: Pool, rng: Random, most: int = FEW_OPTIONS) -> int:
    """No bound of an option is above what it costs; how many options write maps out beside."""
    options = [(r, *found) for r in pool.ranges for found in r.options()]
    exporting = [found for found in options if tables.graph(found[2].layers).exports]
    chosen = [rng.sample(some, min(most, len(some))) for some in (options, exporting)]
    for r, index, option in [*chosen[0], *chosen[1]]:
        found = {(1.0, 0.0): r.energy[index]}
        if tables.timed:
            found[0.0, 1.0] = r.latency[index]
        for weights, known in found.items():
            least = least_cost(tables, option, weights) * (1 + 1e-9)
            assert known <= least, option
            assert tables.main_bound(option, np.array([weights]))[0] <= least, option
            assert float((tables.kind_floors(option) @ weights).sum()) <= least, option
            builder = ChoiceBuilder(tables)
            assert builder.floor(option, weights) <= least, option
            # By now prices of what kinds of tile share are known, and mappings.
            assert builder.sharpen(option, weights, np.inf) <= least, option
    return len(chosen[1])


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_bounds_of_options_hold(family, timed: bool) -> None:  # type: ignore[no-untyped-def]
    """Tests floors and sharpened bounds of random problems under exact rules."""
    close = exporting = 0
    for seed in range(8):
        rng = Random(seed)
        problem = family(rng, levels=2 + seed % 2, tight=1.0 + seed % 3)
        tables = cost_tables(problem, EXACT, timed=timed)
        ranges = stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None)
        pool = make_pool(Screen(tables, ranges))
        before = [r.energy.copy() for r in pool.ranges]
        check(tables, pool, rng)
        sharpen_all(pool)
        assert all((r.energy >= e).all() for r, e in zip(pool.ranges, before, strict=True))
        close += check(tables, pool, rng) > 0.9
        exporting += check_solved(tables, pool, rng)
    assert close > 2
    assert exporting > 4 or family not in (random_graph, random_shortcut)


@pytest.mark.parametrize(
    ("family", "seed", "tight"),
    [(random_graph, 50, 0.3), (random_shortcut, 47, 0.5)],
)
def test_maps_written_out_pay_for_their_way_once(  # type: ignore[no-untyped-def]
    family, seed: int, tight: float
) -> None:
    """Tests bounds where a map that leaves the stack may rest in DRAM anyhow, for lack of room."""
    rng = Random(seed)
    problem = family(rng, levels=2 + seed % 2, tight=tight)
    tables = cost_tables(problem, EXACT, timed=False)
    ranges = stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None)
    pool = make_pool(Screen(tables, ranges))
    sharpen_all(pool)
    assert check_solved(tables, pool, rng, most=100) > 0


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_bounds_of_options_of_a_network_hold(rules: RuleSet) -> None:
    """Tests the same for a network, with padding and overlap, under both rule sets."""
    problem = load_problem("fsrcnn@ascend-like-df")
    tables = cost_tables(problem, rules)
    ranges = stack_ranges(problem, rules, parse_tiles("grid:60,4x72,8"), MODES, None)
    pool = make_pool(Screen(tables, ranges))
    check(tables, pool, Random(0))
    sharpen_all(pool)
    assert check(tables, pool, Random(0)) > 0.9


def test_layers_alike_are_bounded_once() -> None:
    """Tests that a layer-tile is counted once for all layers alike, and not again."""
    problem = load_problem("resnet-18@meta-proto-df")
    tables = cost_tables(problem, EXACT, timed=False)
    ranges = stack_ranges(problem, EXACT, parse_tiles("grid:14,4x28,8"), MODES, 1)
    pool = make_pool(Screen(tables, ranges))
    wanted = pool.screen.wanted([(r.screened.range, r.alive) for r in pool.ranges])
    counts = pool.screen.count(wanted)
    distinct: dict[int, set[object]] = {}
    for layer, need in wanted.items():
        grid = pool.screen.layers[layer].grid
        keys = distinct.setdefault(tables.alike(layer), set())
        for i, j in np.argwhere(need).tolist():
            keys.add(tables.tile_key(layer, int(grid.widths[i]), int(grid.heights[j])).like)
    assert sum(counts.values()) == sum(map(len, distinct.values()))
    assert sum(counts.values()) < sum(int(need.sum()) for need in wanted.values())
    first = next(layer for layer in counts if tables.alike(layer) != layer)
    pool.screen.sharpen((first,), wanted, lambda: None)
    again = pool.screen.count(wanted)
    assert first not in again
    (found,) = (some for (like, _), some in tables.least.items() if like == tables.alike(first))
    sharp = len(found)
    assert sum(again.values()) == sum(counts.values()) - sharp


def test_modes_that_cache_nothing_are_twins() -> None:
    """Tests that options left out of a pool cost what another in it does, kind by kind."""
    problem = load_problem("mobilenet-v1@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    whole = problem.workload.layers[2].sizes
    sizes = f"grid:{whole['OX']},10x{whole['OY']},8"
    ranges = stack_ranges(problem, EXACT, parse_tiles(sizes), MODES, 3)
    pool = make_pool(Screen(tables, tuple(r for r in ranges if r.last == 2)))
    pair, left_out = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 700.0]]), 0
    for r in pool.ranges:
        spec = r.screened.range
        for index in np.argwhere(~r.alive & np.isfinite(r.energy)).tolist():
            option = r.screened.option(tuple(index))
            bounds = tables.option_bounds(option, pair)
            others = [replace(option, mode=mode) for mode in spec.modes[: index[0]]]
            twins = [
                other
                for m, other in enumerate(others)
                if r.alive[(m, *index[1:])]
                and [(k.count, k.sizes, k.edges) for k in tables.tiling(other).kinds]
                == [(k.count, k.sizes, k.edges) for k in tables.tiling(option).kinds]
            ]
            assert len(twins) == 1
            np.testing.assert_array_equal(tables.option_bounds(twins[0], pair), bounds)
            left_out += 1
    # Of the three modes two are left out of whole maps, one where a side is whole.
    n_places = sum(r.alive[0, 0, 0].size for r in pool.ranges)
    assert left_out == n_places * (2 + 1 + 1)


def test_the_reference_tells_modes_apart() -> None:
    """Tests that under its rules, which look at modes all the same, no option is left out."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, DEFINES)
    ranges = stack_ranges(problem, DEFINES, parse_tiles("grid:560x960"), MODES, 1)
    assert all(r.alive.all() for r in make_pool(Screen(tables, ranges)).ranges)


def test_floors_know_what_a_shortcut_takes() -> None:
    """Tests floors of a convolution and an add that reads a map from DRAM, and the one after.

    Other stacks that end there hold more readers of that map, and so fetch less for the add. The
    output of the second add is read by a layer outside, too, and takes its time on the way out.
    """
    problem = load_problem("resnet-18@tpu-like-df")
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, parse_tiles("grid:16,2x16"), MODES, None)
    pool = make_pool(Screen(tables, ranges))
    sharpen_all(pool)
    dram = tables.domains.dram
    for layers in ((3, 4), (4, 5)):
        (r,) = (r for r in pool.ranges if r.screened.range.layers == layers)
        spec = r.screened.range
        s, t = spec.sources.index(dram), spec.targets.index(dram)
        for index in np.argwhere(r.alive[..., s, t]).tolist():
            option = r.screened.option((*index, s, t))
            floors = tables.kind_floors(option).sum(axis=0)
            # Weights go one way for all kinds of tile here, and each its own there.
            assert r.latency[(*index, s, t)] >= 0.999 * floors[1], option
            placed = float(tables.option_bounds(option, np.array([[0.0, 1.0]]))[0])
            # Copies between memories on chip are all that floors leave out here.
            assert r.latency[(*index, s, t)] >= 0.99 * placed, option
