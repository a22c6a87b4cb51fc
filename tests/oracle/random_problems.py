"""Random accelerators and layers, small enough to enumerate everything about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from problems import (
    Hardware,
    Layer,
    LayerKind,
    MemoryLevel,
    Operand,
    OperandPorts,
    Padding,
    Precision,
    Problem,
    SpatialRule,
    Unroll,
    Workload,
)

ARRAY = (("D1", 2), ("D2", 2))
BIG_BITS = 1 << 24


def random_memory(
    rng: Random,
    name: str,
    operands: str,
    *,
    size_bits: int,
    served: tuple[str, ...] = ("D1", "D2"),
    pj: float = 1.0,
    style: str | None = None,
) -> MemoryLevel:
    """A memory with random widths, granules, energies and port style."""
    style = style or rng.choice(("rw", "r+w", "2r+2w"))
    names = {
        "rw": ("p", "p", "p", "p"),
        "r+w": ("r", "w", "w", "r"),
        "2r+2w": ("r1", "w1", "w2", "r2"),
    }[style]
    read, write = rng.choice((4, 8, 16, 32)), rng.choice((4, 8, 16, 32))
    if style == "rw" and rng.random() < 0.7:
        write = read
    return MemoryLevel(
        name=name,
        size_bits=size_bits,
        read_bits_per_cycle=read,
        write_bits_per_cycle=write,
        read_pj=round(pj * rng.uniform(0.5, 2), 3),
        write_pj=round(pj * rng.uniform(0.5, 2), 3),
        read_granule_bits=rng.choice((read, min(read, 8))),
        write_granule_bits=rng.choice((write, min(write, 8))),
        served_dims=served,
        instances=1 if len(served) == 2 else (2 if served else 4),
        shared_read_write_port=style == "rw",
        operands=tuple(
            OperandPorts(
                operand=Operand(letter),
                read_down=names[0],
                write_from_above=names[1],
                write_from_below=names[2] if letter == "O" else None,
                read_up=names[3] if letter == "O" else None,
            )
            for letter in operands
        ),
    )


def random_hardware(rng: Random, levels: int = 3, tight: float = 1.0) -> Hardware:
    """An array of four MACs under registers, one or two shared buffers and DRAM.

    `tight` scales the buffers' sizes; `levels` caps the memories below DRAM.
    """
    memories = []
    registers = rng.choice(("", "O", "W", "I", "WO"))
    if registers:
        served = rng.choice(((), ("D1",), ("D2",)))
        bits = rng.choice((16, 24, 32, 64))
        memories.append(
            random_memory(rng, "regs", registers, size_bits=bits, served=served, pj=0.05)
        )
    shared = rng.choice(("IO", "IOW", "IO", "IOW", "IW"))
    bits = int(rng.choice((64, 128, 256, 512, 1024)) * tight)
    memories.append(random_memory(rng, "lb", shared, size_bits=max(bits, 24), pj=0.5))
    if levels > 2 and rng.random() < 0.6:
        bits = int(rng.choice((256, 512, 1024, 4096)) * tight)
        held = rng.choice(("IOW", "IO", "IOW", "W"))
        memories.append(random_memory(rng, "gb", held, size_bits=max(bits, 48), pj=2))
    dram = random_memory(rng, "dram", "IOW", size_bits=BIG_BITS, pj=10, style="rw")
    memories.append(dram)
    first = rng.choice(("K", "C", "OX", "K"))
    second = rng.choice([dim for dim in ("K", "C", "OX", "OY", "FX") if dim != first])
    unroll = (
        Unroll(array_dim="D1", loop_dim=first, factor=2),
        Unroll(array_dim="D2", loop_dim=second, factor=rng.choice((1, 2))),
    )
    grouped = (
        Unroll(array_dim="D1", loop_dim=rng.choice(("G", "OX")), factor=2),
        Unroll(array_dim="D2", loop_dim=rng.choice(("OY", "FX", "FY")), factor=2),
    )
    return Hardware(
        name="random",
        array_dims=ARRAY,
        mac_pj=round(rng.uniform(0.1, 1), 2),
        memories=tuple(memories),
        spatial_rules=(
            SpatialRule(unroll=grouped, kinds=(LayerKind.DEPTHWISE, LayerKind.POOL)),
            SpatialRule(unroll=unroll),
        ),
    )


def random_layer(rng: Random, name: str, source: str, channels: int, size: int) -> Layer:
    """A layer with `channels` input channels and an output of at most `size` a side."""
    kind = rng.choice(
        (LayerKind.CONV, LayerKind.CONV, LayerKind.POINTWISE, LayerKind.DEPTHWISE, LayerKind.POOL)
    )
    width, height = rng.randint(1, size), rng.randint(1, size)
    taps_x, taps_y = rng.randint(1, 3), rng.randint(1, 3)
    loops: tuple[tuple[str, int], ...]
    if kind is LayerKind.POINTWISE:
        loops = (("K", rng.randint(1, 4)), ("C", channels), ("OY", height), ("OX", width))
        taps_x = taps_y = 1
    elif kind is LayerKind.CONV:
        loops = (
            ("K", rng.randint(1, 4)),
            ("C", channels),
            ("OY", height),
            ("OX", width),
            ("FY", taps_y),
            ("FX", taps_x),
        )
    else:
        loops = (("G", channels), ("OY", height), ("OX", width), ("FY", taps_y), ("FX", taps_x))
    strided = kind is not LayerKind.POINTWISE
    bits = rng.choice((4, 8))
    return Layer(
        name=name,
        kind=kind,
        sources=(source,),
        loops=loops,
        stride_x=rng.choice((1, 1, 2)) if strided else 1,
        stride_y=rng.choice((1, 1, 2)) if strided else 1,
        precision=Precision(
            partial_bits=16,
            output_bits=bits,
            weight_bits=0 if kind is LayerKind.POOL else 8,
            input_bits=bits,
        ),
    )


def dilated(rng: Random, layer: Layer) -> Layer:
    """The layer with random dilation."""
    return replace(layer, dilation_x=rng.choice((1, 2, 3)), dilation_y=rng.choice((1, 1, 2)))


def random_problem(
    rng: Random, depth: int, *, levels: int = 3, size: int = 4, tight: float = 1.0
) -> Problem:
    """A chain of `depth` layers whose maps fit each other without padding."""
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    layers: list[Layer] = []
    channels = first_channels = rng.randint(1, 3)
    for position in range(depth):
        source = f"l{position - 1}" if position else "input"
        layer = random_layer(rng, f"l{position}", source, channels, size)
        layers.append(layer)
        channels = layer.channels
    wanted = (rng.randint(1, size), rng.randint(1, size))
    result: list[Layer] = []
    for position, layer in reversed(list(enumerate(layers))):
        sizes = layer.sizes
        stride_x, stride_y = layer.stride_x, layer.stride_y
        if position:
            # Rule sets disagree about maps between layers where a stride skips positions.
            stride_x, stride_y = min(stride_x, sizes["FX"]), min(stride_y, sizes["FY"])
        new = {"OX": wanted[0], "OY": wanted[1]}
        width = layers[position - 1].precision.output_bits if position else None
        fitted = replace(
            layer,
            loops=tuple((dim, new.get(dim, count)) for dim, count in layer.loops),
            stride_x=stride_x,
            stride_y=stride_y,
            precision=replace(layer.precision, input_bits=width or layer.precision.input_bits),
        )
        wanted = (
            stride_x * (wanted[0] - 1) + sizes["FX"],
            stride_y * (wanted[1] - 1) + sizes["FY"],
        )
        result.append(fitted)
    result.reverse()
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=first_channels,
        input_width=wanted[0],
        input_height=wanted[1],
        input_bits=result[0].precision.input_bits,
        layers=tuple(result),
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")


def random_graph(rng: Random, *, levels: int = 3, size: int = 3, tight: float = 1.0) -> Problem:
    """One to three layers with padding: a chain, or two branches that an add joins.

    The branches start at the network input or at a first layer, so a map is read twice,
    at once or a stack later. Strides may leave rows and columns unread.
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    bits = rng.choice((4, 8))
    width, height, channels = rng.randint(1, size), rng.randint(1, size), rng.randint(1, 2)
    form = rng.choice(("chain", "around input", "around layer", "two branches", "two strided"))
    start = _Map("input", width, height, channels)
    layers: list[Layer] = []

    def grow(source: _Map, stride: int, channels: int = 0) -> _Map:
        layer = padded_layer(rng, f"l{len(layers)}", source, bits, stride, channels)
        layers.append(layer)
        return _Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

    if form == "chain":
        grow(grow(start, rng.choice((1, 2))), 1)
    else:
        stride = 1 + (form == "two strided")
        first = start if form == "around input" else grow(start, stride)
        base = start if form.startswith("two") else first
        second = grow(base, stride if form.startswith("two") else 1, first.channels)
        layers.append(addition(rng, len(layers), (first, second), bits))
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=channels,
        input_width=width,
        input_height=height,
        input_bits=bits,
        layers=tuple(layers),
    )
    return Problem(name="random", workload=workload, hardware=hardware, source="random")


