"""A schedule: every decision about a network on an accelerator, written out in full."""

from __future__ import annotations

from dataclasses import dataclass

from cost.overlap import OverlapMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledMapping:
    """Temporal mapping of a layer-tile.

    `loops`: (dim, factor), innermost first, one order for all operands. `cuts[operand][m]`:
    how many of the innermost loops lie at or below level m of the operand's chain (the
    last entry counts all loops; its level is where the tensor rests).
    `double_buffered[operand][m]`: whether level m holds two copies (exact rules only).
    """

    loops: tuple[tuple[str, int], ...]
    cuts: dict[str, tuple[int, ...]]
    double_buffered: dict[str, tuple[bool, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTilePlan:
    """One layer in one kind of tile: size, memories (names), mapping, and stated cost.

    `weights`, `operand`, `output`: memories in which the tensors of the layer-tile rest
    (`weights` None for a layer without weights). `h_use` / `h_make` / `v`: memories of
    the caches on the edge into this layer that this tile reads columns from, hands
    columns over in, and exchanges rows with (None: no such exchange). Costs are those of
    one tile; `copy_*` is the copy phase before the layer (for the first layer it includes
    fetching the stack's input tile to `producer`). `second` is to a second activation operand
    what `producer` is to the first. `export_*`: writing the output out beside, for readers
    outside of the stack.
    """

    layer: str
    width: int
    height: int
    producer: str
    second: str | None
    weights: str | None
    operand: str
    output: str
    h_use: str | None
    h_make: str | None
    v: str | None
    mapping: ScheduledMapping
    energy_pj: float
    latency_cycles: int
    copy_energy_pj: float
    copy_latency_cycles: int
    export_energy_pj: float
    export_latency_cycles: int


Runs = tuple[tuple[int, int], ...]
"""Runs (first, count) of columns or rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """One kind of tile: all `columns` times all `rows`, and the layers that run in it."""

    columns: Runs
    rows: Runs
    layers: tuple[LayerTilePlan, ...]

    @property
    def count(self) -> int:
        """Tiles of this kind."""
        return sum(n for _, n in self.columns) * sum(n for _, n in self.rows)

    @property
    def by_layer(self) -> dict[str, LayerTilePlan]:
        """Plans by layer name."""
        return {plan.layer: plan for plan in self.layers}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """One stack: layers, tile size, overlap mode, boundary memories, residency, tiles.

    `source` / `target`: memories of the whole feature maps before and after the stack;
    `carried` is the layer whose map is read from `source` (None: every map lies in DRAM).
    `weights`: memory in which each layer's weights stay (None: no weights).
    `arrival_*`: cost of bringing them there once.
    """

    layers: tuple[str, ...]
    tile_x: int
    tile_y: int
    mode: OverlapMode
    source: str
    carried: str | None
    target: str
    weights: tuple[str | None, ...]
    arrival_energy_pj: float
    arrival_latency_cycles: int
    tiles: tuple[TilePlan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """All stacks, in order."""

    stacks: tuple[StackPlan, ...]

    @property
    def energy_pj(self) -> float:
        """Total stated energy."""
        return sum(
            stack.arrival_energy_pj
            + sum(
                tile.count * (plan.energy_pj + plan.copy_energy_pj + plan.export_energy_pj)
                for tile in stack.tiles
                for plan in tile.layers
            )
            for stack in self.stacks
        )

    @property
    def latency_cycles(self) -> int:
        """Total stated latency."""
        return sum(
            stack.arrival_latency_cycles
            + sum(
                tile.count
                * (plan.latency_cycles + plan.copy_latency_cycles + plan.export_latency_cycles)
                for tile in stack.tiles
                for plan in tile.layers
            )
            for stack in self.stacks
        )
