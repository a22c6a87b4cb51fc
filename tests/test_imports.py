"""The packages depend on each other one way only: problems <- cost <- solver."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("problems", "cost", "solver", "fuseproof")
FORBIDDEN = {
    "problems": {"cost", "solver", "fuseproof", "ortools", "rich", "numba"},
    "cost": {"solver", "fuseproof", "ortools", "rich"},
    "solver": {"fuseproof"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of everything that the file imports, at any depth in its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package: str) -> None:
    """No package imports one that builds on it, nor a library that it must not need."""
    for path in sorted((ROOT / package).rglob("*.py")):
        wrong = imported(path) & FORBIDDEN[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_wheel_holds_our_packages_and_no_other() -> None:
    """The wheel's top-level packages are listed by name, so nothing slips in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    assert {name.split(".")[0] for name in packages} == set(OURS)
    with_code = {path.parent for name in OURS for path in (ROOT / name).rglob("*.py")}
    assert {".".join(path.relative_to(ROOT).parts) for path in with_code} <= set(packages)