def random_matmul(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """Two to four layers, one of them a matmul whose matrix is a map of the network.

    The matrix comes from the network input or from a layer, which others may read, too; its
    rows or its columns lie along the pixels. There may be several groups (heads).
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    bits = rng.choice((4, 8))
    start = _Map("input", rng.randint(1, size), rng.randint(1, size), 0)
    groups, per_group = rng.choice((1, 1, 2)), rng.choice((1, 1, 2))
    start = replace(start, channels=groups * per_group)
    layers: list[Layer] = []

    def grow(source: _Map, channels: int) -> _Map:
        name = f"l{len(layers)}"
        if rng.random() < 0.2:
            layer = padded_layer(rng, name, source, bits, 1, channels)
        else:
            layer = projection(name, source, bits, channels)
        layers.append(layer)
        return _Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

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
        grow(_Map(product.name, left.width, left.height, product.channels), 1)
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


@dataclass(frozen=True)
class _Map:
    """A feature map on its way through the random graph."""

    name: str
    width: int
    height: int
    channels: int


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
    start = _Map("input", rng.randint(1, size), rng.randint(1, size), rng.randint(1, 2))
    layers: list[Layer] = []

    def add(layer: Layer) -> _Map:
        layers.append(layer)
        return _Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

    def grow(source: _Map, stride: int = 1) -> _Map:
        name = f"l{len(layers)}"
        if stride > 1 or rng.random() < 0.6:
            return add(padded_layer(rng, name, source, bits, stride, 1))
        return add(projection(name, source, bits, 1))

    def join(*parts: _Map) -> _Map:
        channels = sum(part.channels for part in parts)
        union = _Map(f"l{len(layers)}", parts[0].width, parts[0].height, channels)
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


def concatenation(union: _Map, parts: Sequence[_Map], bits: int) -> Layer:
    """The channels of several maps side by side."""
    return Layer(
        name=union.name,
        kind=LayerKind.CONCAT,
        sources=tuple(part.name for part in parts),
        loops=(("G", union.channels), ("OY", union.height), ("OX", union.width)),
        precision=Precision(partial_bits=16, output_bits=bits, weight_bits=0, input_bits=bits),
    )


def padded_layer(
    rng: Random, name: str, source: _Map, bits: int, stride: int, channels: int = 0
) -> Layer:
    """A layer that keeps the size of its input at stride 1; `channels` 0 for any number."""
    kind = rng.choice((LayerKind.CONV, LayerKind.CONV, LayerKind.DEPTHWISE, LayerKind.MAX_POOL))
    if channels not in (0, source.channels):
        kind = LayerKind.CONV
    taps = {"x": rng.randint(1, 3), "y": rng.randint(1, 3)}
    dilation = {axis: rng.choice((1, 1, 2)) for axis in taps}
    before = {axis: rng.randint(0, dilation[axis] * (taps[axis] - 1)) for axis in taps}
    after = {axis: dilation[axis] * (taps[axis] - 1) - before[axis] for axis in taps}
    loops: tuple[tuple[str, int], ...] = (
        ("OY", (source.height - 1) // stride + 1),
        ("OX", (source.width - 1) // stride + 1),
        ("FY", taps["y"]),
        ("FX", taps["x"]),
    )
    if kind is LayerKind.CONV:
        made = channels or rng.randint(1, 2)
        loops = (("K", made), ("C", source.channels), *loops)
    else:
        loops = (("G", source.channels), *loops)
    return Layer(
        name=name,
        kind=kind,
        sources=(source.name,),
        loops=loops,
        stride_x=stride,
        stride_y=stride,
        dilation_x=dilation["x"],
        dilation_y=dilation["y"],
        padding=Padding(left=before["x"], right=after["x"], top=before["y"], bottom=after["y"]),
        precision=Precision(
            partial_bits=16,
            output_bits=bits,
            weight_bits=0 if kind is LayerKind.MAX_POOL else 8,
            input_bits=bits,
        ),
    )


def projection(name: str, source: _Map, bits: int, channels: int) -> Layer:
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


def addition(rng: Random, number: int, ends: tuple[_Map, _Map], bits: int) -> Layer:
    """The sum of two maps of one size, in either order."""
    return Layer(
        name=f"l{number}",
        kind=LayerKind.ADD,
        sources=tuple(end.name for end in rng.sample(ends, 2)),
        loops=(("G", ends[0].channels), ("OY", ends[0].height), ("OX", ends[0].width)),
        precision=Precision(partial_bits=16, output_bits=bits, weight_bits=0, input_bits=bits),
    )
