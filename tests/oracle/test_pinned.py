"""Decisions fixed inside of stacks: the best completion against brute force over the same."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest

from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, ScheduledMapping
from cost.stack_graph import stack_graph
from cost.stack_tiles import tile_stack
from problems import InfeasibleError, Operand, Problem
from solver.objective import Objective
from solver.pin_faults import pin_faults
from solver.pinned_space import NoDivisionError, PinnedMappingError
from solver.pins import PinnedLayer, PinnedStack, Pins
from solver.placements import memory_domains
from solver.result import Result
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import TileSpace, stack_ranges
from solver.verify import verify
from tests.oracle.all_mappings import AllMappings, Point, prime_loops
from tests.oracle.brute_force import BruteForce, TooLargeError
from tests.oracle.test_oracle import FAMILIES, HEIGHTS, WIDTHS, draw

TILES = TileSpace(text="grid:1,2x1,3", widths=WIDTHS, heights=HEIGHTS)
CASES, MOST_LOOPS = 8, 4
"""Problems per family, each with one memory or one mapping fixed, and loops of its tiles."""


@dataclass(frozen=True)
class _Drawn:
    """A problem and a layer of some stack of it."""

    rng: Random
    problem: Problem
    rules: RuleSet
    stack: tuple[int, ...]
    position: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.problem.workload.layers[p].name for p in self.stack)

    @property
    def layer(self) -> str:
        return self.problem.workload.layers[self.position].name

    def stacks(self, run: tuple[str, ...]) -> bool:
        return run == self.names or not set(run) & set(self.names)


def _draw(family: str, seed: int) -> _Drawn:
    problem, rules, rng = draw(family, seed), FAMILIES[family], Random(seed)
    ranges = stack_ranges(problem, rules, TILES, tuple(OverlapMode), None)
    stack = rng.choice(sorted({r.layers for r in ranges}))
    return _Drawn(rng, problem, rules, stack, rng.choice(stack))


def reads_first(drawn: _Drawn) -> bool:
    """Whether the layer fetches all that it reads from outside of its stack, in every tile."""
    workload = drawn.problem.workload
    own = [s for s in workload.layers[drawn.position].sources if s not in drawn.names]
    others = {s for p in drawn.stack if p != drawn.position for s in workload.layers[p].sources}
    return bool(own) and len(set(own)) == len(own) and not others & set(own)


def _pin_a_memory(drawn: _Drawn) -> tuple[PinnedLayer, Callable[..., bool]]:
    """A memory for something of a layer, and whether a layer-tile keeps to it."""
    layer = drawn.problem.workload.layers[drawn.position]
    domains = memory_domains(drawn.problem.hardware)
    places = {"I": domains.inputs, "O": domains.outputs, "H": domains.caches, "V": domains.caches}
    if reads_first(drawn):
        places["F"] = domains.inputs
    if layer.has_weights:
        places["W"] = domains.weights
    what = drawn.rng.choice(sorted(places))
    memory = drawn.rng.choice(places[what])
    name = drawn.problem.hardware.memories[memory].name

    def keeps(stack: tuple[str, ...], step: LayerTilePlan, first: bool) -> bool:
        if stack != drawn.names or step.layer != drawn.layer or (what == "W" and first):
            return True
        held = {
            "W": (step.weights,),
            "I": (step.operand,),
            "O": (step.output,),
            "H": (step.h_use, step.h_make),
            "V": (step.v,),
            "F": tuple(
                place
                for source, place in zip(layer.sources, (step.producer, step.second), strict=False)
                if source not in drawn.names
            ),
        }
        return all(place in (None, name) for place in held[what])

    return PinnedLayer(position=drawn.position, memories=((what, memory),)), keeps


def _some_mapping(drawn: _Drawn) -> TemporalMapping | None:
    """Any mapping of a tile of the layer in some option, its tensors anywhere."""
    problem, rng, rules = drawn.problem, drawn.rng, drawn.rules
    graph = stack_graph(problem.workload, drawn.stack, rules)
    last, e = graph.layers[-1].sizes, drawn.stack.index(drawn.position)
    width, height = (
        min(rng.choice(sizes), last[dim]) for dim, sizes in (("OX", WIDTHS), ("OY", HEIGHTS))
    )
    kinds = tile_stack(graph, width, height, rng.choice(list(OverlapMode)), rules).kinds
    kind = rng.choice(kinds)
    layer = graph.layers[e]
    if not kind.runs(e):
        return None
    hardware, domains = problem.hardware, memory_domains(problem.hardware)
    places = {"W": domains.weights, "I": domains.inputs, "O": domains.outputs}
    levels = {
        operand: hardware.level_of(Operand(operand), rng.choice(memories)) + 1
        for operand, memories in places.items()
    }
    if not layer.has_weights:
        levels["W"] = 1
    new = {"OX": kind.sizes[e][0], "OY": kind.sizes[e][1]}
    tile = LayerTile(
        layer=layer,
        sizes=tuple((dim, new.get(dim, size)) for dim, size in layer.loops),
        levels={name: levels[memory_operand(name).value] for name in operand_names(layer)},
    )
    mappings = AllMappings(hardware, hardware.unrolling(problem.workload.name, layer), tile, rules)
    if len(prime_loops(mappings.model)) > MOST_LOOPS:
        raise TooLargeError
    return rng.choice(mappings.candidates).mapping if mappings.candidates else None


def _compare(
    drawn: _Drawn, inside: PinnedLayer, points: tuple[Point, ...], objective: Objective
) -> Result | None:
    """The solver completes the pins as well as brute force does."""
    pins = Pins(stacks=(PinnedStack(layers=drawn.stack, inside=(inside,)),))
    wanted = min((objective.of(*point) for point in points), default=None)
    try:
        result = solve(
            drawn.problem,
            objective=objective,
            rules=drawn.rules,
            tiles=TILES,
            pins=pins,
            workers=1,
        )
    except (InfeasibleError, NoDivisionError):
        assert wanted is None
        return None
    assert wanted is not None and result.schedule is not None
    assert result.value == pytest.approx(wanted, rel=1e-9)
    assert recost(drawn.problem, result.schedule, drawn.rules).violations == ()
    assert not list(pin_faults(drawn.problem, drawn.rules, result.schedule, pins))
    assert verify(result_to_dict(result), drawn.problem).problems == ()
    return result


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fixed_memory_equals_brute_force(family: str) -> None:
    """One memory of one layer of a stack, of whatever kind."""
    found, seed, solved = 0, 0, 0
    while found < CASES:
        drawn = _draw(family, seed)
        objective = list(Objective)[seed % 3]
        seed += 1
        inside, keeps = _pin_a_memory(drawn)
        brute = BruteForce(
            drawn.problem, drawn.rules, WIDTHS, HEIGHTS, stacks=drawn.stacks, allows=keeps
        )
        try:
            points = brute.points()
        except TooLargeError:
            continue
        found += 1
        solved += _compare(drawn, inside, points, objective) is not None
    assert solved > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fixed_mapping_equals_brute_force(family: str) -> None:
    """A mapping of one layer's tiles of some size, best or not."""
    found, seed, solved = 0, 0, 0
    while found < CASES:
        drawn = _draw(family, seed)
        objective = list(Objective)[seed % 3]
        seed += 1
        if not drawn.problem.workload.layers[drawn.position].computes:
            continue
        try:
            mapping = _some_mapping(drawn)
            if mapping is None:
                continue
            brute = BruteForce(
                drawn.problem,
                drawn.rules,
                WIDTHS,
                HEIGHTS,
                stacks=drawn.stacks,
                mapped={drawn.layer: mapping},
            )
            points = brute.points()
        except TooLargeError:
            continue
        flags = mapping.double_buffered or {n: (False,) * len(c) for n, c in mapping.cuts.items()}
        inside = PinnedLayer(
            position=drawn.position,
            mappings=(
                ScheduledMapping(
                    loops=mapping.loops, cuts=dict(mapping.cuts), double_buffered=dict(flags)
                ),
            ),
        )
        try:
            solved += _compare(drawn, inside, points, objective) is not None
        except PinnedMappingError:
            continue  # tiles of that size are in other stacks alone
        found += 1
    assert solved > 0
