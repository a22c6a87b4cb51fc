"""What a temporal mapping moves between neighbouring memory levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from cost.mapping import TemporalMapping
from cost.tensor_size import DIM_POSITION, NO_LOOPS
from cost.tile_model import FanOut, TensorModel, TileModel

Direction = Literal["rl", "wl", "rh", "wh"]
"""A level's traffic: read towards below, write from below, read towards above, write
from above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The upper edge of a memory level in the loop order of a mapping.

    `prefix` is the loop product below it per entry of `LOOP_DIMS`; the runs are the
    products of the consecutive relevant / irrelevant loops directly below it, within its
    level.
    """

    prefix: tuple[int, ...]
    relevant_run: int
    irrelevant_run: int


MAC_BOUNDARY = Boundary(prefix=NO_LOOPS, relevant_run=1, irrelevant_run=1)
"""The upper edge of the MACs: below every temporal loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Transfers over a link in one direction, by width of the elements."""

    partial: int
    final: int

    @property
    def total(self) -> int:
        """All transfers."""
        return self.partial + self.final


NO_MOVES = Moves(partial=0, final=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Traffic of one tensor between level `lower` and the level above (lower = -1: MACs).

    Per transfer, one instance below takes `held` elements and one instance above
    accesses `moved` distinct ones. `periods` refills of `period_cycles` make up the tile.
    """

    lower: int
    boundary: Boundary
    period_cycles: int
    periods: int
    held: float
    moved: float
    cycle_held: float
    cycle_moved: float
    """`held` and `moved` as the latency counts them: at rounded-up unrolling."""
    down: Moves
    up: Moves


def boundaries(tensor: TensorModel, mapping: TemporalMapping) -> tuple[Boundary, ...]:
    """Boundaries on top of every level of a tensor, innermost first."""
    prefix = list(NO_LOOPS)
    result = []
    start = 0
    for cut in mapping.cuts[tensor.name]:
        inside = mapping.loops[start:cut]
        for dim, factor in inside:
            prefix[DIM_POSITION[dim]] *= factor
        result.append(
            Boundary(
                prefix=tuple(prefix),
                relevant_run=_run(inside, frozenset(tensor.shape.direct)),
                irrelevant_run=_run(inside, tensor.shape.irrelevant),
            )
        )
        start = cut
    return tuple(result)


def _run(loops: Sequence[tuple[str, int]], wanted: frozenset[int]) -> int:
    product = 1
    for dim, factor in reversed(loops):
        if factor > 1 and DIM_POSITION[dim] not in wanted:
            break
        product *= factor
    return product


def links(model: TileModel, tensor: TensorModel, edges: Sequence[Boundary]) -> tuple[Link, ...]:
    """Links of a tensor from the MACs upwards: one per kept level."""
    return tuple(
        _link(model, tensor, lower, edges[lower] if lower >= 0 else MAC_BOUNDARY)
        for lower in range(-1, tensor.levels - 1)
    )


def _link(model: TileModel, tensor: TensorModel, lower: int, edge: Boundary) -> Link:
    cycles = prod(edge.prefix)
    periods = model.temporal_cycles // cycles
    down, up = _moves(model, tensor, lower, edge, periods)
    held, moved = _amounts(model, tensor, tensor.energy_fan_out, lower, edge.prefix)
    if model.rules.integer_unrolling:
        cycle_held, cycle_moved = held, moved
    else:
        cycle_held, cycle_moved = _amounts(model, tensor, tensor.cycle_fan_out, lower, edge.prefix)
    return Link(
        lower=lower,
        boundary=edge,
        period_cycles=cycles,
        periods=periods,
        held=held,
        moved=moved,
        cycle_held=cycle_held,
        cycle_moved=cycle_moved,
        down=down,
        up=up,
    )


def _amounts(
    model: TileModel,
    tensor: TensorModel,
    fan_out: FanOut,
    lower: int,
    prefix: Sequence[int],
) -> tuple[float, float]:
    held = model.elements(tensor, fan_out, lower + 1, prefix)
    if model.rules.integer_unrolling:
        return held, model.elements(tensor, fan_out, lower + 2, prefix)
    held = round(held)
    return held, held * fan_out.boost[lower + 1]


def _moves(
    model: TileModel, tensor: TensorModel, lower: int, edge: Boundary, periods: int
) -> tuple[Moves, Moves]:
    if not tensor.is_output:
        return Moves(partial=0, final=periods), NO_MOVES
    if model.rules.exact_partial_sums:
        # The first write of an output needs no read-back, its last one is final.
        blocks = distinct_blocks(model, tensor, edge)
        resumed = periods - blocks
        return Moves(partial=resumed, final=0), Moves(partial=resumed, final=blocks)
    if sums_cross(model, tensor, lower, edge):
        everything = Moves(partial=periods, final=0)
        return everything, everything
    return NO_MOVES, Moves(partial=0, final=periods)


def distinct_blocks(model: TileModel, tensor: TensorModel, edge: Boundary) -> int:
    """Different blocks of an output that the temporal loops above a boundary visit."""
    blocks = 1
    for dim, steps in model.temporal:
        position = DIM_POSITION[dim]
        if position not in tensor.shape.irrelevant:
            blocks *= steps // edge.prefix[position]
    return blocks


def reduces_above(model: TileModel, tensor: TensorModel, edge: Boundary) -> bool:
    """Whether temporal loops above a boundary revisit the same block of an output."""
    return distinct_blocks(model, tensor, edge) < model.temporal_cycles // prod(edge.prefix)


def sums_cross(model: TileModel, tensor: TensorModel, lower: int, edge: Boundary) -> bool:
    """Whether the reference lets partial sums cross the link above level `lower`.

    They do if a reduction follows in time, or in space above the next level.
    """
    if reduces_above(model, tensor, edge):
        return True
    return any(
        DIM_POSITION[loop.loop_dim] in tensor.shape.irrelevant
        for group in tensor.spatial[lower + 2 :]
        for loop in group
    )
