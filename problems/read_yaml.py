"""Read one YAML file as plain mappings, lists and scalars; a duplicate key is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from problems.errors import ProblemError


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, but two equal keys in one mapping are refused, not overwritten."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            entry = (key.tag, key.value)
            if entry in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key.value}' is given twice", key.start_mark
                )
            seen.add(entry)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that the file at `path` holds.

    Raises ProblemError if the file is missing, unreadable, not YAML or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProblemError("no such file", file=str(path)) from None
    except OSError as error:
        raise ProblemError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError:
        raise ProblemError("is not UTF-8 text", file=str(path)) from None
    except ValueError:  # a null character in the path
        raise ProblemError("not a valid path", file=repr(str(path))) from None
    try:
        # The loader derives from SafeLoader: only plain values are ever constructed.
        data = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ProblemError(f"not valid YAML: {error.problem}", file=str(path), key=line) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ProblemError(f"not valid YAML: {error}", file=str(path)) from None
    if not isinstance(data, dict):
        given = "empty" if data is None else f"a {type(data).__name__}"
        raise ProblemError(f"the file must hold a mapping of keys, it is {given}", file=str(path))
    return data
