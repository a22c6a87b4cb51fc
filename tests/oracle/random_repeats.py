"""Random networks that repeat themselves, on random accelerators."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from problems import Problem, Workload
from tests.oracle.random_problems import Map, addition, padded_layer, random_hardware


def random_repeats(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """Two or three layers in a row of which two at least are equal, with padding.

    In some the last ones are joined with the map before by an add, as residual blocks are.
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    bits, channels = rng.choice((4, 8)), rng.randint(1, 2)
    start = Map("input", rng.randint(1, size), rng.randint(1, size), channels)
    model = padded_layer(rng, "l0", start, bits, 1, channels)
    model = replace(model, precision=replace(model.precision, input_bits=bits, output_bits=bits))
    form = rng.choice(("equal", "another first", "another last", "joined"))
    layers = [
        replace(model, name=f"l{i}", sources=(f"l{i - 1}" if i else "input",)) for i in (0, 1)
    ]
    if form == "another first":
        first = padded_layer(rng, "l0", start, bits, 1, channels)
        layers = [
            first,
            *(replace(m, name=f"l{i + 1}", sources=(f"l{i}",)) for i, m in enumerate(layers)),
        ]
    elif form == "another last":
        layers.append(padded_layer(rng, "l2", replace(start, name="l1"), bits, 1))
    elif form == "joined":
        ends = replace(start, name="l0"), replace(start, name="l1")
        layers.append(addition(rng, 2, ends, bits))
    elif rng.random() < 0.5:
        layers.append(replace(model, name="l2", sources=("l1",)))
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=channels,
        input_width=start.width,
        input_height=start.height,
        input_bits=bits,
        layers=tuple(layers),
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")
