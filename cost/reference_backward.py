"""Back-propagation of a tile through a stack, in the reference tool's visiting order.

From the tile of the stack's output follow the tiles of every layer before it, the
overlap with the neighbouring tiles, and how many columns and rows of each feature map
must be kept because a neighbour reads them later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cost.reference_graph import Extent, StackGraph, input_extent, resized, whole_graph
from problems.workload import Layer, Workload

MAX_VISITS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardPass:
    """What a tile of the stack's output needs of every node.

    Attributes
    ----------
    sizes
        Columns and rows that each node, stack inputs included, produces for the tile.
    overlap
        Columns and rows of operand i of a layer that neighbours have read already, by
        (layer, i).
    kept
        Columns and rows of each producer that its neighbours to the right and below
        will ask for again.
    """

    sizes: dict[str, Extent]
    overlap: dict[tuple[str, int], Extent]
    kept: dict[str, Extent]


@dataclass(frozen=True, slots=True)
class _Demand:
    """Along one axis: fresh input extent, overlap, and lag behind the stack's output."""

    extent: int
    overlap: int
    lag: int


def tile_sizes(
    stack: StackGraph, tile: Extent, *, reuse_columns: bool, reuse_rows: bool
) -> dict[str, Extent]:
    """Columns and rows that each node, stack inputs included, produces for an output tile.

    `reuse_columns` / `reuse_rows` say that the overlap on that axis comes from a cache
    instead of being computed. A map with several consumers is as large as the largest
    of them needs.
    """
    reuse = (reuse_columns, reuse_rows)
    sizes: dict[str, Extent] = {stack.last.name: tile}
    for layer in reversed(stack.layers):
        x, y = (_demand(layer, axis, sizes[layer.name], 0, reuse[axis]) for axis in (0, 1))
        for producer in layer.sources:
            before = sizes.get(producer, (0, 0))
            sizes[producer] = (max(before[0], x.extent), max(before[1], y.extent))
        matrix = layer.weight_source
        if matrix is not None and matrix in stack.layer_by_name:
            # A map that a matmul takes as its matrix is needed whole.
            before, whole = sizes.get(matrix, (0, 0)), stack.full_sizes[matrix]
            sizes[matrix] = (max(before[0], whole[0]), max(before[1], whole[1]))
    return sizes


def backward_pass(
    stack: StackGraph, tile: Extent, *, reuse_columns: bool, reuse_rows: bool
) -> BackwardPass:
    """Back-propagate a tile of the stack's output; see `tile_sizes` for the parameters.

    How far the columns of a node run ahead of the output decides what is kept. The
    reference visits a node once per path to the output and lets the last visit count
    (quirk Q3), in time that doubles with every nested branch. Past `MAX_VISITS` visits,
    where it has no answer to reproduce, one pass in reverse order decides instead.
    """
    sizes = tile_sizes(stack, tile, reuse_columns=reuse_columns, reuse_rows=reuse_rows)
    overlap: dict[tuple[str, int], Extent] = {}
    for layer in stack.layers:
        x, y = (_demand(layer, axis, sizes[layer.name], 0, False).overlap for axis in (0, 1))
        overlap |= {(layer.name, position): (x, y) for position in range(len(layer.sources))}
    demands = _demands_as_visited(stack, tile, (reuse_columns, reuse_rows))
    if demands is None:
        demands = _demands_in_one_pass(stack, sizes)
    kept = {
        producer: (_kept([x for x, _ in of.values()]), _kept([y for _, y in of.values()]))
        for producer, of in demands.items()
    }
    return BackwardPass(sizes=sizes, overlap=overlap, kept=kept)


def effective_workload(workload: Workload) -> Workload:
    """Set every feature map to the extent that its consumers need.

    Starts from the declared size of the last layer; declared sizes of all other layers
    and of the network input are overwritten, as in the reference (quirk Q1).
    """
    stack = whole_graph(workload)
    output = stack.full_sizes[stack.last.name]
    sizes = tile_sizes(stack, output, reuse_columns=False, reuse_rows=False)
    declared = (workload.input_width, workload.input_height)
    width, height = sizes.get(workload.input_name, declared)
    return replace(
        workload,
        input_width=width,
        input_height=height,
        layers=tuple(resized(layer, sizes[layer.name]) for layer in workload.layers),
    )


_Demands = dict[str, dict[str, tuple[_Demand, _Demand]]]
"""What each consumer of a producer asks of it, on both axes: [producer][consumer]."""


def _demands_as_visited(
    stack: StackGraph, tile: Extent, reuse: tuple[bool, bool]
) -> _Demands | None:
    """Demands after the reference's depth-first visits; `None` if there are too many."""
    sizes = dict(stack.full_sizes)
    sizes[stack.last.name] = tile
    need: dict[str, Extent] = {}
    demands: _Demands = {}
    pending: list[tuple[str, Extent]] = [(stack.last.name, (0, 0))]
    for _ in range(MAX_VISITS):
        if not pending:
            return demands
        name, lag = pending.pop()
        layer = stack.layer_by_name.get(name)
        if layer is None:
            continue
        for producer in layer.sources:
            x, y = (_demand(layer, axis, sizes[name], lag[axis], reuse[axis]) for axis in (0, 1))
            before = need.get(producer, (0, 0))
            need[producer] = (max(before[0], x.extent), max(before[1], y.extent))
            sizes[producer] = need[producer]
            known = demands.setdefault(producer, {})
            known[name] = (x, y)
            pending.append((producer, _furthest(known)))
    return None


def _demands_in_one_pass(stack: StackGraph, sizes: dict[str, Extent]) -> _Demands:
    """Demands where every consumer is settled before its producers."""
    demands: _Demands = {}
    for layer in reversed(stack.layers):
        lag = _furthest(demands.get(layer.name, {}))
        x, y = (_demand(layer, axis, sizes[layer.name], lag[axis], False) for axis in (0, 1))
        for producer in layer.sources:
            demands.setdefault(producer, {})[layer.name] = (x, y)
    return demands


def _furthest(demands: dict[str, tuple[_Demand, _Demand]]) -> Extent:
    """Lag of a node on both axes: that of the consumer furthest ahead of the output."""
    columns = max((x.lag for x, _ in demands.values()), default=0)
    return columns, max((y.lag for _, y in demands.values()), default=0)


def _demand(layer: Layer, axis: int, outputs: Extent, lag: int, reuse: bool) -> _Demand:
    """What one activation operand of `layer` asks of its producer along one axis."""
    extent = input_extent(layer, outputs)[axis]
    tied = (layer.input_index.tied_x, layer.input_index.tied_y)[axis]
    stride = (layer.stride_x, layer.stride_y)[axis] if tied else 1
    beyond = extent - stride * outputs[axis]
    overlap = max(0, beyond)
    new_lag = stride * lag - (beyond + stride - 1) // 2 + overlap
    return _Demand(extent - overlap if reuse else extent, overlap, new_lag)


def _kept(demands: list[_Demand]) -> int:
    """From the oldest pixel that any consumer still reads to the newest one produced."""
    return max(d.lag for d in demands) - min(d.lag - d.overlap for d in demands)
