"""A concat: its optimum by hand, and what the re-coster refuses."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from cost.recost import recost
from cost.rules import EXACT
from cost.schedule import LayerTilePlan, Schedule, ScheduledMapping
from problems import Problem, load_problem
from solver.objective import Objective
from solver.result import Result, Status
from solver.solve import solve

TEXT = """
name: by-hand
workload:
  name: by-hand
  input: {channels: 1, width: 2, height: 1}
  precision: {partial_bits: 8}
  layers:
    - {name: one, kind: pointwise, from: input, loops: {K: 1, C: 1, OY: 1, OX: 2}}
    - {name: two, kind: pointwise, from: input, loops: {K: 1, C: 1, OY: 1, OX: 2}}
    - {name: both, kind: concat, from: [one, two], loops: {G: 2, OY: 1, OX: 2}}
    - {name: head, kind: pointwise, from: both, loops: {K: 1, C: 2, OY: 1, OX: 2}}
hardware:
  name: by-hand
  array: {D1: 1}
  mac_pj: 1
  memories:
    - {name: acc, holds: [O], size_bits: 8, bits_per_cycle: 8,
       pj_per_word: {read: 1, write: 1}, ports: 2r+2w, serves: []}
    - {name: buffer, holds: [W, I, O], size_bits: BUFFER, bits_per_cycle: 8,
       pj_per_word: {read: 1, write: 1}}
    - {name: dram, holds: [W, I, O], size_bits: 100000, bits_per_cycle: 8,
       pj_per_word: {read: 10, write: 10}, ports: rw}
  spatial: [{unroll: {}}]
"""


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Problem, Result]]:
    """The problem and its schedule of least energy for a buffer of so many bits."""
    folder = tmp_path_factory.mktemp("concat")

    def run(buffer_bits: int) -> tuple[Problem, Result]:
        file = folder / f"{buffer_bits}.yaml"
        file.write_text(TEXT.replace("BUFFER", str(buffer_bits)))
        problem = load_problem(str(file))
        return problem, solve(problem, objective=Objective.ENERGY)

    return run


def test_optimum_by_hand(solved: Callable[[int], tuple[Problem, Result]]) -> None:
    """Tests that parts which lie together cost nothing to join.

    The 2 inputs come once from DRAM (10 pJ + 1 pJ). Each part: 2 MACs, 2 weights and 2 inputs
    read (1 pJ each), 1 weight from DRAM (11 pJ), 2 sums written, and handed from the accumulator
    to the buffer (1 pJ + 1 pJ). The head: 4 MACs, weights and inputs, 2 weights from DRAM, 4 sums
    written and 2 read back, and 2 outputs through the buffer to DRAM (1 + 1 + 1 + 10 pJ).
    """
    problem, result = solved(1024)
    part = 2 + 2 + 2 + 11 + 2 + 4
    head = 4 + 4 + 4 + 22 + 4 + 2 + 26
    assert result.status is Status.OPTIMAL
    assert result.energy_pj == pytest.approx(22 + 2 * part + head)
    assert result.schedule is not None
    assert recost(problem, result.schedule, EXACT).violations == ()
    assert any(note.startswith("a concat is one map") for note in result.space.notes)
    # Its copies may do what handing on by a part would cost: ties that the sum above holds.
    step = _concat(result.schedule)
    assert (step.energy_pj, step.latency_cycles) == (0.0, 0)


def test_union_takes_room_once(solved: Callable[[int], tuple[Problem, Result]]) -> None:
    """Tests that the parts are the output, and need no second place.

    Pixel by pixel the buffer holds the 4 weights, and while the head runs its 2 inputs and one
    output: 56 bits. Were the union beside its parts, the concat alone would take 64.
    """
    assert solved(56)[1].energy_pj == solved(1024)[1].energy_pj
    least = solved(48)[1].energy_pj
    assert least is not None and least > solved(1024)[1].energy_pj


def test_concat_lies_where_its_parts_do(solved: Callable[[int], tuple[Problem, Result]]) -> None:
    """Tests that the re-coster takes no concat that would have to move or compute anything."""
    problem, result = solved(1024)
    assert result.schedule is not None
    apart = _changed(result.schedule, output="dram")
    faults = recost(problem, apart, EXACT).violations
    assert any("a concat lies where its parts do: buffer, not dram" in fault for fault in faults)
    looping = ScheduledMapping(loops=(("OX", 2),), cuts={}, double_buffered={})
    faults = recost(problem, _changed(result.schedule, mapping=looping), EXACT).violations
    assert any("a concat has no loops" in fault for fault in faults)
    costly = recost(problem, _changed(result.schedule, energy_pj=1.0), EXACT).violations
    assert any("energy is stated as 1.0, it is 0.0" in fault for fault in costly)


def _concat(schedule: Schedule) -> LayerTilePlan:
    return next(
        step
        for stack in schedule.stacks
        for tile in stack.tiles
        for step in tile.layers
        if step.layer == "both"
    )


def _changed(schedule: Schedule, **values: object) -> Schedule:
    """The schedule with other values for its concat."""
    old = _concat(schedule)
    new = replace(old, **values)  # type: ignore[arg-type]
    stacks = []
    for stack in schedule.stacks:
        tiles = [
            replace(tile, layers=tuple(new if step is old else step for step in tile.layers))
            for tile in stack.tiles
        ]
        stacks.append(replace(stack, tiles=tuple(tiles)))
    return replace(schedule, stacks=tuple(stacks))
