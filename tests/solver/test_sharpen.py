"""Closer bounds on options where mappings that hold less than the best are what fits."""

from dataclasses import replace

import numpy as np
import pytest
from ortools.sat.python import cp_model

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.known_costs import KnownCosts
from solver.mapping_store import MappingStore
from solver.model import ScheduleModel
from solver.open_options import OptionState
from solver.option_steps import SHARPENED, OptionSteps
from solver.prepare import cost_tables, search_limits
from solver.sharpen import SharpenedCosts
from solver.stack_option import StackOption

WEIGHTS = (1.0, 20.0)
FSRCNN = "fsrcnn@tesla-npu-like-df", ((2, 3, 4, 5, 6), 120, 20)
"""Its best mappings do not all fit beside the caches of five layers."""


def _case() -> tuple[ChoiceBuilder, StackOption]:
    name, (layers, x, y) = FSRCNN
    tables = cost_tables(load_problem(name), EXACT)
    dram = tables.domains.dram
    return ChoiceBuilder(tables), StackOption(
        layers, x, y, OverlapMode.FULLY_CACHED, dram, dram, -1
    )


def _solved(builder: ChoiceBuilder, option: StackOption) -> float:
    """The option's optimum, as CP-SAT has the last word on it."""
    steps = OptionSteps(builder, search_limits(None, None, 0), hasty=False)
    state = OptionState(option=option, floor=(0.0, 0.0))
    state.stage[WEIGHTS] = SHARPENED
    steps.fit(state, WEIGHTS)
    while WEIGHTS not in state.solved:
        steps.tighten(state, WEIGHTS, np.inf, np.inf)
    return state.bound(WEIGHTS)


def test_what_mappings_hold_raises_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound comes nearer to the option's optimum, which CP-SAT finds, and not above it."""
    builder, option = _case()
    with monkeypatch.context() as patch:
        patch.setattr(SharpenedCosts, "_left", lambda *_: [])
        without = builder.sharpen(option, WEIGHTS, np.inf)
    bound = builder.sharpen(option, WEIGHTS, np.inf)
    optimum = _solved(builder, option)
    assert without * (1 + 2e-4) < bound <= optimum * (1 + 1e-9)
    # Bounds that know nothing of it leave CP-SAT more choices, and the same optimum.
    with monkeypatch.context() as patch:
        patch.setattr(MappingStore, "steps", lambda *_: None)
        other, _ = _case()
        assert _solved(other, option) == pytest.approx(optimum, rel=1e-9)
    # Nor do they take anything from the model that the optimum needs.
    reach = optimum * (1 + 1e-7)
    choices = builder.build(option, WEIGHTS, reach)
    model = ScheduleModel(builder.tables, choices, WEIGHTS, bound)
    solver = cp_model.CpSolver()
    solver.parameters.linearization_level = 2
    assert solver.solve(model.model) == cp_model.OPTIMAL
    assert solver.objective_value / model.scale <= optimum * (1 + 1e-9)


def test_others_know_the_steps_of_a_tile() -> None:
    """A bound by what is known at first is closer once another option has asked the same."""
    builder, option = _case()
    alone = KnownCosts(builder.tables, mappings=builder.mappings)
    builder.sharpen(option, WEIGHTS, np.inf)
    known = alone.floor(option, WEIGHTS)
    builder.mappings._stairs.clear()
    assert alone.floor(option, WEIGHTS) * (1 + 1e-4) < known


def test_many_at_once_are_bounded_as_one_by_one() -> None:
    """Bounds of options sharpened together are no lower, none is above the option's optimum, and
    threads that end in another order change nothing."""
    builder, option = _case()
    some = [replace(option, tile_x=x) for x in (60, 120, 240)]
    together = builder.sharpen_all([(one, np.inf) for one in some], WEIGHTS)
    again = ChoiceBuilder(builder.tables).sharpen_all([(one, np.inf) for one in some], WEIGHTS)
    assert together == again
    for one, bound in zip(some, together, strict=True):
        alone = ChoiceBuilder(builder.tables).sharpen(one, WEIGHTS, np.inf)
        assert alone * (1 - 1e-3) < bound <= _solved(builder, one) * (1 + 1e-9)


def test_what_is_enough_for_one_is_not_for_all() -> None:
    """An option leaves as soon as its bound will do; the others go on to the end."""
    builder, option = _case()
    other = replace(option, tile_x=60)
    first = builder.floor(option, WEIGHTS)
    fresh = ChoiceBuilder(builder.tables)
    early, late = fresh.sharpen_all([(option, first * 0.9), (other, np.inf)], WEIGHTS)
    assert early < fresh.sharpen(option, WEIGHTS, np.inf)
    assert late == pytest.approx(fresh.sharpen(other, WEIGHTS, np.inf), rel=1e-3)
    assert fresh.sharpen_all([], WEIGHTS) == []
