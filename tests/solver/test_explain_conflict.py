"""Which limits leave no schedule: each kind of conflict, its figures, and that it is minimal."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from cost.overlap import OverlapMode
from cost.rules import DEFINES, EXACT, RuleSet
from problems import InfeasibleError, Problem, load_problem
from solver.cli import main
from solver.conflict import Conflict, ConflictError
from solver.cost_conflict import CostLimits, CostQuestions, find_cost_conflict
from solver.find_conflict import Limits, find_conflict
from solver.objective import Objective
from solver.pinned_space import NoDivisionError
from solver.pins import PinnedStack, Pins
from solver.prepare import search_limits
from solver.restrictions import Narrowing
from solver.smallest_conflict import Size
from solver.solve import solve
from solver.space import TileSpace, parse_tiles
from tests.oracle.random_problems import random_problem
from tests.solver.conftest import PROBLEM, TILES

GRID = parse_tiles(TILES)
SEARCH = partial(search_limits, None, 1, 0)
BUFFER = 2
"""Number of the buffer among the memories of the problem."""
FIRST = PinnedStack(layers=(0,))


@pytest.fixture(scope="module")
def tiny() -> Problem:
    """Two convolutions on small maps, where all tile sizes are soon looked at."""
    data = Path(__file__).parent.parent
    return load_problem(f"{data}/data/tiny.yaml@{data}/solver/data/three-memories.yaml")


def with_sizes(problem: Problem, **bits: int) -> Problem:
    """The problem with memories of other sizes."""
    memories = tuple(
        replace(m, size_bits=bits.get(m.name, m.size_bits)) for m in problem.hardware.memories
    )
    return replace(problem, hardware=replace(problem.hardware, memories=memories))


def conflict_of(problem: Problem, narrowing: Narrowing | None = None) -> Conflict:
    """The conflict that a problem without schedules has."""
    found = find_conflict(problem, EXACT, narrowing or Narrowing(tiles=GRID), SEARCH())
    assert found is not None
    return found


def names(conflict: Conflict) -> set[str]:
    """Names of the limits in conflict."""
    return {limit.name for limit in conflict.limits}


def fits(
    problem: Problem,
    narrowing: Narrowing,
    rules: RuleSet = EXACT,
    modes: Sequence[OverlapMode] = (),
) -> bool:
    """Whether the solver itself finds a schedule."""
    try:
        solve(
            problem,
            rules=rules,
            tiles=narrowing.tiles,
            modes=tuple(modes) or narrowing.modes,
            max_depth=narrowing.max_depth,
            pins=narrowing.pins,
            workers=1,
        )
    except (InfeasibleError, NoDivisionError):
        return False
    return True


def test_one_memory_too_small_for_one_step(problem: Problem) -> None:
    """Only that memory; with the stated demand all fits, with a bit less nothing does."""
    small = with_sizes(problem, buffer=8)
    conflict = conflict_of(small)
    (limit,) = conflict.limits
    assert (limit.name, limit.limit, limit.demand, limit.unit) == ("buffer", 8, 64, "bits")
    assert conflict.size is Size.SMALLEST and not conflict.others
    assert conflict.why == "layers first, second cannot do one step out of buffer"
    assert fits(with_sizes(problem, buffer=64), Narrowing(tiles=GRID))
    assert not fits(with_sizes(problem, buffer=63), Narrowing(tiles=GRID))


@pytest.mark.slow
def test_weights_that_no_memory_holds(tiny: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffer and DRAM together: enlarging either to its demand helps, and a bit less does not."""
    monkeypatch.setattr("solver.find_conflict.DEMAND_SECONDS", 1e6)
    small = with_sizes(tiny, buffer=500, dram=700)
    conflict = conflict_of(small, Narrowing())
    assert names(conflict) == {"buffer", "dram"}
    assert conflict.size is Size.SMALLEST
    assert conflict.why == "layer a cannot do one step out of any of buffer, dram"
    assert not fits(small, Narrowing())
    for limit in conflict.limits:
        assert limit.demand is not None and not limit.demand_is_bound
        enough = int(limit.demand)
        assert fits(with_sizes(small, **{limit.name: enough}), Narrowing()), limit
        assert not fits(with_sizes(small, **{limit.name: enough - 1}), Narrowing()), limit


def test_two_memories_apart_are_two_conflicts(problem: Problem) -> None:
    """Registers and buffer both too small: each on its own, and both are told."""
    conflict = conflict_of(with_sizes(problem, o_regs=8, buffer=8))
    assert [names(c) for c in (conflict, *conflict.others)] == [{"o_regs"}, {"buffer"}]


