"""Random accelerators and layers, small enough to enumerate everything about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from cost.reference_backward import effective_workload
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
    start = Map("input", width, height, channels)
    layers: list[Layer] = []

    def grow(source: Map, stride: int, channels: int = 0) -> Map:
        layer = padded_layer(rng, f"l{len(layers)}", source, bits, stride, channels)
        layers.append(layer)
        return Map(layer.name, layer.sizes["OX"], layer.sizes["OY"], layer.channels)

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


def random_shortcut(rng: Random, *, levels: int = 3, size: int = 2, tight: float = 1.0) -> Problem:
    """Layers in a row without padding, with an add that reads another map from further back.

    Maps are as large as the reference makes them; the two that are joined may differ in size
    and in channels, and a layer may follow.
    """
    hardware = random_hardware(rng, levels, tight)
    while not all(len(chain) > 1 for chain in hardware.chains.values()):
        hardware = random_hardware(rng, levels, tight)
    first_channels, bits = rng.randint(1, 2), rng.choice((4, 8))
    channels, names = [first_channels], ["input"]
    layers: list[Layer] = []
    shortcut, depth = rng.choice(((0, 1), (0, 1), (1, 2), (0, 2)))
    after = rng.random() < 0.3
    for position in range(depth + 1 + after):
        name = f"l{position}"
        if position == depth:
            sources = tuple(rng.sample((names[shortcut], names[-1]), 2))
            loops = (("G", channels[-1]), ("OY", size), ("OX", size))
            precision = Precision(partial_bits=16, output_bits=bits, weight_bits=0, input_bits=bits)
            layer = Layer(
                name=name, kind=LayerKind.ADD, sources=sources, loops=loops, precision=precision
            )
        else:
            layer = random_layer(rng, name, names[-1], channels[-1], size)
            layer = replace(
                layer,
                stride_x=min(layer.stride_x, layer.sizes["FX"]),
                stride_y=min(layer.stride_y, layer.sizes["FY"]),
                precision=replace(layer.precision, output_bits=bits, input_bits=bits),
            )
        layers.append(layer)
        names.append(name)
        channels.append(layer.channels)
    workload = Workload(
        name="net",
        input_name="input",
        input_channels=first_channels,
        input_width=1,
        input_height=1,
        input_bits=bits,
        layers=tuple(layers),
    )
    fitted = effective_workload(workload)
    return Problem(name="random", workload=fitted, hardware=hardware, source="random")


@dataclass(frozen=True)
class Map:
    """A feature map on its way through the random graph."""

    name: str
    width: int
    height: int
    channels: int


def padded_layer(
    rng: Random, name: str, source: Map, bits: int, stride: int, channels: int = 0
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


def addition(rng: Random, number: int, ends: tuple[Map, Map], bits: int) -> Layer:
    """The sum of two maps of one size, in either order."""
    return Layer(
        name=f"l{number}",
        kind=LayerKind.ADD,
        sources=tuple(end.name for end in rng.sample(ends, 2)),
        loops=(("G", ends[0].channels), ("OY", ends[0].height), ("OX", ends[0].width)),
        precision=Precision(partial_bits=16, output_bits=bits, weight_bits=0, input_bits=bits),
    )
