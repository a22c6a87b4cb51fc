"""Bounds that know what kinds of tile share, on options of the catalogue, against CP-SAT."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ortools.sat.python import cp_model

from cost.overlap import OverlapMode
from cost.rules import EXACT
from cost.shared_prices import SharedKinds
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.model import ScheduleModel
from solver.open_options import OptionState
from solver.option_steps import SHARPENED, OptionSteps
from solver.prepare import cost_tables, search_limits
from solver.shared_kinds import shared_kinds
from solver.stack_option import StackOption

WEIGHTS = (1.0, 20.0)
OPTIONS = {
    "fsrcnn@meta-proto-df": ((0, 1, 2, 3), 60, 40, OverlapMode.FULLY_CACHED),
    "resnet-18@meta-proto-df": ((2, 3, 4), 48, 16, OverlapMode.FULLY_CACHED),
    "fsrcnn@tesla-npu-like-df": ((4, 5, 6), 32, 18, OverlapMode.H_CACHED),
}


@pytest.fixture(scope="module", params=OPTIONS)
def case(request: pytest.FixtureRequest) -> tuple[ChoiceBuilder, StackOption]:
    """An option with several kinds of tile, and who knows what it costs."""
    tables = cost_tables(load_problem(request.param), EXACT)
    dram = tables.domains.dram
    option = StackOption(*OPTIONS[request.param], dram, dram, -1)
    assert len(tables.tiling(option).kinds) > 2
    return ChoiceBuilder(tables), option


def test_no_placement_of_all_kinds_costs_less(case: tuple[ChoiceBuilder, StackOption]) -> None:
    """CP-SAT's best placement by bounds on mappings is no cheaper, nor any entry that it takes."""
    builder, option = case
    floor = builder.floor(option, WEIGHTS)
    shared = builder._shared(option, builder._costs(option, WEIGHTS))
    assert shared is not None
    bound = builder._prices(option, WEIGHTS, shared)[0]
    choices = builder.build(option, WEIGHTS, 1.3 * floor)
    model = ScheduleModel(builder.tables, choices, WEIGHTS, floor)
    solver = cp_model.CpSolver()
    solver.parameters.linearization_level = 2
    assert solver.solve(model.model) == cp_model.OPTIMAL
    least = solver.objective_value / model.scale * (1 + 1e-9)
    assert max(bound, floor) <= least * (1 + 1e-9)
    plan = model.plan(solver)
    through = builder._through(option, WEIGHTS)
    below = sum(
        kind.kind.count * some.least for kind, some in zip(choices.tables, through, strict=True)
    )
    for (k, e), layer in plan.layers.items():
        kind, (through_f, through_g, own, *_) = choices.tables[k], through[k]
        at = builder._entry(kind, e, layer.memories)
        moves = builder._phase_entry(kind, e, plan.phases[k, e].memories)
        for some in (through_f[(e, *at)], through_g[tuple(moves)]):
            assert below + kind.kind.count * (some - own) <= least * (1 + 1e-9)


def test_prices_are_kept_for_the_next_bound(case: tuple[ChoiceBuilder, StackOption]) -> None:
    """Asking again never lowers the bound while costs stay what they are."""
    builder, option = case
    shared = builder._shared(option, builder._costs(option, WEIGHTS))
    assert shared is not None
    bounds = [builder._prices(option, WEIGHTS, shared)[0] for _ in range(3)]
    assert np.isfinite(bounds).all()
    assert all(
        later >= sooner * (1 - 1e-12) for sooner, later in zip(bounds, bounds[1:], strict=False)
    )


def test_an_option_whose_mappings_are_known_has_a_plan_near_its_bound(
    case: tuple[ChoiceBuilder, StackOption],
) -> None:
    """The plan costs no less than the bound, little more, and is no solution before CP-SAT."""
    builder, option = case
    limits: SearchLimits = search_limits(None, None, 0)
    steps = OptionSteps(builder, limits, hasty=False)
    state = OptionState(option=option, floor=(0.0, 0.0))
    bound = builder.sharpen(option, WEIGHTS, np.inf)
    steps.fit(state, WEIGHTS)
    found = state.fitted[WEIGHTS]
    assert found is not None
    assert bound * (1 - 1e-9) <= found[0] <= 1.05 * bound
    assert not state.solved
    state.stage[WEIGHTS] = 3
    while WEIGHTS not in state.solved:
        steps.tighten(state, WEIGHTS, np.inf, np.inf)
    assert bound * (1 - 1e-9) <= state.bound(WEIGHTS) <= found[0] * (1 + 1e-9)
    # Without a plan CP-SAT comes to the same.
    other = OptionState(option=option, floor=(0.0, 0.0))
    other.stage[WEIGHTS], other.fitted[WEIGHTS] = 3, None
    while WEIGHTS not in other.solved:
        steps.tighten(other, WEIGHTS, np.inf, np.inf)
    assert other.bound(WEIGHTS) == pytest.approx(state.bound(WEIGHTS), rel=1e-9)


def test_one_kind_of_tile_shares_nothing() -> None:
    """Where all tiles are alike there is nothing to share."""
    tables = cost_tables(load_problem("fsrcnn@meta-proto-df"), EXACT)
    dram, sizes = tables.domains.dram, tables.problem.workload.layers[1].sizes
    whole = (sizes["OX"], sizes["OY"], OverlapMode.FULLY_RECOMPUTE)
    option = StackOption((0, 1), *whole, dram, dram, -1)
    builder = ChoiceBuilder(tables)
    assert len(tables.tiling(option).kinds) == 1
    assert builder._shared(option, builder._costs(option, WEIGHTS)) is None
    cached = replace(option, tile_x=60, tile_y=40, mode=OverlapMode.FULLY_CACHED)
    assert builder._shared(cached, builder._costs(cached, WEIGHTS)) is not None


def test_an_add_reads_both_tiles_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of a residual block is close to its optimum, and was not without ties."""
    tables = cost_tables(load_problem("resnet-18@meta-proto-df"), EXACT)
    dram, weights = tables.domains.dram, (0.0, 1.0)
    option = StackOption((2, 3, 4, 5, 6), 24, 16, OverlapMode.FULLY_CACHED, dram, dram, -1)
    builder = ChoiceBuilder(tables)
    bound = builder.sharpen(option, weights, np.inf)
    steps = OptionSteps(builder, search_limits(None, None, 0), hasty=False)
    state = OptionState(option=option, floor=(0.0, 0.0))
    state.stage[weights] = SHARPENED
    while weights not in state.solved:
        steps.tighten(state, weights, np.inf, np.inf)
    optimum = state.bound(weights)
    assert optimum * (1 - 1e-3) < bound <= optimum * (1 + 1e-9)

    def without_ties(*args: Any) -> SharedKinds | None:
        found = shared_kinds(*args)
        return found and found._replace(ties=found.ties[:0])

    monkeypatch.setattr("solver.known_costs.shared_kinds", without_ties)
    assert ChoiceBuilder(tables).sharpen(option, weights, np.inf) < 0.97 * bound
