"""Re-cost one scheduled layer-tile and the copies before it, from its written decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cost.copies import CopyAction, copy_energy_by_memory_pj, group_latency_cycles
from cost.kernel import LayerTileCost, evaluate, memory_use_bits
from cost.links import boundaries
from cost.mapping import LayerTile, TemporalMapping
from cost.recost_tiles import AxisStep, Edge
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan
from cost.tile_model import TileModel, build_tile_model
from problems.hardware import Hardware, Unroll
from problems.workload import Layer, Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLayerTile:
    """A layer-tile under its mapping: cost, and bits held per tensor by memory index."""

    cost: LayerTileCost
    model: TileModel
    held_bits: Mapping[str, Mapping[int, int]]

    def total_bits(self, memory: int) -> int:
        """Bits that all tensors hold in one instance of `memory`."""
        return sum(held.get(memory, 0) for held in self.held_bits.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyCost:
    """Copies before a layer: pJ by memory index, and cycles."""

    energy_by_memory_pj: Mapping[int, float]
    latency_cycles: int

    @property
    def energy_pj(self) -> float:
        """Energy of all copies."""
        return sum(self.energy_by_memory_pj.values())


def memory_index(hardware: Hardware, name: str) -> int:
    """Index of a memory; ValueError if the hardware has none of that name."""
    for index, memory in enumerate(hardware.memories):
        if memory.name == name:
            return index
    raise ValueError(f"{hardware.name} has no memory {name}")


def top_memory(hardware: Hardware, operand: Operand) -> int:
    """Outermost memory of an operand: DRAM."""
    return hardware.chains[operand][-1]


def map_layer_tile(
    hardware: Hardware,
    unroll: tuple[Unroll, ...],
    layer: Layer,
    plan: LayerTilePlan,
    x: AxisStep,
    y: AxisStep,
    rules: RuleSet,
) -> MappedLayerTile:
    """Cost a layer-tile of the walked size `x` by `y` under the mapping of `plan`.

    Raises ValueError if the mapping is none of this layer-tile or a memory does not hold
    the operand that rests there.
    """
    size = {"OX": x.outputs, "OY": y.outputs}
    sizes = tuple((dim, size.get(dim, full)) for dim, full in layer.loops)
    resting = {"O": plan.output, "W": plan.weights, "I": plan.operand}
    levels = {name: _levels(hardware, name, memory) for name, memory in resting.items()}
    tile = LayerTile(layer=layer, sizes=sizes, levels=levels)
    model = build_tile_model(hardware, unroll, tile, rules)
    mapping = _mapping(plan, levels, rules)
    cost = evaluate(model, mapping)
    held = {}
    for tensor in model.tensors:
        alone = replace(model, tensors=(tensor,))
        held[tensor.name] = memory_use_bits(
            alone, {tensor.name: boundaries(tensor, mapping)}, mapping
        )
    return MappedLayerTile(cost=cost, model=model, held_bits=held)


def _levels(hardware: Hardware, name: str, memory: str | None) -> int:
    if memory is None:
        return 1
    index = memory_index(hardware, memory)
    if index not in hardware.chains[Operand(name)]:
        raise ValueError(f"memory {memory} does not hold {name}")
    return hardware.level_of(Operand(name), index) + 1


def _mapping(plan: LayerTilePlan, levels: Mapping[str, int], rules: RuleSet) -> TemporalMapping:
    given = plan.mapping
    if any(factor < 1 for _, factor in given.loops):
        raise ValueError(f"loop factors must be at least 1: {given.loops}")
    flags = None
    if rules.explicit_double_buffering:
        flags = given.double_buffered
        for name, count in levels.items():
            if len(flags.get(name, ())) != count:
                raise ValueError(
                    f"tensor {name} needs one double-buffer flag for each of its {count} levels"
                )
    return TemporalMapping(loops=given.loops, cuts=given.cuts, double_buffered=flags)


def copies_before(
    hardware: Hardware,
    plan: LayerTilePlan,
    amounts: Edge,
    source: str | None,
    rules: RuleSet,
) -> CopyCost:
    """Cost of all copies before a layer-tile.

    `source` is the memory of the stack's input map for the first layer, None for every
    other one. The first layer's tile is fetched in a phase of its own. Raises ValueError
    if a copy is impossible.
    """
    phases = [_moves(hardware, plan, amounts, source, rules)]
    if source is not None:
        fetch = _action(hardware, amounts.fresh_bits, Operand.I, source, Operand.I, plan.producer)
        phases.insert(0, fetch)
    energy: dict[int, float] = {}
    latency = 0
    for actions in phases:
        latency += group_latency_cycles(hardware, actions)
        for action in actions:
            for memory, spent in copy_energy_by_memory_pj(hardware, action).items():
                energy[memory] = energy.get(memory, 0.0) + spent
    return CopyCost(energy_by_memory_pj=energy, latency_cycles=latency)


def weight_arrival(hardware: Hardware, layer: Layer, memory: str) -> CopyCost:
    """Cost of bringing a layer's weights from DRAM to the memory in which they stay."""
    dram = hardware.memories[top_memory(hardware, Operand.W)].name
    actions = _action(hardware, layer.weight_volume_bits, Operand.W, dram, Operand.W, memory)
    energy: dict[int, float] = {}
    for action in actions:
        for index, spent in copy_energy_by_memory_pj(hardware, action).items():
            energy[index] = energy.get(index, 0.0) + spent
    return CopyCost(
        energy_by_memory_pj=energy, latency_cycles=group_latency_cycles(hardware, actions)
    )


def _moves(
    hardware: Hardware,
    plan: LayerTilePlan,
    amounts: Edge,
    source: str | None,
    rules: RuleSet,
) -> list[CopyAction]:
    first = source is not None
    made = Operand.I if first else Operand.O
    free_writes = first and not rules.charge_stack_input_cache
    actions: list[CopyAction] = []
    v_write: list[CopyAction] = []
    if not free_writes and plan.v is not None and plan.v != source:
        v_write = _action(hardware, amounts.v_write_bits, made, plan.producer, made, plan.v)
        actions += v_write
    if not free_writes and plan.h_make is not None and plan.h_make != source:
        # The reference leaves out the rows that it has just put into the V cache.
        corner_done = bool(v_write) and not rules.charge_stack_input_cache
        bits = amounts.h_write_beside_v_bits if corner_done else amounts.h_write_bits
        actions += _action(hardware, bits, made, plan.producer, made, plan.h_make)
    actions += _action(hardware, amounts.fresh_bits, made, plan.producer, Operand.I, plan.operand)
    if plan.h_use is not None:
        actions += _action(
            hardware, amounts.h_read_bits, Operand.I, plan.h_use, Operand.I, plan.operand
        )
    if plan.v is not None:
        actions += _action(
            hardware, amounts.v_read_bits, Operand.I, plan.v, Operand.I, plan.operand
        )
    return actions


def _action(
    hardware: Hardware,
    bits: int,
    from_operand: Operand,
    from_memory: str,
    to_operand: Operand,
    to_memory: str,
) -> list[CopyAction]:
    """One copy, or none if there is nothing to move."""
    if bits == 0 or from_memory == to_memory:
        return []
    return [
        CopyAction(
            bits=bits,
            from_operand=from_operand,
            from_memory=memory_index(hardware, from_memory),
            to_operand=to_operand,
            to_memory=memory_index(hardware, to_memory),
        )
    ]
