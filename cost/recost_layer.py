"""Re-cost one scheduled layer-tile and the copies before it, from its written decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cost.copies import CopyAction, copy_energy_by_memory_pj, group_latency_cycles
from cost.kernel import LayerTileCost, evaluate, memory_use_bits
from cost.links import boundaries
from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
from cost.recost_tiles import EdgeBits
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan
from cost.tile_model import TileModel, build_tile_model
from problems.hardware import Hardware, Unroll
from problems.workload import Layer, Operand

NO_COST = LayerTileCost(
    energy_pj=0.0,
    mac_pj=0.0,
    level_pj={},
    words={},
    ideal_cycles=0,
    temporal_cycles=0,
    stall_cycles=0,
    loading_cycles=0,
    offloading_cycles=0,
    latency_cycles=0,
    held_bits={},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLayerTile:
    """A layer-tile under its mapping: cost, and bits held per tensor by memory index.

    `model`: None where nothing is computed.
    """

    cost: LayerTileCost
    model: TileModel | None
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
    size: tuple[int, int],
    rules: RuleSet,
) -> MappedLayerTile:
    """Cost a layer-tile of the walked `size` (width, height) under the mapping of `plan`.

    Raises ValueError if the mapping is none of this layer-tile or a memory does not hold
    the operand that rests there.
    """
    walked = {"OX": size[0], "OY": size[1]}
    sizes = tuple((dim, walked.get(dim, full)) for dim, full in layer.loops)
    by_operand = {"O": plan.output, "W": plan.weights, "I": plan.operand}
    # Both operands of an add rest where its input does.
    resting = {name: by_operand[memory_operand(name).value] for name in operand_names(layer)}
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


def join_parts(
    hardware: Hardware, plan: LayerTilePlan, parts_bits: tuple[int, int]
) -> MappedLayerTile:
    """A concat's tile: its two parts, side by side where its output is, at no cost.

    Raises ValueError if the plan has it elsewhere, or has loops for it.
    """
    if plan.operand != plan.output:
        raise ValueError(f"a concat lies where its parts do: {plan.operand}, not {plan.output}")
    if plan.mapping.loops:
        raise ValueError("a concat has no loops")
    memory = memory_index(hardware, plan.output)
    held = {name: {memory: bits} for name, bits in zip("XY", parts_bits, strict=True)}
    return MappedLayerTile(cost=NO_COST, model=None, held_bits=held | {"O": {memory: 0}})


def _levels(hardware: Hardware, name: str, memory: str | None) -> int:
    if memory is None:
        return 1
    index = memory_index(hardware, memory)
    operand = memory_operand(name)
    if index not in hardware.chains[operand]:
        raise ValueError(f"memory {memory} does not hold {name}")
    return hardware.level_of(operand, index) + 1


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandCopies:
    """What is copied for one operand: its bits, where the producer's tile is, and where its
    whole map lies (None: made in the stack); `fetches`: its tile comes from there now."""

    bits: EdgeBits
    place: str
    source: str | None
    fetches: bool


def copies_before(
    hardware: Hardware,
    plan: LayerTilePlan,
    operands: Sequence[OperandCopies],
    rules: RuleSet,
) -> CopyCost:
    """Cost of all copies before a layer-tile.

    Tiles from outside are fetched in a phase of their own, under the reference's rules in one
    for each. Raises ValueError if a copy is impossible.
    """
    fetches: list[list[CopyAction]] = []
    moves: list[CopyAction] = []
    for operand in operands:
        if operand.source is not None and operand.fetches:
            arriving = _action(
                hardware,
                operand.bits.fresh_bits,
                Operand.I,
                operand.source,
                Operand.I,
                operand.place,
            )
            if rules.true_branches and fetches:
                fetches[0] += arriving
            else:
                fetches.append(arriving)
        moves += _moves(hardware, plan, operand, rules)
    return _phases(hardware, [*fetches, moves])


def _phases(hardware: Hardware, phases: Sequence[Sequence[CopyAction]]) -> CopyCost:
    energy: dict[int, float] = {}
    latency = 0
    for actions in phases:
        latency += group_latency_cycles(hardware, actions)
        for action in actions:
            for memory, spent in copy_energy_by_memory_pj(hardware, action).items():
                energy[memory] = energy.get(memory, 0.0) + spent
    return CopyCost(energy_by_memory_pj=energy, latency_cycles=latency)


def writing_out(hardware: Hardware, bits: int, memory: str) -> CopyCost:
    """Cost of writing an output tile from `memory` to DRAM beside its use in the stack."""
    dram = hardware.memories[top_memory(hardware, Operand.O)].name
    return _phases(hardware, [_action(hardware, bits, Operand.O, memory, Operand.O, dram)])


def weight_arrival(hardware: Hardware, layer: Layer, memory: str) -> CopyCost:
    """Cost of bringing a layer's weights from DRAM to the memory in which they stay."""
    dram = hardware.memories[top_memory(hardware, Operand.W)].name
    actions = _action(hardware, layer.weight_volume_bits, Operand.W, dram, Operand.W, memory)
    return _phases(hardware, [actions])


def _moves(
    hardware: Hardware, plan: LayerTilePlan, operand: OperandCopies, rules: RuleSet
) -> list[CopyAction]:
    amounts, source = operand.bits, operand.source
    outside = source is not None
    made = Operand.I if outside else Operand.O
    free_writes = outside and not rules.charge_stack_input_cache
    actions: list[CopyAction] = []
    v_write: list[CopyAction] = []
    if not free_writes and plan.v is not None and plan.v != source:
        v_write = _action(hardware, amounts.v_write_bits, made, operand.place, made, plan.v)
        actions += v_write
    if not free_writes and plan.h_make is not None and plan.h_make != source:
        # The reference leaves out the rows that it has just put into the V cache.
        corner_done = bool(v_write) and not rules.charge_stack_input_cache
        bits = amounts.h_write_beside_v_bits if corner_done else amounts.h_write_bits
        actions += _action(hardware, bits, made, operand.place, made, plan.h_make)
    moved = amounts.moved_bits
    if outside and not rules.true_branches and _is_below(hardware, operand.place, plan.operand):
        moved = 0  # the reference leaves it below, and reads it all the same
    actions += _action(hardware, moved, made, operand.place, Operand.I, plan.operand)
    if plan.h_use is not None:
        actions += _action(
            hardware, amounts.h_read_bits, Operand.I, plan.h_use, Operand.I, plan.operand
        )
    if plan.v is not None:
        actions += _action(
            hardware, amounts.v_read_bits, Operand.I, plan.v, Operand.I, plan.operand
        )
    return actions


def _is_below(hardware: Hardware, one: str, other: str) -> bool:
    """Whether an input would have to be moved up from memory `one` to memory `other`."""
    levels = [hardware.level_of(Operand.I, memory_index(hardware, name)) for name in (one, other)]
    return levels[0] < levels[1]


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
