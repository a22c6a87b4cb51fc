"""The part of a space of stack options that keeps what is fixed by hand."""

from __future__ import annotations

from dataclasses import replace

from cost.axis_tiles import axis_kinds
from cost.rules import RuleSet
from cost.schedule import ScheduledMapping
from cost.stack_graph import consumers, stack_graph
from problems.errors import ProblemError
from problems.problem import Problem
from solver.pinned_mappings import loop_products, matches, temporal_steps
from solver.pins import PinnedLayer, PinnedStack, Pins
from solver.space import StackRange


class NoDivisionError(ProblemError):
    """What is fixed leaves no division of the network into stacks."""


class PinnedMappingError(ProblemError):
    """A mapping is fixed that no layer-tile of the space can have."""


def pinned_ranges(
    problem: Problem, rules: RuleSet, ranges: tuple[StackRange, ...], pins: Pins
) -> tuple[StackRange, ...]:
    """The part of a space that keeps the pins; NoDivisionError if no partition does.

    A pinned tile need not be among the sizes of the space. What is fixed inside of stacks leaves
    their options as they are, but PinnedMappingError is raised for a mapping of no tile of any.
    """
    users = consumers(problem.workload)
    kept = []
    for r in ranges:
        inside = set(r.layers)
        if any(p in inside and any(u in inside for u in users[p]) for p in pins.cut_after):
            continue
        if any(inside & set(group) and not inside >= set(group) for group in pins.fused):
            continue
        narrowed: StackRange | None = r
        for stack in pins.stacks:
            if narrowed is not None and inside & set(stack.layers):
                narrowed = _narrowed(narrowed, stack)
        if narrowed is not None:
            kept.append(narrowed)
    reached = {0}
    for r in sorted(kept, key=lambda r: r.tail):
        if r.tail in reached:
            reached.add(r.head)
    if max(r.head for r in ranges) not in reached:
        raise NoDivisionError(
            "no division into stacks keeps what is fixed: a stack is a connected set of layers "
            "with one last layer, every layer is in one, and --max-depth holds for it"
        )
    check_mappings(problem, rules, tuple(kept), pins)
    return tuple(kept)


def _narrowed(r: StackRange, stack: PinnedStack) -> StackRange | None:
    targets = tuple(t for t in r.targets if stack.targets <= {t})
    if r.layers != stack.layers or not targets:
        return None
    if stack.source is not None and stack.source not in r.sources:
        return None
    if stack.mode is not None and stack.mode not in r.modes:
        return None
    return replace(
        r,
        widths=r.widths if stack.tile is None else (stack.tile[0],),
        heights=r.heights if stack.tile is None else (stack.tile[1],),
        modes=r.modes if stack.mode is None else (stack.mode,),
        sources=r.sources if stack.source is None else (stack.source,),
        targets=targets,
    )


def check_mappings(
    problem: Problem, rules: RuleSet, ranges: tuple[StackRange, ...], pins: Pins
) -> None:
    """PinnedMappingError if a fixed mapping says nothing: no tile of its stack has such loops.

    Or if the rules know no such mapping. Where there is no such stack at all something else is
    wrong.
    """
    names = [layer.name for layer in problem.workload.layers]
    for number, stack in enumerate(pins.stacks):
        here = [r for r in ranges if r.layers == stack.layers]
        for layer in stack.inside:
            for n, mapping in enumerate(layer.mappings):
                name = names[layer.position]
                where = f"stacks[{number}].mappings.{name}[{n}]"
                _check_flags(rules, mapping, where)
                if here and not any(_used(problem, rules, r, layer, mapping) for r in here):
                    products = loop_products(mapping)
                    raise PinnedMappingError(
                        f"no tile of {name} in any option of this stack takes "
                        f"{products.get('OX', 1)} steps over OX and {products.get('OY', 1)} "
                        "over OY",
                        key=f"{where}.loops",
                    )


def _check_flags(rules: RuleSet, mapping: ScheduledMapping, where: str) -> None:
    """Saved schedules tell what the reference grants; elsewhere flags are decisions."""
    for name, flags in mapping.double_buffered.items():
        if rules.explicit_double_buffering and flags[-1]:
            raise PinnedMappingError(
                f"the top level of {name}, where it rests, cannot be double buffered",
                key=f"{where}.double_buffered.{name}",
            )


def _used(
    problem: Problem,
    rules: RuleSet,
    r: StackRange,
    layer: PinnedLayer,
    mapping: ScheduledMapping,
) -> bool:
    """Whether any tile of a range has loops as long as a mapping's."""
    graph = stack_graph(problem.workload, r.layers, rules)
    e, merge = r.layers.index(layer.position), rules.joint_capacity
    products = loop_products(mapping)

    def sizes(axis: str, tiles: tuple[int, ...], caches: bool) -> set[int]:
        """Sizes of the layer's tiles that take as many steps along an axis."""
        found = {
            kind.outputs[e]
            for tile in tiles
            for kind in axis_kinds(graph, axis, tile, caches, merge)
        } - {0}
        wanted = products.get("O" + axis.upper(), 1)
        return {
            size
            for size in found
            if temporal_steps(problem, layer.position, size, size).get("O" + axis.upper(), 1)
            == wanted
        }

    for mode in r.modes:
        # Every kind of column meets every kind of row.
        widths = sizes("x", r.widths, mode.caches_columns)
        heights = sizes("y", r.heights, mode.caches_rows)
        if any(matches(problem, layer.position, mapping, w, h) for w in widths for h in heights):
            return True
    return False
