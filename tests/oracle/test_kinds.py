"""The solver against brute force on every layer kind, the rarer ones included."""

from dataclasses import replace
from random import Random

import pytest

from cost.rules import DEFINES, EXACT, RuleSet
from problems import LayerKind, Padding, Problem, Workload
from solver.objective import Objective
from tests.cost.layer_kinds import KINDS, LOOPS, of_kind
from tests.oracle.brute_force import BruteForce, TooLargeError
from tests.oracle.random_problems import random_hardware
from tests.oracle.test_oracle import HEIGHTS, WIDTHS, check

WANTED = 2
"""Problems per kind that have schedules."""


def random_of_kind(rng: Random, kind: LayerKind, *, padded: bool) -> Problem:
    """One layer of a kind, read from DRAM; an add joins the input and a layer over it."""
    hardware = random_hardware(rng, 2, tight=4)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, 2, tight=4)
    of = of_kind(kind, **{dim: rng.randint(1, 3) for dim in LOOPS[kind].split()})
    of = replace(of, name="layer")
    taps = [of.sizes["FX"], of.sizes["FY"]]
    if padded and "FX" in LOOPS[kind]:
        of = replace(of, padding=Padding(left=taps[0] // 2, top=taps[1] // 2))
    pad = (of.padding.left, of.padding.top)
    layers = (of,)
    if kind is LayerKind.ADD:
        branch = of_kind(LayerKind.POINTWISE, K=of.channels, C=of.channels)
        sizes = {"OX": of.sizes["OX"], "OY": of.sizes["OY"]}
        branch = replace(
            branch, name="branch", loops=tuple((d, sizes.get(d, n)) for d, n in branch.loops)
        )
        layers = (branch, replace(of, sources=("branch", "input")))
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=layers[0].input_channels,
        input_width=of.sizes["OX"] + taps[0] - 1 - pad[0],
        input_height=of.sizes["OY"] + taps[1] - 1 - pad[1],
        input_bits=8,
        layers=layers,
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("kind", KINDS)
def test_optimum_of_each_kind_equals_brute_force(kind: LayerKind, rules: RuleSet) -> None:
    """Tests EDP optima of small layers, padded ones under the rules that know padding."""
    done = 0
    for seed in range(100):
        problem = random_of_kind(Random(seed), kind, padded=rules is EXACT)
        try:
            points = BruteForce(problem, rules, WIDTHS, HEIGHTS).points()
        except TooLargeError:
            continue
        check(f"{kind}, seed {seed}", problem, rules, Objective.EDP, points)
        done += bool(points)
        if done == WANTED:
            return
    raise AssertionError("too few problems have schedules")
