"""Spatial unrolling of a layer-tile: factors, and between which memories they sit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cost.rules import RuleSet
from problems.hardware import Hardware, MemoryLevel, Unroll


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialLoop:
    """A loop dim laid out over an array dim.

    `energy_factor` counts MACs in energies and tile sizes, `cycle_factor` in latencies.
    The reference spreads a remainder evenly over the temporal steps, which makes the
    former a fraction; under integer unrolling both are the same integer.
    """

    array_dim: str
    loop_dim: str
    energy_factor: float
    cycle_factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialUnrolling:
    """What a layer-tile runs side by side (`loops`) and one after the other.

    `temporal` holds the remaining steps per loop dim, in the order of the layer's dims.
    """

    loops: tuple[SpatialLoop, ...]
    temporal: tuple[tuple[str, int], ...]


def unroll_layer_tile(
    hardware: Hardware,
    unroll: Sequence[Unroll],
    sizes: Sequence[tuple[str, int]],
    rules: RuleSet,
) -> SpatialUnrolling:
    """Fit a requested unrolling to the loop sizes of a layer-tile.

    A factor is limited by its array dim and by the steps that are left of its loop dim.
    """
    array = dict(hardware.array_dims)
    left = dict(sizes)
    loops = []
    for entry in unroll:
        steps = left.get(entry.loop_dim, 1)
        factor = min(entry.factor, array[entry.array_dim], steps)
        left[entry.loop_dim] = -(-steps // factor)
        even = steps / left[entry.loop_dim]
        if factor == 1:
            continue
        loops.append(
            SpatialLoop(
                array_dim=entry.array_dim,
                loop_dim=entry.loop_dim,
                energy_factor=factor if rules.integer_unrolling else even,
                cycle_factor=factor if rules.integer_unrolling else math.ceil(even),
            )
        )
    temporal = tuple((dim, left[dim]) for dim, _ in sizes)
    return SpatialUnrolling(loops=tuple(loops), temporal=temporal)


def place_between_memories(
    unrolling: SpatialUnrolling, memories: Sequence[MemoryLevel]
) -> tuple[tuple[SpatialLoop, ...], ...]:
    """Group the unrolled loops by the memory they fan out from.

    Group m of a chain of memories sits below memory m (and above m - 1, or above the MACs
    for m = 0): the first memory of which one instance spans the loop's array dim. What no
    memory spans forms the last group.
    """
    groups: list[list[SpatialLoop]] = [[] for _ in range(len(memories) + 1)]
    for loop in unrolling.loops:
        spanning = (m for m, memory in enumerate(memories) if loop.array_dim in memory.served_dims)
        groups[next(spanning, len(memories))].append(loop)
    return tuple(tuple(group) for group in groups)
