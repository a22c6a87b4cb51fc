"""What the layers of a workload must mean together: names, graph, channels, sizes."""

from __future__ import annotations

import math

import networkx as nx

from problems.errors import ProblemError, nearest
from problems.schema import LayerEntry, WorkloadEntry
from problems.workload import Layer, LayerKind, Workload

MAX_MACS = 2**53
"""Counts beyond this are no longer exact in the 64-bit floats of the cost tables."""

REQUIRED_DIMS = {
    LayerKind.CONV: ("K", "C", "OY", "OX", "FY", "FX"),
    LayerKind.POINTWISE: ("K", "C", "OY", "OX"),
    LayerKind.DEPTHWISE: ("G", "OY", "OX", "FY", "FX"),
    LayerKind.GROUPED_CONV: ("G", "K", "C", "OY", "OX", "FY", "FX"),
    LayerKind.POOL: ("G", "OY", "OX", "FY", "FX"),
    LayerKind.MAX_POOL: ("G", "OY", "OX", "FY", "FX"),
    LayerKind.AVERAGE_POOL: ("G", "OY", "OX", "FY", "FX"),
    LayerKind.GLOBAL_POOL: ("G", "FY", "FX"),
    LayerKind.ADD: ("G", "OY", "OX"),
    LayerKind.CONCAT: ("G", "OY", "OX"),
    LayerKind.FULLY_CONNECTED: ("K", "C"),
    LayerKind.MATMUL: ("K", "C", "OX"),
}
OPTIONAL_DIMS = {
    LayerKind.CONV: ("B",),
    LayerKind.POINTWISE: ("B", "FY", "FX"),
    LayerKind.DEPTHWISE: ("B",),
    LayerKind.GROUPED_CONV: ("B",),
    LayerKind.POOL: ("B",),
    LayerKind.MAX_POOL: ("B",),
    LayerKind.AVERAGE_POOL: ("B",),
    LayerKind.GLOBAL_POOL: ("B", "OY", "OX"),
    LayerKind.ADD: ("B",),
    LayerKind.CONCAT: ("B",),
    LayerKind.FULLY_CONNECTED: ("B", "OY", "OX", "FY", "FX"),
    LayerKind.MATMUL: ("B", "G", "OY"),
}

NUMBER_OF_SOURCES = {LayerKind.ADD: (2,), LayerKind.MATMUL: (1, 2)}
"""Kinds that may read more than one map, and how many."""


def layer_key(index: int, name: str) -> str:
    """Key path of a layer, as in messages about single values."""
    return f'layers[{index}] ("{name}")'


def check_names(entry: WorkloadEntry, file: str, prefix: str) -> None:
    """Check that names are unique, sources known, and the graph free of cycles."""
    known = [entry.input.name]
    for index, layer in enumerate(entry.layers):
        if layer.name in known:
            key = prefix + layer_key(index, layer.name)
            what = "the network input" if layer.name == entry.input.name else "another layer"
            raise ProblemError(f"the name '{layer.name}' is taken by {what}", file=file, key=key)
        known.append(layer.name)
    for index, layer in enumerate(entry.layers):
        for source in layer.sources:
            if source not in known:
                key = f"{prefix}{layer_key(index, layer.name)}.from"
                allowed = f"a layer name or '{entry.input.name}'"
                message = f"unknown source '{source}', expected {allowed}{nearest(source, known)}"
                raise ProblemError(message, file=file, key=key)
    edges = [(source, layer.name) for layer in entry.layers for source in layer.sources]
    graph: nx.DiGraph[str] = nx.DiGraph(edges)
    if not nx.is_directed_acyclic_graph(graph):
        loop = [edge[0] for edge in nx.find_cycle(graph)]
        walk = " -> ".join([*loop, loop[0]])
        raise ProblemError(f"the layers form a cycle: {walk}", file=file, key=f"{prefix}layers")


def check_shape(layer: LayerEntry, file: str, key: str) -> None:
    """Check the loop dims and the number of sources that the layer's kind asks for."""
    required, optional = REQUIRED_DIMS[layer.kind], OPTIONAL_DIMS[layer.kind]
    for dim in required:
        if dim not in layer.loops:
            names = ", ".join(required)
            message = f"loop dim {dim} is missing; {_a(layer.kind)} layer needs {names}"
            raise ProblemError(message, file=file, key=f"{key}.loops")
    for dim in layer.loops:
        if dim not in required + optional:
            names = ", ".join(required + optional)
            message = f"{_a(layer.kind)} layer has no loop dim {dim}; allowed: {names}"
            raise ProblemError(message, file=file, key=f"{key}.loops")
    if ("FX" in layer.loops) != ("FY" in layer.loops):
        raise ProblemError("give both FX and FY, or neither", file=file, key=f"{key}.loops")
    if math.prod(layer.loops.values()) > MAX_MACS:
        message = f"the loop sizes multiply to more than {MAX_MACS:,} operations"
        raise ProblemError(message, file=file, key=f"{key}.loops")
    _check_sources(layer, file, key)
    _check_window(layer, file, key)
    if layer.kind is LayerKind.GLOBAL_POOL:
        _check_global(layer, file, key)
    if (layer.kind.is_pool or layer.kind.joins) and layer.precision.weight_bits:
        message = f"{_a(layer.kind)} layer has no weights: leave out weight_bits"
        raise ProblemError(message, file=file, key=f"{key}.precision.weight_bits")


