"""What memories must hold at every step of a scheduled stack, against their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cost.recost_layer import MappedLayerTile, memory_index, top_memory
from cost.recost_tiles import (
    AxisColumn,
    Edge,
    StackGeometry,
    edge_bits,
    edge_channels,
    map_bits,
    operand_span,
    tile_format,
    walk_axis,
)
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, StackPlan, TilePlan
from problems.hardware import Hardware
from problems.workload import Layer, Operand, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class StackView:
    """A scheduled stack beside its layers, its tiles, and what leaves while it runs."""

    workload: Workload
    hardware: Hardware
    rules: RuleSet
    plan: StackPlan
    layers: tuple[Layer, ...]
    exports: frozenset[str]
    geometry: StackGeometry

    @property
    def dram(self) -> str:
        """Name of the outermost memory."""
        return self.hardware.memories[top_memory(self.hardware, Operand.I)].name

    def whole_map(self, name: str) -> str | None:
        """Memory in which the whole map `name` lies; None if the stack makes it."""
        if name in self.plan.layers:
            return None
        return self.plan.source if name == self.plan.carried else self.dram

    def axes(self, tile: TilePlan) -> tuple[AxisColumn, AxisColumn]:
        """Column and row of a kind of tile."""
        return (
            self.geometry.columns[tile.columns[0][0]],
            self.geometry.rows[tile.rows[0][0]],
        )

    def readers(self, name: str) -> list[int]:
        """Places in the stack of the layers that read a map."""
        return [n for n, layer in enumerate(self.layers) if name in layer.sources]


def tile_place(step: LayerTilePlan, layer: Layer, source: str) -> str:
    """Memory in which the producer's tile of a map is for a layer's copy phase."""
    if layer.sources.index(source) == 0:
        return step.producer
    assert step.second is not None
    return step.second


def fetching_layer(view: StackView, steps: Mapping[str, LayerTilePlan], name: str) -> str | None:
    """The layer with whose copies a map's tile is fetched: its first reader that runs."""
    running = [view.layers[n].name for n in view.readers(name) if view.layers[n].name in steps]
    return running[0] if running else None


def made_bits(view: StackView, tile: TilePlan, name: str) -> int:
    """Bits of a map that one tile makes or fetches."""
    x, y = view.axes(tile)
    if name in view.plan.layers:
        width, height = x.outputs[name], y.outputs[name]
    else:
        edge = (name, view.layers[view.readers(name)[0]].name)
        width, height = x.edges[edge].fresh, y.edges[edge].fresh
    channels, bits = tile_format(view.workload, view.plan.layers, name, view.rules)
    return channels * width * height * bits


def waiting_bits(view: StackView, tile: TilePlan, n: int, *, landing: bool) -> dict[int, int]:
    """Bits by memory of tiles that wait for readers after layer n while it runs.

    A tile made in the stack waits from the layer after its own, one from outside from its
    first reader on, and neither while the last reader runs. `landing`: before layer n, when
    what it fetches itself is not there yet.
    """
    bits: dict[int, int] = {}
    steps = tile.by_layer
    names = dict.fromkeys(source for layer in view.layers for source in layer.sources)
    for name in names:
        readers = view.readers(name)
        inside = name in view.plan.layers
        start = view.plan.layers.index(name) + 1 if inside else readers[0]
        if not start <= n < readers[-1]:
            continue
        amount = made_bits(view, tile, name)
        if amount == 0:
            continue
        if inside:
            place = steps[name].output
        else:
            fetcher = fetching_layer(view, steps, name)
            if fetcher is None:
                continue
            since = view.plan.layers.index(fetcher)
            if since > n or (landing and since == n):
                continue
            place = tile_place(steps[fetcher], view.workload.by_name[fetcher], name)
            if place == view.whole_map(name):
                continue
        memory = memory_index(view.hardware, place)
        bits[memory] = bits.get(memory, 0) + amount
    return bits


