"""Small layers of every kind."""

from dataclasses import replace

from problems import Layer, LayerKind
from tests.cost.small_hardware import layer

KINDS = tuple(kind for kind in LayerKind if kind is not LayerKind.CONCAT)
"""Kinds that compute."""
WINDOWED = tuple(k for k in KINDS if k not in (LayerKind.ADD, LayerKind.MATMUL))
"""Kinds that may have a filter of their own."""
LOOPS = {
    LayerKind.CONV: "K C OY OX FY FX",
    LayerKind.POINTWISE: "K C OY OX",
    LayerKind.DEPTHWISE: "G OY OX FY FX",
    LayerKind.GROUPED_CONV: "G K C OY OX FY FX",
    LayerKind.POOL: "G OY OX FY FX",
    LayerKind.MAX_POOL: "G OY OX FY FX",
    LayerKind.AVERAGE_POOL: "G OY OX FY FX",
    LayerKind.GLOBAL_POOL: "G FY FX",
    LayerKind.ADD: "G OY OX",
    LayerKind.FULLY_CONNECTED: "K C",
    LayerKind.MATMUL: "K C OX",
}
REDUCTION = ("C", "FY", "FX")


def of_kind(kind: LayerKind, stride: int = 1, **sizes: int) -> Layer:
    """A layer whose loops all have two steps, but for those given."""
    loops = {dim: sizes.get(dim, 2) for dim in LOOPS[kind].split()}
    for dim in ("FX", "FY"):  # optional for some kinds
        if dim in sizes:
            loops[dim] = sizes[dim]
    made = layer(kind, stride, **loops)
    if kind.is_pool or kind is LayerKind.ADD:
        made = replace(made, precision=replace(made.precision, weight_bits=0))
    sources = ("left", "right") if kind is LayerKind.ADD else ("input",)
    return replace(made, sources=sources)
