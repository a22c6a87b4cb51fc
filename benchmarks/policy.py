"""Time `evaluate --policy defines` per point, with the reference's mapper and with ours.

    python benchmarks/policy.py [PROBLEM ...] [--tiles 6x6 | two] [--mapper lpf6 exact]
    python benchmarks/policy.py --catalogue
    python benchmarks/policy.py --sweep

Every point is timed alone, its mapper knowing nothing yet: CPU seconds of this process.
`--catalogue` takes all pairs of the catalogue at two tiles in three modes. Points over the
limit (10 s for the reference's mapper, 0.5 s for ours) are listed, with the layer-tile that
took the longest. `--sweep` takes the recorded sweep of FSRCNN on Meta-prototype-like DF
with our mapper and prints every row: seconds, and our energy over the recorded one. Not a
test.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cost.exact_mapper import exact_mapper  # noqa: E402 - run from anywhere, uninstalled
from cost.loop_order_search import LoopOrderSearch  # noqa: E402
from cost.overlap import OverlapMode  # noqa: E402
from cost.policy_result import MappedLayer, Mapper  # noqa: E402
from cost.reference_mapper import loop_order_mapper  # noqa: E402
from cost.reference_policy import reference_schedule  # noqa: E402
from cost.rules import DEFINES  # noqa: E402
from problems import FuseproofError, Problem, catalogue, load_problem  # noqa: E402
from problems.workload import Layer, Operand  # noqa: E402
from solver.policies.defines import grid_tiles  # noqa: E402

LIMIT_S = {"lpf6": 10.0, "exact": 0.5}
LPF_LIMIT = 6
SWEEP = ROOT / "tests" / "data" / "golden" / "sweep_fsrcnn__meta-proto-df.json"
SWEPT = "fsrcnn@meta-proto-df"
BINDING = "dmcnn-vd@ascend-like-df"
"""Here larger tiles need prices on memories."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One point: CPU seconds, and its slowest layer-tile."""

    problem: str
    mapper: str
    mode: OverlapMode
    tile: tuple[int, int]
    seconds: float
    slowest: str
    energy_pj: float | None
    edp: float | None
    fault: str = ""


