"""Sets of layers as stacks: which there are, how they split and join, in what order they run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from solver.policies.fixed_stacks import FixedStack, Stacks
from solver.space import StackRange

Layers = tuple[int, ...]
Reads = Sequence[Sequence[int]]
"""Positions of the layers that each layer reads."""


def through_dram(ranges: Iterable[StackRange]) -> dict[Layers, StackRange]:
    """Ranges by their layers, of each set one that takes all its maps from DRAM."""
    found: dict[Layers, StackRange] = {}
    for r in ranges:
        if r.dram in r.sources:
            found.setdefault(r.layers, r)
    return found


def are_inside(stacks: Stacks, ranges: Iterable[StackRange]) -> bool:
    """Whether stacks that meet in DRAM are options of a space."""
    spec = through_dram(ranges)
    for stack in stacks:
        r = spec.get(stack.layers)
        if r is None or stack.mode not in r.modes:
            return False
        if stack.tile_x not in r.widths or stack.tile_y not in r.heights:
            return False
    return True


def union(one: FixedStack, other: FixedStack) -> Layers:
    """Layers of both stacks; a stack only if some range has them."""
    return tuple(sorted((*one.layers, *other.layers)))


def split(layers: Layers, end: int, reads: Reads) -> tuple[Layers, Layers]:
    """The layers of a stack that `end` needs, itself among them, and the others.

    In both every layer leads to the last, since all of a stack lead to its last one.
    """
    needed = {end}
    for layer in reversed(layers):
        if layer in needed:
            needed.update(p for p in reads[layer] if p in layers)
    return tuple(sorted(needed)), tuple(layer for layer in layers if layer not in needed)


def joined(
    stacks: Stacks, position: int, other: FixedStack, merged: FixedStack, reads: Reads
) -> Stacks | None:
    """`merged` in the place of the stack at `position` and of `other`; None if none can run."""
    rest = [s for s in (*stacks[:position], *stacks[position + 1 :]) if s is not other]
    return runnable((*rest, merged), reads)


def runnable(stacks: Sequence[FixedStack], reads: Reads) -> Stacks | None:
    """The stacks in an order in which they can run, None if two of them need each other.

    Of those that may run next the one with the earliest last layer does.
    """
    waiting = sorted(stacks, key=lambda stack: stack.last)
    done: set[int] = set()
    ordered: list[FixedStack] = []
    while waiting:
        for stack in waiting:
            inside = set(stack.layers)
            if all(p in done or p in inside for layer in stack.layers for p in reads[layer]):
                break
        else:
            return None
        waiting.remove(stack)
        done |= inside
        ordered.append(stack)
    return tuple(ordered)
