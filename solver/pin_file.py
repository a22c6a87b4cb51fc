"""Pin files: fixed decisions as YAML, as a saved result states them, and in a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from cost.overlap import OverlapMode
from cost.schedule import ScheduledMapping
from problems.errors import ProblemError, nearest
from problems.problem import Problem
from problems.read_yaml import read_yaml
from problems.schema import Amount, Count, Entry, LoopDim, Text
from problems.schema_errors import parse
from problems.workload import Layer
from solver.pinned_mappings import check_mapping
from solver.pins import CACHES, FETCHED, TENSORS, PinnedLayer, PinnedStack, Pins
from solver.placements import memory_domains

Size = Annotated[tuple[Count, Count], Field(strict=False)]
Loop = Annotated[tuple[LoopDim, Count], Field(strict=False)]
Tensor = Literal["W", "I", "O", "X", "Y"]
Flag = Annotated[bool, Field(strict=True)]


class MemoriesEntry(Entry):
    """Memories of a layer's tiles and caches; what is left out stays free."""

    W: Text | None = None
    I: Text | None = None  # noqa: E741
    O: Text | None = None  # noqa: E741
    H: Text | None = None
    V: Text | None = None
    F: Text | None = None


class MappingEntry(Entry):
    """A temporal mapping as a saved schedule has it; no level is double buffered if not told."""

    loops: list[Loop]
    cuts: dict[Tensor, list[Amount]]
    double_buffered: dict[Tensor, list[Flag]] | None = None


class StackEntry(Entry):
    """A stack of a pin file; what is left out stays free."""

    layers: list[Text] = Field(min_length=1)
    tile: Size | None = None
    mode: OverlapMode | None = None
    input_in: Text | None = None
    output_in: Text | None = None
    memories: dict[Text, MemoriesEntry] = {}
    mappings: dict[Text, Annotated[list[MappingEntry], Field(min_length=1)]] = {}


class PinEntry(Entry):
    """A pin file."""

    stacks: list[StackEntry] = []
    cut_after: list[Text] = []
    fused: list[Annotated[list[Text], Field(min_length=2)]] = []


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
        layers = positions(stack.layers, f"stacks[{i}].layers")
        stacks.append(_stack(problem, stack, layers, f"{prefix}stacks[{i}]", file))
    return Pins(
        stacks=tuple(stacks),
        cut_after=positions(entry.cut_after, "cut_after"),
        fused=tuple(positions(group, f"fused[{i}]") for i, group in enumerate(entry.fused)),
    )


def _stack(
    problem: Problem, entry: StackEntry, layers: tuple[int, ...], where: str, file: str
) -> PinnedStack:
    last = problem.workload.layers[layers[-1]]
    limits = last.sizes["OX"], last.sizes["OY"]
    if entry.tile is not None and any(t > m for t, m in zip(entry.tile, limits, strict=True)):
        raise ProblemError(
            f"{list(entry.tile)} is larger than the output of {last.name}, {list(limits)}",
            file=file,
            key=f"{where}.tile",
        )
    ends = {}
    for key, name in (("input_in", entry.input_in), ("output_in", entry.output_in)):
        ends[key] = None if name is None else _memory(problem, name, f"{where}.{key}", file)
    memories = {}
    for name, places in entry.memories.items():
        position = _inside(problem, name, layers, f"{where}.memories", file)
        memories[position] = _places(problem, position, places, f"{where}.memories.{name}", file)
        here = {problem.workload.layers[p].name for p in layers}
        if FETCHED in memories[position] and here.issuperset(
            problem.workload.layers[position].sources
        ):
            raise ProblemError(
                f"layer {name} reads no map from outside of this stack",
                file=file,
                key=f"{where}.memories.{name}.{FETCHED}",
            )
    target = memories.get(layers[-1], {}).pop("O", None)
    if target is not None and ends["output_in"] not in (None, target):
        raise ProblemError(
            f"is not in {entry.output_in}, where output_in has it: the tiles of a last layer rest "
            "where its map does",
            file=file,
            key=f"{where}.memories.{last.name}.O",
        )
    mappings = {}
    for name, given in entry.mappings.items():
        position = _inside(problem, name, layers, f"{where}.mappings", file)
        mappings[position] = tuple(
            _mapping(problem, position, one, f"{where}.mappings.{name}[{n}]", file)
            for n, one in enumerate(given)
        )
    inside = [
        PinnedLayer(
            position=position,
            memories=tuple(memories.get(position, {}).items()),
            mappings=mappings.get(position, ()),
        )
        for position in layers
        if memories.get(position) or position in mappings
    ]
    return PinnedStack(
        layers=layers,
        tile=entry.tile,
        mode=entry.mode,
        source=ends["input_in"],
        target=ends["output_in"] if target is None else target,
        inside=tuple(inside),
    )


def _inside(problem: Problem, name: str, layers: tuple[int, ...], where: str, file: str) -> int:
    """Position of a layer that must be one of a stack's."""
    position = layer_position(problem, name, where, file)
    if position not in layers:
        names = ", ".join(problem.workload.layers[p].name for p in layers)
        raise ProblemError(f"layer {name} is not in this stack of {names}", file=file, key=where)
    return position


