"""Stacks as the reference tool builds them: effective sizes, processing order, inputs.

The reference knows no padding: it recomputes the extent of every feature map from what
its consumers need, and everything later uses these effective sizes. A stack is a
convex part of the graph with one output; feature maps that it reads from elsewhere
become inputs of their own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx

from problems.errors import FuseproofError
from problems.workload import Layer, Workload

Extent = tuple[int, int]
"""Columns and rows."""


class ReferenceRuleError(FuseproofError, ValueError):
    """The reference's rules have no answer for this workload, hardware or tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackInput:
    """A feature map that a stack reads: channels, size in pixels, bits an element."""

    name: str
    batch: int
    channels: int
    width: int
    height: int
    element_bits: int

    def bits(self, extent: Extent) -> int:
        """Bits of a tile of `extent` columns and rows."""
        return self.batch * self.channels * extent[0] * extent[1] * self.element_bits


@dataclass(frozen=True, kw_only=True)
class StackGraph:
    """A stack: its inputs, then its layers in processing order, at effective sizes.

    `layers[-1]` is the only output. Processing order is topological by generations:
    first what waits for nothing, then what the previous generation released.
    """

    inputs: tuple[StackInput, ...]
    layers: tuple[Layer, ...]

    @property
    def last(self) -> Layer:
        """The layer that produces the stack's output."""
        return self.layers[-1]

    @cached_property
    def input_by_name(self) -> dict[str, StackInput]:
        """Stack inputs by name."""
        return {source.name: source for source in self.inputs}

    @cached_property
    def layer_by_name(self) -> dict[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def full_sizes(self) -> dict[str, Extent]:
        """Columns and rows of every node's whole output."""
        sizes = {source.name: (source.width, source.height) for source in self.inputs}
        sizes |= {layer.name: (layer.sizes["OX"], layer.sizes["OY"]) for layer in self.layers}
        return sizes

    @cached_property
    def last_consumer(self) -> dict[str, str]:
        """For each producer the layer that reads it last, in processing order."""
        return {source: layer.name for layer in self.layers for source in layer.sources}

    @property
    def weight_bits(self) -> int:
        """Bits of all weights of the stack."""
        return sum(layer.weight_volume_bits for layer in self.layers)


def input_extent(layer: Layer, outputs: Extent) -> Extent:
    """Distinct input columns and rows that `outputs` of `layer` read, halo included.

    Where the stride passes the kernel these are fewer than the span they cover.
    """
    index = layer.input_index
    taps = (layer.sizes["FX"], layer.sizes["FY"])
    strides = (layer.stride_x, layer.stride_y)
    dilations = (layer.dilation_x, layer.dilation_y)
    tied = (index.tied_x, index.tied_y)
    columns, rows = (
        _tied_extent(outputs[axis], taps[axis], strides[axis], dilations[axis])
        if tied[axis]
        else outputs[axis]
        for axis in (0, 1)
    )
    return columns, rows


def input_elements(layer: Layer, outputs: Extent) -> int:
    """Elements of one activation operand of `layer` for a tile of `outputs`."""
    columns, rows = input_extent(layer, outputs)
    return input_elements_per_pixel(layer) * columns * rows


def input_elements_per_pixel(layer: Layer) -> int:
    """Elements of one activation operand per pixel: batch times channels."""
    return layer.sizes["B"] * layer.input_channels


def output_bits(layer: Layer, extent: Extent) -> int:
    """Bits of a tile of the layer's final output."""
    per_pixel = layer.sizes["B"] * layer.channels
    return per_pixel * extent[0] * extent[1] * layer.precision.output_bits


def input_bits(layer: Layer, outputs: Extent) -> int:
    """Bits of all activation operands of `layer` for a tile of `outputs`, halo included."""
    operands = len(layer.sources) if layer.computes else 1  # a concat's parts make one map
    return operands * input_elements(layer, outputs) * layer.precision.input_bits


def resized(layer: Layer, extent: Extent) -> Layer:
    """The layer with another number of output columns and rows."""
    new = {"OX": extent[0], "OY": extent[1]}
    return replace(layer, loops=tuple((dim, new.get(dim, size)) for dim, size in layer.loops))


def processing_order(workload: Workload) -> tuple[str, ...]:
    """All nodes of a workload, the network input included, in processing order."""
    return tuple(nx.topological_sort(workload.graph))


def whole_graph(workload: Workload) -> StackGraph:
    """The whole workload as one stack.

    Raises
    ------
    ReferenceRuleError
        If more than one layer has no consumer.
    """
    order = processing_order(workload)
    sinks = [name for name in order if workload.graph.out_degree(name) == 0]
    if len(sinks) != 1:
        raise ReferenceRuleError(
            f"workload {workload.name} has several outputs: {', '.join(sinks)}"
        )
    layers = [workload.by_name[name] for name in order if name != workload.input_name]
    # The only sink of a graph need not come last within its generation order.
    layers.sort(key=lambda layer: layer.name == sinks[0])
    return StackGraph(inputs=(network_input(workload),), layers=tuple(layers))


def network_input(workload: Workload) -> StackInput:
    """The network input as a stack input."""
    return StackInput(
        name=workload.input_name,
        batch=workload.layers[0].sizes["B"],
        channels=workload.input_channels,
        width=workload.input_width,
        height=workload.input_height,
        element_bits=workload.input_bits,
    )


def build_stack(workload: Workload, names: Collection[str]) -> StackGraph:
    """Build the stack of the named layers of a workload at effective sizes.

    An input that several layers read has the fewest channels and the most pixels that
    any of them asks for, and the widest element.

    Raises
    ------
    ReferenceRuleError
        If the layers have several outputs.
    ValueError
        If a name is unknown.
    """
    unknown = sorted(set(names) - set(workload.by_name))
    if unknown:
        raise ValueError(f"workload {workload.name} has no layer {', '.join(unknown)}")
    graph: nx.DiGraph[str] = nx.DiGraph()
    members = [layer for layer in workload.layers if layer.name in names]
    if any(workload.input_name in layer.sources for layer in members):
        graph.add_node(workload.input_name)
    graph.add_nodes_from(layer.name for layer in members)
    graph.add_edges_from((source, layer.name) for layer in members for source in layer.sources)
    sinks = [name for name in graph if graph.out_degree(name) == 0]
    if len(sinks) != 1:
        raise ReferenceRuleError(
            f"stack of {', '.join(names)} has several outputs: {', '.join(sinks)}"
        )
    order = list(nx.topological_sort(graph))
    layers = [workload.by_name[name] for name in order if name in workload.by_name]
    layers = [layer for layer in layers if layer.name in names]
    layers.sort(key=lambda layer: layer.name == sinks[0])
    inputs = tuple(
        network_input(workload)
        if name == workload.input_name
        else _input_read_by(workload, name, members)
        for name in order
        if name not in names
    )
    return StackGraph(inputs=inputs, layers=tuple(layers))


def _input_read_by(workload: Workload, name: str, members: list[Layer]) -> StackInput:
    readers = [layer for layer in members if name in layer.sources]
    extents = [input_extent(layer, (layer.sizes["OX"], layer.sizes["OY"])) for layer in readers]
    return StackInput(
        name=name,
        batch=max(layer.sizes["B"] for layer in readers),
        channels=min(
            layer.input_channels if layer.computes else workload.by_name[name].channels
            for layer in readers
        ),
        width=max(columns for columns, _ in extents),
        height=max(rows for _, rows in extents),
        element_bits=max(layer.precision.input_bits for layer in readers),
    )


def _tied_extent(outputs: int, taps: int, stride: int, dilation: int) -> int:
    if dilation != 1:
        return stride * (outputs - 1) + dilation * (taps - 1) + 1
    return outputs * taps - max(0, taps - stride) * (outputs - 1)
