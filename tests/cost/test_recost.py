"""Re-costing a written schedule: true costs by hand, and a sentence for every fault."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cost.kernel import evaluate_layer_tile
from cost.mapping import LayerTile, TemporalMapping
from cost.overlap import OverlapMode
from cost.recost import CAUSES, COPIES, MAC, recost
from cost.rules import DEFINES, EXACT, RULE_SETS, RuleSet
from cost.schedule import LayerTilePlan, Schedule, ScheduledMapping, StackPlan, TilePlan
from problems import Layer, LayerKind, Problem, Workload, load_problem
from problems.workload import Padding
from solver.objective import Objective
from solver.solve import solve
from solver.space import parse_tiles
from tests.cost.small_hardware import SMALL, layer
from tests.solver.conftest import PROBLEM, TILES

ONE: Layer = layer(LayerKind.POINTWISE, K=2, C=2, OX=2, OY=1, B=1, G=1, FX=1, FY=1)
LOOPS = (("C", 2), ("K", 2))


def one_layer(rules: RuleSet) -> tuple[Problem, Schedule]:
    """One pointwise layer in two tiles of one column; inputs are fetched to the buffer.

    By hand: a tile's input is 2 elements of 8 bits. DRAM gives 2 bits a word at 1 pJ, the
    buffer takes 8 bits a word at 2 pJ: 8 + 4 pJ and 8 cycles of copying a tile.
    """
    workload = Workload(
        name="one",
        input_name="input",
        input_channels=2,
        input_width=2,
        input_height=1,
        input_bits=8,
        layers=(ONE,),
    )
    levels = {"O": 3, "W": 2, "I": 1}
    sizes = tuple((dim, 1 if dim == "OX" else size) for dim, size in ONE.loops)
    flags = {name: (False,) * count for name, count in levels.items()}
    cuts = {"O": (1, 2, 2), "W": (0, 2), "I": (2,)}
    mapping = TemporalMapping(
        loops=LOOPS, cuts=cuts, double_buffered=flags if rules.explicit_double_buffering else None
    )
    tile = LayerTile(layer=ONE, sizes=sizes, levels=levels)
    cost = evaluate_layer_tile(SMALL, (), tile, mapping, rules)
    drain = cost.offloading_cycles if rules.charge_last_drain else 0
    plan = LayerTilePlan(
        layer=ONE.name,
        width=1,
        height=1,
        producer="buffer",
        second=None,
        weights="dram",
        operand="buffer",
        output="dram",
        h_use=None,
        h_make=None,
        v=None,
        mapping=ScheduledMapping(loops=LOOPS, cuts=cuts, double_buffered=flags),
        energy_pj=cost.energy_pj,
        latency_cycles=cost.temporal_cycles + cost.stall_cycles + cost.loading_cycles + drain,
        copy_energy_pj=12.0,
        copy_latency_cycles=8,
        export_energy_pj=0.0,
        export_latency_cycles=0,
    )
    stack = StackPlan(
        layers=(ONE.name,),
        tile_x=1,
        tile_y=1,
        mode=OverlapMode.FULLY_RECOMPUTE,
        source="dram",
        carried=None,
        target="dram",
        weights=("dram",),
        arrival_energy_pj=0.0,
        arrival_latency_cycles=0,
        tiles=(TilePlan(columns=((0, 2),), rows=((0, 1),), layers=(plan,)),),
    )
    problem = Problem(name="one@small", workload=workload, hardware=SMALL, source="one@small")
    return problem, Schedule(stacks=(stack,))


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_one_layer_by_hand(rules: RuleSet) -> None:
    """Layer-tiles cost what the kernel says, copies what the words on their way cost."""
    problem, schedule = one_layer(rules)
    found = recost(problem, schedule, rules)
    assert found.violations == () and found.ok
    shares = found.breakdown
    assert shares.energy_by_operand[COPIES] == 24.0
    assert shares.latency_by_cause[COPIES] == 16
    assert shares.energy_by_operand[MAC] == 8 * SMALL.mac_pj
    assert found.energy_pj == schedule.energy_pj
    assert found.latency_cycles == schedule.latency_cycles


def test_a_mapping_fits_by_itself_where_it_reads_a_map_in_place() -> None:
    """Tests a tile that takes more with its padding than the whole map that it is read from.

    By hand: 3 x 3 positions of 2 channels of 8 bits, out of a map of 2 x 2, and an output of 8.
    """
    first = replace(ONE, name="first", loops=tuple((ONE.sizes | {"OY": 2}).items()))
    second = replace(
        first,
        name="second",
        kind=LayerKind.CONV,
        sources=("first",),
        loops=tuple((first.sizes | {"FX": 3, "FY": 3}).items()),
        padding=Padding(left=1, right=1, top=1, bottom=1),
    )
    problem, _ = one_layer(EXACT)
    workload = replace(problem.workload, input_height=2, layers=(first, second))
    problem = replace(problem, workload=workload)
    mode = (OverlapMode.FULLY_RECOMPUTE,)
    result = solve(problem, objective=Objective.ENERGY, modes=mode, max_depth=1, workers=1)
    schedule = result.schedule
    assert schedule is not None
    (step,) = (tile.layers[0] for tile in schedule.stacks[1].tiles)
    assert schedule.stacks[1].source == step.producer == step.operand == "buffer"
    assert (step.width, step.height, step.output) == (1, 1, "dram")
    needed = 3 * 3 * 2 * 8 + 8
    for bits, fits in ((needed, True), (needed - 1, False)):
        memories = tuple(
            replace(m, size_bits=bits) if m.name == "buffer" else m for m in SMALL.memories
        )
        less = replace(problem, hardware=replace(SMALL, memories=memories))
        assert recost(less, schedule, EXACT).ok is fits


@pytest.fixture(scope="module")
def problem() -> Problem:
    """Two convolutions on registers, a buffer and DRAM."""
    return load_problem(PROBLEM)


@pytest.fixture(scope="module", params=sorted(RULE_SETS))
def solved(request: pytest.FixtureRequest, problem: Problem) -> tuple[Schedule, RuleSet]:
    """A fused, cached schedule of the problem under each rule set."""
    rules = RULE_SETS[request.param]
    result = solve(
        problem,
        rules=rules,
        tiles=parse_tiles(TILES),
        modes=(OverlapMode.FULLY_CACHED,),
        workers=1,
    )
    assert result.schedule is not None
    assert len(result.schedule.stacks) == 1 and len(result.schedule.stacks[0].layers) == 2
    return result.schedule, rules


def test_breakdowns_add_up(problem: Problem, solved: tuple[Schedule, RuleSet]) -> None:
    """Every way of dividing energy and latency sums to the whole."""
    schedule, rules = solved
    found = recost(problem, schedule, rules)
    shares = found.breakdown
    assert found.ok
    by_memory = sum(shares.energy_by_memory.values()) + shares.energy_by_operand[MAC]
    assert by_memory == pytest.approx(found.energy_pj, rel=1e-12)
    assert sum(shares.energy_by_operand.values()) == pytest.approx(found.energy_pj, rel=1e-12)
    assert sum(shares.energy_by_layer.values()) == pytest.approx(found.energy_pj, rel=1e-12)
    assert sum(shares.latency_by_cause.values()) == found.latency_cycles
    assert sum(shares.latency_by_layer.values()) == found.latency_cycles
    assert set(shares.latency_by_cause) == set(CAUSES)
    assert (shares.latency_by_cause["weight arrival"] > 0) == (
        rules.charge_weight_arrival and "buffer" in schedule.stacks[0].weights
    )


def edit_stack(**changes: Any) -> Callable[[Schedule], Schedule]:
    """Change the stack."""

    def edited(schedule: Schedule) -> Schedule:
        return Schedule(stacks=(replace(schedule.stacks[0], **changes),))

    return edited


def edit_tile(**changes: Any) -> Callable[[Schedule], Schedule]:
    """Change the last kind of tile."""

    def edited(schedule: Schedule) -> Schedule:
        *others, last = schedule.stacks[0].tiles
        return edit_stack(tiles=(*others, replace(last, **changes)))(schedule)

    return edited


def edit_layer(
    number: int, change: Callable[[LayerTilePlan], LayerTilePlan]
) -> Callable[[Schedule], Schedule]:
    """Change one layer of the last kind of tile."""

    def edited(schedule: Schedule) -> Schedule:
        layers = list(schedule.stacks[0].tiles[-1].layers)
        layers[number] = change(layers[number])
        return edit_tile(layers=tuple(layers))(schedule)

    return edited


def edit_plan(number: int, **changes: Any) -> Callable[[Schedule], Schedule]:
    """Change fields of one layer of the last kind of tile."""
    return edit_layer(number, lambda plan: replace(plan, **changes))


def more_loops(plan: LayerTilePlan) -> LayerTilePlan:
    """Loops that multiply to more than the layer-tile has."""
    (dim, factor), *rest = plan.mapping.loops
    return replace(plan, mapping=replace(plan.mapping, loops=((dim, 2 * factor), *rest)))


def falling_cuts(plan: LayerTilePlan) -> LayerTilePlan:
    """A level of O that holds fewer loops than the one below."""
    cuts = dict(plan.mapping.cuts)
    cuts["O"] = (cuts["O"][-1], *(0 for _ in cuts["O"][1:-1]), cuts["O"][-1])
    return replace(plan, mapping=replace(plan.mapping, cuts=cuts))


def loops_of_nothing(plan: LayerTilePlan) -> LayerTilePlan:
    """A loop of factor zero."""
    return replace(plan, mapping=replace(plan.mapping, loops=(("K", 0), *plan.mapping.loops)))


FAULTS = {
    "no stacks": (lambda schedule: Schedule(stacks=()), "the stacks hold layers []"),
    "a layer twice": (
        lambda schedule: Schedule(stacks=schedule.stacks * 2),
        "the workload has ['first', 'second']",
    ),
    "no size": (edit_stack(tile_x=0), "tile 0x5 has no size"),
    "another tile": (edit_stack(tile_y=4), "is stated as 9x7, it is 9x4"),
    "another mode": (edit_stack(mode=OverlapMode.FULLY_RECOMPUTE), "is stated as"),
    "input elsewhere": (edit_stack(source="buffer"), "all that it reads lies in dram"),
    "output elsewhere": (edit_stack(target="buffer"), "the network output goes to dram"),
    "unknown memory": (edit_stack(weights=("cache", "dram")), "has no memory cache"),
    "weights missing": (edit_stack(weights=("dram",)), "weight memories for its layers"),
    "weights in registers": (edit_stack(weights=("w_regs", "w_regs")), "weights"),
    "beyond the grid": (edit_tile(columns=((1, 5),)), "pass the grid"),
    "tile twice": (edit_tile(columns=((0, 2),), rows=((0, 2),)), "not covered exactly once"),
    "wrong width": (edit_plan(0, width=3), "is stated as 3x"),
    "other layer": (edit_plan(0, layer="second"), "list other layers"),
    "operand in registers": (edit_plan(1, operand="o_regs"), "no input tile can rest in o_regs"),
    "output in registers": (edit_plan(0, output="o_regs"), "no output tile can rest in o_regs"),
    "producer elsewhere": (edit_plan(1, producer="dram"), "its producer's tile is in"),
    "last output elsewhere": (edit_plan(1, output="buffer"), "the last output is in buffer"),
    "no cache": (edit_plan(1, h_use=None), "no cache is named for columns from the left"),
    "cache in registers": (edit_plan(1, h_use="o_regs"), "o_regs cannot be a cache"),
    "more loops": (edit_layer(0, more_loops), "cannot be costed: loops over"),
    "falling cuts": (edit_layer(1, falling_cuts), "cannot be costed"),
    "loop of nothing": (edit_layer(0, loops_of_nothing), "loop factors must be at least 1"),
    "cheaper": (
        edit_layer(0, lambda plan: replace(plan, energy_pj=0.99 * plan.energy_pj)),
        "energy is stated as",
    ),
    "faster": (
        edit_layer(0, lambda plan: replace(plan, latency_cycles=plan.latency_cycles - 1)),
        "latency is stated as",
    ),
    "free copies": (edit_plan(0, copy_energy_pj=0.0), "copy energy is stated as"),
    "copies in no time": (edit_plan(0, copy_latency_cycles=0), "copy latency is stated as"),
    "arrival": (edit_stack(arrival_energy_pj=1.0), "weight arrival energy is stated as 1.0"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(name: str, problem: Problem, solved: tuple[Schedule, RuleSet]) -> None:
    """One wrong decision or figure, one sentence that names it; never a traceback."""
    edit, told = FAULTS[name]
    schedule, rules = solved
    changed = edit(schedule)
    assert changed != schedule, "the change changes nothing"
    found = recost(problem, changed, rules)
    assert not found.ok
    assert any(told in fault for fault in found.violations), found.violations


@pytest.mark.parametrize("size_bits", [64, 1000, 3000])
def test_overfull_memory_is_named(
    size_bits: int, problem: Problem, solved: tuple[Schedule, RuleSet]
) -> None:
    """In a smaller buffer the same schedule does not fit, and the demand is told."""
    schedule, rules = solved
    memories = tuple(
        replace(memory, size_bits=size_bits) if memory.name == "buffer" else memory
        for memory in problem.hardware.memories
    )
    small = replace(problem, hardware=replace(problem.hardware, memories=memories))
    found = recost(small, schedule, rules)
    assert any("bits" in fault and "buffer" in fault for fault in found.violations)
    assert all(str(size_bits) in fault for fault in found.violations if "bits" in fault)


def test_small_registers_are_named(problem: Problem, solved: tuple[Schedule, RuleSet]) -> None:
    """A partial sum of 16 bits does not fit registers of 8."""
    schedule, rules = solved
    memories = tuple(
        replace(memory, size_bits=8) if memory.name == "o_regs" else memory
        for memory in problem.hardware.memories
    )
    small = replace(problem, hardware=replace(problem.hardware, memories=memories))
    assert any("o_regs" in fault for fault in recost(small, schedule, rules).violations)
