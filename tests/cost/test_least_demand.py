"""The memories that every mapping overfills, against enumeration."""

from dataclasses import replace
from random import Random

import pytest

from cost.least_demand import least_overflows
from cost.mapping import LayerTile
from cost.rules import DEFINES, EXACT, RuleSet
from tests.cost.test_mapping_oracle import random_case


def case_fits(seed: int, rules: RuleSet) -> bool:
    """Check a random layer-tile on memories cut down at random; whether a mapping fits."""
    hardware, layer, levels, mappings = random_case(seed, rules)
    rng = Random(seed)
    sizes = [int(memory.size_bits * rng.uniform(0.1, 1)) for memory in hardware.memories]
    memories = tuple(
        replace(memory, size_bits=bits)
        for memory, bits in zip(hardware.memories, sizes, strict=True)
    )
    own = replace(hardware, memories=memories)
    tile = LayerTile(layer=layer, sizes=layer.loops, levels=levels)
    over = least_overflows(own, own.unrolling("net", layer), tile, rules)
    some = bool(mappings.pareto(dict(enumerate(sizes))))
    assert some == (not over), f"seed {seed}: {over}"
    for each in over:
        # No mapping holds less there, however large all other memories are.
        grown = {k: each.held_bits - 1 if k == each.memory else 1 << 60 for k in range(len(sizes))}
        assert not mappings.pareto(grown), f"seed {seed}: {each}"
    return some


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_overfilled_memories_are_those_of_enumeration(rules: RuleSet) -> None:
    """Tests random layer-tiles, some of which fit and some of which do not."""
    fitting = [case_fits(seed, rules) for seed in range(700, 740)]
    assert 5 < sum(fitting) < 35
