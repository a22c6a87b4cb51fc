"""Whatever is done to a file, it either loads or is refused in one line."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from problems import ProblemError, load_problem

DATA = Path(__file__).parent.parent / "data"
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["a", "b", "input", "K 2", "all", "conv", "add", "W", [], {}, [[]], ["a"]]),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Key paths of all values inside `node`."""
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list):
        items = list(enumerate(node))
    else:
        return []
    deeper = [place for key, value in items for place in places(value, (*path, key))]
    return [(*path, key) for key, _ in items] + deeper


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_changed_problem_file_loads_or_is_refused(draw: st.DataObject, tmp_path: Path) -> None:
    """Replacing, removing or renaming up to two values never ends in another error."""
    problem = {
        "workload": yaml.safe_load((DATA / "tiny.yaml").read_text()),
        "hardware": yaml.safe_load((DATA / "tiny-hw.yaml").read_text()),
    }
    changed = copy.deepcopy(problem)
    for _ in range(draw.draw(st.integers(1, 2))):
        choices = places(changed)
        if not choices:
            break
        *path, last = draw.draw(st.sampled_from(choices))
        holder = changed
        for step in path:
            holder = holder[step]
        value = holder.pop(last)
        action = draw.draw(st.sampled_from(["replace", "remove", "rename"]))
        if action == "rename" and isinstance(holder, dict):
            holder[draw.draw(st.one_of(st.integers(), st.booleans(), st.text(max_size=3)))] = value
        elif action == "replace" and isinstance(holder, dict):
            holder[last] = draw.draw(VALUES)
        elif action == "replace":
            holder.insert(last, draw.draw(VALUES))
    file = tmp_path / "problem.yaml"
    file.write_text(yaml.safe_dump(changed, sort_keys=False))
    try:
        load_problem(str(file))
    except ProblemError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(f"{file}: ")


@pytest.mark.parametrize("name", ["tiny.yaml", "tiny-hw.yaml"])
def test_truncated_file_is_refused_or_loads(name: str, tmp_path: Path) -> None:
    """A file cut off at any character is refused in one line, if it is refused."""
    text = (DATA / name).read_text()
    file = tmp_path / name
    for end in range(len(text)):
        file.write_text(text[:end])
        sides = (file, "meta-proto") if name == "tiny.yaml" else ("fsrcnn", file)
        try:
            load_problem(f"{sides[0]}@{sides[1]}")
        except ProblemError as error:
            assert "\n" not in str(error)
