"""Turn what pydantic says about a file into one line a reader can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from problems.errors import ProblemError, nearest
from problems.schema import Entry

E = TypeVar("E", bound=Entry)


def parse(model: type[E], data: Mapping[str, Any], file: str, prefix: str = "") -> E:
    """Validate `data` as `model`; ProblemError tells the first thing that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = prefix + key_path(first["loc"], data)
        raise ProblemError(_what(first), file=file, key=key) from None


def key_path(location: tuple[int | str, ...], data: object) -> str:
    """Write a location as `layers[3] ("conv4").loops.K`, naming list items that have names."""
    path = ""
    here = data
    for step in location:
        if isinstance(step, int):
            here = here[step] if isinstance(here, list) and step < len(here) else None
            path += f"[{step}]"
            name = here.get("name") if isinstance(here, dict) else None
            if isinstance(name, str):
                path += f' ("{name}")'
        elif step != "[key]":
            here = here.get(step) if isinstance(here, dict) else None
            path += f".{step}" if path else step
    return path


def _what(error: ErrorDetails) -> str:
    """The message of one pydantic error, with what was given and what is allowed."""
    given = error["input"]
    context = error.get("ctx", {})
    match error["type"]:
        case "problem":
            return str(context["message"])
        case "missing":
            return "this key is missing"
        case "enum" | "literal_error":
            allowed = str(context["expected"])
            names = [name.strip(" '") for name in allowed.replace(" or ", ", ").split(",")]
            return f"expected {allowed}, not {given!r}{nearest(given, names)}"
        case "string_type" if isinstance(given, int | float):
            return f"expected text, not the number {given!r}; put it in quotes"
        case "string_pattern_mismatch":
            return f"expected a name without spaces or '@', not {given!r}"
        case "int_type" | "int_from_float":
            return f"expected an integer, not {_short(given)}"
        case "float_type" | "finite_number":
            return f"expected a number, not {_short(given)}"
        case "tuple_type":
            return f"expected a list, not {_short(given)}"
        case "dict_type" | "model_type":
            return f"expected a mapping of keys, not {_short(given)}"
        case "too_short":
            return "expected at least one entry, none given"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}, not {given!r}"
        case "less_than_equal":
            return f"must be at most {context['le']:,}, not {given!r}"
    text = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"expected {text[0].lower()}{text[1:]}, not {_short(given)}"


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."
