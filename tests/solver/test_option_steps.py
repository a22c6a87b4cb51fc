"""Bounds of stack options, one kind of tile after the other."""

import numpy as np
import pytest

from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.open_options import OptionState
from solver.option_steps import BOUNDED, PLACED, OptionSteps
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
