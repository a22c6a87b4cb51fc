"""Bounds of stack options, one kind of tile after the other."""

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.open_options import OptionState
from solver.option_steps import BOUNDED, PLACED, SHARPENED, OptionSteps
from solver.prepare import cost_tables
from solver.stack_option import StackOption
from solver.stack_tables import StackTables
from tests.solver.resnet_block import block_on_chip, resnet_tables

WEIGHTS = (13.0, 2200.0)
LIMITS = SearchLimits(deadline=None, workers=1, seed=0)


@pytest.fixture(scope="module")
def tables() -> StackTables:
    """Tables of ResNet-18."""
    return resnet_tables()


def _states(tables: StackTables, count: int) -> list[OptionState]:
    option = block_on_chip(tables)
    return [OptionState(option=option, floor=(0.0, 0.0)) for _ in range(count)]


def test_all_kinds_together_give_the_bound_of_the_option(tables: StackTables) -> None:
    (state,) = _states(tables, 1)
    steps = OptionSteps(ChoiceBuilder(tables), LIMITS, hasty=False)
    steps.bound([state], WEIGHTS, np.array([np.inf]))
    assert state.stage[WEIGHTS] == PLACED
    whole = tables.option_bounds(state.option, np.array([WEIGHTS]))[0]
    assert state.bound(WEIGHTS) == pytest.approx(whole, rel=1e-12)


def test_bounds_rise_kind_by_kind_and_stop_once_that_is_enough(tables: StackTables) -> None:
    whole = tables.option_bounds(block_on_chip(tables), np.array([WEIGHTS]))[0]
    first, second = _states(tables, 2)
    steps = OptionSteps(ChoiceBuilder(tables), LIMITS, hasty=False)
    seen = []
    while first.stage.get(WEIGHTS, 0) < PLACED:
        # The first kind is the one that a dive looks at; nothing is enough for one step.
        steps.bound([first], WEIGHTS, np.array([0.0]))
        seen.append(first.bound(WEIGHTS))
    assert len(seen) == len(tables.tiling(first.option).kinds)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(whole, rel=1e-12)
    steps.bound([second], WEIGHTS, np.array([seen[1]]))
    assert second.stage[WEIGHTS] == BOUNDED
    assert second.bound(WEIGHTS) == seen[1]
    # It goes on from where it stopped.
    steps.bound([second], WEIGHTS, np.array([np.inf]))
    assert second.bound(WEIGHTS) == seen[-1]


def test_the_commonest_kind_alone_bounds_no_higher(tables: StackTables) -> None:
    pair = np.array([WEIGHTS])
    option = block_on_chip(tables)
    assert tables.main_bound(option, pair)[0] <= tables.option_bounds(option, pair)[0]


def test_floors_that_change_meanwhile_do_no_harm(
    tables: StackTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that a bound begun with some floors is not higher for others that come later."""
    (state,) = _states(tables, 1)
    whole = tables.option_bounds(state.option, np.array([WEIGHTS]))[0]
    steps = OptionSteps(ChoiceBuilder(tables), LIMITS, hasty=False)
    steps.bound([state], WEIGHTS, np.array([0.0]))
    floors = tables.kind_floors(state.option)
    monkeypatch.setattr(tables, "kind_floors", lambda _: 0.5 * floors)
    steps.bound([state], WEIGHTS, np.array([np.inf]))
    assert state.bound(WEIGHTS) == pytest.approx(whole, rel=1e-12)


def test_a_wide_look_that_finds_nothing_soon_is_followed_by_narrow_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tests that the bound stands meanwhile, and that the optimum is found all the same."""
    tables = cost_tables(load_problem("fsrcnn@tesla-npu-like-df"), EXACT)
    dram = tables.domains.dram
    option = StackOption((2, 3, 4, 5, 6), 120, 20, OverlapMode.FULLY_CACHED, dram, dram, -1)

    def solved() -> tuple[OptionState, list[float]]:
        state = OptionState(option=option, floor=(0.0, 0.0))
        steps = OptionSteps(ChoiceBuilder(tables), LIMITS, hasty=False)
        while state.stage.get(WEIGHTS, 0) < SHARPENED:
            steps.tighten(state, WEIGHTS, np.inf, np.inf)
        most = state.bound(WEIGHTS) * 1.03
        bounds = [state.bound(WEIGHTS)]
        while WEIGHTS not in state.solved and state.bound(WEIGHTS) < most:
            steps.tighten(state, WEIGHTS, most, np.inf)
            bounds.append(state.bound(WEIGHTS))
        assert bounds == sorted(bounds)
        return state, bounds

    usual, _ = solved()
    monkeypatch.setattr("solver.option_steps.LEAN_EFFORT", 1e-9)
    late, bounds = solved()
    assert bounds[0] == bounds[1] and len(bounds) > 2
    assert late.bound(WEIGHTS) == pytest.approx(usual.bound(WEIGHTS), rel=1e-9)


def test_divisions_end_where_they_close_little(
    tables: StackTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state,) = _states(tables, 1)
    steps = OptionSteps(ChoiceBuilder(tables), LIMITS, hasty=False)
    reached = [0.0, 104.0, 108.0, 112.0, 117.0, 121.0]
    monkeypatch.setattr(steps.builder, "divide_all", lambda *_: [reached.pop(0)])
    state.planes.append((*WEIGHTS, 100.0))
    assert steps.divides
    for _ in range(4):
        # The first found nothing to divide, which says nothing of others.
        known = state.bound(WEIGHTS)
        steps.divide([(state, known + 40.0)], WEIGHTS)
        assert steps.divides
    steps.divide([(state, state.bound(WEIGHTS) + 40.0)], WEIGHTS)
    assert not steps.divides  # four by a tenth or so each
    steps._gains[0] = 1.0
    assert steps.divides
    assert state.divided == {WEIGHTS}
