"""Every file in tests/data/broken says in its first line how it is refused."""

from pathlib import Path

import pytest

from problems import ProblemError, load_hardware, load_problem, load_workload

BROKEN = Path(__file__).parent.parent / "data" / "broken"
LOADERS = {
    "workload": load_workload,
    "hardware": load_hardware,
    "problem": lambda path: load_problem(str(path)),
}


@pytest.mark.parametrize(
    "path", sorted(BROKEN.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_broken_file_is_refused_with_its_message(path: Path) -> None:
    """A broken file raises ProblemError whose one line names the file, key and cure."""
    expected = path.read_text().splitlines()[0].removeprefix("# expected: ")
    with pytest.raises(ProblemError) as caught:
        LOADERS[path.parent.name](path)
    assert str(caught.value) == f"{path}: {expected}"
    assert "\n" not in str(caught.value)
