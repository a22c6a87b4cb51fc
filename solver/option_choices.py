"""Mappings and copy phases that a stack option may take: what CP-SAT chooses among."""

from __future__ import annotations

from dataclasses import dataclass

from cost.mapping_search import MappingPoint
from solver.kind_tables import KindTables
from solver.stack_option import StackOption

NOTHING = MappingPoint(
    energy_pj=0.0, latency_cycles=0, held_bits=(), loops=(), cuts={}, double_buffered={}
)
"""What a concat does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChoice:
    """One layer-tile of one kind: memories of W, I and O, and a temporal mapping.

    Without a `point` the mapping is not searched yet: cost and `held_bits` are lower
    bounds, and a solution that uses the choice has to be solved again with the truth.
    `export_*`: what writing out the output beside costs.
    """

    kind: int
    layer: int
    weight: int
    operand: int
    output: int
    energy_pj: float
    latency_cycles: float
    held_bits: tuple[int, ...]
    point: MappingPoint | None
    export_pj: float = 0.0
    export_cycles: int = 0

    @property
    def memories(self) -> tuple[int, int, int]:
        """Memories of W, I and O."""
        return self.weight, self.operand, self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChoice:
    """One copy phase of one kind: memories of producers, operand and caches (-1: none)."""

    kind: int
    layer: int
    producer: int
    second: int
    operand: int
    h_use: int
    h_make: int
    v: int
    energy_pj: float
    latency_cycles: int

    @property
    def memories(self) -> tuple[int, ...]:
        """Memories of all that it moves."""
        return self.producer, self.second, self.operand, self.h_use, self.h_make, self.v


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionChoices:
    """Everything that may still be part of an optimal schedule of one stack option.

    `floor` is the weighted lower bound of the option; nothing that costs at most
    `floor + slack` was dropped.
    """

    option: StackOption
    tables: tuple[KindTables, ...]
    layers: tuple[LayerChoice, ...]
    phases: tuple[PhaseChoice, ...]
    floor: float
    slack: float
