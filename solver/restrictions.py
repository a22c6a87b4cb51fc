"""What a user may narrow the space by, one limit at a time, so that each can be lifted.

Pins are taken apart: the layers of a stack, its tile, its mode, the memories of its input and its
output, and of each of its layers every memory and its mappings are limits of their own. All but
the first only say something of a stack of exactly those layers. Lifting a limit never
takes anything out of the space, so sizes that a lifted limit named stay beside the usual ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from cost.overlap import OverlapMode
from cost.rules import RuleSet
from cost.stack_graph import consumers
from problems.problem import Problem
from solver.pins import LayerOfStack, PinnedLayer, PinnedStack, Pins
from solver.space import EFFICIENT, StackRange, TileSpace, stack_ranges


class What(StrEnum):
    """What a restriction is of."""

    DEPTH = "--max-depth"
    MODES = "--modes"
    TILES = "--tiles"
    LAYERS = "layers of a stack"
    TILE = "tile of a stack"
    MODE = "mode of a stack"
    SOURCE = "memory of a stack's input"
    TARGET = "memory of a stack's output"
    INSIDE = "memory or mappings of a layer in a stack"
    CUT = "cut"
    FUSED = "fused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """All that a user narrows a space by."""

    tiles: TileSpace = EFFICIENT
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode)
    max_depth: int | None = None
    pins: Pins = Pins()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """One limit of a narrowing: `name` as reports have it, `value` and how to lift it.

    `inside`: what it fixes of a layer of the stack.
    """

    what: What
    name: str
    value: str
    lever: str
    stack: PinnedStack | None = None
    inside: PinnedLayer | None = None
    layers: tuple[int, ...] = ()


def restrictions(problem: Problem, narrowing: Narrowing) -> tuple[Restriction, ...]:
    """Everything that narrows the space, one by one."""
    found = []
    if narrowing.max_depth is not None:
        found.append(_option(What.DEPTH, str(narrowing.max_depth), "allow deeper stacks"))
    if set(narrowing.modes) != set(OverlapMode):
        found.append(_option(What.MODES, ",".join(narrowing.modes), "allow more modes"))
    if narrowing.tiles.widths is not None:
        found.append(_option(What.TILES, narrowing.tiles.text, "allow more tile sizes"))
    names = [layer.name for layer in problem.workload.layers]

    def text(layers: Iterable[int]) -> str:
        return ", ".join(names[p] for p in layers)

    def pin(what: What, name: str, value: str, **more: object) -> Restriction:
        return Restriction(what=what, name=name, value=value, lever=f"unpin {name}", **more)

    for stack in narrowing.pins.stacks:
        name = f"stack {text(stack.layers)}"
        found.append(pin(What.LAYERS, name, "one stack", stack=stack))
        if stack.tile is not None:
            found.append(
                pin(What.TILE, f"tile of {name}", "{} x {}".format(*stack.tile), stack=stack)
            )
        if stack.mode is not None:
            found.append(pin(What.MODE, f"mode of {name}", stack.mode.value, stack=stack))
        if stack.source is not None:
            memory = problem.hardware.memories[stack.source].name
            found.append(pin(What.SOURCE, f"input of {name}", memory, stack=stack))
        if stack.target is not None:
            memory = problem.hardware.memories[stack.target].name
            found.append(pin(What.TARGET, f"output of {name}", memory, stack=stack))
        for what, value, one in _inside(problem, stack):
            found.append(pin(What.INSIDE, f"{what} in {name}", value, stack=stack, inside=one))
    for layer in narrowing.pins.cut_after:
        found.append(pin(What.CUT, f"cut after {names[layer]}", "a stack ends", layers=(layer,)))
    for group in narrowing.pins.fused:
        found.append(pin(What.FUSED, f"fused {text(group)}", "one stack", layers=group))
    return tuple(found)


def _inside(problem: Problem, stack: PinnedStack) -> Iterator[tuple[str, str, PinnedLayer]]:
    """What is fixed of the layers of a stack, one by one: (name, value, the pin)."""
    for layer in stack.inside:
        name = problem.workload.layers[layer.position].name
        for what, memory in layer.memories:
            one = PinnedLayer(position=layer.position, memories=((what, memory),))
            yield f"{what} of {name}", problem.hardware.memories[memory].name, one
        if layer.mappings:
            one = PinnedLayer(position=layer.position, mappings=layer.mappings)
            yield f"mapping of {name}", f"{len(layer.mappings)} given", one


def kept_inside(kept: Iterable[Restriction]) -> tuple[LayerOfStack, ...]:
    """What the `kept` restrictions fix of the layers of stacks: tables have to know it."""
    return tuple(
        (limit.stack.layers, limit.inside)
        for limit in kept
        if limit.stack is not None and limit.inside is not None
    )


def _option(what: What, value: str, lever: str) -> Restriction:
    return Restriction(what=what, name=what.value, value=value, lever=lever)


def restricted_ranges(
    problem: Problem,
    rules: RuleSet,
    narrowing: Narrowing,
    kept: Iterable[Restriction],
    all_of_them: Iterable[Restriction],
) -> tuple[StackRange, ...]:
    """The space that only the `kept` restrictions narrow, but for the insides of stacks.

    Some stacks, but perhaps none that lead to the end of the network. See `kept_inside`.
    """
    active = tuple(kept)
    whats = {restriction.what for restriction in active}
    modes = narrowing.modes if What.MODES in whats else tuple(OverlapMode)
    depth = narrowing.max_depth if What.DEPTH in whats else None
    ranges = stack_ranges(problem, rules, narrowing.tiles, modes, depth)
    if narrowing.tiles.widths is not None and What.TILES not in whats:
        usual = stack_ranges(problem, rules, EFFICIENT, modes, depth)
        ranges = tuple(
            replace(r, widths=_union(r.widths, u.widths), heights=_union(r.heights, u.heights))
            for r, u in zip(ranges, usual, strict=True)
        )
    users = consumers(problem.workload)
    for restriction in all_of_them:
        lifted = restriction not in active
        if lifted and restriction.what is not What.TILE:
            continue
        ranges = tuple(
            narrowed
            for r in ranges
            if (narrowed := _applied(r, restriction, users, lifted=lifted)) is not None
        )
    return ranges


def _union(some: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({*some, *more}))


def _applied(
    r: StackRange, restriction: Restriction, users: tuple[tuple[int, ...], ...], *, lifted: bool
) -> StackRange | None:
    """A range under one restriction, None if nothing of it is left."""
    inside, what = set(r.layers), restriction.what
    if what is What.CUT:
        (cut,) = restriction.layers
        return None if cut in inside and inside & set(users[cut]) else r
    if what is What.FUSED:
        group = set(restriction.layers)
        return None if inside & group and not inside >= group else r
    stack = restriction.stack
    if stack is None:
        return r  # of the whole space, and its ranges are made by it
    if what is What.LAYERS:
        return r if r.layers == stack.layers or not inside & set(stack.layers) else None
    if r.layers != stack.layers:
        return r
    if what is What.TILE and stack.tile is not None:
        width, height = (stack.tile[0],), (stack.tile[1],)
        if lifted:
            width, height = _union(width, r.widths), _union(height, r.heights)
        return replace(r, widths=width, heights=height)
    if what is What.MODE and stack.mode is not None:
        return replace(r, modes=(stack.mode,)) if stack.mode in r.modes else None
    if what is What.SOURCE and stack.source is not None:
        return replace(r, sources=(stack.source,)) if stack.source in r.sources else None
    if what is What.TARGET and stack.target is not None:
        return replace(r, targets=(stack.target,)) if stack.target in r.targets else None
    return r
