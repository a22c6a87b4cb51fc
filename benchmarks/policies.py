"""Cost the policies on the catalogue's pairs, and hold them against what is known to be best.

    python benchmarks/policies.py [PROBLEM ...] [--objective edp ...] [--time-limit 10]

Three policies: each layer on its own, the best of DeFiNES's 108 points with one tile for all
stacks, and its best combination with a tile per stack. One that overfills a memory is repaired:
its cuts, tiles and modes with placements that fit, searched for at most the time limit. Figures
go into `docs/policies.csv` (a pair's are replaced), from which `benchmarks/catalogue.py` writes
its table. Not a test: it fails where a policy that can run, with tiles of efficient sizes, beats a
proven bound.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cost.overlap import OverlapMode  # noqa: E402 - run from anywhere, also uninstalled
from cost.rules import EXACT  # noqa: E402
from problems import catalogue, load_problem  # noqa: E402
from problems.best_known import best_known  # noqa: E402
from solver.compare import silent  # noqa: E402
from solver.objective import Objective  # noqa: E402
from solver.policies.combination import combination_rows  # noqa: E402
from solver.policies.decided import DecidedPoints  # noqa: E402
from solver.policies.defines import defines_rows  # noqa: E402
from solver.policies.fixed_stacks import FixedStacks  # noqa: E402
from solver.policies.layer_by_layer import layer_by_layer  # noqa: E402
from solver.policies.point import Legality, PolicyPoint  # noqa: E402
from solver.policies.stack_sets import are_inside  # noqa: E402
from solver.space import EFFICIENT, stack_ranges  # noqa: E402

TABLE = ROOT / "docs" / "policies.csv"
COLUMNS = (
    "problem",
    "objective",
    "policy",
    "runs",
    "energy_pj",
    "latency_cycles",
    "seconds",
    "date",
)
ABLE = (Legality.FEASIBLE, Legality.REPAIRED)


def main() -> int:
    """Cost the policies; exit code 1 if one beats a bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*")
    objectives = [o.value for o in Objective]
    parser.add_argument("--objective", nargs="+", choices=objectives, default=objectives)
    parser.add_argument("--time-limit", type=float, default=10.0)
    args = parser.parse_args()
    workloads, hardware = catalogue()
    wrong = 0
    for name in args.problems or [f"{w}@{h}" for h in hardware for w in workloads]:
        for objective in args.objective:
            rows = measure(name, Objective(objective), args.time_limit)
            keep(rows)
            wrong += sum(map(beats_bound, rows))
            for row in rows:
                print(*(row[key] for key in COLUMNS), flush=True)
    return 1 if wrong else 0


def measure(name: str, objective: Objective, limit: float) -> list[dict[str, Any]]:
    """One row a policy: the best of it that can run, or else what it costs as decided."""
    problem = load_problem(name)
    fixed = FixedStacks(problem, EXACT, objective, limit)
    decided = DecidedPoints(problem, EXACT, objective, fixed)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, tuple(OverlapMode), None)
    date = datetime.now(UTC).date().isoformat()
    out: list[dict[str, Any]] = []

    def take(policy: str, points: list[PolicyPoint], started: float) -> None:
        able = [point for point in points if point.legality in ABLE]
        costed = [(v, n) for n, p in enumerate(able or points) if (v := p.value(objective))]
        best = (able or points)[min(costed)[1]] if costed else None
        out.append(
            {
                "problem": name,
                "objective": objective.value,
                "policy": policy,
                "runs": Legality.NONE.value if best is None else best.legality.value,
                "energy_pj": None if best is None else best.energy_pj,
                "latency_cycles": None if best is None else best.latency_cycles,
                "seconds": round(time.monotonic() - started, 1),
                "date": date,
                "inside": best is not None and are_inside(best.stacks, ranges),
            }
        )

    started = time.monotonic()
    take("layer by layer", layer_by_layer(problem, decided), started)
    started = time.monotonic()
    grid = defines_rows(decided, fixed, silent)
    take("one tile", grid, started)
    started = time.monotonic()
    take("tile per stack", combination_rows(problem, decided, fixed, grid[0]), started)
    return out


def beats_bound(row: dict[str, Any]) -> bool:
    """Whether a policy that can run is below the proven bound: a bug in one of the two."""
    if row["runs"] not in ABLE or not row["inside"]:
        return False
    value = float(Objective(row["objective"]).of(row["energy_pj"], row["latency_cycles"]))
    known = best_known().get(row["problem"], {}).get(row["objective"])
    if known is None or value >= known.bound * (1 - 1e-9):
        return False
    print(f"{row['problem']}, {row['objective']}: {row['policy']} {value} beats {known.bound}")
    return True


def kept_rows() -> list[dict[str, str]]:
    """What is in the table."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def keep(rows: list[dict[str, Any]]) -> None:
    """Put rows into the table in place of those of the same problem and objective."""
    new = {(row["problem"], row["objective"]) for row in rows}
    old = [row for row in kept_rows() if (row["problem"], row["objective"]) not in new]
    ordered = sorted([*old, *rows], key=lambda row: (row["problem"], row["objective"]))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(ordered)


if __name__ == "__main__":
    sys.exit(main())
