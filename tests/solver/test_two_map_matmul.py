"""A matmul of two maps: its optimum by hand, and schedules that read a matrix too early."""

from dataclasses import replace

import pytest

from cost.recost import recost
from cost.rules import DEFINES, EXACT
from problems import Problem, ProblemError, load_problem
from solver.objective import Objective
from solver.result import Result, Status
from solver.solve import solve

HARDWARE = """
  name: by-hand
  array: {D1: 1}
  mac_pj: 1
  memories:
    - {name: acc, holds: [O], size_bits: 16, bits_per_cycle: 16,
       pj_per_word: {read: 1, write: 1}, ports: 2r+2w, serves: []}
    - {name: buffer, holds: [W, I], size_bits: 256, bits_per_cycle: 8,
       pj_per_word: {read: 1, write: 1}}
    - {name: dram, holds: [W, I, O], size_bits: 100000, bits_per_cycle: 8,
       pj_per_word: {read: 10, write: 10}, ports: rw}
  spatial: [{unroll: {}}]
"""
NETWORK = """
name: two-maps
workload:
  name: two-maps
  input: {channels: 2, width: 2, height: 1}
  layers:
    - {name: keys, kind: matmul, from: input, loops: {K: 2, C: 2, OX: 2}}
    - {name: scores, kind: matmul, from: [input, keys], loops: {K: 2, C: 2, OX: 2}}
hardware:"""


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Problem, Result]:
    """Both layers with 2 x 2 inputs, weights and outputs, and their least energy."""
    file = tmp_path_factory.mktemp("two-maps") / "problem.yaml"
    file.write_text(NETWORK + HARDWARE)
    problem = load_problem(str(file))
    return problem, solve(problem, objective=Objective.ENERGY)


def test_optimum_by_hand(solved: tuple[Problem, Result]) -> None:
    """Tests that the second map costs what weights do, and its way through DRAM.

    Each layer does 8 MACs (1 pJ) and reads as many weights and inputs from the buffer (1 pJ).
    All 4 of each come once from DRAM (10 pJ + 1 pJ): 88. The accumulator takes 8 sums, gives 4
    back, and hands 4 outputs (1 pJ) to DRAM (10 pJ).
    """
    problem, result = solved
    layer = 8 + 8 + 8 + 88 + 8 + 4 + 4 + 40
    assert result.status is Status.OPTIMAL
    assert result.energy_pj == pytest.approx(2 * layer)
    assert result.schedule is not None
    assert [stack.layers for stack in result.schedule.stacks] == [("keys",), ("scores",)]
    assert recost(problem, result.schedule, EXACT).violations == ()
    assert any("matmul reads as its matrix" in note for note in result.space.notes)


def test_matrix_must_be_there_before(solved: tuple[Problem, Result]) -> None:
    """Tests that the re-coster names a matmul which runs before its matrix is made."""
    problem, result = solved
    assert result.schedule is not None
    turned = replace(result.schedule, stacks=result.schedule.stacks[::-1])
    faults = recost(problem, turned, EXACT).violations
    assert any("scores takes keys as its matrix, which no stack before" in f for f in faults)


def test_matrix_must_be_in_dram(solved: tuple[Problem, Result]) -> None:
    """Tests that the re-coster refuses a matrix that was left on chip."""
    problem, result = solved
    assert result.schedule is not None
    keys, scores = result.schedule.stacks
    moved = replace(result.schedule, stacks=(replace(keys, target="buffer"), scores))
    faults = recost(problem, moved, EXACT).violations
    assert "stack 0 leaves its map in buffer, yet scores takes it as its matrix from dram" in faults


def test_reference_rules_do_not_solve_it(solved: tuple[Problem, Result]) -> None:
    """Tests that rules for chains refuse a layer with two maps instead of mistaking it."""
    with pytest.raises(ProblemError, match="of workloads that branch"):
        solve(solved[0], rules=DEFINES)