def _check_sources(layer: LayerEntry, file: str, key: str) -> None:
    """Check how many maps the layer reads; a matmul's second one takes the weights' place."""
    given, wanted = len(layer.sources), NUMBER_OF_SOURCES.get(layer.kind, (1,))
    if layer.kind is LayerKind.CONCAT:
        _check_parts(layer, file, key)
        return
    if given not in wanted:
        numbers = " or ".join(str(number) for number in wanted)
        plural = "s" if wanted[-1] > 1 else ""
        message = f"{_a(layer.kind)} layer reads {numbers} source{plural}, {given} given"
        raise ProblemError(message, file=file, key=f"{key}.from")
    if len(set(layer.sources)) < given:
        message = f"reads '{layer.sources[0]}' twice; both operands would be one tensor"
        raise ProblemError(message, file=file, key=f"{key}.from")
    if layer.kind is LayerKind.MATMUL and given == 2 and layer.loops.get("B", 1) > 1:
        message = "a matmul of two maps has no batch: count what has a matrix of its own as G"
        raise ProblemError(message, file=file, key=f"{key}.loops.B")


def _check_parts(layer: LayerEntry, file: str, key: str) -> None:
    """Check what a concat says of itself: several parts, once each, that all fit."""
    if len(layer.sources) < 2:
        message = f"a concat layer reads 2 sources or more, {len(layer.sources)} given"
        raise ProblemError(message, file=file, key=f"{key}.from")
    twice = [source for source in layer.sources if layer.sources.count(source) > 1]
    if twice:
        message = f"reads '{twice[0]}' twice; a map is one part of a concat"
        raise ProblemError(message, file=file, key=f"{key}.from")
    if layer.mismatched_sources:
        message = "the parts of a concat must fit each other: leave this out"
        raise ProblemError(message, file=file, key=f"{key}.mismatched_sources")


def _a(kind: LayerKind) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _check_window(layer: LayerEntry, file: str, key: str) -> None:
    """Check stride, dilation and padding against the filter."""
    plain = (layer.stride.x, layer.stride.y, layer.dilation.x, layer.dilation.y) == (1, 1, 1, 1)
    pads = layer.padding
    if "FX" not in layer.loops:
        if not plain or pads.left or pads.right or pads.top or pads.bottom:
            message = "stride, dilation and padding need the loop dims FX and FY"
            raise ProblemError(message, file=file, key=key)
        return
    across = layer.dilation.x * (layer.loops["FX"] - 1) + 1
    down = layer.dilation.y * (layer.loops["FY"] - 1) + 1
    for side, pad, span in (
        ("left", pads.left, across),
        ("right", pads.right, across),
        ("top", pads.top, down),
        ("bottom", pads.bottom, down),
    ):
        if pad >= span:
            message = f"{pad} is not below the filter's span of {span}"
            raise ProblemError(message, file=file, key=f"{key}.padding.{side}")


def _check_global(layer: LayerEntry, file: str, key: str) -> None:
    """Check that a global pool has one output pixel; its window is then the whole map."""
    for dim in ("OY", "OX"):
        if layer.loops.get(dim, 1) != 1:
            message = f"a global pool has one output pixel, not {dim} = {layer.loops[dim]}"
            raise ProblemError(message, file=file, key=f"{key}.loops.{dim}")
    pads = layer.padding
    if (
        layer.stride.x > 1
        or layer.stride.y > 1
        or any((pads.left, pads.right, pads.top, pads.bottom))
    ):
        message = "a global pool reads its whole input once: no stride, no padding"
        raise ProblemError(message, file=file, key=key)


def check_edges(workload: Workload, unmatched: set[str], file: str, prefix: str) -> None:
    """Check what each layer reads against what its producers write.

    Layers in `unmatched` may read feature maps of other channels and sizes.
    """
    for index, layer in enumerate(workload.layers):
        key = f"{prefix}{layer_key(index, layer.name)}"
        for source in layer.sources:
            if layer.name not in unmatched:
                _check_batch(workload, layer, source, file, key)
                if layer.computes:
                    _check_channels(workload, layer, source, file, key)
                _check_extent(workload, layer, source, file, key)
            _check_element(workload, layer, source, file, key)
        if not layer.computes:
            _check_union(workload, layer, file, key)
        if layer.weight_source is not None:
            _check_matrix(workload, layer, layer.weight_source, layer.name in unmatched, file, key)