@pytest.mark.parametrize("name", ["latency", "energy"])
def test_a_limit_on_cost_below_the_least(tiny: Problem, name: str) -> None:
    """The demand is the proven least; a limit of exactly that is kept."""
    least = solve(tiny, objective=Objective(name), workers=1)
    assert least.value is not None
    key = "latency_cycles" if name == "latency" else "energy_pj"

    def found(limit: float) -> Conflict | None:
        limits = CostLimits(**{key: limit})
        return find_cost_conflict(tiny, EXACT, Narrowing(), limits, SEARCH())

    conflict = found(least.value * 0.999)
    assert conflict is not None and conflict.size is Size.SMALLEST
    (limit,) = conflict.limits
    assert limit.name == f"--max-{name}" and not limit.demand_is_bound
    assert limit.demand == pytest.approx(least.value, rel=1e-9)
    assert found(least.value * (1 + 1e-9)) is None


@pytest.mark.slow
def test_two_limits_on_cost_that_only_hold_alone(tiny: Problem) -> None:
    """Least energy and least latency at once: neither limit can be dropped from the set."""
    frugal = solve(tiny, objective=Objective.ENERGY, workers=1)
    fast = solve(tiny, objective=Objective.LATENCY, workers=1)
    assert frugal.energy_pj is not None and fast.latency_cycles is not None
    limits = CostLimits(
        energy_pj=frugal.energy_pj * 1.0001, latency_cycles=fast.latency_cycles * 1.0001
    )
    conflict = find_cost_conflict(tiny, EXACT, Narrowing(), limits, SEARCH())
    assert conflict is not None and conflict.size is Size.SMALLEST
    assert names(conflict) == {"--max-latency", "--max-energy"}
    questions = CostQuestions(problem=tiny, rules=EXACT, narrowing=Narrowing(), search=SEARCH())
    for lifted in ({"energy_pj": float("inf")}, {"latency_cycles": float("inf")}):
        assert questions.keeps(frozenset(), replace(limits, **lifted))
    for limit in conflict.limits:
        assert limit.demand is not None and limit.limit is not None
        assert limit.demand > limit.limit


@pytest.mark.parametrize(
    ("narrowing", "wanted"),
    [
        (
            Narrowing(tiles=GRID, pins=Pins(cut_after=(0,), fused=((0, 1),), stacks=(FIRST,))),
            2,  # two of the three: cut and fused, or the stack and fused
        ),
        (
            Narrowing(tiles=GRID, max_depth=1, pins=Pins(fused=((0, 1),))),
            {"--max-depth", "fused first, second"},
        ),
        (
            Narrowing(
                tiles=GRID,
                modes=(OverlapMode.FULLY_CACHED,),
                pins=Pins(stacks=(replace(FIRST, mode=OverlapMode.FULLY_RECOMPUTE),)),
            ),
            {"--modes", "stack first", "mode of stack first"},
        ),
        (
            # The map of the first layer, 6144 bits, is larger than the buffer.
            Narrowing(tiles=GRID, pins=Pins(stacks=(replace(FIRST, target=BUFFER),))),
            {"buffer", "stack first", "output of stack first"},
        ),
    ],
    ids=["pins", "depth", "modes", "pin and memory"],
)
def test_pins_and_options_against_each_other(
    problem: Problem, narrowing: Narrowing, wanted: int | set[str]
) -> None:
    """A smallest set; without any one of its limits, all others kept, the rest is no conflict."""
    conflict = conflict_of(problem, narrowing)
    assert conflict.size is Size.SMALLEST
    if isinstance(wanted, int):
        assert len(conflict.limits) == wanted
    else:
        assert names(conflict) == wanted
    assert not fits(problem, narrowing)
    if "buffer" in names(conflict):
        (memory,) = (limit for limit in conflict.limits if limit.name == "buffer")
        assert memory.demand is not None and memory.demand >= 16 * 12 * 4 * 8
        assert memory.demand_is_bound or fits(
            with_sizes(problem, buffer=int(memory.demand)), narrowing
        )
        assert not fits(with_sizes(problem, buffer=int(memory.demand) - 1), narrowing)


@pytest.mark.slow
def test_no_subset_is_smaller(problem: Problem) -> None:
    """Every subset of seven limits asked: the set is in conflict, all smaller ones are not."""
    narrowing = Narrowing(
        tiles=GRID,
        max_depth=1,
        pins=Pins(fused=((0, 1),), stacks=(replace(FIRST, target=BUFFER),)),
    )
    limits = Limits(problem=problem, rules=EXACT, narrowing=narrowing, search=SEARCH())
    conflict = conflict_of(problem, narrowing)
    for size in range(len(conflict.limits)):
        for some in combinations(sorted(limits.numbers), size):
            assert limits.keeps(frozenset(some)), some
    assert not limits.keeps(limits.numbers)
    told = {*names(conflict)}
    number = {m.name: i for i, m in enumerate(problem.hardware.memories)}
    number |= {r.name: i for i, r in enumerate(limits.restrictions, len(number))}
    members = frozenset(number[name] for name in told)
    assert not limits.keeps(members)
    for one in members:
        assert limits.keeps(members - {one})


