"""Which memories may hold what: the placement domain of a stack option."""

from __future__ import annotations

from dataclasses import dataclass

from cost.rules import RuleSet
from cost.stack_tiles import StackTiling, TileKind
from problems.hardware import Hardware
from problems.workload import Layer, Operand


@dataclass(frozen=True, kw_only=True)
class MemoryDomains:
    """Memories (indices, innermost first) that can hold whole tensors of each operand.

    A tensor of a tile rests in one memory that the whole array shares; `caches` are
    those that hold both I and O.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    weights: tuple[int, ...]
    caches: tuple[int, ...]
    dram: int
    sizes_bits: tuple[int, ...]


def memory_domains(hardware: Hardware) -> MemoryDomains:
    """Collect the single-instance memories of each operand chain."""

    def single(operand: Operand) -> tuple[int, ...]:
        return tuple(i for i in hardware.chains[operand] if hardware.memories[i].instances == 1)

    inputs, outputs = single(Operand.I), single(Operand.O)
    return MemoryDomains(
        inputs=inputs,
        outputs=outputs,
        weights=single(Operand.W),
        caches=tuple(i for i in outputs if i in inputs),
        dram=hardware.chains[Operand.O][-1],
        sizes_bits=tuple(m.size_bits for m in hardware.memories),
    )


def weight_memories(domains: MemoryDomains, hardware: Hardware, layer: Layer) -> tuple[int, ...]:
    """Memories where the weights of `layer` may stay from tile to tile."""
    chain = hardware.chains[Operand.W]
    if not layer.has_weights:
        return chain[:1]
    bits = layer.weight_volume_bits
    return tuple(i for i in domains.weights if bits <= domains.sizes_bits[i])


def h_memories(domains: MemoryDomains, right_hand: TileKind, rules: RuleSet) -> tuple[int, ...]:
    """Memories that may hold the columns handed over to a tile of kind `right_hand`."""
    if rules.joint_capacity:
        return domains.caches
    need = right_hand.live_bits + right_hand.h_cache_bits
    return tuple(i for i in domains.caches if domains.sizes_bits[i] >= need)


def v_memories(domains: MemoryDomains, tiling: StackTiling, rules: RuleSet) -> tuple[int, ...]:
    """Memories that may hold the rows handed down; the reference asks its last tile (Q6).

    It takes corners off where columns are kept in the same memory. For a lone column that is the
    lowest with room for live data alone, though nothing is ever kept there.
    """
    if rules.joint_capacity:
        return domains.caches
    last, sizes = tiling.kinds[-1], domains.sizes_bits
    need = last.live_bits + last.v_cache_bits
    if not last.column.is_first:
        need += last.h_cache_bits - last.corner_bits
        return tuple(i for i in domains.caches if sizes[i] >= need)
    lowest = next((i for i in domains.caches if sizes[i] >= last.live_bits), -1)
    corner = last.corner_bits
    return tuple(i for i in domains.caches if sizes[i] >= need - (corner if i == lowest else 0))
