"""Memories, caches and mappings of layers inside a stack, fixed by hand."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cost.recost import recost
from cost.rules import DEFINES, EXACT, RuleSet
from problems import InfeasibleError, Problem, ProblemError, load_problem
from solver.cli import main
from solver.cost_conflict import CostLimits, find_cost_conflict
from solver.find_conflict import find_conflict
from solver.limits import SearchLimits
from solver.objective import Objective
from solver.pin_faults import pin_faults
from solver.pin_file import pins_from_dict, pins_to_dict, read_pins
from solver.pinned_space import NoDivisionError
from solver.pins import PinnedLayer, PinnedStack, Pins
from solver.restrictions import Narrowing
from solver.result import Result, Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import parse_tiles
from solver.verify import verify
from tests.solver.conftest import PROBLEM, TILES
from tests.solver.schedule_pins import everything

BUFFER, DRAM = 2, 3
LIMITS = SearchLimits(deadline=None, workers=1, seed=0)
BOTH = "stacks: [{layers: [first, second], "
LOOPS = "loops: [[FX, 3], [FY, 3], [OX, 9], [OY, 7], [K, 2]]"
"""Of the tile of `first` in the first tile of 7 x 5, all cached."""


def pinned(problem: Problem, pins: Pins, rules: RuleSet = EXACT, **more: Any) -> Result:
    """The least EDP with some decisions fixed, verified."""
    found = solve(problem, rules=rules, tiles=parse_tiles(TILES), pins=pins, workers=1, **more)
    assert found.schedule is not None
    assert list(pin_faults(problem, rules, found.schedule, pins)) == []
    assert verify(result_to_dict(found), problem).problems == ()
    return found


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_fixing_all_of_the_answer_changes_nothing(problem: Problem, rules: RuleSet) -> None:
    """Every memory and mapping of the optimum; by a file, too."""
    best = solve(problem, rules=rules, tiles=parse_tiles(TILES), workers=1)
    pins = everything(problem, best)
    assert pinned(problem, pins, rules).value == pytest.approx(best.value, rel=1e-9)
    assert pins_from_dict(problem, pins_to_dict(problem, pins)) == pins


def test_a_saved_layer_is_a_pin(
    problem: Problem, document: dict[str, Any], result: Result, tmp_path: Path
) -> None:
    """What a result has of a layer-tile goes into a pin file as it is, and is named."""
    tile = document["stacks"][0]["placements"][0]
    step = next(s for s in tile["layers"] if s["layer"] == "first")
    mapping = {key: step[key] for key in ("loops", "cuts", "double_buffered")}
    entry = {
        "layers": ["first", "second"],
        "input_in": "dram",
        "memories": {"first": {"W": step["weights"]}, "second": {"O": "dram", "V": "buffer"}},
        "mappings": {"first": [mapping]},
    }
    file = tmp_path / "pins.yaml"
    file.write_text(yaml.safe_dump({"stacks": [entry]}))
    pins = read_pins(file, problem)
    assert (pins.stacks[0].source, pins.stacks[0].target) == (DRAM, DRAM)
    found = pinned(problem, pins)
    assert found.value == pytest.approx(result.value, rel=1e-9)
    assert found.space.notes[0] == (
        "fixed by hand: stack first, second from dram to dram with W of first in buffer, "
        "V of second in buffer, mapping of first in tiles as large as it"
    )


@pytest.mark.parametrize("what", ["W", "I", "O", "H", "V", "F"])
def test_a_place_that_is_not_best_is_kept(problem: Problem, result: Result, what: str) -> None:
    """Each of a layer's places where the optimum does not have it."""
    assert result.value is not None
    best = everything(problem, result).stacks[0]
    other = BUFFER + DRAM - dict(best.inside[0].memories).get(what, BUFFER)
    inside = PinnedLayer(position=0, memories=((what, other),))
    stack = replace(best, inside=(inside,))
    found = pinned(problem, Pins(stacks=(stack,)))
    assert found.status is Status.OPTIMAL and found.value is not None
    assert found.value > result.value * (1 + 1e-6)


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_a_mapping_that_is_not_best_is_kept(problem: Problem, rules: RuleSet) -> None:
    """Its loops in the opposite order, and with a time limit, too; one of two is chosen."""
    best = solve(problem, rules=rules, tiles=parse_tiles(TILES), workers=1)
    assert best.value is not None
    pins = everything(problem, best)
    stack = pins.stacks[0]
    layer = stack.inside[0]
    others = tuple(
        replace(
            m,
            loops=m.loops[::-1],
            cuts={name: (0,) * (len(c) - 1) + c[-1:] for name, c in m.cuts.items()},
        )
        for m in layer.mappings
    )
    layer = PinnedLayer(position=layer.position, mappings=others)
    turned = Pins(stacks=(replace(stack, inside=(layer,)),))
    found = pinned(problem, turned, rules)
    assert found.value is not None and found.value > best.value * (1 + 1e-6)
    hasty = pinned(problem, turned, rules, time_limit_s=600)
    assert hasty.value == pytest.approx(found.value, rel=1e-9)
    layer = replace(layer, mappings=(*others, *stack.inside[0].mappings))
    either = pinned(problem, Pins(stacks=(replace(stack, inside=(layer,)),)), rules)
    assert either.value == pytest.approx(best.value, rel=1e-9)