def _memory(problem: Problem, name: str, where: str, file: str) -> int:
    names = [memory.name for memory in problem.hardware.memories]
    if name not in names:
        raise ProblemError(
            f"no memory '{name}' in {problem.hardware.name}{nearest(name, names)}",
            file=file,
            key=where,
        )
    return names.index(name)


def _places(
    problem: Problem, position: int, entry: MemoriesEntry, where: str, file: str
) -> dict[str, int]:
    """Memories by what rests in them."""
    layer = problem.workload.layers[position]
    found = {}
    for what in (*TENSORS, *CACHES, FETCHED):
        name = getattr(entry, what)
        if name is None:
            continue
        key = f"{where}.{what}"
        memory = _memory(problem, name, key, file)
        if what == "W" and not layer.has_weights:
            raise ProblemError(f"layer {layer.name} has no weights", file=file, key=key)
        allowed = _allowed(problem, layer, what)
        if memory not in allowed:
            names = [problem.hardware.memories[m].name for m in allowed]
            raise ProblemError(
                f"no {what} of {layer.name} can rest in {name}, expected one of "
                + ", ".join(names),
                file=file,
                key=key,
            )
        found[what] = memory
    return found


def _allowed(problem: Problem, layer: Layer, what: str) -> tuple[int, ...]:
    """Memories on the way of an operand that all the array shares; of caches, of I and O."""
    domains = memory_domains(problem.hardware)
    if what in CACHES or (what in ("I", "O") and not layer.computes):
        return domains.caches
    of = {"W": domains.weights, "I": domains.inputs, "O": domains.outputs, FETCHED: domains.inputs}
    return of[what]


def _mapping(
    problem: Problem, position: int, entry: MappingEntry, where: str, file: str
) -> ScheduledMapping:
    cuts = {str(name): tuple(of) for name, of in entry.cuts.items()}
    flags = {name: (False,) * len(of) for name, of in cuts.items()}
    if entry.double_buffered is not None:
        flags = {str(name): tuple(of) for name, of in entry.double_buffered.items()}
    mapping = ScheduledMapping(loops=tuple(entry.loops), cuts=cuts, double_buffered=flags)
    try:
        check_mapping(problem, position, mapping)
    except ProblemError as error:
        raise ProblemError(error.message, file=file, key=f"{where}.{error.key}") from None
    return mapping


def pins_to_dict(problem: Problem, pins: Pins) -> dict[str, Any]:
    """Pins as values that JSON knows, as in a pin file."""
    names = [layer.name for layer in problem.workload.layers]
    return {
        "stacks": [_stack_to_dict(problem, stack) for stack in pins.stacks],
        "cut_after": [names[p] for p in pins.cut_after],
        "fused": [[names[p] for p in group] for group in pins.fused],
    }


def _stack_to_dict(problem: Problem, stack: PinnedStack) -> dict[str, Any]:
    names = [layer.name for layer in problem.workload.layers]
    memories = [memory.name for memory in problem.hardware.memories]
    entry: dict[str, Any] = {"layers": [names[p] for p in stack.layers]}
    if stack.tile is not None:
        entry["tile"] = list(stack.tile)
    if stack.mode is not None:
        entry["mode"] = stack.mode.value
    if stack.source is not None:
        entry["input_in"] = memories[stack.source]
    if stack.target is not None:
        entry["output_in"] = memories[stack.target]
    placed = {
        names[layer.position]: {what: memories[m] for what, m in layer.memories}
        for layer in stack.inside
        if layer.memories
    }
    mapped = {
        names[layer.position]: [_mapping_to_dict(mapping) for mapping in layer.mappings]
        for layer in stack.inside
        if layer.mappings
    }
    return (
        entry | ({"memories": placed} if placed else {}) | ({"mappings": mapped} if mapped else {})
    )


def _mapping_to_dict(mapping: ScheduledMapping) -> dict[str, Any]:
    return {
        "loops": [[dim, factor] for dim, factor in mapping.loops],
        "cuts": {name: list(cuts) for name, cuts in mapping.cuts.items()},
        "double_buffered": {name: list(of) for name, of in mapping.double_buffered.items()},
    }


def pins_note(problem: Problem, pins: Pins) -> str:
    """What is fixed, in a line."""
    fixed = pins_to_dict(problem, pins)
    parts = []
    for stack in fixed["stacks"]:
        text = "stack " + ", ".join(stack["layers"])
        if "tile" in stack:
            text += " in tiles {}x{}".format(*stack["tile"])
        text += f" {stack['mode']}" if "mode" in stack else ""
        text += f" from {stack['input_in']}" if "input_in" in stack else ""
        text += f" to {stack['output_in']}" if "output_in" in stack else ""
        inside = [
            f"{what} of {layer} in {memory}"
            for layer, places in stack.get("memories", {}).items()
            for what, memory in places.items()
        ]
        for layer, given in stack.get("mappings", {}).items():
            several = f" (one of {len(given)})" if len(given) > 1 else ""
            inside.append(f"mapping of {layer} in tiles as large as it{several}")
        parts.append(text + (" with " + ", ".join(inside) if inside else ""))
    parts += ["a stack ends after " + name for name in fixed["cut_after"]]
    parts += ["in one stack: " + ", ".join(group) for group in fixed["fused"]]
    return "fixed by hand: " + ("; ".join(parts) or "nothing")
