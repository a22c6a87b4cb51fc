"""Load a problem: from the catalogue, from files, or from a mixture of both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

from problems.build import build_hardware, build_workload
from problems.check_hardware import check_rules_against
from problems.errors import ProblemError, nearest
from problems.hardware import Hardware
from problems.problem import Problem
from problems.read_yaml import read_yaml
from problems.schema import HardwareEntry, ProblemEntry, WorkloadEntry
from problems.schema_errors import parse
from problems.workload import Workload

LIBRARY = Path(__file__).parent / "library"

Part = Literal["workload", "hardware"]
_FOLDER = {"workload": "workloads", "hardware": "hardware"}
_JOINED = {"workload": "FILE@HARDWARE", "hardware": "WORKLOAD@FILE"}


class Catalogue(NamedTuple):
    """Names that `load_problem` knows without a file."""

    workloads: tuple[str, ...]
    hardware: tuple[str, ...]


def catalogue() -> Catalogue:
    """Return the catalogue's workload and hardware names, sorted."""
    return Catalogue(workloads=_names("workload"), hardware=_names("hardware"))


def load_problem(text: str) -> Problem:
    """Load the problem that `text` names.

    `text` is `workload@hardware`, where each side is a catalogue name or the path of a
    YAML file (relative to the working directory), or the path of a problem file (names
    and paths in it are relative to its folder). Raises ProblemError on bad input.
    """
    if os.path.isfile(text) or ("@" not in text and _is_path(text)):
        return _load_problem_file(Path(text), text)
    sides = text.split("@")
    if len(sides) != 2 or not all(sides):
        message = f"unknown problem '{text}': expected WORKLOAD@HARDWARE (such as "
        message += "fsrcnn@meta-proto-df) or the path of a problem file"
        raise ProblemError(message + _nearest_problem(text))
    workload_path = _locate(sides[0], "workload", Path())
    hardware_path = _locate(sides[1], "hardware", Path())
    return _problem(None, load_workload(workload_path), load_hardware(hardware_path), text)


def load_workload(path: Path) -> Workload:
    """Load a workload file; ProblemError if it is missing or wrong."""
    file = str(path)
    return build_workload(parse(WorkloadEntry, read_yaml(path), file), file)


def load_hardware(path: Path) -> Hardware:
    """Load a hardware file; ProblemError if it is missing or wrong."""
    file = str(path)
    return build_hardware(parse(HardwareEntry, read_yaml(path), file), file)


def _load_problem_file(path: Path, source: str) -> Problem:
    file = str(path)
    data = read_yaml(path)
    for part, key in (("workload", "layers"), ("hardware", "memories")):
        if key in data:
            message = f"this is a {part} file, half a problem: name it as {_JOINED[part]}"
            raise ProblemError(message, file=file)
    entry = parse(ProblemEntry, data, file)
    workload = _workload_part(entry.workload, path)
    hardware = _hardware_part(entry.hardware, path)
    return _problem(entry.name, workload, hardware, source)


def _workload_part(part: str | dict[str, Any], path: Path) -> Workload:
    if isinstance(part, str):
        return load_workload(_locate(part, "workload", path.parent, str(path)))
    entry = parse(WorkloadEntry, part, str(path), "workload.")
    return build_workload(entry, str(path), "workload.")


def _hardware_part(part: str | dict[str, Any], path: Path) -> Hardware:
    if isinstance(part, str):
        return load_hardware(_locate(part, "hardware", path.parent, str(path)))
    entry = parse(HardwareEntry, part, str(path), "hardware.")
    return build_hardware(entry, str(path), "hardware.")


def _problem(name: str | None, workload: Workload, hardware: Hardware, source: str) -> Problem:
    check_rules_against(hardware, workload, source)
    full_name = name or f"{workload.name}@{hardware.name}"
    return Problem(name=full_name, workload=workload, hardware=hardware, source=source)


def _locate(text: str, part: Part, folder: Path, file: str = "") -> Path:
    """Return the file that a name or path stands for, or tell which names there are."""
    names = _names(part)
    if text in names:
        return LIBRARY / _FOLDER[part] / f"{text}.yaml"
    path = folder / text
    if _is_path(text) or os.path.isfile(path):
        return path
    message = f"unknown {part} '{text}'; the catalogue has {', '.join(names)}"
    raise ProblemError(message + nearest(text, names), file=file, key=part if file else "")


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml"))


def _names(part: Part) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (LIBRARY / _FOLDER[part]).glob("*.yaml")))


def _nearest_problem(text: str) -> str:
    known = catalogue()
    pairs = [f"{workload}@{name}" for workload in known.workloads for name in known.hardware]
    return nearest(text, pairs)
