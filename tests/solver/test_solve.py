"""What a solve promises, on a problem small enough to be solved many times."""

from dataclasses import replace

import pytest

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import DEFINES, EXACT, RuleSet
from problems import Problem, load_problem
from solver.cli import main
from solver.comparison import policy_point
from solver.objective import Objective
from solver.result import Result, Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import parse_tiles
from solver.verify import verify
from tests.solver.conftest import DATA, PROBLEM, TILES

WIDE = "grid:7,14x5,10"
SLACK = 1 + 1e-9


def best(problem: Problem, tiles: str = TILES, **options: object) -> Result:
    """Solve with one worker unless told otherwise."""
    return solve(problem, tiles=parse_tiles(tiles), **{"workers": 1, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("objective", [Objective.ENERGY, Objective.EDP])
def test_optimum_holds_what_it_says(problem: Problem, rules: RuleSet, objective: Objective) -> None:
    """Optimal, re-costed to the stated figures, and verified."""
    found = best(problem, rules=rules, objective=objective)
    assert found.status is Status.OPTIMAL
    assert found.schedule is not None and found.value is not None and found.gap is not None
    assert found.gap <= found.tolerance
    assert found.best_bound <= found.value * SLACK
    recosted = recost(problem, found.schedule, rules)
    assert recosted.violations == ()
    assert recosted.energy_pj == pytest.approx(found.energy_pj, rel=1e-12)
    assert recosted.latency_cycles == found.latency_cycles
    assert verify(result_to_dict(found), problem).problems == ()


def test_each_objective_is_best_at_its_own(problem: Problem, result: Result) -> None:
    """The least energy is below that of the least EDP, and the other way round."""
    energy = best(problem, objective=Objective.ENERGY)
    assert energy.energy_pj is not None and energy.edp is not None
    assert result.energy_pj is not None and result.edp is not None
    assert energy.energy_pj <= result.energy_pj * SLACK
    assert result.edp <= energy.edp * SLACK


def test_larger_space_is_never_worse(problem: Problem) -> None:
    """More tile sizes, more modes, deeper stacks: each can only help."""
    value = best(problem, WIDE, objective=Objective.ENERGY).value
    assert value is not None
    for narrower in (
        best(problem, TILES, objective=Objective.ENERGY),
        best(problem, "grid:14x10", objective=Objective.ENERGY),
        best(problem, WIDE, objective=Objective.ENERGY, modes=(OverlapMode.FULLY_RECOMPUTE,)),
        best(problem, WIDE, objective=Objective.ENERGY, max_depth=1),
    ):
        assert narrower.status is Status.OPTIMAL
        assert narrower.value is not None
        assert value <= narrower.value * SLACK


@pytest.mark.parametrize("mode", list(OverlapMode))
def test_one_mode_is_never_better_than_all(
    problem: Problem, result: Result, mode: OverlapMode
) -> None:
    """The least EDP over all modes is at most that of each."""
    found = best(problem, modes=(mode,))
    assert found.schedule is not None and found.value is not None and result.value is not None
    assert {stack.mode for stack in found.schedule.stacks} == {mode}
    assert result.value <= found.value * SLACK


def test_depth_is_kept_and_noted(problem: Problem) -> None:
    """With at most one layer a stack, each layer is a stack, and the answer says so."""
    found = best(problem, max_depth=1)
    assert found.schedule is not None
    assert [stack.layers for stack in found.schedule.stacks] == [("first",), ("second",)]
    assert found.space.max_depth == 1
    assert "stacks limited to 1 layers" in found.space.notes
    assert verify(result_to_dict(found), problem).ok


@pytest.mark.parametrize("options", [{"seed": 7}, {"workers": 3}])
def test_value_depends_on_no_seed_or_worker(
    problem: Problem, result: Result, options: dict[str, int]
) -> None:
    """Other seeds and numbers of workers may find another schedule, never another value."""
    found = best(problem, **options)
    assert found.status is Status.OPTIMAL
    assert found.value == pytest.approx(result.value, rel=1e-9)


def test_same_seed_same_answer(problem: Problem, result: Result) -> None:
    """One worker and one seed: the whole schedule is repeated."""
    again = best(problem)
    assert again.schedule == result.schedule
    assert again.best_bound == result.best_bound
    assert again.proof == result.proof


def test_dearer_memory_costs_more(problem: Problem, result: Result) -> None:
    """Doubling every energy doubles the optimum and changes nothing else."""
    hardware = problem.hardware
    memories = tuple(
        replace(m, read_pj=2 * m.read_pj, write_pj=2 * m.write_pj) for m in hardware.memories
    )
    dear = replace(
        problem, hardware=replace(hardware, memories=memories, mac_pj=2 * hardware.mac_pj)
    )
    found = best(dear)
    assert found.value is not None and result.value is not None
    assert found.value == pytest.approx(2 * result.value, rel=1e-9)


def test_more_memory_is_never_worse(problem: Problem, result: Result) -> None:
    """A larger buffer can be left empty."""
    hardware = problem.hardware
    memories = tuple(
        replace(m, size_bits=2 * m.size_bits) if m.name == "buffer" else m
        for m in hardware.memories
    )
    found = best(replace(problem, hardware=replace(hardware, memories=memories)))
    assert found.value is not None and result.value is not None
    assert found.value <= result.value * SLACK


def test_policy_is_never_better(problem: Problem) -> None:
    """Under the reference's rules its own policy is a point of the space."""
    for objective in (Objective.ENERGY, Objective.EDP):
        found = best(problem, rules=DEFINES, objective=objective)
        assert found.schedule is not None and found.value is not None
        point = policy_point(problem, found.schedule, DEFINES)
        assert point is not None
        assert found.value <= objective.of(point.energy_pj, point.latency_cycles) * SLACK


def test_nothing_fits(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Registers too small for one partial sum: code 4, with what is missing."""
    workload = PROBLEM.partition("@")[0]
    text = (DATA / "three-memories.yaml").read_text()
    small = f"{tmp_path}/small.yaml"
    with open(small, "w") as file:
        file.write(text.replace("size_bits: 16\n", "size_bits: 8\n"))
    assert main(["solve", f"{workload}@{small}", "--tiles", TILES]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "o_regs" in err and "16 bits" in err and "8 bits" in err


def test_a_first_schedule_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first schedule decides how fast the search is, never what it finds."""
    problem = load_problem(PROBLEM)
    usual = solve(problem, tiles=parse_tiles(TILES))
    monkeypatch.setattr("solver.weighted.WeightedSolver.dive", lambda *_: None)
    without = solve(problem, tiles=parse_tiles(TILES))
    assert without.status is Status.OPTIMAL
    assert without.value == pytest.approx(usual.value, rel=1e-9)
