"""Energy, latency and memory use of one layer-tile under one temporal mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cost.accesses import access_pj, link_accesses
from cost.latency import (
    double_buffer_flags,
    loading_cycles,
    offloading_cycles,
    stall_cycles,
)
from cost.links import (
    MAC_BOUNDARY,
    Boundary,
    Direction,
    Link,
    boundaries,
    links,
    reduces_above,
    sums_cross,
)
from cost.mapping import LayerTile, TemporalMapping
from cost.rules import RuleSet
from cost.tile_model import TensorModel, TileModel, build_tile_model
from problems.hardware import Hardware, Unroll


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTileCost:
    """Cost of a mapped layer-tile: pJ, cycles, words and bits.

    `words` counts full-word accesses by (tensor, level, direction). `held_bits` says what
    one instance of each memory (index into the hardware's memories) holds at most.
    `latency_cycles` adds up computing, stalls and loading; offloading only where the rules
    charge the last drain.
    """

    energy_pj: float
    mac_pj: float
    level_pj: Mapping[tuple[str, int], float]
    words: Mapping[tuple[str, int, Direction], float]
    ideal_cycles: int
    temporal_cycles: int
    stall_cycles: int
    loading_cycles: int
    offloading_cycles: int
    latency_cycles: int
    held_bits: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """A memory that would have to hold more than it may: bits of one instance."""

    memory: int
    held_bits: int
    budget_bits: int


def evaluate_layer_tile(
    hardware: Hardware,
    unroll: Sequence[Unroll],
    layer_tile: LayerTile,
    mapping: TemporalMapping,
    rules: RuleSet,
) -> LayerTileCost:
    """Cost `mapping` of a layer-tile; whether it fits is not checked (see `overflows`).

    Raises ValueError if the mapping does not cover the layer-tile's temporal loops.
    """
    return evaluate(build_tile_model(hardware, unroll, layer_tile, rules), mapping)


def overflows(
    hardware: Hardware,
    unroll: Sequence[Unroll],
    layer_tile: LayerTile,
    mapping: TemporalMapping,
    rules: RuleSet,
    budgets_bits: Mapping[int, int] | None = None,
) -> tuple[Overflow, ...]:
    """Memories that `mapping` overfills: what all tensors hold there passes the size.

    `budgets_bits` narrows memories (by index) of which a part is taken. Outputs count at
    partial-sum width wherever a reduction goes on above the lower edge of their level, at
    final width elsewhere; a double-buffered level counts twice.
    """
    model = build_tile_model(hardware, unroll, layer_tile, rules)
    check_mapping(model, mapping)
    budgets = budgets_bits or {}
    result = []
    for memory, held in memory_use_bits(model, _edges(model, mapping), mapping).items():
        size = hardware.memories[memory].size_bits
        budget = min(size, budgets.get(memory, size))
        if held > budget:
            result.append(Overflow(memory=memory, held_bits=held, budget_bits=budget))
    return tuple(result)


def fits(
    hardware: Hardware,
    unroll: Sequence[Unroll],
    layer_tile: LayerTile,
    mapping: TemporalMapping,
    rules: RuleSet,
    budgets_bits: Mapping[int, int] | None = None,
) -> bool:
    """Whether no memory overflows under `mapping` (see `overflows`)."""
    return not overflows(hardware, unroll, layer_tile, mapping, rules, budgets_bits)


def evaluate(model: TileModel, mapping: TemporalMapping) -> LayerTileCost:
    """Cost `mapping` of a prepared layer-tile; ValueError if it is not a mapping of it."""
    check_mapping(model, mapping)
    edges = _edges(model, mapping)
    tensor_links = {
        tensor.name: links(model, tensor, edges[tensor.name]) for tensor in model.tensors
    }
    words, level_pj, energy_pj = _traffic(model, tensor_links)
    macs = model.layer_tile.macs
    mac_pj = model.hardware.mac_pj * macs
    utilised = {
        tensor.name: _utilised_bits(model, tensor, edges[tensor.name]) for tensor in model.tensors
    }
    flags = double_buffer_flags(model, edges, utilised, mapping)
    stall = stall_cycles(model, tensor_links, flags)
    loading = loading_cycles(model, tensor_links)
    offloading = offloading_cycles(model, tensor_links)
    latency = model.temporal_cycles + stall + loading
    if model.rules.charge_last_drain:
        latency += offloading
    return LayerTileCost(
        energy_pj=energy_pj + mac_pj,
        mac_pj=mac_pj,
        level_pj=level_pj,
        words=words,
        ideal_cycles=-(-macs // model.hardware.total_macs),
        temporal_cycles=model.temporal_cycles,
        stall_cycles=stall,
        loading_cycles=loading,
        offloading_cycles=offloading,
        latency_cycles=latency,
        held_bits=memory_use_bits(model, edges, mapping),
    )


def check_mapping(model: TileModel, mapping: TemporalMapping) -> None:
    """Raise ValueError unless `mapping` covers the model's loops and kept levels."""
    product: dict[str, int] = {}
    for dim, factor in mapping.loops:
        product[dim] = product.get(dim, 1) * factor
    for dim, steps in model.temporal:
        if product.pop(dim, 1) != steps:
            raise ValueError(f"loops over {dim} must multiply to {steps}: {mapping.loops}")
    if any(factor != 1 for factor in product.values()):
        raise ValueError(f"loops over unknown dims {sorted(product)}")
    for tensor in model.tensors:
        if len(mapping.cuts.get(tensor.name, ())) != tensor.levels:
            raise ValueError(
                f"tensor {tensor.name} needs one cut for each of its {tensor.levels} levels"
            )


def memory_use_bits(
    model: TileModel, edges: Mapping[str, Sequence[Boundary]], mapping: TemporalMapping
) -> dict[int, int]:
    """Bits that one instance of each memory holds, over all tensors, copies included."""
    copies = model.rules.explicit_double_buffering
    use: dict[int, int] = {}
    for tensor in model.tensors:
        for m, index in enumerate(tensor.memory_index):
            bits = _held_elements(model, tensor, m, edges[tensor.name]) * _held_width(
                model, tensor, m, edges[tensor.name]
            )
            if copies and mapping.is_double_buffered(tensor.name, m):
                bits *= 2
            use[index] = use.get(index, 0) + bits
    return use


def _edges(model: TileModel, mapping: TemporalMapping) -> dict[str, tuple[Boundary, ...]]:
    return {tensor.name: boundaries(tensor, mapping) for tensor in model.tensors}


def _held_elements(
    model: TileModel, tensor: TensorModel, level: int, edges: Sequence[Boundary]
) -> int:
    return round(model.elements(tensor, tensor.energy_fan_out, level + 1, edges[level].prefix))


def _held_width(
    model: TileModel, tensor: TensorModel, level: int, edges: Sequence[Boundary]
) -> int:
    """Bits of an element held at a level: wide if sums come back to it from above."""
    if not tensor.is_output:
        return tensor.final_bits
    below = edges[level - 1] if level else MAC_BOUNDARY
    return tensor.partial_bits if reduces_above(model, tensor, below) else tensor.final_bits


def _utilised_bits(
    model: TileModel, tensor: TensorModel, edges: Sequence[Boundary]
) -> tuple[int, ...]:
    """Bits per level as the reference's double-buffer rule counts them.

    It takes the width from the link above the level, not from the one below it.
    """
    result = []
    for m in range(tensor.levels):
        wide = tensor.is_output and m + 1 < tensor.levels and sums_cross(model, tensor, m, edges[m])
        bits = tensor.partial_bits if wide else tensor.final_bits
        result.append(_held_elements(model, tensor, m, edges) * bits)
    return tuple(result)


def _traffic(
    model: TileModel, tensor_links: Mapping[str, Sequence[Link]]
) -> tuple[dict[tuple[str, int, Direction], float], dict[tuple[str, int], float], float]:
    words: dict[tuple[str, int, Direction], float] = {}
    level_pj: dict[tuple[str, int], float] = {}
    energy_pj = 0.0
    for tensor in model.tensors:
        for link in tensor_links[tensor.name]:
            for level, direction, count in link_accesses(tensor, link):
                words[tensor.name, level, direction] = count
        for level in range(tensor.levels):
            reads = writes = 0.0
            for direction in _READS:
                count = words.get((tensor.name, level, direction), 0.0)
                reads += count * access_pj(tensor, level, direction)
            for direction in _WRITES:
                count = words.get((tensor.name, level, direction), 0.0)
                writes += count * access_pj(tensor, level, direction)
            level_pj[tensor.name, level] = reads + writes
            energy_pj += reads + writes
    return words, level_pj, energy_pj


_READS: tuple[Direction, ...] = ("rh", "rl")
_WRITES: tuple[Direction, ...] = ("wh", "wl")
