"""Placements that fit, from which dives begin where memories are tight."""

import numpy as np
import pytest
from ortools.sat.python import cp_model

from cost.overlap import OverlapMode
from cost.rules import DEFINES, EXACT
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.model import ScheduleModel
from solver.places import Fitting
from solver.prepare import cost_tables
from solver.stack_option import StackOption
from tests.solver.resnet_block import block_on_chip, resnet_tables

WEIGHTS = (13.25587, 2213.0468548343742)


@pytest.fixture(scope="module")
def builder() -> ChoiceBuilder:
    """A builder for dives with rough mappings, of ResNet-18."""
    return ChoiceBuilder(resnet_tables(), patience=-1)


@pytest.fixture(scope="module")
def option(builder: ChoiceBuilder) -> StackOption:
    """Six layers with a shortcut between two maps in the larger activation memory."""
    return block_on_chip(builder.tables)


@pytest.fixture(scope="module")
def fitting(builder: ChoiceBuilder, option: StackOption) -> Fitting:
    """Its placement."""
    found = builder.fitting(option, WEIGHTS)
    assert found is not None
    return found


def test_it_costs_no_less_than_the_bound(
    builder: ChoiceBuilder, option: StackOption, fitting: Fitting
) -> None:
    bound = builder.tables.option_bounds(option, np.array([WEIGHTS]))[0]
    assert bound <= fitting.cost < 1.5 * bound


def test_cp_sat_agrees_that_it_fits(
    builder: ChoiceBuilder, option: StackOption, fitting: Fitting
) -> None:
    choices = builder.fitted(option, WEIGHTS, fitting)
    assert choices is not None
    solver = cp_model.CpSolver()
    model = ScheduleModel(builder.tables, choices, WEIGHTS, choices.floor)
    assert solver.solve(model.model) == cp_model.OPTIMAL
    assert {layer.memories for layer in choices.layers} == set(fitting.places.layers.values())


def test_a_model_kept_below_a_cost_holds_what_costs_no_more(
    builder: ChoiceBuilder, option: StackOption, fitting: Fitting
) -> None:
    """Feasible at the optimum of the choices, infeasible a little below it."""
    choices = builder.fitted(option, WEIGHTS, fitting)
    assert choices is not None
    free = ScheduleModel(builder.tables, choices, WEIGHTS, choices.floor)
    solver = cp_model.CpSolver()
    assert solver.solve(free.model) == cp_model.OPTIMAL
    least = solver.objective_value / free.scale
    for limit, expected in (
        (least, cp_model.OPTIMAL),
        (least * (1 - 1e-6), cp_model.INFEASIBLE),
    ):
        model = ScheduleModel(builder.tables, choices, WEIGHTS, choices.floor)
        model.keep_below(limit)
        assert cp_model.CpSolver().solve(model.model) == expected


def test_mappings_fit_by_themselves(
    builder: ChoiceBuilder, option: StackOption, fitting: Fitting
) -> None:
    sizes = np.array(builder.tables.domains.sizes_bits)
    choices = builder.fitted(option, WEIGHTS, fitting)
    assert choices is not None
    for layer in choices.layers:
        assert (np.array(layer.held_bits) <= sizes).all()
        assert (np.array(layer.held_bits) <= fitting.budgets[layer.kind, layer.layer]).all()


def test_weights_and_caches_are_where_all_tiles_look(fitting: Fitting) -> None:
    for (_, e), (weight, _, _) in fitting.places.layers.items():
        assert weight == fitting.places.weights[e]
    for (_, e), (*_, h_use, h_make, v) in fitting.places.phases.items():
        kept = {m for (layer, _), m in fitting.places.h.items() if layer == e}
        assert {h_use, h_make} - {-1} <= kept
        assert v in (-1, fitting.places.v[e])


def test_memories_that_are_not_shared_need_none() -> None:
    tables = cost_tables(load_problem("fsrcnn@meta-proto-df"), DEFINES)
    dram = tables.domains.dram
    lone = StackOption((0, 1), 60, 72, OverlapMode.FULLY_CACHED, dram, dram, -1)
    assert ChoiceBuilder(tables, patience=-1).fitting(lone, (1.0, 0.0)) is None


def test_it_begins_from_places_that_are_closed_where_bounds_lead_there() -> None:
    """Tests twenty layers whose rows are too many for the small memory that operands like."""
    tables = cost_tables(load_problem("dmcnn-vd@meta-proto-df"), EXACT)
    dram = tables.domains.dram
    whole = StackOption(tuple(range(20)), 36, 24, OverlapMode.FULLY_CACHED, dram, dram, -1)
    deep = ChoiceBuilder(tables, patience=-1)
    found = deep.fitting(whole, (1.0, 100.0))
    assert found is not None
    choices = deep.fitted(whole, (1.0, 100.0), found)
    assert choices is not None
    model = ScheduleModel(tables, choices, (1.0, 100.0), choices.floor)
    assert cp_model.CpSolver().solve(model.model) == cp_model.OPTIMAL


def test_each_kind_of_tile_has_inputs_and_outputs_where_it_suits_it() -> None:
    """Tests a tight stack: tiles of the first row are higher, and need not be in others' way."""
    tables = cost_tables(load_problem("dmcnn-vd@ascend-like-df"), EXACT, timed=False)
    dram = tables.domains.dram
    option = StackOption(tuple(range(1, 8)), 12, 100, OverlapMode.FULLY_CACHED, dram, dram, -1)
    known = ChoiceBuilder(tables)
    bound = known.sharpen(option, (1.0, 0.0), np.inf)
    found = known.fitting(option, (1.0, 0.0))
    assert found is not None
    # With all kinds alike it was 0.5 % above.
    assert bound <= found.cost * (1 + 1e-9) < 1.002 * bound
    inputs: dict[int, set[int]] = {}
    for (_, e), (weight, operand, _) in found.places.layers.items():
        assert weight == found.places.weights[e]
        inputs.setdefault(e, set()).add(operand)
    assert any(len(memories) > 1 for memories in inputs.values())
    choices = known.fitted(option, (1.0, 0.0), found)
    assert choices is not None
    model = ScheduleModel(tables, choices, (1.0, 0.0), choices.floor)
    assert cp_model.CpSolver().solve(model.model) == cp_model.OPTIMAL
