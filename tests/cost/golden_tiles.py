"""Recorded layer-tiles of the reference, read back as values of the cost model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cost.mapping import LayerTile, TemporalMapping
from problems import Problem, Unroll, load_problem

FILES = sorted((Path(__file__).parents[1] / "data" / "golden").glob("layer_tiles_*.jsonl"))


def problem_of(path: Path) -> Problem:
    """Load the problem that a file of recorded layer-tiles belongs to."""
    return load_problem(path.stem.removeprefix("layer_tiles_").replace("__", "@"))


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the recorded layer-tiles of a file."""
    for line in path.read_text().splitlines():
        yield json.loads(line)


def unrolling(problem: Problem, record: dict[str, Any]) -> tuple[Unroll, ...]:
    """Spatial unrolling of the recorded layer."""
    layer = problem.workload.by_name[record["layer"]]
    return problem.hardware.unrolling(problem.workload.name, layer)


def layer_tile(problem: Problem, record: dict[str, Any]) -> LayerTile:
    """The recorded layer-tile."""
    return LayerTile(
        layer=problem.workload.by_name[record["layer"]],
        sizes=tuple((dim, size) for dim, size in record["sizes"]),
        levels=record["levels"],
    )


def mapping(record: dict[str, Any]) -> TemporalMapping:
    """The mapping that the reference chose."""
    return TemporalMapping(
        loops=tuple((dim, factor) for dim, factor in record["loops"]),
        cuts={name: tuple(cuts) for name, cuts in record["cuts"].items()},
    )
