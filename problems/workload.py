"""Workloads: layers, their loop dimensions and operands, and the graph they form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import networkx as nx

LOOP_DIMS = ("B", "K", "C", "G", "OY", "OX", "FY", "FX")
"""Loop dimensions in declaration order: batch, output channel, input channel,
group (depthwise, grouped, pooling, joins), output rows and columns, filter rows and columns."""


class LayerKind(StrEnum):
    """What a layer computes; decides its operands and which loops touch them."""

    CONV = "conv"
    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    GROUPED_CONV = "grouped_conv"
    """G groups of K output and C input channels each; depthwise is K = C = 1."""
    POOL = "pool"
    MAX_POOL = "max_pool"
    AVERAGE_POOL = "average_pool"
    GLOBAL_POOL = "global_pool"
    """One output pixel from the whole map."""
    ADD = "add"
    CONCAT = "concat"
    """Channels of several maps side by side; nothing is computed."""
    FULLY_CONNECTED = "fully_connected"
    MATMUL = "matmul"
    """Rows (pixels) of C activations times a matrix of C x K: weights, or a second map."""

    @property
    def is_pool(self) -> bool:
        """Whether the layer pools: no weights, channels do not mix."""
        return self in _POOLS

    @property
    def joins(self) -> bool:
        """Whether the layer reads two maps as operands I, X and Y, and nothing else."""
        return self in (LayerKind.ADD, LayerKind.CONCAT)


_POOLS = frozenset(
    {LayerKind.POOL, LayerKind.MAX_POOL, LayerKind.AVERAGE_POOL, LayerKind.GLOBAL_POOL}
)


class Operand(StrEnum):
    """Operands as the memory hierarchy sees them: both inputs of a join are `I`."""

    W = "W"
    I = "I"  # noqa: E741  (the field's name for the activation input)
    O = "O"  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Bits per element of each operand; a partial sum is wider than a final output."""

    partial_bits: int
    output_bits: int
    weight_bits: int
    input_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorIndex:
    """Which loops index a tensor of a layer.

    `direct` dims index it one to one. `tied_x` and `tied_y` say that the axis is
    `stride * output + dilation * filter` and so depends on two loops.
    """

    direct: tuple[str, ...]
    tied_x: bool = False
    tied_y: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """Rows and columns of zeros around a layer's input."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: kind, loop sizes at full feature-map size, strides, precisions.

    `loops` lists the loop dims that the layer uses, in declaration order; sizes are
    those of the whole feature map. `sources` names the producers of its activation
    operands I, in operand order (a join has two); `weight_source` that of the map which a
    matmul of two activations reads as its operand W, None where W is constant or missing.
    """

    name: str
    kind: LayerKind
    sources: tuple[str, ...]
    loops: tuple[tuple[str, int], ...]
    stride_x: int = 1
    stride_y: int = 1
    dilation_x: int = 1
    dilation_y: int = 1
    padding: Padding = field(default_factory=Padding)
    precision: Precision
    weight_source: str | None = None

    @cached_property
    def computes(self) -> bool:
        """Whether the layer does anything; a concat only says where its parts lie."""
        return self.kind is not LayerKind.CONCAT

    @property
    def all_sources(self) -> tuple[str, ...]:
        """Producers of all operands, that of W last."""
        return self.sources if self.weight_source is None else (*self.sources, self.weight_source)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Loop size by dim, 1 for the dims that the layer does not use."""
        return {dim: 1 for dim in LOOP_DIMS} | dict(self.loops)

    @cached_property
    def channel_dims(self) -> tuple[str, ...]:
        """Dims that count output channels: K, G where channels do not mix, or both."""
        return tuple(dim for dim in ("K", "G") if any(dim == used for used, _ in self.loops))

    @cached_property
    def input_channel_dims(self) -> tuple[str, ...]:
        """Dims that count channels of each activation input: C, G, or both."""
        return tuple(dim for dim in ("C", "G") if any(dim == used for used, _ in self.loops))

    @cached_property
    def channels(self) -> int:
        """Output channels, of all groups."""
        return math.prod(self.sizes[dim] for dim in self.channel_dims)

    @cached_property
    def input_channels(self) -> int:
        """Channels of each activation input, of all groups; of a concat's parts together."""
        return math.prod(self.sizes[dim] for dim in self.input_channel_dims)

    @property
    def has_weights(self) -> bool:
        """Whether the layer reads an operand W from memory (pools and joins do not)."""
        return self.precision.weight_bits > 0 and not self.kind.joins

    @cached_property
    def weight_index(self) -> TensorIndex | None:
        """Index of W; a pool indexes a filter of zero bits; a join has none."""
        if self.kind.joins:
            return None
        used = {dim for dim, _ in self.loops}
        wanted = ("FY", "FX") if self.kind.is_pool else ("K", "C", "G", "FY", "FX")
        return TensorIndex(direct=tuple(dim for dim in wanted if dim in used))

    @cached_property
    def input_index(self) -> TensorIndex:
        """Index of each activation input."""
        used = {dim for dim, _ in self.loops}
        tied = "FX" in used
        direct = ["B", *self.input_channel_dims]
        if not tied:
            direct += ["OY", "OX"]
        return TensorIndex(direct=tuple(direct), tied_x=tied, tied_y=tied)

    @cached_property
    def output_index(self) -> TensorIndex:
        """Index of O."""
        return TensorIndex(direct=("B", *self.channel_dims, "OY", "OX"))

    @cached_property
    def weight_volume_bits(self) -> int:
        """Bits of all weights of the layer."""
        index = self.weight_index
        if index is None:
            return 0
        volume = self.precision.weight_bits
        for dim in index.direct:
            volume *= self.sizes[dim]
        return volume


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A DAG of layers fed by one network input.

    `input_name` is the source name that stands for the network input, of
    `input_channels` channels, `input_bits` bits an element and the given size.
    """

    name: str
    input_name: str
    input_channels: int
    input_width: int
    input_height: int
    input_bits: int
    layers: tuple[Layer, ...]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def positions(self) -> dict[str, int]:
        """Positions of the layers by name."""
        return {layer.name: i for i, layer in enumerate(self.layers)}

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the layers that read each layer's output, as whatever operand."""
        found: list[list[int]] = [[] for _ in self.layers]
        for i, layer in enumerate(self.layers):
            for source in layer.all_sources:
                if source != self.input_name:
                    found[self.positions[source]].append(i)
        return tuple(tuple(users) for users in found)

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """Producer -> consumer edges, the network input included."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_node(self.input_name)
        for layer in self.layers:
            graph.add_node(layer.name)
            for source in layer.all_sources:
                graph.add_edge(source, layer.name)
        return graph

    @cached_property
    def is_chain(self) -> bool:
        """Whether every layer reads the one before it and nothing else."""
        previous = self.input_name
        for layer in self.layers:
            if layer.all_sources != (previous,):
                return False
            previous = layer.name
        return True
