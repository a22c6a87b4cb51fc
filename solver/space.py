"""The space of stack options: which runs of layers, tile sizes, overlap modes, memories."""

from __future__ import annotations

from dataclasses import dataclass

from cost.axis_tiles import efficient_sizes
from cost.overlap import OverlapMode
from cost.rules import RuleSet
from cost.stack_graph import consumers
from problems.errors import ProblemError
from problems.problem import Problem
from problems.workload import Layer, Workload
from solver.cuts import ancestors, cuts
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


Node = tuple[int, int, int]
"""A place on a path of stacks: number of the cut, memory of the map that the last stack left,
and that map's producer (-1: in DRAM, or in a chain, where it is clear)."""


def node_text(problem: Problem, node: Node) -> str:
    """A node as certificates name it: CUT:MEMORY, or CUT:MEMORY:LAYER where that matters."""
    cut, memory, producer = node
    text = f"{cut}:{problem.hardware.memories[memory].name}"
    return text if producer < 0 else f"{text}:{problem.workload.layers[producer].name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRange:
    """A set of layers with the tile sizes, modes and boundary memories it may take.

    `tail` / `head`: numbers of the cuts before and after. `carried`: the producer whose map
    may come from a memory on chip (-1: none), one of `sources`; all other maps, and those
    that leave while the stack runs (`exports`), are in DRAM.
    """

    layers: tuple[int, ...]
    tail: int
    head: int
    carried: int
    exports: tuple[int, ...]
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    modes: tuple[OverlapMode, ...]
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    dram: int
    is_chain: bool

    @property
    def first(self) -> int:
        """Position of the first layer."""
        return self.layers[0]

    @property
    def last(self) -> int:
        """Position of the last layer, whose output is tiled."""
        return self.layers[-1]

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

    def tail_node(self, source: int) -> Node:
        """Where a path comes from if the carried map lies in `source`."""
        plain = source == self.dram or self.is_chain
        return (self.tail, source, -1 if plain else self.carried)

    def head_node(self, target: int) -> Node:
        """Where a path goes on if the last map goes to `target`."""
        plain = target == self.dram or self.is_chain
        return (self.head, target, -1 if plain else self.last)


def axis_unrolling(problem: Problem, layer: Layer, dim: str) -> int:
    """Spatial unrolling of `dim` in `layer`."""
    for unroll in problem.hardware.unrolling(problem.workload.name, layer):
        if unroll.loop_dim == dim:
            return unroll.factor
    return 1


def boundary_memories(problem: Problem, layer: int, rules: RuleSet) -> tuple[int, ...]:
    """Memories where the feature map after `layer` (-1: network input) may live whole.

    The network's input and outputs live in DRAM, and so do maps that a matmul reads as its
    matrix. Only the exact rules know other places.
    """
    domains = memory_domains(problem.hardware)
    workload = problem.workload
    if layer < 0 or not rules.joint_capacity or not consumers(workload)[layer]:
        return (domains.dram,)
    produced = workload.layers[layer]
    if any(reader.weight_source == produced.name for reader in workload.layers):
        return (domains.dram,)
    bits = produced.precision.output_bits * produced.channels * produced.sizes["B"]
    bits *= produced.sizes["OX"] * produced.sizes["OY"]
    return tuple(i for i in domains.caches if bits <= domains.sizes_bits[i])


def stack_ranges(
    problem: Problem,
    rules: RuleSet,
    tiles: TileSpace,
    modes: tuple[OverlapMode, ...],
    max_depth: int | None,
) -> tuple[StackRange, ...]:
    """Every stack of layers with its tile sizes; `max_depth` caps the layers of a stack.

    Raises ProblemError if the workload branches too widely.
    """
    workload = problem.workload
    all_cuts = cuts(workload)
    number = {cut: i for i, cut in enumerate(all_cuts)}
    needs, users = ancestors(workload), consumers(workload)
    matrices = _matrix_makers(workload)
    boundaries = {i: boundary_memories(problem, i, rules) for i in range(len(workload.layers))}
    sizes = [_tile_sizes(problem, layer, tiles) for layer in workload.layers]
    dram, is_chain = memory_domains(problem.hardware).dram, workload.is_chain
    ranges = []
    # Ranges grow with the square of the layers, so little may be done for each: only maps on a
    # cut's edge, with no reader before it, can come from chip.
    edges = [[p for p in sorted(c) if users[p] and c.isdisjoint(users[p])] for c in all_cuts]
    for last in range(len(workload.layers)):
        widths, heights = sizes[last]
        for cut, edge in zip(all_cuts, edges, strict=True):
            if last in cut:
                continue
            stack = (needs[last] | {last}) - cut
            if max_depth is not None and len(stack) > max_depth:
                continue
            if any(stack.issuperset(pair) for pair in matrices):
                continue
            layers = tuple(sorted(stack))
            exports = tuple(p for p in layers[:-1] if not stack.issuperset(users[p]))
            if exports and not rules.true_branches:
                continue  # the reference writes out nothing but a stack's last map
            # The last stack's map is all read here if it comes from chip.
            carried = [p for p in edge if stack.issuperset(users[p])]
            for k, source in enumerate(carried or [-1]):
                places = boundaries[source] if source >= 0 else (dram,)
                if k > 0:
                    places = tuple(m for m in places if m != dram)
                if not places:
                    continue
                ranges.append(
                    StackRange(
                        layers=layers,
                        tail=number[cut],
                        head=number[cut | stack],
                        carried=source,
                        exports=exports,
                        widths=widths,
                        heights=heights,
                        modes=modes,
                        sources=places,
                        targets=boundaries[last],
                        dram=dram,
                        is_chain=is_chain,
                    )
                )
    return tuple(ranges)


def has_path(ranges: tuple[StackRange, ...], end: int) -> bool:
    """Whether stacks lead from the network's input to cut `end` by cuts and memories alone."""
    dram = next((r.dram for r in ranges), -1)
    reached = {(0, dram, -1)}
    for r in sorted(ranges, key=lambda r: r.tail):
        if any(r.tail_node(source) in reached for source in r.sources):
            reached |= {r.head_node(target) for target in r.targets}
    return (end, dram, -1) in reached


def _matrix_makers(workload: Workload) -> tuple[tuple[int, int], ...]:
    """Pairs of layers that no stack holds both of: a matmul, and the maker of its matrix.

    All of it is needed for the first tile, so that there would be nothing to fuse.
    """
    position = {layer.name: i for i, layer in enumerate(workload.layers)}
    return tuple(
        (position[layer.weight_source], i)
        for i, layer in enumerate(workload.layers)
        if layer.weight_source in position
    )


def efficient_tile_sizes(problem: Problem, layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and heights worth trying for stacks that end in `layer`."""
    return (
        efficient_sizes(layer.sizes["OX"], axis_unrolling(problem, layer, "OX")),
        efficient_sizes(layer.sizes["OY"], axis_unrolling(problem, layer, "OY")),
    )


def _tile_sizes(
    problem: Problem, layer: Layer, tiles: TileSpace
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and heights that stacks ending in `layer` may be cut to."""
    width, height = layer.sizes["OX"], layer.sizes["OY"]
    if tiles.every_size:
        return tuple(range(1, width + 1)), tuple(range(1, height + 1))
    if tiles.widths is not None and tiles.heights is not None:
        return (
            tuple(sorted({min(t, width) for t in tiles.widths})),
            tuple(sorted({min(t, height) for t in tiles.heights})),
        )
    return efficient_tile_sizes(problem, layer)
