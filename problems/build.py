"""Turn checked entries into the frozen values that the rest of the project uses."""

from __future__ import annotations

import math
from dataclasses import replace

import networkx as nx

from problems.check_hardware import check_hardware
from problems.check_workload import (
    check_edges,
    check_names,
    check_shape,
    layer_key,
    made_channels,
)
from problems.errors import ProblemError
from problems.hardware import Hardware, MemoryLevel, OperandPorts, SpatialRule, Unroll
from problems.schema import (
    HardwareEntry,
    LayerEntry,
    MemoryEntry,
    PrecisionEntry,
    SpatialEntry,
    WorkloadEntry,
)
from problems.workload import Layer, LayerKind, Operand, Padding, Precision, Workload

DEFAULT_PRECISION = Precision(partial_bits=16, output_bits=8, weight_bits=8, input_bits=8)


def build_workload(entry: WorkloadEntry, file: str, prefix: str = "") -> Workload:
    """Check `entry` and return the workload, layers in topological order.

    Raises ProblemError, its text starting with `file` and the key path after `prefix`.
    """
    check_names(entry, file, prefix)
    for index, layer in enumerate(entry.layers):
        check_shape(layer, file, prefix + layer_key(index, layer.name))
    workload = Workload(
        name=entry.name,
        input_name=entry.input.name,
        input_channels=entry.input.channels,
        input_width=entry.input.width,
        input_height=entry.input.height,
        input_bits=entry.input.element_bits,
        layers=tuple(_layer(layer, entry.precision) for layer in entry.layers),
    )
    unmatched = {layer.name for layer in entry.layers if layer.mismatched_sources}
    check_edges(workload, unmatched, file, prefix)
    return _sorted(_in_pairs(workload, file, prefix))


def _in_pairs(workload: Workload, file: str, prefix: str) -> Workload:
    """Turn a concat of many maps into concats of two, which cost no more than one."""
    layers: list[Layer] = []
    names = {workload.input_name, *workload.by_name}
    for index, layer in enumerate(workload.layers):
        if layer.kind is not LayerKind.CONCAT or len(layer.sources) == 2:
            layers.append(layer)
            continue
        joined = layer.sources[0]
        for number, source in enumerate(layer.sources[1:], start=1):
            last = number == len(layer.sources) - 1
            name = layer.name if last else f"{layer.name}.{number}"
            if not last and name in names:
                key = prefix + layer_key(index, layer.name)
                message = f"a concat of {len(layer.sources)} needs the name '{name}' for a part"
                raise ProblemError(message, file=file, key=key)
            channels = sum(made_channels(workload, s) for s in layer.sources[: number + 1])
            loops = tuple((dim, channels if dim == "G" else n) for dim, n in layer.loops)
            layers.append(replace(layer, name=name, sources=(joined, source), loops=loops))
            joined = name
    return replace(workload, layers=tuple(layers))


def _sorted(workload: Workload) -> Workload:
    """Put producers before consumers; the file's order stays wherever it allows that."""
    position = {layer.name: index for index, layer in enumerate(workload.layers)}
    position[workload.input_name] = -1
    order = list(nx.lexicographical_topological_sort(workload.graph, key=position.__getitem__))
    layers = tuple(workload.by_name[name] for name in order if name != workload.input_name)
    if layers == workload.layers:
        return workload
    return replace(workload, layers=layers)


def _layer(entry: LayerEntry, defaults: PrecisionEntry) -> Layer:
    pad = entry.padding
    takes_map = entry.kind is LayerKind.MATMUL and len(entry.sources) == 2
    return Layer(
        name=entry.name,
        kind=entry.kind,
        sources=entry.sources[:1] if takes_map else entry.sources,
        weight_source=entry.sources[1] if takes_map else None,
        loops=tuple(entry.loops.items()),
        stride_x=entry.stride.x,
        stride_y=entry.stride.y,
        dilation_x=entry.dilation.x,
        dilation_y=entry.dilation.y,
        padding=Padding(left=pad.left, right=pad.right, top=pad.top, bottom=pad.bottom),
        precision=_precision(entry, defaults),
    )


