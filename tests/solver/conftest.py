"""A small problem, solved once for all tests of the solver's outside."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from problems import Problem, load_problem
from solver.result import Result
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import parse_tiles

DATA = Path(__file__).parent / "data"
PROBLEM = f"{DATA}/two-layers.yaml@{DATA}/three-memories.yaml"
TILES = "grid:7x5"


@pytest.fixture(scope="session")
def problem() -> Problem:
    """Two convolutions on an accelerator of registers, one buffer and DRAM."""
    return load_problem(PROBLEM)


@pytest.fixture(scope="session")
def result(problem: Problem) -> Result:
    """The least EDP of the problem on a grid of one tile size."""
    return solve(problem, tiles=parse_tiles(TILES), workers=1)


@pytest.fixture(scope="session")
def _text(result: Result) -> str:
    return json.dumps(result_to_dict(result))


@pytest.fixture
def document(_text: str) -> dict[str, Any]:
    """The result as JSON has it, to be changed at will."""
    return deepcopy(json.loads(_text))
