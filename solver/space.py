"""The space of stack options: which runs of layers, tile sizes, overlap modes, memories."""

from __future__ import annotations

from dataclasses import dataclass

from cost.axis_tiles import efficient_sizes
from cost.overlap import OverlapMode
from cost.rules import RuleSet
from problems.errors import ProblemError
from problems.problem import Problem
from problems.workload import Layer
from solver.placements import memory_domains


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSpace:
    """Tile sizes per axis: None stands for the efficient sizes of each stack's output.

    `text` is how the user asked for it and how the report names it.
    """

    text: str
    widths: tuple[int, ...] | None = None
    heights: tuple[int, ...] | None = None
    every_size: bool = False


EFFICIENT = TileSpace(text="efficient")


def parse_tiles(text: str) -> TileSpace:
    """Read `--tiles`: `efficient`, `all`, or `grid:1,4,16x1,4,18` (widths x heights)."""
    if text == "efficient":
        return EFFICIENT
    if text == "all":
        return TileSpace(text="all", every_size=True)
    if text.startswith("grid:"):
        sides = text.removeprefix("grid:").split("x")
        if len(sides) == 2:
            try:
                widths, heights = (tuple(int(v) for v in side.split(",")) for side in sides)
            except ValueError:
                widths = heights = ()
            if widths and heights and min(*widths, *heights, 1) > 0:
                return TileSpace(text=text, widths=widths, heights=heights)
    raise ProblemError(
        f"--tiles '{text}': expected 'efficient', 'all' or 'grid:W1,W2,...xH1,H2,...' "
        "with sizes of at least 1, such as grid:4,16,60x18,72"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRange:
    """One run of layers with the tile sizes, modes and boundary memories it may take."""

    first: int
    last: int
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...]
    sources: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def options(self) -> int:
        """Number of stack options in this range."""
        return (
            len(self.widths)
            * len(self.heights)
            * len(self.modes)
            * len(self.sources)
            * len(self.targets)
        )


def axis_unrolling(problem: Problem, layer: Layer, dim: str) -> int:
    """Spatial unrolling of `dim` in `layer`."""
    for unroll in problem.hardware.unrolling(problem.workload.name, layer):
        if unroll.loop_dim == dim:
            return unroll.factor
    return 1


def boundary_memories(problem: Problem, layer: int, rules: RuleSet) -> tuple[int, ...]:
    """Memories where the feature map after `layer` (-1: network input) may live whole.

    The network's input and output live in DRAM. Only the exact rules know other places.
    """
    domains = memory_domains(problem.hardware)
    layers = problem.workload.layers
    if layer < 0 or layer == len(layers) - 1 or not rules.joint_capacity:
        return (domains.dram,)
    produced = layers[layer]
    bits = produced.precision.output_bits * produced.channels
    bits *= produced.sizes["OX"] * produced.sizes["OY"]
    return tuple(i for i in domains.caches if bits <= domains.sizes_bits[i])


def stack_ranges(
    problem: Problem,
    rules: RuleSet,
    tiles: TileSpace,
    modes: tuple[OverlapMode, ...],
    max_depth: int | None,
) -> tuple[StackRange, ...]:
    """Every run of layers with its tile sizes; `max_depth` caps the layers of a stack."""
    layers = problem.workload.layers
    ranges = []
    boundaries = {i: boundary_memories(problem, i, rules) for i in range(-1, len(layers))}
    for last, layer in enumerate(layers):
        width, height = layer.sizes["OX"], layer.sizes["OY"]
        if tiles.every_size:
            widths, heights = tuple(range(1, width + 1)), tuple(range(1, height + 1))
        elif tiles.widths is not None and tiles.heights is not None:
            widths = tuple(sorted({min(t, width) for t in tiles.widths}))
            heights = tuple(sorted({min(t, height) for t in tiles.heights}))
        else:
            widths = efficient_sizes(width, axis_unrolling(problem, layer, "OX"))
            heights = efficient_sizes(height, axis_unrolling(problem, layer, "OY"))
        for first in range(last + 1):
            if max_depth is not None and last - first + 1 > max_depth:
                continue
            ranges.append(
                StackRange(
                    first=first,
                    last=last,
                    widths=widths,
                    heights=heights,
                    modes=modes,
                    sources=boundaries[first - 1],
                    targets=boundaries[last],
                )
            )
    return tuple(ranges)
