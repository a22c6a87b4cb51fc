"""A schedule that a policy produced, complete enough to be written out and re-costed.

Energies in pJ and cycles are those of one tile of a class; stack and schedule totals
count every tile. Memories are indices into `Hardware.memories`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cost.copies import CopyAction, copy_energy_by_memory_pj, group_latency_cycles
from cost.overlap import OverlapMode
from cost.reference_graph import Extent
from cost.reference_levels import CachePlaces, LayerPlaces, TilePlaces
from cost.reference_tiles import TileClass
from problems.hardware import Hardware
from problems.workload import Layer, Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLayer:
    """A layer-tile with its temporal mapping: energy and cycles, each by cause.

    `memory_pj` lists (operand, memory index, energy); both inputs of an add count as
    I. `mapping` is whatever the mapper uses to describe loop orders.
    """

    mac_pj: float
    memory_pj: tuple[tuple[Operand, int, float], ...]
    temporal_cycles: int
    stall_cycles: int
    loading_cycles: int
    mapping: object

    @property
    def energy_pj(self) -> float:
        """Energy of MACs and memories."""
        return self.mac_pj + math.fsum(pj for _, _, pj in self.memory_pj)

    @property
    def latency_cycles(self) -> int:
        """Cycles of computing, stalling and loading."""
        return self.temporal_cycles + self.stall_cycles + self.loading_cycles


Mapper = Callable[[Layer, Mapping[str, int], Mapping[Operand, int]], MappedLayer | None]
"""Maps a layer at given loop sizes onto the given number of lowest levels per operand;
`None` if no mapping fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPhase:
    """Copies made together before a node, with their energy by memory and their time."""

    actions: tuple[CopyAction, ...]
    memory_pj: tuple[tuple[int, float], ...]
    latency_cycles: int

    @property
    def energy_pj(self) -> float:
        """Energy of all copies of the phase."""
        return math.fsum(pj for _, pj in self.memory_pj)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledInput:
    """A stack input in one tile: the extent that is fetched, where to, and the copy."""

    name: str
    extent: Extent
    memory: int
    copies: CopyPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledLayer:
    """A layer in one tile: loop sizes, places, levels mapped over, mapping, copies before."""

    name: str
    sizes: tuple[tuple[str, int], ...]
    places: LayerPlaces
    levels: tuple[tuple[Operand, int], ...]
    mapped: MappedLayer
    copies: CopyPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTile:
    """One tile class of a stack: its levels and caches, its inputs and layers in order."""

    tile: TileClass
    places: TilePlaces
    caches: CachePlaces
    inputs: tuple[ScheduledInput, ...]
    layers: tuple[ScheduledLayer, ...]

    @property
    def phases(self) -> tuple[CopyPhase, ...]:
        """All copy phases of the tile in order."""
        arriving = tuple(each.copies for each in self.inputs)
        return arriving + tuple(layer.copies for layer in self.layers)

    @property
    def energy_pj(self) -> float:
        """Energy of one tile of the class."""
        return math.fsum(
            [phase.energy_pj for phase in self.phases]
            + [layer.mapped.energy_pj for layer in self.layers]
        )

    @property
    def latency_cycles(self) -> int:
        """Cycles of one tile of the class; nothing overlaps."""
        copying = sum(phase.latency_cycles for phase in self.phases)
        return copying + sum(layer.mapped.latency_cycles for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledStack:
    """A stack: its layers in processing order, tile size, overlap mode, tile classes."""

    layers: tuple[str, ...]
    tile: Extent
    mode: OverlapMode
    tiles: tuple[ScheduledTile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyBreakdown:
    """Energy by cause, and the same energy without the MACs by memory."""

    mac_pj: float
    operand_pj: tuple[tuple[Operand, float], ...]
    copies_pj: float
    memory_pj: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyBreakdown:
    """Cycles by cause; they add up to the total."""

    temporal_cycles: int
    stall_cycles: int
    loading_cycles: int
    copies_cycles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """A complete schedule with its totals."""

    workload: str
    hardware: str
    memory_names: tuple[str, ...]
    stacks: tuple[ScheduledStack, ...]
    energy_pj: float
    latency_cycles: int
    energy: EnergyBreakdown
    latency: LatencyBreakdown

    @property
    def edp(self) -> float:
        """Energy-delay product in pJ * cycles."""
        return self.energy_pj * self.latency_cycles


def copy_phase(hardware: Hardware, actions: Iterable[CopyAction]) -> CopyPhase:
    """Cost the copies of one phase."""
    actions = tuple(actions)
    energy: dict[int, float] = defaultdict(float)
    for action in actions:
        for memory, pj in copy_energy_by_memory_pj(hardware, action).items():
            energy[memory] += pj
    return CopyPhase(
        actions=actions,
        memory_pj=tuple(sorted(energy.items())),
        latency_cycles=group_latency_cycles(hardware, actions),
    )


def summarise(hardware: Hardware, workload: str, stacks: Iterable[ScheduledStack]) -> PolicyResult:
    """Add up a schedule: every tile of every class, one after the other."""
    stacks = tuple(stacks)
    tiles = [tile for stack in stacks for tile in stack.tiles]
    return PolicyResult(
        workload=workload,
        hardware=hardware.name,
        memory_names=tuple(memory.name for memory in hardware.memories),
        stacks=stacks,
        energy_pj=math.fsum(tile.tile.count * tile.energy_pj for tile in tiles),
        latency_cycles=sum(tile.tile.count * tile.latency_cycles for tile in tiles),
        energy=_energy_breakdown(hardware, tiles),
        latency=LatencyBreakdown(
            temporal_cycles=_cycles(tiles, lambda mapped: mapped.temporal_cycles),
            stall_cycles=_cycles(tiles, lambda mapped: mapped.stall_cycles),
            loading_cycles=_cycles(tiles, lambda mapped: mapped.loading_cycles),
            copies_cycles=sum(
                tile.tile.count * phase.latency_cycles for tile in tiles for phase in tile.phases
            ),
        ),
    )


def _cycles(tiles: Iterable[ScheduledTile], part: Callable[[MappedLayer], int]) -> int:
    return sum(tile.tile.count * part(layer.mapped) for tile in tiles for layer in tile.layers)


def _energy_breakdown(hardware: Hardware, tiles: Iterable[ScheduledTile]) -> EnergyBreakdown:
    mac: list[float] = []
    copies: list[float] = []
    operands: dict[Operand, list[float]] = {operand: [] for operand in Operand}
    memories: dict[int, list[float]] = {index: [] for index in range(len(hardware.memories))}
    for tile in tiles:
        count = tile.tile.count
        for phase in tile.phases:
            for memory, pj in phase.memory_pj:
                copies.append(count * pj)
                memories[memory].append(count * pj)
        for layer in tile.layers:
            mac.append(count * layer.mapped.mac_pj)
            for operand, memory, pj in layer.mapped.memory_pj:
                operands[operand].append(count * pj)
                memories[memory].append(count * pj)
    return EnergyBreakdown(
        mac_pj=math.fsum(mac),
        operand_pj=tuple((operand, math.fsum(parts)) for operand, parts in operands.items()),
        copies_pj=math.fsum(copies),
        memory_pj=tuple(
            (hardware.memories[index].name, math.fsum(parts)) for index, parts in memories.items()
        ),
    )
