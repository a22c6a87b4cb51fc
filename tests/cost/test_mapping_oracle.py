"""The mapping search against every mapping of random small layer-tiles."""

from random import Random

import numpy as np
import pytest

from cost.layer_model import build_layer_model
from cost.mapping import LayerTile
from cost.mapping_search import pareto_set, size_vector
from cost.rules import DEFINES, EXACT, RuleSet
from cost.search_input import Aim
from problems import Hardware, Layer, LayerKind, Operand
from tests.oracle.all_mappings import AllMappings, clean, prime_loops
from tests.oracle.random_problems import random_hardware, random_layer

MOST_FACTORS = 5
MOST_WORK = 60_000


def random_case(seed: int, rules: RuleSet) -> tuple[Hardware, Layer, dict[str, int], AllMappings]:
    """A layer-tile with few enough mappings, with its levels, drawn from `seed`."""
    rng = Random(seed)
    while True:
        hardware = random_hardware(rng)
        layer = random_layer(rng, "layer", "input", rng.randint(1, 4), 4)
        levels = {}
        for operand in (Operand.W, Operand.I, Operand.O):
            chain = hardware.chains[operand]
            tops = [m for m, i in enumerate(chain) if hardware.memories[i].instances == 1]
            levels[operand.value] = rng.choice(tops) + 1
        if layer.kind is LayerKind.POOL:
            levels["W"] = 1
        tile = LayerTile(layer=layer, sizes=layer.loops, levels=levels)
        mappings = AllMappings(hardware, hardware.unrolling("net", layer), tile, rules)
        count = len(prime_loops(mappings.model))
        flags = sum(levels.values()) - 3 if rules.explicit_double_buffering else 0
        orders = (1, 1, 2, 6, 24, 120)[count] if count <= MOST_FACTORS else MOST_WORK
        work = orders * (count + 1) ** (sum(levels.values()) - 3) * 2**flags
        if 1 <= count <= MOST_FACTORS and work <= MOST_WORK:
            return hardware, layer, levels, mappings


def mismatch(seed: int, rules: RuleSet) -> str:
    """What differs between search and enumeration; empty if nothing does."""
    hardware, layer, levels, mappings = random_case(seed, rules)
    model = build_layer_model(hardware, hardware.unrolling("net", layer), layer, rules)
    kept = (levels["W"], levels["I"], levels["O"])
    rng = Random(seed)
    for narrowed in (False, True):
        sizes = [memory.size_bits for memory in hardware.memories]
        if narrowed:
            sizes = [bits if bits > 1 << 20 else int(bits * rng.uniform(0.4, 1)) for bits in sizes]
        found = pareto_set(
            model, size_vector(layer.sizes), kept, Aim(budget_bits=np.array(sizes, dtype=np.int64))
        )
        points = clean([(point.energy_pj, point.latency_cycles) for point in found])
        wanted = mappings.pareto(dict(enumerate(sizes)))
        same = len(points) == len(wanted) and all(
            abs(a[0] - b[0]) <= 1e-9 * b[0] and a[1] == b[1]
            for a, b in zip(points, wanted, strict=True)
        )
        if not same:
            return (
                f"seed {seed} ({rules.name}, narrowed {narrowed}): search {points}, "
                f"all mappings {wanted}, layer {layer.kind} {layer.loops} "
                f"stride {layer.stride_x},{layer.stride_y}, levels {levels}"
            )
    return ""


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_search_finds_the_pareto_set_of_all_mappings(rules: RuleSet, block: int) -> None:
    """Tests energy and latency of all nondominated mappings, whole and narrowed memories."""
    wrong = [mismatch(seed, rules) for seed in range(40 * block, 40 * (block + 1))]
    assert not any(wrong), next(text for text in wrong if text)