ALIKE = """name: alike
input: {channels: 2, width: 6, height: 4}
layers:
  - {name: a, kind: pointwise, from: input, loops: {K: 2, C: 2, OY: 4, OX: 6}}
  - {name: b, kind: pointwise, from: a, loops: {K: 2, C: 2, OY: 4, OX: 6}}
"""


def test_a_pinned_layer_shares_with_none_like_it(tmp_path: Path) -> None:
    """What is fixed of one of two equal layers says nothing of the other."""
    (tmp_path / "alike.yaml").write_text(ALIKE)
    problem = load_problem(f"{tmp_path / 'alike.yaml'}@{PROBLEM.partition('@')[2]}")

    def spent(pins: Pins) -> dict[str, float]:
        found = pinned(problem, pins)
        assert found.schedule is not None
        return dict(recost(problem, found.schedule, EXACT).breakdown.energy_by_layer)

    stacks = tuple(PinnedStack(layers=(p,), source=DRAM, target=DRAM) for p in range(2))
    best = pinned(problem, Pins(stacks=stacks))
    free = spent(Pins(stacks=stacks))
    stacks = everything(problem, best).stacks
    for p, name in enumerate("ab"):
        (mapping,) = stacks[p].inside[0].mappings
        cuts = {tensor: (0,) * (len(of) - 1) + of[-1:] for tensor, of in mapping.cuts.items()}
        bad = replace(mapping, loops=mapping.loops[::-1], cuts=cuts)
        inside = (PinnedLayer(position=p, mappings=(bad,)),)
        changed = [replace(stack, inside=()) for stack in stacks]
        changed[p] = replace(stacks[p], inside=inside)
        energy = spent(Pins(stacks=tuple(changed)))
        assert energy[name] > free[name] * (1 + 1e-6)
        other = "ba"[p]
        assert energy[other] == pytest.approx(free[other], rel=1e-9)