def joint_overflows(
    view: StackView, mapped: Mapping[tuple[int, str], MappedLayerTile]
) -> Iterator[str]:
    """Name every step at which everything alive passes a memory's size.

    `mapped[kind, layer]` are the stack's mapped layer-tiles.
    """
    hardware, plan = view.hardware, view.plan
    resting = standing_bits(view)
    dram = {top_memory(hardware, operand) for operand in Operand}
    for kind, tile in enumerate(plan.tiles):
        for step in tile.layers:
            n = plan.layers.index(step.layer)
            layer_tile = mapped.get((kind, step.layer))
            if layer_tile is None:
                continue
            in_place = _in_place(view, layer_tile, tile, n)
            own = _own_weights(view, n)
            waiting = waiting_bits(view, tile, n, landing=False)
            for memory, level in enumerate(hardware.memories):
                if memory in dram:
                    continue
                held = layer_tile.total_bits(memory) + resting.get(memory, 0)
                held += waiting.get(memory, 0)
                held -= in_place.get(memory, 0) + own.get(memory, 0)
                if view.layers[n].computes:
                    # A mapping has to fit by itself, padding included, wherever its maps lie.
                    held = max(held, layer_tile.total_bits(memory))
                if held > level.size_bits:
                    yield (
                        f"tiles of columns {tile.columns} and rows {tile.rows}: layer "
                        f"{step.layer} needs {held} bits of {level.name}, it has "
                        f"{level.size_bits}"
                    )
            yield from _landing_overflow(view, tile, step, n, resting)


def _landing_overflow(
    view: StackView, tile: TilePlan, step: LayerTilePlan, n: int, resting: Mapping[int, int]
) -> Iterator[str]:
    """Tiles from outside land in memories beside all that stays there."""
    waiting = waiting_bits(view, tile, n, landing=True)
    landed: dict[int, int] = {}
    for source in view.layers[n].sources:
        whole = view.whole_map(source)
        if whole is None or fetching_layer(view, tile.by_layer, source) != step.layer:
            continue
        place = tile_place(step, view.layers[n], source)
        landing = memory_index(view.hardware, place)
        if place == whole or landing == top_memory(view.hardware, Operand.I):
            continue
        landed[landing] = landed.get(landing, 0) + made_bits(view, tile, source)
    for landing, bits in landed.items():
        held = bits + resting.get(landing, 0) + waiting.get(landing, 0)
        memory = view.hardware.memories[landing]
        if bits and held > memory.size_bits:
            yield (
                f"tiles of columns {tile.columns} and rows {tile.rows}: the input tile needs "
                f"{held} bits of {memory.name}, it has {memory.size_bits}"
            )


def standing_bits(view: StackView) -> dict[int, int]:
    """Bits by memory index that stay through a stack: weights, caches, whole maps."""
    bits: dict[int, int] = {}

    def add(memory: str, amount: int) -> None:
        index = memory_index(view.hardware, memory)
        bits[index] = bits.get(index, 0) + amount

    for layer, memory in zip(view.layers, view.plan.weights, strict=True):
        if memory is not None:
            add(memory, layer.weight_volume_bits)
    for layer in view.layers:
        for which, bits_of in (("h", h_cache_bits), ("v", v_cache_bits)):
            for memory in cache_memories(view.plan, layer.name, which):
                for source in layer.sources:
                    if view.whole_map(source) != memory:
                        add(memory, bits_of(view, (source, layer.name)))
    if view.plan.carried is not None:
        add(view.plan.source, map_bits(view.workload, view.plan.carried))
    add(view.plan.target, map_bits(view.workload, view.plan.layers[-1]))
    return bits


def cache_memories(plan: StackPlan, layer: str, which: str) -> set[str]:
    """Memories that hold the H or V caches of a layer's operands."""
    used: set[str] = set()
    for tile in plan.tiles:
        step = tile.by_layer.get(layer)
        if step is None:
            continue
        names = (step.h_use, step.h_make) if which == "h" else (step.v,)
        used.update(name for name in names if name is not None)
    return used


