"""Decisions fixed by hand: the rest of the schedule is completed optimally around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cost.overlap import OverlapMode
from cost.stack_graph import consumers
from problems.errors import ProblemError, nearest
from problems.problem import Problem
from problems.read_yaml import read_yaml
from problems.schema import Count, Entry, Text
from problems.schema_errors import parse
from solver.space import StackRange

Size = Annotated[tuple[Count, Count], Field(strict=False)]


class StackEntry(Entry):
    """A stack of a pin file; what is left out stays free."""

    layers: list[Text] = Field(min_length=1)
    tile: Size | None = None
    mode: OverlapMode | None = None
    output_in: Text | None = None


class PinEntry(Entry):
    """A pin file."""

    stacks: list[StackEntry] = []
    cut_after: list[Text] = []
    fused: list[Annotated[list[Text], Field(min_length=2)]] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedStack:
    """Layers (positions) that make one stack, and what else of it is fixed.

    `target`: the memory (index) that its output rests in.
    """

    layers: tuple[int, ...]
    tile: tuple[int, int] | None = None
    mode: OverlapMode | None = None
    target: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Fixed decisions, layers by position.

    After a layer of `cut_after` a stack ends: none that holds it holds a reader of it.
    The layers of each group in `fused` are in one stack.
    """

    stacks: tuple[PinnedStack, ...] = ()
    cut_after: tuple[int, ...] = ()
    fused: tuple[tuple[int, ...], ...] = ()


def layer_position(problem: Problem, name: str, where: str, file: str = "") -> int:
    """Position of a layer; ProblemError with the nearest name if there is none."""
    names = [layer.name for layer in problem.workload.layers]
    if name not in names:
        raise ProblemError(
            f"no layer '{name}' in workload {problem.workload.name}{nearest(name, names)}",
            file=file,
            key=where,
        )
    return names.index(name)


def read_pins(path: Path, problem: Problem) -> Pins:
    """Read a pin file; ProblemError names file, key, and what is wrong."""
    return pins_from_dict(problem, read_yaml(path), str(path))


def pins_from_dict(
    problem: Problem, data: Mapping[str, Any], file: str = "", prefix: str = ""
) -> Pins:
    """Pins from what a pin file or a result holds; ProblemError as `read_pins`."""
    entry = parse(PinEntry, data, file, prefix)

    def positions(names: Sequence[str], key: str) -> tuple[int, ...]:
        where = prefix + key
        found = tuple(
            layer_position(problem, name, f"{where}[{i}]", file) for i, name in enumerate(names)
        )
        if len(set(found)) < len(found):
            raise ProblemError("names a layer twice", file=file, key=where)
        return tuple(sorted(found))

    stacks = []
    for i, stack in enumerate(entry.stacks):
        where = f"stacks[{i}]"
        layers = positions(stack.layers, f"{where}.layers")
        last = problem.workload.layers[layers[-1]]
        limits = last.sizes["OX"], last.sizes["OY"]
        if stack.tile is not None and any(t > m for t, m in zip(stack.tile, limits, strict=True)):
            raise ProblemError(
                f"{list(stack.tile)} is larger than the output of {last.name}, {list(limits)}",
                file=file,
                key=f"{prefix}{where}.tile",
            )
        stacks.append(
            PinnedStack(
                layers=layers,
                tile=stack.tile,
                mode=stack.mode,
                target=_memory(problem, stack.output_in, f"{prefix}{where}.output_in", file),
            )
        )
    return Pins(
        stacks=tuple(stacks),
        cut_after=positions(entry.cut_after, "cut_after"),
        fused=tuple(positions(group, f"fused[{i}]") for i, group in enumerate(entry.fused)),
    )


def pins_to_dict(problem: Problem, pins: Pins) -> dict[str, Any]:
    """Pins as values that JSON knows, as in a pin file."""
    names = [layer.name for layer in problem.workload.layers]
    stacks = []
    for stack in pins.stacks:
        entry: dict[str, Any] = {"layers": [names[p] for p in stack.layers]}
        if stack.tile is not None:
            entry["tile"] = list(stack.tile)
        if stack.mode is not None:
            entry["mode"] = stack.mode.value
        if stack.target is not None:
            entry["output_in"] = problem.hardware.memories[stack.target].name
        stacks.append(entry)
    return {
        "stacks": stacks,
        "cut_after": [names[p] for p in pins.cut_after],
        "fused": [[names[p] for p in group] for group in pins.fused],
    }


def joined(some: Pins, more: Pins) -> Pins:
    """All that either fixes."""
    return Pins(
        stacks=some.stacks + more.stacks,
        cut_after=tuple(sorted({*some.cut_after, *more.cut_after})),
        fused=some.fused + more.fused,
    )


def pins_note(problem: Problem, pins: Pins) -> str:
    """What is fixed, in a line."""
    fixed = pins_to_dict(problem, pins)
    parts = []
    for stack in fixed["stacks"]:
        text = "stack " + ", ".join(stack["layers"])
        if "tile" in stack:
            text += " in tiles {}x{}".format(*stack["tile"])
        text += f" {stack['mode']}" if "mode" in stack else ""
        parts.append(text + (f" to {stack['output_in']}" if "output_in" in stack else ""))
    parts += ["a stack ends after " + name for name in fixed["cut_after"]]
    parts += ["in one stack: " + ", ".join(group) for group in fixed["fused"]]
    return "fixed by hand: " + ("; ".join(parts) or "nothing")


def _memory(problem: Problem, name: str | None, where: str, file: str) -> int | None:
    if name is None:
        return None
    names = [memory.name for memory in problem.hardware.memories]
    if name not in names:
        raise ProblemError(
            f"no memory '{name}' in {problem.hardware.name}{nearest(name, names)}",
            file=file,
            key=where,
        )
    return names.index(name)


class NoDivisionError(ProblemError):
    """What is fixed leaves no division of the network into stacks."""


def pinned_ranges(
    problem: Problem, ranges: tuple[StackRange, ...], pins: Pins
) -> tuple[StackRange, ...]:
    """The part of a space that keeps the pins; NoDivisionError if no partition does.

    A pinned tile need not be among the sizes of the space.
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
    return tuple(kept)


def _narrowed(r: StackRange, stack: PinnedStack) -> StackRange | None:
    if r.layers != stack.layers or (stack.target is not None and stack.target not in r.targets):
        return None
    if stack.mode is not None and stack.mode not in r.modes:
        return None
    return replace(
        r,
        widths=r.widths if stack.tile is None else (stack.tile[0],),
        heights=r.heights if stack.tile is None else (stack.tile[1],),
        modes=r.modes if stack.mode is None else (stack.mode,),
        targets=r.targets if stack.target is None else (stack.target,),
    )
