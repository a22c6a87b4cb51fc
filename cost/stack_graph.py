"""The graph of a stack: its layers, what they read, and what leaves while it runs.

Tensors of a stack are numbered: 0 .. n - 1 are the outputs of its n layers, in order; from n
on come the tensors from outside, each once, in the order of their first readers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from cost.branch_lags import kept_positions
from cost.rules import RuleSet
from problems.workload import Layer, LayerKind, Workload

NO_BORDER = 1 << 40
"""Stands for the size of a map whose border is not looked at."""
NETWORK_INPUT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StackTensor:
    """A feature map that a stack reads or makes: its producer's position, and its size."""

    producer: int
    """Position in the workload, or `NETWORK_INPUT`."""
    channels: int
    width: int
    height: int
    element_bits: int

    @property
    def map_bits(self) -> int:
        """Bits of the whole map; channels count the batch."""
        return self.channels * self.width * self.height * self.element_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisRead:
    """What `b - a` outputs of a layer read of a tensor along one axis.

    Outputs [a, b) need positions [stride * a - offset, stride * (b - 1) - offset + window),
    clipped to the map of `size` positions. `direct`: the layer's loops see one position an
    output, whatever the stride.
    """

    tensor: int
    stride: int
    window: int
    offset: int
    size: int
    direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEdge:
    """A tensor on its way into a layer: `layer` and `operand` count from 0.

    `fetches`: the tensor comes from outside and this is its first reader, which fetches it.
    `last`: no later layer of the stack reads it.
    """

    layer: int
    operand: int
    tensor: int
    x: AxisRead
    y: AxisRead
    channels: int
    fetches: bool
    last: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class StackGraph:
    """Layers of a stack (`positions` in the workload, ascending), tensors and edges.

    `exports`: layers of the stack, the last one excepted, whose maps are read outside of it;
    they are written out while it runs. `kept` [tensor, (columns, rows)]: what the reference
    keeps of each tensor for the next tile; None if tiles are places, not only sizes.
    """

    positions: tuple[int, ...]
    layers: tuple[Layer, ...]
    tensors: tuple[StackTensor, ...]
    edges: tuple[StackEdge, ...]
    exports: tuple[int, ...]
    kept: tuple[tuple[int, int], ...] | None

    @cached_property
    def edges_into(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the edges into each layer."""
        return _grouped([edge.layer for edge in self.edges], len(self.layers))

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the edges out of each tensor, in the order of the layers."""
        return _grouped([edge.tensor for edge in self.edges], len(self.tensors))

    @cached_property
    def waits(self) -> tuple[range, ...]:
        """Layers during which each tensor's tile keeps a room of its own for later readers.

        Neither while it is made nor while its last reader runs, whose operand it is part of.
        """
        spans = []
        for t, readers in enumerate(self.readers):
            layers = [self.edges[i].layer for i in readers]
            start = t + 1 if t < len(self.layers) else min(layers, default=0)
            spans.append(range(start, max(layers, default=start)))
        return tuple(spans)

    @cached_property
    def outside(self) -> tuple[int, ...]:
        """Numbers of the tensors from outside."""
        return tuple(range(len(self.layers), len(self.tensors)))


def _grouped(keys: list[int], count: int) -> tuple[tuple[int, ...], ...]:
    """For each of `count` keys the places where it stands, in one pass: stacks may be deep."""
    found: list[list[int]] = [[] for _ in range(count)]
    for place, key in enumerate(keys):
        found[key].append(place)
    return tuple(tuple(places) for places in found)


def consumers(workload: Workload) -> tuple[tuple[int, ...], ...]:
    """Positions of the layers that read each layer's output, as whatever operand."""
    return workload.consumers


def stack_graph(
    workload: Workload,
    positions: tuple[int, ...],
    rules: RuleSet,
    exports: tuple[int, ...] | None = None,
) -> StackGraph:
    """Build the graph of the layers at `positions`, the last of which ends the stack.

    `exports` (positions) replaces what the workload says leaves while the stack runs.
    """
    layers = tuple(workload.layers[p] for p in positions)
    number = {p: e for e, p in enumerate(positions)}
    if exports is None:
        users = consumers(workload)
        exports = tuple(p for p in positions[:-1] if any(u not in number for u in users[p]))
    tensors = [_tensor(workload, p) for p in positions]
    numbers = dict(number)
    last_reader = {source: e for e, layer in enumerate(layers) for source in layer.sources}
    fetched: set[int] = set()
    edges: list[StackEdge] = []
    for e, layer in enumerate(layers):
        for operand, source in enumerate(layer.sources):
            outside = source == workload.input_name
            producer = NETWORK_INPUT if outside else workload.positions[source]
            if producer not in numbers:
                numbers[producer] = len(tensors)
                tensors.append(_tensor(workload, producer))
            t = numbers[producer]
            fetches = producer not in number and t not in fetched
            fetched.add(t)
            edges.append(
                StackEdge(
                    layer=e,
                    operand=operand,
                    tensor=t,
                    x=_axis_read(layer, "X", t, tensors[t].width, rules),
                    y=_axis_read(layer, "Y", t, tensors[t].height, rules),
                    channels=_read_channels(layer, tensors[t], rules),
                    fetches=fetches,
                    last=last_reader[source] == e,
                )
            )
    kept = None
    if not rules.true_branches:
        tensors[len(layers) :] = [
            _as_read(tensor, [edge for edge in edges if edge.tensor == t], layers)
            for t, tensor in enumerate(tensors)
            if t >= len(layers)
        ]
        kept = _kept(edges, len(layers), len(tensors))
    return StackGraph(
        positions=positions,
        layers=layers,
        tensors=tuple(tensors),
        edges=tuple(edges),
        exports=tuple(number[p] for p in exports if p in number),
        kept=kept,
    )


def _read_channels(layer: Layer, tensor: StackTensor, rules: RuleSet) -> int:
    """Channels that move on an edge, times the batch; the reference trusts the reader."""
    wanted = layer.sizes["B"] * layer.input_channels
    return min(wanted, tensor.channels) if rules.true_branches else wanted


def _as_read(tensor: StackTensor, edges: list[StackEdge], layers: tuple[Layer, ...]) -> StackTensor:
    """A tensor from outside as the reference has it: what the layers of the stack ask for."""
    if tensor.producer == NETWORK_INPUT:
        return tensor
    return replace(
        tensor,
        channels=min(edge.channels for edge in edges),
        element_bits=max(layers[edge.layer].precision.input_bits for edge in edges),
    )


def _kept(edges: list[StackEdge], n_layers: int, n_tensors: int) -> tuple[tuple[int, int], ...]:
    ways = [
        kept_positions(
            [(edge.layer, edge.tensor, read.stride, read.window) for edge, read in reads],
            n_layers,
            n_tensors,
        )
        for reads in ([(e, e.x) for e in edges], [(e, e.y) for e in edges])
    ]
    return tuple(zip(*ways, strict=True))


def _tensor(workload: Workload, producer: int) -> StackTensor:
    if producer == NETWORK_INPUT:
        return StackTensor(
            producer=producer,
            channels=workload.input_channels,
            width=workload.input_width,
            height=workload.input_height,
            element_bits=workload.input_bits,
        )
    layer = workload.layers[producer]
    return StackTensor(
        producer=producer,
        channels=layer.sizes["B"] * layer.channels,
        width=layer.sizes["OX"],
        height=layer.sizes["OY"],
        element_bits=layer.precision.output_bits,
    )


def _axis_read(layer: Layer, axis: str, tensor: int, size: int, rules: RuleSet) -> AxisRead:
    total = layer.sizes["O" + axis]
    if layer.input_index.tied_x:
        stride = layer.stride_x if axis == "X" else layer.stride_y
        dilation = layer.dilation_x if axis == "X" else layer.dilation_y
        taps = layer.sizes["F" + axis]
        pad = layer.padding.left if axis == "X" else layer.padding.top
        if not rules.true_spans:
            # The reference counts distinct pixels: gaps between windows do not exist.
            stride = min(stride, taps)
        return AxisRead(
            tensor=tensor,
            stride=stride,
            window=dilation * (taps - 1) + 1,
            offset=pad if rules.true_padding else 0,
            size=size if rules.true_padding else NO_BORDER,
            direct=False,
        )
    if not rules.true_branches:
        return AxisRead(tensor=tensor, stride=1, window=1, offset=0, size=NO_BORDER, direct=True)
    stride, offset = 1, 0
    if layer.kind is LayerKind.ADD and size != total:
        # A shortcut that joins a larger map reads every n-th position from its middle.
        stride = (size - 1) // (total - 1) if total > 1 else 1
        offset = -((size - (stride * (total - 1) + 1)) // 2)
    return AxisRead(
        tensor=tensor, stride=max(1, stride), window=1, offset=offset, size=size, direct=True
    )