def test_pins_and_a_limit_on_latency(tiny: Problem) -> None:
    """Each can be kept; the demand is the least latency under the pins."""
    stack = PinnedStack(layers=(0, 1), tile=(1, 1))
    narrowing = Narrowing(pins=Pins(stacks=(stack,)))
    free = solve(tiny, objective=Objective.LATENCY, workers=1).value
    pinned = solve(tiny, objective=Objective.LATENCY, pins=narrowing.pins, workers=1).value
    assert free is not None and pinned is not None and free < pinned
    limits = CostLimits(latency_cycles=(free + pinned) / 2)
    conflict = find_cost_conflict(tiny, EXACT, narrowing, limits, SEARCH())
    assert conflict is not None and names(conflict) == {
        "--max-latency",
        "stack a, b",
        "tile of stack a, b",
    }
    assert conflict.limits[0].demand == pytest.approx(pinned, rel=1e-9)
    assert find_cost_conflict(tiny, EXACT, Narrowing(), limits, SEARCH()) is None


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("block", range(4))
def test_feasible_is_what_the_solver_finds(rules: RuleSet, block: int) -> None:
    """Random chains on random, mostly too small memories: the same verdict as a whole solve."""
    grid = Narrowing(tiles=TileSpace(text="small", widths=(1, 2), heights=(1, 3)))
    verdicts = set()
    for seed in range(block, 32, 4):
        problem = random_problem(Random(seed), 1 + seed % 2, size=3, levels=2 + seed % 2)
        rng = Random(seed)
        sizes = {
            m.name: max(4, int(m.size_bits * rng.choice((0.2, 0.5, 1, 1))))
            for m in problem.hardware.memories
        }
        problem = with_sizes(problem, **{**sizes, "dram": rng.choice((200, 1000, 1 << 24))})
        limits = Limits(problem=problem, rules=rules, narrowing=grid, search=SEARCH())
        verdict = limits.keeps(limits.numbers)
        assert verdict == fits(problem, grid, rules), seed
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_the_command_reports_table_and_json(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, a table with demand, limit and lever, JSON; `solve` names the limits, too."""
    tiny = f"{data / 'tiny.yaml'}@{data / 'tiny-hw.yaml'}"
    out = tmp_path / "why.json"
    assert main(["explain", tiny, "-o", str(out)]) == 4
    report = capsys.readouterr().out
    assert "layers a, b cannot do one step out of regs" in report
    assert "smallest: no conflict has fewer limits" in report
    document = json.loads(out.read_text())
    assert (document["status"], document["size"]) == ("infeasible", "smallest")
    (limit,) = document["limits"]
    assert (limit["name"], limit["demand"], limit["limit"]) == ("regs", 32, 16)
    assert "enlarge regs" in limit["lever"]
    assert main(["solve", tiny]) == 4
    error = capsys.readouterr().err
    assert error.startswith("infeasible: no schedule of ") and error.count("\n") == 1
    assert "regs needs 32 bits, the limit is 16 bits; enlarge regs" in error


def test_the_command_takes_limits_and_pins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Limits kept: 0; pins in conflict: 4 for both commands, each pin named."""
    common = ["--tiles", TILES, "--workers", "1"]
    assert main(["explain", PROBLEM, *common, "--max-latency", "1e6"]) == 0
    assert "some schedule keeps all limits" in " ".join(capsys.readouterr().out.split())
    pins = tmp_path / "pins.yaml"
    pins.write_text("cut_after: [first]\nfused: [[first, second]]\n")
    assert main(["explain", PROBLEM, *common, "--pin", str(pins)]) == 4
    report = capsys.readouterr().out
    assert "cut after first" in report and "fused first, second" in report
    assert main(["solve", PROBLEM, *common, "--pin", str(pins)]) == 4
    error = capsys.readouterr().err
    assert "cut after first" in error and "fused first, second" in error
    assert error.count("\n") == 1


def test_the_error_holds_the_conflict(problem: Problem) -> None:
    """Figures of the first limit that is a number, and levers of all."""
    error = ConflictError(conflict_of(with_sizes(problem, buffer=8)))
    assert isinstance(error, InfeasibleError)
    assert (error.demand, error.limit, error.unit) == (64, 8, "bits")
    assert len(error.levers) == len(error.conflict.limits) == 1