class _Watched:
    """A mapper that remembers its slowest call."""

    def __init__(self, mapper: Mapper) -> None:
        self.mapper = mapper
        self.seconds, self.calls = 0.0, 0
        self.text = ""

    def __call__(
        self, layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        started = time.process_time()
        found = self.mapper(layer, sizes, levels)
        spent = time.process_time() - started
        self.calls += 1
        if spent > self.seconds:
            self.seconds = spent
            loops = " ".join(f"{dim}{size}" for dim, size in sizes.items() if size > 1)
            kept = " ".join(f"{operand.value}{count}" for operand, count in levels.items())
            self.text = f"{layer.name}: {loops}; levels {kept}; {spent:.2f} s"
        return found


def main() -> int:
    """Run the benchmark; exit code 0 whatever the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=[SWEPT])
    parser.add_argument("--catalogue", action="store_true", help="every pair of the catalogue")
    parser.add_argument("--sweep", action="store_true", help="every row of the recorded sweep")
    parser.add_argument("--tiles", choices=("6x6", "two"), default=None)
    parser.add_argument("--mapper", nargs="+", choices=sorted(LIMIT_S), default=["exact", "lpf6"])
    args = parser.parse_args()
    if args.sweep:
        return _sweep()
    names = args.problems
    if args.catalogue:
        known = catalogue()
        names = [f"{w}@{h}" for w in known.workloads for h in known.hardware]
    tiles = args.tiles or ("two" if args.catalogue else "6x6")
    _warm_up()
    timings: list[Timing] = []
    for name in names:
        problem = load_problem(name)
        grid = grid_tiles(problem)
        if tiles == "two":
            grid = _two_of(grid)
        for kind in args.mapper:
            for mode in OverlapMode:
                for tile in grid:
                    timings.append(_time(problem, kind, mode, tile))
                    if sys.stderr.isatty():
                        last = timings[-1]
                        print(f"{name} {kind} {mode} {tile} {last.seconds:.2f} s", file=sys.stderr)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_summary(timings))
    for kind in args.mapper:
        over = [t for t in timings if t.mapper == kind and t.seconds > LIMIT_S[kind]]
        console.print(_slow_points(kind, over))
    return 0


def _sweep() -> int:
    """Time every row of the recorded sweep with our mapper."""
    _warm_up()
    problem = load_problem(SWEPT)
    table = Table(title=f"{SWEPT}: the recorded sweep with the exact mapper")
    for column in ("mode", "tile", "seconds", "pJ", "over recorded", "EDP"):
        table.add_column(column, justify="left" if column == "mode" else "right")
    seconds, ratios = [], []
    for mode, x, y, recorded_pj, _ in json.loads(SWEEP.read_text()):
        timing = _time(problem, "exact", OverlapMode(mode), (x, y))
        if timing.energy_pj is None or timing.edp is None:
            raise FuseproofError(f"{mode} {x} x {y}: {timing.fault}")
        seconds.append(timing.seconds)
        ratios.append(timing.energy_pj / recorded_pj)
        table.add_row(
            mode,
            f"{x} x {y}",
            f"{timing.seconds:.3f}",
            f"{timing.energy_pj:.6e}",
            f"{ratios[-1]:.4f}",
            f"{timing.edp:.5e}",
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(
        f"{len(seconds)} rows: {sum(seconds) / len(seconds):.3f} s on average, "
        f"{max(seconds):.3f} s at most; energy {max(ratios):.4f} of the recorded at most"
    )
    return 0


def _two_of(grid: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """A small tile and the middle one of a grid."""
    return tuple(dict.fromkeys((grid[len(grid) // 4], grid[len(grid) // 2])))


def _warm_up() -> None:
    """Load the compiled functions, those for memories that bind included."""
    problem = load_problem(SWEPT)
    for kind in LIMIT_S:
        _time(problem, kind, OverlapMode.FULLY_CACHED, (4, 72))
    _time(load_problem(BINDING), "exact", OverlapMode.FULLY_CACHED, (240, 270))
    # What was loaded stays; a collection that walks it would count as work of some point.
    gc.collect()
    gc.freeze()


def _time(problem: Problem, kind: str, mode: OverlapMode, tile: tuple[int, int]) -> Timing:
    if kind == "exact":
        workload = problem.workload.name
        mapper = exact_mapper(problem.hardware, workload, DEFINES, overfill=True)
    else:
        search = LoopOrderSearch(hardware=problem.hardware, limit=LPF_LIMIT)
        mapper = loop_order_mapper(search, problem.workload.name)
    watched = _Watched(mapper)
    energy_pj, edp, fault = None, None, ""
    started = time.process_time()
    try:
        found = reference_schedule(
            problem.hardware, problem.workload, mode=mode, tile=tile, mapper=watched
        )
        energy_pj, edp = found.energy_pj, found.edp
    except (FuseproofError, ValueError) as error:
        fault = str(error)
    return Timing(
        problem=problem.source,
        mapper=kind,
        mode=mode,
        tile=tile,
        seconds=time.process_time() - started,
        slowest=watched.text,
        energy_pj=energy_pj,
        edp=edp,
        fault=fault,
    )


def _summary(timings: list[Timing]) -> Table:
    table = Table(title="evaluate --policy defines: CPU seconds per point")
    for column in ("problem", "mapper", "points", "mean", "max", "over the limit", "least EDP"):
        table.add_column(column, justify="left" if column in ("problem", "mapper") else "right")
    for problem, kind in dict.fromkeys((t.problem, t.mapper) for t in timings):
        own = [t for t in timings if (t.problem, t.mapper) == (problem, kind)]
        seconds = [t.seconds for t in own]
        table.add_row(
            problem,
            kind,
            str(len(own)),
            f"{sum(seconds) / len(seconds):.3f}",
            f"{max(seconds):.3f}",
            str(sum(s > LIMIT_S[kind] for s in seconds)),
            f"{min((t.edp for t in own if t.edp is not None), default=float('nan')):.5e}",
        )
    return table


def _slow_points(kind: str, over: list[Timing]) -> Table:
    table = Table(title=f"{kind}: {len(over)} points over {LIMIT_S[kind]} s")
    for column in ("problem", "mode", "tile", "seconds", "slowest layer-tile"):
        table.add_column(column)
    for t in sorted(over, key=lambda t: -t.seconds)[:40]:
        tile = f"{t.tile[0]} x {t.tile[1]}"
        table.add_row(t.problem, t.mode.value, tile, f"{t.seconds:.2f}", t.slowest + t.fault)
    return table


if __name__ == "__main__":
    sys.exit(main())