def _precision(entry: LayerEntry, defaults: PrecisionEntry) -> Precision:
    """The layer's own value, else the workload's, else the default."""

    def pick(own: int | None, shared: int | None, default: int) -> int:
        return own if own is not None else shared if shared is not None else default

    own, base = entry.precision, DEFAULT_PRECISION
    no_weights = entry.kind.is_pool or entry.kind.joins
    input_bits = pick(own.input_bits, defaults.input_bits, base.input_bits)
    weight_bits = pick(own.weight_bits, defaults.weight_bits, base.weight_bits)
    if entry.kind is LayerKind.MATMUL and len(entry.sources) == 2:
        # Both operands are activations: what the workload says of weights is not for them.
        weight_bits = input_bits if own.weight_bits is None else own.weight_bits
    return Precision(
        partial_bits=pick(own.partial_bits, defaults.partial_bits, base.partial_bits),
        output_bits=pick(own.output_bits, defaults.output_bits, base.output_bits),
        weight_bits=0 if no_weights else weight_bits,
        input_bits=input_bits,
    )


def build_hardware(entry: HardwareEntry, file: str, prefix: str = "") -> Hardware:
    """Check `entry` and return the accelerator.

    Raises ProblemError, its text starting with `file` and the key path after `prefix`.
    """
    check_hardware(entry, file, prefix)
    return Hardware(
        name=entry.name,
        array_dims=tuple(entry.array.items()),
        mac_pj=entry.mac_pj,
        memories=tuple(_memory(memory, entry.array) for memory in entry.memories),
        spatial_rules=tuple(_rule(rule) for rule in entry.spatial),
    )


def _memory(entry: MemoryEntry, array: dict[str, int]) -> MemoryLevel:
    served = tuple(dim for dim in array if entry.serves is None or dim in entry.serves)
    granule = entry.granule_bits or entry.bits_per_cycle
    operands = tuple(_ports(entry, operand) for operand in entry.holds)
    return MemoryLevel(
        name=entry.name,
        size_bits=entry.size_bits,
        read_bits_per_cycle=entry.bits_per_cycle.read,
        write_bits_per_cycle=entry.bits_per_cycle.write,
        read_pj=entry.pj_per_word.read,
        write_pj=entry.pj_per_word.write,
        read_granule_bits=granule.read,
        write_granule_bits=granule.write,
        served_dims=served,
        instances=math.prod(size for dim, size in array.items() if dim not in served),
        shared_read_write_port=operands[0].read_down == operands[0].write_from_above,
        operands=operands,
    )


def _ports(entry: MemoryEntry, operand: Operand) -> OperandPorts:
    """Port names of `operand`: those of the file, or those that the port count implies."""
    outward = operand is Operand.O
    if entry.port_map is not None:
        given = entry.port_map[operand]
        return OperandPorts(
            operand=operand,
            read_down=given.read_down,
            write_from_above=given.write_from_above,
            write_from_below=given.write_from_below,
            read_up=given.read_up,
        )
    names = {
        "rw": ("rw_port_1", "rw_port_1", "rw_port_1", "rw_port_1"),
        "r+w": ("r_port_1", "w_port_1", "w_port_1", "r_port_1"),
        "2r+2w": ("r_port_1", "w_port_1", "w_port_2", "r_port_2"),
    }[entry.ports or "r+w"]
    return OperandPorts(
        operand=operand,
        read_down=names[0],
        write_from_above=names[1],
        write_from_below=names[2] if outward else None,
        read_up=names[3] if outward else None,
    )


def _rule(entry: SpatialEntry) -> SpatialRule:
    return SpatialRule(
        unroll=tuple(
            Unroll(array_dim=dim, loop_dim=unroll.loop_dim, factor=unroll.factor)
            for dim, unroll in entry.unroll.items()
        ),
        kinds=entry.kinds,
        workload=entry.workload,
        layers=entry.layers,
    )
