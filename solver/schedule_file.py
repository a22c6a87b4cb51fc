"""Results and schedules as JSON: written whole or not at all, read back with care."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from cost.overlap import OverlapMode
from cost.rules import RULE_SETS, RuleSet
from cost.schedule import LayerTilePlan, Schedule, ScheduledMapping, StackPlan, TilePlan
from problems.errors import ProblemError, nearest
from solver.result import Result
from solver.write_file import write_whole

FORMAT = "fuseproof-result/2"
MOST = 10**300
"""Larger whole numbers are refused: they have no float."""
TOP_KEYS = (
    *("format", "problem", "workload", "hardware", "objective", "rules", "status"),
    *("energy_pj", "latency_cycles", "edp", "best_bound", "gap", "tolerance", "seconds"),
    *("space", "stacks", "certificate", "phase_seconds", "option_counts", "trace"),
)
STEP_KEYS = ("energy_weight", "latency_weight", "bound", "potentials", "survivors", "limits")
LIMIT_KEYS = ("energy_weight", "latency_weight", "most")
_STACK_KEYS = (
    *("layers", "tile", "mode", "source", "carried", "target", "weights"),
    *("arrival_energy_pj", "arrival_latency_cycles", "placements"),
)
_TILE_KEYS = ("columns", "rows", "layers")
_LAYER_KEYS = (
    *("layer", "size", "producer", "second", "weights", "operand", "output"),
    *("h_use", "h_make", "v"),
    *("loops", "cuts", "double_buffered", "energy_pj", "latency_cycles"),
    *("copy_energy_pj", "copy_latency_cycles", "export_energy_pj", "export_latency_cycles"),
)
_Value = TypeVar("_Value")
_Kind = TypeVar("_Kind", bound=StrEnum)


def result_to_dict(result: Result) -> dict[str, Any]:
    """Return everything about a result as values that JSON knows."""
    return {
        "format": FORMAT,
        "problem": result.problem,
        "workload": result.workload,
        "hardware": result.hardware,
        "objective": str(result.objective),
        "rules": result.rules,
        "status": result.status.value,
        "energy_pj": result.energy_pj,
        "latency_cycles": result.latency_cycles,
        "edp": result.edp,
        "best_bound": result.best_bound,
        "gap": result.gap,
        "tolerance": result.tolerance,
        "seconds": result.seconds,
        "space": {
            "tiles": result.space.tiles,
            "modes": list(result.space.modes),
            "max_depth": result.space.max_depth,
            "stack_ranges": result.space.stack_ranges,
            "options": result.space.options,
            "notes": list(result.space.notes),
            "pins": result.space.pins,
        },
        "stacks": None if result.schedule is None else schedule_to_list(result.schedule),
        "certificate": [
            {
                "energy_weight": step.energy_weight,
                "latency_weight": step.latency_weight,
                "bound": step.bound,
                # A cut that cannot be reached has no potential, and JSON no infinity.
                "potentials": {k: v for k, v in step.potentials.items() if math.isfinite(v)},
                "survivors": step.survivors,
                "limits": [asdict(limit) for limit in step.limits],
            }
            for step in result.proof
        ],
        "phase_seconds": dict(result.phase_seconds),
        "option_counts": dict(result.option_counts),
        "trace": [
            [point.seconds, point.phase, point.objective, point.bound] for point in result.trace
        ],
    }


def schedule_to_list(schedule: Schedule) -> list[dict[str, Any]]:
    """Return the stacks of a schedule as values that JSON knows."""
    return [
        {
            "layers": list(stack.layers),
            "tile": [stack.tile_x, stack.tile_y],
            "mode": stack.mode.value,
            "source": stack.source,
            "carried": stack.carried,
            "target": stack.target,
            "weights": list(stack.weights),
            "arrival_energy_pj": stack.arrival_energy_pj,
            "arrival_latency_cycles": stack.arrival_latency_cycles,
            "placements": [
                {
                    "columns": [list(run) for run in tile.columns],
                    "rows": [list(run) for run in tile.rows],
                    "layers": [_plan_to_dict(plan) for plan in tile.layers],
                }
                for tile in stack.tiles
            ],
        }
        for stack in schedule.stacks
    ]


def schedule_from_dict(document: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a result document.

    Raises ProblemError that names the field if one is missing or of the wrong kind.
    """
    stacks = _get(document, "stacks", list, "")
    return Schedule(
        stacks=tuple(_stack(_is(s, dict, f"stacks[{i}]"), i) for i, s in enumerate(stacks))
    )


