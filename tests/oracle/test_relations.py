"""How optima must move when a problem changes: relations that need no known answer."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import inf
from random import Random

import pytest

from cost.accesses import burst_words
from cost.rules import DEFINES, EXACT, RuleSet
from problems import Hardware, InfeasibleError, MemoryLevel, Problem
from solver.objective import Objective
from solver.solve import solve
from solver.space import TileSpace
from tests.oracle.random_problems import random_graph, random_problem

SEEDS = range(6)
COARSE = TileSpace(text="coarse", widths=(2,), heights=(1, 3))
FINE = TileSpace(text="fine", widths=(1, 2), heights=(1, 2, 3))
SLACK = 1 + 1e-9
"""Sums in another order may differ so."""


def draw(seed: int, rules: RuleSet = EXACT) -> Problem:
    """A chain of two layers; every other seed branches or padding, where the rules know them."""
    rng = Random(seed)
    if seed % 2 and rules is EXACT:
        return random_graph(rng, size=2, levels=3, tight=2)
    return random_problem(rng, 2, size=3, levels=3)


def optimum(
    problem: Problem, objective: Objective, tiles: TileSpace = COARSE, rules: RuleSet = EXACT
) -> float:
    """The proven least objective; infinite if there is no schedule."""
    try:
        result = solve(problem, objective=objective, rules=rules, tiles=tiles, workers=1)
    except InfeasibleError:
        return inf
    assert result.value is not None
    return result.value


def objective_of(seed: int) -> Objective:
    """Objectives take turns."""
    return tuple(Objective)[seed // 2 % len(Objective)]


@cache
def before(seed: int, objective: Objective, rules: RuleSet = EXACT) -> float:
    """The optimum of a problem as drawn."""
    return optimum(draw(seed, rules), objective, rules=rules)


def each_memory(hardware: Hardware, change: Callable[[MemoryLevel], MemoryLevel]) -> Hardware:
    """The accelerator with all its memories changed."""
    return replace(hardware, memories=tuple(change(memory) for memory in hardware.memories))


def on(problem: Problem, hardware: Hardware) -> Problem:
    """The same network on another accelerator."""
    return replace(problem, hardware=hardware)


@pytest.mark.parametrize("seed", SEEDS)
def test_more_capacity_never_hurts(seed: int) -> None:
    """Tests a third more bits in every memory: what fitted still fits and costs the same."""
    problem, objective = draw(seed), objective_of(seed)
    larger = each_memory(problem.hardware, lambda m: replace(m, size_bits=m.size_bits * 4 // 3))
    assert optimum(on(problem, larger), objective) <= before(seed, objective) * SLACK


@pytest.mark.parametrize("seed", SEEDS)
def test_wider_ports_never_hurt(seed: int) -> None:
    """Tests words of twice the bits that cost as much and keep their granules.

    Transfers take no more cycles, and no access costs more words.
    """
    problem, objective = draw(seed), objective_of(seed)
    wider = each_memory(
        problem.hardware,
        lambda m: replace(
            m,
            read_bits_per_cycle=2 * m.read_bits_per_cycle,
            write_bits_per_cycle=2 * m.write_bits_per_cycle,
        ),
    )
    assert optimum(on(problem, wider), objective) <= before(seed, objective) * SLACK


@pytest.mark.parametrize("seed", SEEDS)
def test_energies_scale(seed: int) -> None:
    """Tests that twice the energy of everything is twice the optimum, and no cycle more."""
    problem, objective = draw(seed), objective_of(seed)
    dearer = each_memory(
        problem.hardware, lambda m: replace(m, read_pj=2 * m.read_pj, write_pj=2 * m.write_pj)
    )
    dearer = replace(dearer, mac_pj=2 * dearer.mac_pj)
    times = 1 if objective is Objective.LATENCY else 2
    found = optimum(on(problem, dearer), objective)
    assert found == pytest.approx(times * before(seed, objective), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_names_mean_nothing(seed: int) -> None:
    """Tests other names of layers, network, accelerator and memories, in reverse order."""
    problem, objective = draw(seed), objective_of(seed)
    net = problem.workload
    names = {layer.name: f"layer {90 - k}" for k, layer in enumerate(net.layers)}
    names[net.input_name] = "image"
    layers = tuple(
        replace(each, name=names[each.name], sources=tuple(names[s] for s in each.sources))
        for each in net.layers
    )
    renamed = replace(net, name="other", input_name="image", layers=layers)
    memories = tuple(
        replace(memory, name=f"m{90 - k}") for k, memory in enumerate(problem.hardware.memories)
    )
    hardware = replace(problem.hardware, name="else", memories=memories)
    found = optimum(replace(problem, workload=renamed, hardware=hardware), objective)
    assert found == pytest.approx(before(seed, objective), rel=1e-9)


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_more_tile_sizes_never_hurt(seed: int, rules: RuleSet) -> None:
    """Tests a tile space within another one."""
    problem, objective = draw(seed, rules), objective_of(seed)
    fine = optimum(problem, objective, FINE, rules)
    assert fine <= before(seed, objective, rules) * SLACK


def test_a_port_half_as_wide_again_may_cost_more() -> None:
    """Tests 8 bits in granules of 4: two words of 4 bits, or two bursts of 6 in 8 bits each.

    Hence only doubled widths are promised not to hurt.
    """
    assert burst_words(8, word_bits=4, granule_bits=4, partner_bits=8) == 2
    assert burst_words(8, word_bits=8, granule_bits=4, partner_bits=8) == 1
    assert burst_words(8, word_bits=6, granule_bits=4, partner_bits=8) == pytest.approx(2 * 8 / 6)
