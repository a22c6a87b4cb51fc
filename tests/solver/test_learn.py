"""What searches for mappings teach about all options that have such layer-tiles."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from cost.rules import EXACT
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.learn import Lessons, learn, learn_jointly
from solver.prepare import cost_tables
from solver.prune import Pool, make_pool
from solver.screen import Screen
from solver.space import parse_tiles, stack_ranges
from solver.stack_tables import StackTables
from tests.solver.test_screen import FAMILIES, MODES, check_solved, least_cost, sharpen_all

WEIGHTS = [(1.0, 0.0), (0.0, 1.0)]


def pool_of(name_or_problem, tiles: str) -> tuple[StackTables, Pool]:  # type: ignore[no-untyped-def]
    """All options of a problem with their layer-tiles bounded."""
    problem = load_problem(name_or_problem) if isinstance(name_or_problem, str) else name_or_problem
    tables = cost_tables(problem, EXACT)
    pool = make_pool(Screen(tables, stack_ranges(problem, EXACT, parse_tiles(tiles), MODES, None)))
    sharpen_all(pool)
    return tables, pool


def bounds_of(pool: Pool, weights: tuple[float, float]) -> list[np.ndarray]:
    """Bounds of all options by range."""
    return [r.energy.copy() if weights[0] else r.latency.copy() for r in pool.ranges]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_what_is_learnt_is_true(family) -> None:  # type: ignore[no-untyped-def]
    """Tests that no option costs less than its bound once the mappings of some are searched."""
    risen = 0
    for seed in range(6):
        rng = Random(seed)
        problem = family(rng, levels=2 + seed % 2, tight=1.0 + seed % 3)
        tables, pool = pool_of(problem, "all")
        for weights in WEIGHTS:
            builder = ChoiceBuilder(tables)
            options = [found[1] for r in pool.ranges for found in r.options()]
            for option in rng.sample(options, min(4, len(options))):
                builder.sharpen(option, weights, np.inf)
            before = bounds_of(pool, weights)
            learn(pool, builder.mappings, weights, lambda: None)
            after = bounds_of(pool, weights)
            assert all((a >= b).all() for a, b in zip(after, before, strict=True))
            risen += sum(
                int((a > b * (1 + 1e-9)).sum()) for a, b in zip(after, before, strict=True)
            )
            assert not learn(pool, builder.mappings, weights, lambda: None)  # no news
        check_solved(tables, pool, rng)
    assert risen > 50


def test_one_option_teaches_about_many() -> None:
    """Tests that latencies of options of a network rise by the mappings of a single one."""
    tables, pool = pool_of("fsrcnn@meta-proto-df", "grid:60,96x72,68")
    builder = ChoiceBuilder(tables)
    weights = (0.0, 1.0)
    before = bounds_of(pool, weights)
    most = max(pool.ranges, key=lambda r: len(r.screened.range.layers))
    builder.sharpen(most.options()[-1][1], weights, np.inf)
    assert learn(pool, builder.mappings, weights, lambda: None)
    after = bounds_of(pool, weights)
    risen = [int((a > b).sum()) for a, b in zip(after, before, strict=True)]
    assert sum(n > 0 for n in risen) > 10
    assert sum(risen) > 20


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_what_is_learnt_of_both_costs_is_true(family) -> None:  # type: ignore[no-untyped-def]
    """Tests bounds of weighted costs against what options cost, before and after searches."""
    higher = risen = 0
    for seed in range(6):
        rng = Random(seed)
        problem = family(rng, levels=2 + seed % 2, tight=1.0 + seed % 3)
        tables, pool = pool_of(problem, "all")
        weights = (3.0, 7.0) if seed % 2 else (5.0, 0.1)
        apart = [weights[0] * r.energy + weights[1] * r.latency for r in pool.ranges]
        options = [(n, *found) for n, r in enumerate(pool.ranges) for found in r.options()]
        if not options:
            continue
        builder, known = ChoiceBuilder(tables), {}
        tables.option_bounds(options[-1][2], np.array([weights]))
        assert learn_jointly(pool, builder.mappings, weights, known)
        before = pool.screen.floors(weights)
        for _, _, option in rng.sample(options, min(4, len(options))):
            builder.sharpen(option, weights, np.inf)
        learn_jointly(pool, builder.mappings, weights, known)
        assert not learn_jointly(pool, builder.mappings, weights, known)  # no news
        after = pool.screen.floors(weights)
        for n, index, _ in options:
            assert after[n][index] >= before[n][index] >= apart[n][index] * (1 - 1e-9)
            higher += before[n][index] > apart[n][index] * (1 + 1e-6)
            risen += after[n][index] > before[n][index] * (1 + 1e-6)
        for n, index, option in rng.sample(options, min(30, len(options))):
            assert after[n][index] <= least_cost(tables, option, weights) * (1 + 1e-9), option
    assert higher > 10
    assert risen > 10


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_weights_of_nearly_one_cost_are_those_of_one(family) -> None:  # type: ignore[no-untyped-def]
    """Tests floors of both costs where one of them hardly counts, sharpened and not."""
    for seed in range(16):
        problem = family(Random(seed), levels=2 + seed % 2, tight=1.0 + seed % 3)
        tables = cost_tables(problem, EXACT)
        ranges = stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None)
        pool = make_pool(Screen(tables, ranges))
        for sharp in (False, True):
            if sharp:
                sharpen_all(pool)
            for alone, both in (((1.0, 0.0), (1.0, 1e-10)), ((0.0, 1.0), (1e-10, 1.0))):
                one, other = pool.screen.floors(alone), pool.screen.floors(both)
                for r, a, b in zip(pool.ranges, one, other, strict=True):
                    np.testing.assert_allclose(b[r.alive], a[r.alive], rtol=1e-5)


def test_lessons_become_rare_where_they_bring_little() -> None:
    lessons = Lessons(100)
    lessons.judge(5.0, 8.0)  # the first one raised the bound of all
    assert lessons.looks == 100
    lessons.judge(10.0, 10.5)  # a quarter of what looks did
    assert lessons.looks == 100
    seen = []
    for bound in range(11, 17):
        lessons.judge(float(bound), float(bound))
        seen.append(lessons.looks)
    assert seen == [200, 400, 800, 800, 800, 800]
    lessons.judge(17.0, 18.0)
    assert lessons.looks == 100


def test_sums_follow_whatever_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that nothing kept for sums over layers is older than the bounds that they add up."""
    problem = FAMILIES[0](Random(3), levels=3, tight=2.0)
    for kept in (0, 1 << 30):
        monkeypatch.setattr("solver.floor_sums.LARGE_SETTLED", kept)
        tables = cost_tables(problem, EXACT)
        screen = Screen(tables, stack_ranges(problem, EXACT, parse_tiles("all"), MODES, None))
        both = (2.0, 300.0)
        for weights in (*WEIGHTS, both):
            screen.floors(weights)
        sharpen_all(make_pool(screen))
        for weights in (*WEIGHTS, both, *WEIGHTS):
            found = screen.floors(weights)
            for sums in screen.layers.values():
                sums._weighed.clear()
                sums._settled.clear()
            screen._known.clear()
            anew = screen.floors(weights)
            assert all((a == b).all() for a, b in zip(found, anew, strict=True))
