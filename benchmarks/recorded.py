"""Recorded figures of the reference tool, read from any of their file layouts.

`read` takes schedules in the reference's own layout (JSON with `layers` and `copies`) or in
the compact one of tests/data/golden, recorded layer-tiles (JSONL), and sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cost.mapping import memory_operand
from cost.overlap import OverlapMode
from problems import Problem, ProblemError, catalogue, load_problem

DIRECTIONS = ("rl", "wl", "rh", "wh")
"""Read and write towards below, read and write towards above: the order of `Tile.words`."""


Action = tuple[int, str, str, str, str]
"""Bits, from operand and memory, to operand and memory."""
TileKey = tuple[str, int, int, tuple[tuple[str, int], ...]]
"""Layer, columns, rows, and levels kept by operand, sorted."""


def tile_key(layer: str, columns: int, rows: int, levels: Mapping[str, int]) -> TileKey:
    """Tell layer-tiles apart; `levels` may be by tensor or by operand (X and Y are I)."""
    kept = {memory_operand(name).value: count for name, count in levels.items()}
    return layer, columns, rows, tuple(sorted(kept.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A recorded layer-tile: the mapping and what the reference says it costs.

    `words[tensor][level]` are accesses in the order of DIRECTIONS; `cycles` are ideal,
    temporal, stall, loading and offloading cycles and their total without offloading.
    """

    layer: str
    sizes: tuple[tuple[str, int], ...]
    levels: dict[str, int]
    loops: tuple[tuple[str, int], ...]
    cuts: dict[str, tuple[int, ...]]
    words: dict[str, list[list[float]]]
    level_pj: dict[str, list[float]]
    mac_pj: float
    energy_pj: float
    cycles: tuple[float, ...]

    def extent(self, dim: str) -> int:
        """Size of a loop dim, 1 if the layer does not use it."""
        return dict(self.sizes).get(dim, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A recorded copy phase before `node`: a layer, or "input" for any stack input."""

    node: str
    count: int
    energy_pj: float
    cycles: float
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A schedule point; `cuts` is None where the file does not record any."""

    mode: OverlapMode
    tile: tuple[int, int]
    limit: int
    energy_pj: float
    cycles: float
    cuts: tuple[str, ...] | None = None
    chosen: tuple[tuple[TileKey, int], ...] = ()
    """Layer-tiles that the reference evaluated, and how often."""

    @property
    def counts_twice(self) -> bool:
        """Whether the reference overlooked a cut after layer 0 (quirk Q2)."""
        return self.cuts is not None and "0" in self.cuts

    def __str__(self) -> str:
        cuts = f", cuts {' '.join(self.cuts)}" if self.cuts else ""
        size = f"{self.tile[0]}x{self.tile[1]}"
        return f"{self.mode.value} {size}, limit {self.limit}{cuts}"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One file of figures."""

    name: str
    problem: Problem
    tiles: tuple[Tile, ...] = ()
    phases: tuple[Phase, ...] = ()
    points: tuple[Point, ...] = ()


def read(path: Path) -> Recording:
    """Read one file; ProblemError with one line if it cannot be used."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ProblemError(f"cannot be read: {reason}", file=str(path)) from None
    try:
        if path.suffix == ".jsonl":
            data: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProblemError(f"not JSON: {error}", file=str(path)) from None
    try:
        return _recording(path, data)
    except ProblemError as error:
        raise ProblemError(str(error), file=str(path)) from None
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        what = f"{type(error).__name__} {error}"
        raise ProblemError(f"not a file of recorded figures ({what})", file=str(path)) from None


def _recording(path: Path, data: Any) -> Recording:
    if path.suffix == ".jsonl":
        problem = load_problem(path.stem.removeprefix("layer_tiles_").replace("__", "@"))
        return Recording(
            name=path.name, problem=problem, tiles=tuple(_compact_tile(row) for row in data)
        )
    if isinstance(data, list):
        problem = problem_in_name(path.stem)
        return Recording(
            name=path.name, problem=problem, points=tuple(_sweep_point(row) for row in data)
        )
    if "problem" in data:
        return _compact_schedule(path.name, data)
    return _full_schedule(path.name, data)


def _compact_schedule(name: str, data: dict[str, Any]) -> Recording:
    point = Point(
        mode=OverlapMode(data["mode"]),
        tile=(data["tile"][0], data["tile"][1]),
        limit=data["lpf_limit"],
        energy_pj=data["energy_pj"],
        cycles=data["latency_cycles"],
        cuts=tuple(map(str, data["cuts"])),
        chosen=tuple((tile_key(row[0], row[1], row[2], row[4]), row[3]) for row in data["layers"]),
    )
    phases = tuple(
        Phase(
            node=node,
            count=count,
            energy_pj=energy,
            cycles=cycles,
            actions=tuple(tuple(action[:5]) for action in actions),
        )
        for node, count, cycles, energy, actions in data["copies"]
    )
    return Recording(
        name=name, problem=load_problem(data["problem"]), phases=phases, points=(point,)
    )


def _full_schedule(name: str, data: dict[str, Any]) -> Recording:
    problem = load_problem(f"{_known(data['workload'], 0)}@{_known(data['hardware'], 1)}")
    tiles = tuple(_full_tile(problem, row) for row in data["layers"])
    point = Point(
        mode=OverlapMode(data["mode"]),
        tile=(data["tile_x"], data["tile_y"]),
        limit=data["lpf_limit"],
        energy_pj=data["energy_total"],
        cycles=data["latency_total1"],
        cuts=tuple(map(str, data["stack_cuts"])),
        chosen=tuple(
            (tile_key(tile.layer, tile.extent("OX"), tile.extent("OY"), tile.levels), row["count"])
            for tile, row in zip(tiles, data["layers"], strict=True)
        ),
    )
    return Recording(
        name=name,
        problem=problem,
        tiles=tiles,
        phases=tuple(_full_phase(problem, row) for row in data["copies"]),
        points=(point,),
    )


def _sweep_point(row: Any) -> Point:
    if isinstance(row, dict):
        row = [row[key] for key in ("mode", "tile_x", "tile_y", "energy_pj", "latency_cycles")]
    mode, columns, rows, energy, cycles = row
    # All recorded sweeps were made with the tool's usual limit.
    return Point(
        mode=OverlapMode(mode), tile=(columns, rows), limit=6, energy_pj=energy, cycles=cycles
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum()).replace("prototype", "proto")


def _known(name: str, part: int) -> str:
    """The catalogue's name (part 0: workload, 1: hardware) for the reference's own."""
    for known in catalogue()[part]:
        if _plain(known) == _plain(name):
            return known
    return name


def problem_in_name(stem: str) -> Problem:
    """The problem whose workload and hardware both occur in the name of a sweep's file."""
    names = catalogue()
    plain = _plain(stem)
    pairs = [
        (workload, hardware)
        for workload in names.workloads
        for hardware in names.hardware
        if _plain(workload) in plain and _plain(hardware) in plain
    ]
    if not pairs:
        raise ProblemError("its name names no known workload and hardware")
    return load_problem("@".join(max(pairs, key=lambda pair: len("".join(pair)))))


def _compact_tile(row: dict[str, Any]) -> Tile:
    return Tile(
        layer=row["layer"],
        sizes=tuple((dim, size) for dim, size in row["sizes"]),
        levels=row["levels"],
        loops=tuple((dim, factor) for dim, factor in row["loops"]),
        cuts={name: tuple(cuts) for name, cuts in row["cuts"].items()},
        words=row["words"],
        level_pj=row["pj"],
        mac_pj=row["mac_pj"],
        energy_pj=row["energy_pj"],
        cycles=tuple(row["cycles"]),
    )


_FULL_DIRECTIONS = ("rd_out_to_low", "wr_in_by_low", "rd_out_to_high", "wr_in_by_high")
_FULL_CYCLES = (
    "ideal_cycle",
    "ideal_temporal_cycle",
    "stall_cycles",
    "data_loading_cycle",
    "data_offloading_cycle",
    "latency_total1",
)


def _full_tile(problem: Problem, row: dict[str, Any]) -> Tile:
    for name, levels in row["levels"].items():
        chain = problem.hardware.chains[memory_operand(name)]
        if levels != [problem.hardware.memories[index].name for index in chain[: len(levels)]]:
            raise ValueError(f"layer {row['layer']}: levels of {name} are not the lowest ones")
    nest = row["temporal_mapping"]
    loops = [(dim, int(factor)) for level in nest["O"] for dim, factor in level]
    cuts = {}
    for name, levels in nest.items():
        if [(dim, int(factor)) for level in levels for dim, factor in level] != loops:
            raise ValueError(f"layer {row['layer']}: loop orders of O and {name} differ")
        taken = [len(level) for level in levels]
        cuts[name] = tuple(sum(taken[: m + 1]) for m in range(len(taken)))
    return Tile(
        layer=str(row["layer"]),
        sizes=tuple(row["loop_dim_size"].items()),
        levels={name: len(levels) for name, levels in row["levels"].items()},
        loops=tuple(loops),
        cuts=cuts,
        words={
            name: [[level[key] for key in _FULL_DIRECTIONS] for level in levels]
            for name, levels in row["memory_word_access"].items()
        },
        level_pj=row["energy_breakdown"],
        mac_pj=row["mac_energy"],
        energy_pj=row["energy_total"],
        cycles=tuple(row[key] for key in _FULL_CYCLES),
    )


_FULL_OPERAND = {"I1": "I", "I2": "W", "O": "O"}


def _full_phase(problem: Problem, row: dict[str, Any]) -> Phase:
    # "datamovement_b4_InputLayerNode_-1", "datamovement_b4_LayerNode_3"
    node = row["id"].rsplit("_", 1)[-1]
    return Phase(
        node="input" if "InputLayerNode" in row["id"] else node,
        count=row["count"],
        energy_pj=row["energy_total"],
        cycles=row["latency"],
        actions=tuple(
            (
                action["bits"],
                _FULL_OPERAND[action["from"][0]],
                action["from"][1],
                _FULL_OPERAND[action["to"][0]],
                action["to"][1],
            )
            for action in row["actions"]
        ),
    )
