"""Hardware: a MAC array and the memory levels around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from problems.workload import LayerKind, Operand

if TYPE_CHECKING:
    from problems.workload import Layer


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandPorts:
    """The port names that one operand uses at one memory level.

    Inputs are only read towards the MACs and written from above; outputs move both
    ways. A port name may serve several operands and directions: then they contend.
    """

    operand: Operand
    read_down: str
    write_from_above: str
    write_from_below: str | None = None
    read_up: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLevel:
    """One memory, possibly replicated over the array.

    Sizes are bits of one instance; bandwidths bits per cycle of one port; energies pJ
    of one full word (a word is as wide as the bandwidth); an access of b bits costs
    ceil(b / granule) * granule / bandwidth words. `served_dims` are the array dims
    over which one instance is shared.
    """

    name: str
    size_bits: int
    read_bits_per_cycle: int
    write_bits_per_cycle: int
    read_pj: float
    write_pj: float
    read_granule_bits: int
    write_granule_bits: int
    served_dims: tuple[str, ...]
    instances: int
    shared_read_write_port: bool
    operands: tuple[OperandPorts, ...]

    def ports(self, operand: Operand) -> OperandPorts:
        """Ports of `operand`; KeyError if the memory does not hold it."""
        for entry in self.operands:
            if entry.operand == operand:
                return entry
        raise KeyError(f"memory {self.name} does not hold operand {operand}")

    def holds(self, operand: Operand) -> bool:
        """Whether the memory holds `operand`."""
        return any(entry.operand == operand for entry in self.operands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unroll:
    """One array dim unrolled over one loop dim by at most `factor`."""

    array_dim: str
    loop_dim: str
    factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialRule:
    """Spatial unrolling of the layers it matches (first matching rule wins).

    `kinds` restricts by layer kind (empty: all; `pool` stands for every kind of pool),
    `workload` and `layers` to named layers of one workload (None / empty: all).
    """

    unroll: tuple[Unroll, ...]
    kinds: tuple[LayerKind, ...] = ()
    workload: str | None = None
    layers: tuple[str, ...] = ()

    def names(self, kind: LayerKind) -> bool:
        """Whether `kinds` covers a layer kind."""
        return kind in self.kinds or (kind.is_pool and LayerKind.POOL in self.kinds)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """An accelerator: array dims, MAC energy, memories innermost first, unrolling."""

    name: str
    array_dims: tuple[tuple[str, int], ...]
    mac_pj: float
    memories: tuple[MemoryLevel, ...]
    spatial_rules: tuple[SpatialRule, ...]

    @cached_property
    def chains(self) -> dict[Operand, tuple[int, ...]]:
        """For each operand the indices into `memories` of its levels, innermost first."""
        return {
            operand: tuple(i for i, m in enumerate(self.memories) if m.holds(operand))
            for operand in Operand
        }

    @property
    def total_macs(self) -> int:
        """MAC units in the array."""
        total = 1
        for _, size in self.array_dims:
            total *= size
        return total

    def level_of(self, operand: Operand, memory: int) -> int:
        """Level number of memory index `memory` in the chain of `operand`."""
        return self.chains[operand].index(memory)

    def unrolling(self, workload: str, layer: Layer) -> tuple[Unroll, ...]:
        """Spatial unrolling requested for `layer` of the named workload."""
        for rule in self.spatial_rules:
            if rule.workload not in (None, workload):
                continue
            if rule.layers and layer.name not in rule.layers:
                continue
            if rule.kinds and not rule.names(layer.kind):
                continue
            return rule.unroll
        return ()