def _produced(workload: Workload, source: str) -> tuple[int, int, int, int | None, int]:
    """Channels, width, height, batch and element bits of what `source` writes."""
    if source == workload.input_name:
        size = (workload.input_channels, workload.input_width, workload.input_height)
        return (*size, None, workload.input_bits)
    layer = workload.by_name[source]
    sizes = layer.sizes
    bits = layer.precision.output_bits
    return layer.channels, sizes["OX"], sizes["OY"], sizes["B"], bits


def made_channels(workload: Workload, source: str) -> int:
    """Channels of what `source` writes."""
    return _produced(workload, source)[0]


def _check_union(workload: Workload, layer: Layer, file: str, key: str) -> None:
    """Check what a concat's parts make together."""
    parts = [made_channels(workload, source) for source in layer.sources]
    if sum(parts) != layer.channels:
        made = " + ".join(str(channels) for channels in parts)
        message = f"G = {layer.channels} but the parts have {made} = {sum(parts)} channels"
        raise ProblemError(message, file=file, key=f"{key}.loops.G")
    read, written = layer.precision.input_bits, layer.precision.output_bits
    if read != written:
        message = f"a concat changes no element: {read} bits read, {written} bits written"
        raise ProblemError(message, file=file, key=f"{key}.precision.output_bits")


def _check_channels(workload: Workload, layer: Layer, source: str, file: str, key: str) -> None:
    channels = made_channels(workload, source)
    dims = layer.input_channel_dims
    if layer.input_channels != channels:
        given = f"reads {' * '.join(dims)} = {layer.input_channels} channels"
        given += f" but '{source}' has {channels}"
        raise ProblemError(given, file=file, key=f"{key}.loops.{dims[0]}")


def _check_batch(workload: Workload, layer: Layer, source: str, file: str, key: str) -> None:
    batch = _produced(workload, source)[3]
    if batch is not None and layer.sizes["B"] != batch:
        given = f"has batch B = {layer.sizes['B']} but '{source}' has {batch}"
        raise ProblemError(given, file=file, key=f"{key}.loops.B")


def _check_extent(workload: Workload, layer: Layer, source: str, file: str, key: str) -> None:
    _, width, height, _, _ = _produced(workload, source)
    pad = layer.padding
    across = (layer.stride_x, layer.dilation_x, pad.left + pad.right)
    down = (layer.stride_y, layer.dilation_y, pad.top + pad.bottom)
    axes = (("OX", "FX", "width", width, across), ("OY", "FY", "height", height, down))
    for out, tap, word, given, (stride, dilation, padding) in axes:
        need = stride * (layer.sizes[out] - 1) + dilation * (layer.sizes[tap] - 1) + 1 - padding
        # A stride may leave a remainder of the producer's map unread.
        most = need + stride - 1
        if not need <= given <= most:
            wanted = f"{need}" if most == need else f"{need} to {most}"
            message = f"{out} = {layer.sizes[out]} needs an input {word} of {wanted}"
            message += f", but '{source}' has {given}"
            raise ProblemError(message, file=file, key=f"{key}.loops.{out}")


def _check_element(workload: Workload, layer: Layer, source: str, file: str, key: str) -> None:
    bits = _produced(workload, source)[-1]
    if layer.precision.input_bits != bits:
        message = f"reads elements of {layer.precision.input_bits} bits but '{source}' "
        message += f"has elements of {bits} bits"
        raise ProblemError(message, file=file, key=f"{key}.precision.input_bits")


def _check_matrix(
    workload: Workload, layer: Layer, source: str, unmatched: bool, file: str, key: str
) -> None:
    """Check the map that a matmul takes as its matrix: either dim may lie along the pixels."""
    channels, width, height, _, bits = _produced(workload, source)
    rows, columns, groups = (layer.sizes[dim] for dim in "CKG")
    pixels = width * height
    fits = (channels, pixels) in ((groups * rows, columns), (groups * columns, rows))
    if not fits and not unmatched:
        many = f"{groups} matrices" if groups > 1 else "a matrix"
        message = f"needs {many} of C x K = {rows} x {columns}: {groups * rows} channels of "
        message += f"{columns} pixels or {groups * columns} channels of {rows}"
        message += f", but '{source}' has {channels} channels of {pixels}"
        raise ProblemError(message, file=file, key=f"{key}.loops.K")
    if layer.precision.weight_bits != bits:
        message = f"reads elements of {layer.precision.weight_bits} bits but '{source}' "
        message += f"has elements of {bits} bits"
        raise ProblemError(message, file=file, key=f"{key}.precision.weight_bits")