def h_cache_bits(view: StackView, edge: Edge) -> int:
    """Largest block of columns that a cache on an edge holds."""
    columns = max(c.edges[edge].stored for c in view.geometry.columns)
    rows = max(r.edges[edge].extent - r.edges[edge].reused for r in view.geometry.rows)
    return edge_channels(view.workload, edge, view.rules) * columns * rows * _data_bits(view, edge)


def v_cache_bits(view: StackView, edge: Edge) -> int:
    """Rows that a cache on an edge holds over the whole width that the layer reads."""
    rows = max(r.edges[edge].stored for r in view.geometry.rows)
    beside = max(c.edges[edge].stored for c in view.geometry.columns)
    width = _full_width(view, edge) + beside
    return edge_channels(view.workload, edge, view.rules) * rows * width * _data_bits(view, edge)


def _data_bits(view: StackView, edge: Edge) -> int:
    return view.workload.by_name[edge[1]].precision.input_bits


def _full_width(view: StackView, edge: Edge) -> int:
    layer = view.workload.by_name[edge[1]]
    whole = (0, layer.sizes["OX"])
    low, high = operand_span(view.workload, layer, edge[0], "X", whole, view.rules)[0]
    return high - low


def _own_weights(view: StackView, position: int) -> dict[int, int]:
    """The layer's resident weights: the mapping counts them already."""
    memory = view.plan.weights[position]
    if memory is None:
        return {}
    return {memory_index(view.hardware, memory): view.layers[position].weight_volume_bits}


def _in_place(
    view: StackView, layer_tile: MappedLayerTile, tile: TilePlan, n: int
) -> dict[int, int]:
    """Bits of a tile that lie inside a whole feature map which is counted already."""
    layer = view.layers[n]
    step = tile.by_layer[layer.name]
    inside: dict[int, int] = {}
    ends = n == len(view.layers) - 1 and step.output == view.plan.target
    if ends and not layer.computes:
        # A concat's tile is that part of the map after the stack, and nothing beside it.
        memory = memory_index(view.hardware, step.output)
        return {memory: layer_tile.total_bits(memory)}
    tensors = [name for name in layer_tile.held_bits if name not in ("O", "W")]
    for source, tensor in zip(layer.sources, sorted(tensors), strict=True):
        place = tile_place(step, layer, source)
        if step.operand == place == view.whole_map(source):
            memory = memory_index(view.hardware, step.operand)
            held = layer_tile.held_bits[tensor][memory]
            inside[memory] = inside.get(memory, 0) + held
    if ends:
        memory = memory_index(view.hardware, step.output)
        # The map keeps finished outputs; wider partial sums need room beside it.
        inside[memory] = inside.get(memory, 0) + made_bits(view, tile, layer.name)
    return inside


def separate_overflows(
    view: StackView, mapped: Mapping[tuple[int, str], MappedLayerTile]
) -> Iterator[str]:
    """Name what the reference's rules forbid: they look at one kind of data at a time."""
    hardware, plan = view.hardware, view.plan
    for kind, tile in enumerate(plan.tiles):
        x, y = view.axes(tile)
        for layer, step in zip(view.layers, tile.layers, strict=True):
            edges = [(source, layer.name) for source in layer.sources]
            inputs = sum(
                edge_bits(view.workload, plan.layers, e, x, y, view.rules).input_bits for e in edges
            )
            outputs = made_bits(view, tile, layer.name)
            shared = inputs if step.operand == step.output else 0
            for what, memory_name, demand in (
                ("operand", step.operand, inputs),
                ("output", step.output, outputs + shared),
            ):
                size = hardware.memories[memory_index(hardware, memory_name)].size_bits
                if demand > size:
                    yield (
                        f"layer {step.layer}: {what} needs {demand} bits of {memory_name} ({size})"
                    )
            layer_tile = mapped.get((kind, layer.name))
            for memory, level in enumerate(hardware.memories):
                held = layer_tile.total_bits(memory) if layer_tile else 0
                if held > level.size_bits:
                    yield (
                        f"layer {step.layer}: the mapping holds {held} bits in {level.name}, "
                        f"it has {level.size_bits}"
                    )
        yield from _reference_cache_overflows(view, tile)
    weights: dict[str, int] = {}
    for layer, resident in zip(view.layers, plan.weights, strict=True):
        if resident is not None:
            weights[resident] = weights.get(resident, 0) + layer.weight_volume_bits
    for resident, bits in weights.items():
        size = hardware.memories[memory_index(hardware, resident)].size_bits
        if bits > size:
            yield f"weights need {bits} bits of {resident}, it has {size}"