def test_results_that_break_their_pins_are_refused(
    problem: Problem, document: dict[str, Any], result: Result
) -> None:
    """A place, a cache and a mapping that the schedule has otherwise."""
    pins = pins_to_dict(problem, everything(problem, result))
    stack = pins["stacks"][0]
    document["space"] |= {"pins": pins, "stack_ranges": 1, "options": 1}
    assert verify(document, problem).problems == ()
    for what in ("W", "I", "O", "H", "V", "F"):
        changed = deepcopy(document)
        places = changed["space"]["pins"]["stacks"][0]["memories"]["first"]
        is_in = places.get(what, "buffer")  # I is in both, by kind of tile
        other = {"dram": "buffer", "buffer": "dram"}[is_in]
        places[what] = other
        faults = verify(changed, problem).problems
        wanted = f"has {what} in {is_in}, fixed by hand is {other}"
        assert any("layer first" in text and wanted in text for text in faults)
    changed = deepcopy(document)
    for mapping in changed["space"]["pins"]["stacks"][0]["mappings"]["second"]:
        mapping["loops"].reverse()
    faults = verify(changed, problem).problems
    assert any("layer second" in text and "has another mapping" in text for text in faults)
    changed = deepcopy(document)
    changed["space"]["pins"]["stacks"][0]["mappings"]["first"][0]["loops"] = [
        *stack["mappings"]["first"][0]["loops"][:-1],
        ["K", 1],
    ]
    with pytest.raises(ProblemError, match=r"space\.pins\.stacks\[0\]\.mappings\.first\[0\]"):
        verify(changed, problem)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("memories: {frst: {W: buffer}}", "stacks[0].memories: no layer 'frst' in workload"),
        ("memories: {first: {Z: buffer}}", "unknown key 'Z'; allowed: W, I, O, H, V, F"),
        ("memories: {first: {W: bufer}}", "memories.first.W: no memory 'bufer' in"),
        (
            "memories: {first: {I: w_regs}}",
            "memories.first.I: no I of first can rest in w_regs, expected one of buffer, dram",
        ),
        (
            "memories: {second: {F: buffer}}",
            "memories.second.F: layer second reads no map from outside of this stack",
        ),
        ("memories: {first: {F: w_regs}}", "no F of first can rest in w_regs, expected one of"),
        ("memories: {first: {H: o_regs}}", "no H of first can rest in o_regs, expected one of"),
        (
            "output_in: buffer, memories: {second: {O: dram}}",
            "memories.second.O: is not in buffer, where output_in has it",
        ),
        ("input_in: bufer", "input_in: no memory 'bufer' in"),
        ("mappings: {first: []}", "mappings.first: expected at least one entry, none given"),
        ("mappings: {first: [{loops: [[Q, 3]], cuts: {}}]}", "mappings.first[0].loops[0][0]"),
        ("mappings: {first: [{loops: [[G, 3]], cuts: {}}]}", "first[0].loops: layer first has no"),
        (
            "mappings: {first: [{loops: [[FX, 3]], cuts: {}}]}",
            "first[0].loops: loops over K multiply to 1, layer first takes 2 steps",
        ),
        (
            "mappings: {first: [{loops: [[FX, 3], [FY, 3], [K, 2], [OX, 99]], cuts: {}}]}",
            "loops over OX multiply to 99, layer first takes at most 16 steps",
        ),
        (f"mappings: {{first: [{{{LOOPS}, cuts: {{}}}}]}}", "cuts: expected one list for each of"),
        (
            f"mappings: {{first: [{{{LOOPS}, cuts: {{W: [5], I: [5], O: [0, 5]}}}}]}}",
            "cuts.W: has 1 levels, expected as many as lead to where W rests: 2 (buffer), 3 (dram)",
        ),
        (
            f"mappings: {{first: [{{{LOOPS}, cuts: {{W: [0, 4], I: [5], O: [0, 5]}}}}]}}",
            "cuts.W: is [0, 4]: cuts never decrease, and the last one counts all 5 loops",
        ),
        (
            f"mappings: {{first: [{{{LOOPS}, cuts: {{W: [0, 5], I: [5], O: [0, 5]}},"
            " double_buffered: {W: [false], I: [false], O: [false, false]}}]}",
            "double_buffered.W: has 1 entries, the cuts of W have 2",
        ),
        (
            f"mappings: {{first: [{{{LOOPS}, cuts: {{W: [0, 5], I: [5], O: [0, 5]}},"
            " double_buffered: {W: [false, true], I: [false], O: [false, false]}}]}",
            "double_buffered.W: the top level of W, where it rests, cannot be double buffered",
        ),
        (
            f"tile: [1, 1], mappings: {{first: [{{{LOOPS}, cuts: {{W: [0, 5], I: [5], "
            "O: [0, 5]}}]}",
            "pins.yaml: stacks[0].mappings.first[0].loops: no tile of first in any option of this "
            "stack takes 9 steps over OX and 7 over OY",
        ),
    ],
)
def test_bad_pins_inside_get_one_line(
    text: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names file and key, for solve and explain, exit code 2."""
    file = tmp_path / "pins.yaml"
    file.write_text(BOTH + text + "}]")
    for command in ("solve", "explain"):
        assert main([command, PROBLEM, "--tiles", TILES, "--pin", str(file)]) == 2
        error = capsys.readouterr().err
        assert wanted in error and error.count("\n") == 1
        assert "pins.yaml" in error


def test_a_layer_of_another_stack_is_refused(problem: Problem) -> None:
    """What is fixed of a layer belongs to the stack that holds it."""
    entry = {"layers": ["first"], "memories": {"second": {"I": "dram"}}}
    with pytest.raises(ProblemError, match="layer second is not in this stack of first"):
        pins_from_dict(problem, {"stacks": [entry]})


def test_a_memory_and_a_mapping_against_each_other(problem: Problem, result: Result) -> None:
    """A mapping whose weights rest in the buffer, and weights fixed in DRAM: both are levers."""
    pins = everything(problem, result)
    first = replace(pins.stacks[0].inside[0], memories=(("I", BUFFER), ("W", DRAM)))
    stack = replace(pins.stacks[0], inside=(first,))
    narrowing = Narrowing(tiles=parse_tiles(TILES), pins=Pins(stacks=(stack,)))
    with pytest.raises((InfeasibleError, NoDivisionError)):
        pinned(problem, narrowing.pins)
    conflict = find_conflict(problem, EXACT, narrowing, LIMITS)
    assert conflict is not None
    assert {limit.name for limit in conflict.limits} >= {
        "mapping of first in stack first, second",
        "W of first in stack first, second",
    }
    assert "I of first in stack first, second" not in {limit.name for limit in conflict.limits}


def test_a_memory_too_small_for_a_pinned_place(problem: Problem) -> None:
    """Weights fixed where they do not fit: the memory and the pin, with what would do."""
    hardware = problem.hardware
    memories = tuple(
        replace(m, size_bits=400) if m.name == "buffer" else m for m in hardware.memories
    )
    small = replace(problem, hardware=replace(hardware, memories=memories))
    inside = PinnedLayer(position=0, memories=(("W", BUFFER),))
    pins = Pins(stacks=(PinnedStack(layers=(0,), inside=(inside,)),))
    conflict = find_conflict(small, EXACT, Narrowing(tiles=parse_tiles(TILES), pins=pins), LIMITS)
    assert conflict is not None
    by_name = {limit.name: limit for limit in conflict.limits}
    assert by_name["W of first in stack first"].lever == "unpin W of first in stack first"
    assert by_name["buffer"].demand is not None and by_name["buffer"].demand > 400


def test_a_pinned_place_and_a_limit_on_energy(problem: Problem) -> None:
    """The limit can be kept, and the pin, but not both."""
    tiles = parse_tiles(TILES)
    inside = PinnedLayer(position=0, memories=(("I", DRAM), ("W", DRAM)))
    pins = Pins(stacks=(PinnedStack(layers=(0, 1), inside=(inside,)),))
    free, fixed = (
        solve(problem, objective=Objective.ENERGY, tiles=tiles, pins=p, workers=1).value
        for p in (Pins(stacks=(PinnedStack(layers=(0, 1)),)), pins)
    )
    assert free is not None and fixed is not None and free < fixed
    limits = CostLimits(energy_pj=(free + fixed) / 2)
    conflict = find_cost_conflict(problem, EXACT, Narrowing(tiles=tiles, pins=pins), limits, LIMITS)
    assert conflict is not None
    assert conflict.limits[0].demand == pytest.approx(fixed, rel=1e-9)
    names = [limit.name for limit in conflict.limits]
    assert names[0] == "--max-energy" and any(" of first in stack" in name for name in names[1:])


def test_the_input_of_a_stack_is_fixed(data: Path) -> None:
    """The map before the second stack on chip, which the output of the first has to follow."""
    problem = load_problem(f"{data / 'three-layers.yaml'}@{PROBLEM.partition('@')[2]}")
    for memory in (BUFFER, DRAM):
        found = pinned(problem, Pins(stacks=(PinnedStack(layers=(2,), source=memory),)))
        assert found.schedule is not None
        name = problem.hardware.memories[memory].name
        assert found.schedule.stacks[-1].source == name == found.schedule.stacks[-2].target
        assert recost(problem, found.schedule, EXACT).violations == ()