def write_result(path: str | Path, result: Result) -> None:
    """Write a result as JSON; the file appears complete or not at all.

    Raises ProblemError that names the path if it cannot be written.
    """
    text = json.dumps(result_to_dict(result), separators=(",", ":"), allow_nan=False)
    write_whole(Path(path), text + "\n")


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result document and check its outline.

    Raises ProblemError if the file is missing, no JSON, or none of ours.
    """
    file = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProblemError("no such file", file=file) from None
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror}", file=file) from None
    except UnicodeDecodeError:
        raise ProblemError("is not UTF-8 text", file=file) from None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError: broken JSON, or a number of more digits than Python reads.
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ProblemError("is not valid JSON", file=file, key=where) from None
    if not isinstance(document, dict):
        raise ProblemError("a result is a JSON object", file=file)
    if "format" not in document:
        raise ProblemError("is missing: this is no result of solve", file=file, key="format")
    if document.get("format") != FORMAT:
        given = document.get("format")
        raise ProblemError(f"is {given!r}, expected '{FORMAT}'", file=file, key="format")
    return document


def rules_of(document: Mapping[str, Any]) -> RuleSet:
    """Return the rule set that a document names; ProblemError if there is none of that name."""
    name = text_of(document, "rules")
    if name not in RULE_SETS:
        allowed = ", ".join(RULE_SETS)
        message = f"is '{name}', expected one of {allowed}{nearest(name, RULE_SETS)}"
        raise ProblemError(message, key="rules")
    return RULE_SETS[name]


def known_keys(entry: Mapping[str, Any], allowed: Iterable[str], where: str = "") -> None:
    """Raise ProblemError that names the first key which is none of `allowed`."""
    names = tuple(allowed)
    for key in entry:
        if key not in names:
            message = f"unknown key, expected some of {', '.join(names)}{nearest(key, names)}"
            raise ProblemError(message, key=_path(where, str(key)))


def number_of(document: Mapping[str, Any], key: str, where: str = "") -> float:
    """Return a finite number of a document; ProblemError if it is missing or none."""
    value: int | float = _get(document, key, (int, float), where)
    if isinstance(value, bool) or value != value or value in (float("inf"), float("-inf")):
        raise ProblemError(f"is {value!r}, expected a finite number", key=_path(where, key))
    if isinstance(value, int) and abs(value) > MOST:
        raise ProblemError(f"is beyond {MOST}", key=_path(where, key))
    return value


def choice_of(document: Mapping[str, Any], key: str, kind: type[_Kind], where: str = "") -> _Kind:
    """Return a named choice of a document; ProblemError if it is none of them."""
    text: str = _get(document, key, str, where)
    allowed = [str(member) for member in kind]
    if text not in allowed:
        message = f"is '{text}', expected one of {', '.join(allowed)}{nearest(text, allowed)}"
        raise ProblemError(message, key=_path(where, key))
    return kind(text)


def list_of(document: Mapping[str, Any], key: str, where: str = "") -> list[Any]:
    """Return a list of a document; ProblemError if it is missing or none."""
    found: list[Any] = _get(document, key, list, where)
    return found


def text_of(document: Mapping[str, Any], key: str, where: str = "") -> str:
    """Return a text of a document; ProblemError if it is missing or none."""
    found: str = _get(document, key, str, where)
    return found


def object_of(document: Mapping[str, Any], key: str, where: str = "") -> dict[str, Any]:
    """Return an object of a document; ProblemError if it is missing or none."""
    found: dict[str, Any] = _get(document, key, dict, where)
    return found


def whole_of(document: Mapping[str, Any], key: str, where: str = "") -> int:
    """Return a whole number of a document; ProblemError if it is missing or none."""
    return _whole(_field(document, key, where), _path(where, key))


def _plan_to_dict(plan: LayerTilePlan) -> dict[str, Any]:
    mapping = plan.mapping
    return {
        "layer": plan.layer,
        "size": [plan.width, plan.height],
        "producer": plan.producer,
        "second": plan.second,
        "weights": plan.weights,
        "operand": plan.operand,
        "output": plan.output,
        "h_use": plan.h_use,
        "h_make": plan.h_make,
        "v": plan.v,
        "loops": [[dim, factor] for dim, factor in mapping.loops],
        "cuts": {name: list(cuts) for name, cuts in mapping.cuts.items()},
        "double_buffered": {
            name: [bool(flag) for flag in flags] for name, flags in mapping.double_buffered.items()
        },
        "energy_pj": plan.energy_pj,
        "latency_cycles": plan.latency_cycles,
        "copy_energy_pj": plan.copy_energy_pj,
        "copy_latency_cycles": plan.copy_latency_cycles,
        "export_energy_pj": plan.export_energy_pj,
        "export_latency_cycles": plan.export_latency_cycles,
    }


def _stack(entry: Mapping[str, Any], number: int) -> StackPlan:
    where = f"stacks[{number}]"
    known_keys(entry, _STACK_KEYS, where)
    tile_x, tile_y = _pair(entry, "tile", where)
    tiles = []
    for i, tile in enumerate(_get(entry, "placements", list, where)):
        inside = f"{where}.placements[{i}]"
        known_keys(_is(tile, dict, inside), _TILE_KEYS, inside)
        layers = _get(tile, "layers", list, inside)
        tiles.append(
            TilePlan(
                columns=_items(tile, "columns", inside, _run),
                rows=_items(tile, "rows", inside, _run),
                layers=tuple(_plan(p, f"{inside}.layers[{j}]") for j, p in enumerate(layers)),
            )
        )
    return StackPlan(
        layers=_items(entry, "layers", where, _text),
        tile_x=tile_x,
        tile_y=tile_y,
        mode=choice_of(entry, "mode", OverlapMode, where),
        source=text_of(entry, "source", where),
        carried=_name(_field(entry, "carried", where), _path(where, "carried")),
        target=text_of(entry, "target", where),
        weights=_items(entry, "weights", where, _name),
        arrival_energy_pj=number_of(entry, "arrival_energy_pj", where),
        arrival_latency_cycles=_cycles(entry, "arrival_latency_cycles", where),
        tiles=tuple(tiles),
    )


def _plan(entry: Any, where: str) -> LayerTilePlan:
    known_keys(_is(entry, dict, where), _LAYER_KEYS, where)
    width, height = _pair(entry, "size", where)
    names = {key: _name(_field(entry, key, where), _path(where, key)) for key in _OPTIONAL}
    return LayerTilePlan(
        layer=text_of(entry, "layer", where),
        width=width,
        height=height,
        producer=text_of(entry, "producer", where),
        operand=text_of(entry, "operand", where),
        output=text_of(entry, "output", where),
        **names,
        mapping=ScheduledMapping(
            loops=_items(entry, "loops", where, _loop),
            cuts=_by_tensor(entry, "cuts", where, _whole),
            double_buffered=_by_tensor(entry, "double_buffered", where, _flag),
        ),
        energy_pj=number_of(entry, "energy_pj", where),
        latency_cycles=_cycles(entry, "latency_cycles", where),
        copy_energy_pj=number_of(entry, "copy_energy_pj", where),
        copy_latency_cycles=_cycles(entry, "copy_latency_cycles", where),
        export_energy_pj=number_of(entry, "export_energy_pj", where),
        export_latency_cycles=_cycles(entry, "export_latency_cycles", where),
    )


_OPTIONAL = ("second", "weights", "h_use", "h_make", "v")


def _by_tensor(
    entry: Mapping[str, Any], key: str, where: str, read: Callable[[Any, str], _Value]
) -> dict[str, tuple[_Value, ...]]:
    found = _get(entry, key, dict, where)
    return {name: _items(found, name, _path(where, key), read) for name in found}


def _items(
    entry: Mapping[str, Any], key: str, where: str, read: Callable[[Any, str], _Value]
) -> tuple[_Value, ...]:
    path = _path(where, key)
    return tuple(read(v, f"{path}[{i}]") for i, v in enumerate(_get(entry, key, list, where)))


def _pair(entry: Mapping[str, Any], key: str, where: str) -> tuple[int, int]:
    values = _items(entry, key, where, _whole)
    if len(values) != 2:
        raise ProblemError(f"has {len(values)} entries, expected 2", key=_path(where, key))
    return values[0], values[1]


def _cycles(entry: Mapping[str, Any], key: str, where: str) -> int:
    return _whole(_field(entry, key, where), _path(where, key))


def _loop(value: Any, path: str) -> tuple[str, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ProblemError(f"is {value!r}, expected [DIM, FACTOR]", key=path)
    return _text(value[0], path), _whole(value[1], path)


def _run(value: Any, path: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ProblemError(f"is {str(value)[:40]!r}, expected [FIRST, COUNT]", key=path)
    return _whole(value[0], path), _whole(value[1], path)


def _whole(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProblemError(f"is {str(value)[:40]!r}, expected a whole number", key=path)
    if abs(value) > MOST:
        raise ProblemError(f"is beyond {MOST}", key=path)
    return value


def _flag(value: Any, path: str) -> bool:
    found: bool = _is(value, bool, path)
    return found


def _text(value: Any, path: str) -> str:
    found: str = _is(value, str, path)
    return found


def _name(value: Any, path: str) -> str | None:
    return None if value is None else _text(value, path)


def _get(entry: Mapping[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    return _is(_field(entry, key, where), kind, _path(where, key))


def _field(entry: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in entry:
        raise ProblemError("is missing", key=_path(where, key))
    return entry[key]


def _is(value: Any, kind: type | tuple[type, ...], path: str) -> Any:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or ".join(_KIND_NAMES[k] for k in kinds)
        raise ProblemError(f"is {str(value)[:40]!r}, expected {names}", key=path)
    return value


_KIND_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _path(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