def _reference_cache_overflows(view: StackView, tile: TilePlan) -> Iterator[str]:
    """H caches are judged at the tile that reads them, V caches at the last tile.

    Corners count once where both lie in one memory. A lone column keeps nothing, but the
    reference has a memory for it all the same: the lowest with room for live data.
    """
    alive = live_peak_bits(view, tile)
    held: dict[str, int] = {}
    columns, rows = view.geometry.columns, view.geometry.rows
    is_last = _holds(tile.columns, len(columns) - 1) and _holds(tile.rows, len(rows) - 1)
    # The reference sizes caches as if rows were always kept.
    tall = walk_axis(
        view.workload, view.plan.layers, "Y", view.plan.tile_y, True, view.exports, view.rules
    )[tile.rows[0][0]]
    x, _ = view.axes(tile)
    lone = _lowest_shared(view.hardware, alive) if len(columns) == 1 else None
    for layer, step in zip(view.layers, tile.layers, strict=True):
        beside = step.h_use or lone
        for source in layer.sources:
            edge = (source, layer.name)
            across, down = x.edges[edge], tall.edges[edge]
            width = edge_channels(view.workload, edge, view.rules) * layer.precision.input_bits
            if step.h_use is not None and across.reused:
                bits = width * across.overlap * down.extent
                held[step.h_use] = held.get(step.h_use, 0) + bits
            if step.v is not None and is_last and len(rows) > 1:
                corner = width * across.overlap * down.overlap if beside == step.v else 0
                bits = width * _full_width(view, edge) * down.overlap - corner
                held[step.v] = held.get(step.v, 0) + bits
    for memory, bits in held.items():
        size = view.hardware.memories[memory_index(view.hardware, memory)].size_bits
        if alive + bits > size:
            yield (
                f"tiles of columns {tile.columns} and rows {tile.rows}: live data and caches "
                f"need {alive + bits} bits of {memory}, it has {size}"
            )


def _lowest_shared(hardware: Hardware, bits: int) -> str | None:
    """The lowest single memory for inputs and outputs that holds so many bits."""
    for memory in hardware.chains[Operand.O]:
        level = hardware.memories[memory]
        if level.instances == 1 and level.holds(Operand.I) and level.size_bits >= bits:
            return level.name
    return None


def _holds(runs: tuple[tuple[int, int], ...], position: int) -> bool:
    return any(first <= position < first + count for first, count in runs)


def live_peak_bits(view: StackView, tile: TilePlan) -> int:
    """Peak of the feature data of one tile, walking the stack's layers.

    Maps from outside are there from the beginning, each map until its last reader has run.
    While a layer runs, its operands stand for the tiles that they come from.
    """
    names = view.plan.layers
    x, y = view.axes(tile)
    sources = {source for layer in view.layers for source in layer.sources}
    there = {name: made_bits(view, tile, name) for name in sources if name not in names}
    peak = sum(there.values())
    for position, layer in enumerate(view.layers):
        made = made_bits(view, tile, layer.name)
        operands = sum(
            edge_bits(view.workload, names, (source, layer.name), x, y, view.rules).input_bits
            for source in layer.sources
        )
        others = sum(bits for name, bits in there.items() if name not in layer.sources)
        peak = max(peak, others + operands + made, sum(there.values()) + made)
        there[layer.name] = made
        there = {
            name: bits
            for name, bits in there.items()
            if name == layer.name or view.readers(name)[-1] > position
        }
    return peak
