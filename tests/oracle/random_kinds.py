"""Random problems with concats, and with matmuls of two maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from problems import Layer, LayerKind, Precision, Problem, Workload
from tests.oracle.random_problems import Map, padded_layer, random_hardware


def random_matmul(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """Two to four layers, one of them a matmul whose matrix is a map of the network.

    The matrix comes from the network input or from a layer, which others may read, too; its
    rows or its columns lie along the pixels. There may be several groups (heads).
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    bits = rng.choice((4, 8))
    start = Map("input", rng.randint(1, size), rng.randint(1, size), 0)
    groups, per_group = rng.choice((1, 1, 2)), rng.choice((1, 1, 2))
    start = replace(start, channels=groups * per_group)
    layers: list[Layer] = []

    def grow(source: Map, channels: int) -> Map:
        name = f"l{len(layers)}"
        if rng.random() < 0.2:
            layer = padded_layer(rng, name, source, bits, 1, channels)
        else:
            layer = projection(name, source, bits, channels)
        layers.append(layer)
        return Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

    matrix = start if rng.random() < 0.3 else grow(start, start.channels)
    from_matrix = matrix.name != "input" and rng.random() < 0.4
    left = grow(matrix if from_matrix else start, start.channels)
    pixels = matrix.width * matrix.height
    # Either the channels of both maps are summed over, or the pixels of the matrix are.
    inner, outer = per_group, pixels
    if left.channels == groups * pixels and rng.random() < 0.5:
        inner, outer = pixels, per_group
    layers.append(
        Layer(
            name=f"l{len(layers)}",
            kind=LayerKind.MATMUL,
            sources=(left.name,),
            weight_source=matrix.name,
            loops=(
                *((("G", groups),) if groups > 1 else ()),
                ("K", outer),
                ("C", inner),
                ("OY", left.height),
                ("OX", left.width),
            ),
            precision=Precision(
                partial_bits=16, output_bits=bits, weight_bits=bits, input_bits=bits
            ),
        )
    )
    if rng.random() < 0.3:
        product = layers[-1]
        grow(Map(product.name, left.width, left.height, product.channels), 1)
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=start.channels,
        input_width=start.width,
        input_height=start.height,
        input_bits=bits,
        layers=tuple(layers),
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")


def random_concat(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """Two to four layers, one or two of them concats.

    Parts are the network input, a layer that reads it, or one that reads the other part, and
    another layer may read a part, too. Often a layer reads what they make together, or a
    matmul takes it as its matrix.
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    bits = rng.choice((4, 8))
    start = Map("input", rng.randint(1, size), rng.randint(1, size), rng.randint(1, 2))
    layers: list[Layer] = []

    def add(layer: Layer) -> Map:
        layers.append(layer)
        return Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

    def grow(source: Map, stride: int = 1) -> Map:
        name = f"l{len(layers)}"
        if stride > 1 or rng.random() < 0.6:
            return add(padded_layer(rng, name, source, bits, stride, 1))
        return add(projection(name, source, bits, 1))

    def join(*parts: Map) -> Map:
        channels = sum(part.channels for part in parts)
        union = Map(f"l{len(layers)}", parts[0].width, parts[0].height, channels)
        return add(concatenation(union, rng.sample(parts, 2), bits))

    form = rng.choice(("around", "after", "two", "strided", "dense", "denser", "matrix"))
    stride = 1 + (form == "strided")
    first = grow(start, stride)
    if form in ("around", "matrix"):
        last = join(start, first)
    elif form == "denser":
        union = join(start, first)
        last = join(union, grow(union))
    elif form == "dense":
        last = join(join(start, first), grow(start))
    else:
        last = join(first, grow(first if form == "after" else start, stride))
    if form == "matrix":
        source = rng.choice((first, last))
        left = add(projection(f"l{len(layers)}", source, bits, last.channels))
        pixels = last.width * last.height
        product = projection(f"l{len(layers)}", left, bits, pixels)
        same_bits = replace(product.precision, weight_bits=bits)
        add(replace(product, weight_source=last.name, precision=same_bits))
    elif len(layers) < 4 and rng.random() < 0.6:
        grow(last)
    if rng.random() < 0.5:
        # Room for the union and little more, so that it matters what counts beside it.
        union_bits = max(
            made.channels * made.sizes["OX"] * made.sizes["OY"] * bits
            for made in layers
            if made.kind is LayerKind.CONCAT
        )
        room = rng.randint(union_bits, 3 * union_bits)
        memories = tuple(
            replace(memory, size_bits=max(room, 24)) if memory.name == "lb" else memory
            for memory in hardware.memories
        )
        hardware = replace(hardware, memories=memories)
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=start.channels,
        input_width=start.width,
        input_height=start.height,
        input_bits=bits,
        layers=tuple(layers),
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")


def projection(name: str, source: Map, bits: int, channels: int) -> Layer:
    """Every pixel of a map times one constant matrix."""
    return Layer(
        name=name,
        kind=LayerKind.MATMUL,
        sources=(source.name,),
        loops=(
            ("K", channels),
            ("C", source.channels),
            ("OY", source.height),
            ("OX", source.width),
        ),
        precision=Precision(partial_bits=16, output_bits=bits, weight_bits=8, input_bits=bits),
    )


def concatenation(union: Map, parts: Sequence[Map], bits: int) -> Layer:
    """The channels of several maps side by side."""
    return Layer(
        name=union.name,
        kind=LayerKind.CONCAT,
        sources=tuple(part.name for part in parts),
        loops=(("G", union.channels), ("OY", union.height), ("OX", union.width)),
        precision=Precision(partial_bits=16, output_bits=bits, weight_bits=0, input_bits=bits),
    )
