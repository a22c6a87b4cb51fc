"""Solve the catalogue's pairs and keep the best known values and bounds.

    python benchmarks/catalogue.py [PROBLEM ...] [--objective edp ...] [--time-limit 60]

Each solve runs in a process of its own, is verified, and is merged into
`problems/library/best-known.yaml` (a value only falls there, a bound only rises; the value of
its schedule counts for the other objectives, too) and the table `docs/results.md`, with all
figures in `docs/results.csv`. Not a test: it fails where a solve fails, does not verify, or
contradicts what is known.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.policies import ABLE, kept_rows  # noqa: E402 - run from anywhere, uninstalled
from problems import catalogue  # noqa: E402
from problems.best_known import WITHDRAWN, BestKnown, Known, best_known, write_best_known  # noqa: E402
from solver.objective import Objective  # noqa: E402

COLUMNS = (
    "problem",
    "objective",
    "status",
    "value",
    "bound",
    "gap",
    "energy_pj",
    "latency_cycles",
    "seconds",
    "options",
    "stacks",
    "peak_mib",
    "verified",
    "time_limit",
    "date",
    "left",
    "phases",
    "version",
)
"""Columns of the table of runs. `options` in all, and those `left` after bounds on layers, with
which deciding begins; `phases`: seconds by phase; `version` of the program, empty for
0.1.0."""
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CSV, PAGE = ROOT / "docs" / "results.csv", ROOT / "docs" / "results.md"
SOLVE = (
    "import resource, sys; from solver.cli import main; code = main(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
)


def main() -> int:
    """Run the solves; exit code 1 if one failed or contradicts what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*")
    objectives = [o.value for o in Objective]
    parser.add_argument("--objective", nargs="+", choices=objectives, default=objectives)
    parser.add_argument("--time-limit", type=float, default=60.0)
    args = parser.parse_args()
    workloads, hardware = catalogue()
    problems = args.problems or [f"{w}@{h}" for h in hardware for w in workloads]
    failed = 0
    for objective in args.objective:
        for name in problems:
            row = measure(name, objective, args.time_limit)
            print(" ".join(f"{row.get(key, '')}" for key in COLUMNS[:10]), flush=True)
            failed += not keep(row)
    write_page()
    return 1 if failed else 0


def measure(name: str, objective: str, limit: float) -> dict[str, Any]:
    """The figures of one solve."""
    row: dict[str, Any] = {"problem": name, "objective": objective, "time_limit": limit}
    row |= {"date": datetime.now(UTC).date().isoformat(), "version": VERSION}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.json"
        command = ["solve", name, "--objective", objective, "--time-limit", str(limit)]
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", SOLVE, *command, "-o", str(path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        row["seconds"] = round(time.monotonic() - started, 1)
        if done.returncode not in (0, 3) or not path.exists():
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            return row | {"status": "infeasible" if done.returncode == 4 else lines[0]}
        row["peak_mib"] = round(int(done.stderr.split()[-1]) / 1024)
        answer = json.loads(path.read_text(encoding="utf-8"))
        check = [sys.executable, "-c", SOLVE, "verify", str(path)]
        row["verified"] = subprocess.run(check, capture_output=True, cwd=ROOT).returncode == 0
    key = {"edp": "edp", "energy": "energy_pj", "latency": "latency_cycles"}[objective]
    return row | {
        "status": answer["status"],
        "value": answer[key],
        "bound": answer["best_bound"],
        "gap": answer["gap"],
        "energy_pj": answer["energy_pj"],
        "latency_cycles": answer["latency_cycles"],
        "options": answer["space"]["options"],
        "stacks": len(answer["stacks"] or ()),
        "left": answer["option_counts"].get("after layer bounds"),
        "phases": "; ".join(f"{k} {v:.1f}" for k, v in answer["phase_seconds"].items()),
    }


def keep(row: dict[str, Any]) -> bool:
    """Merge a row into what is known; False if it failed or contradicts it."""
    with CSV.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)
    if "bound" not in row or not row["verified"]:
        return row["status"] == "infeasible"
    entries: BestKnown = {name: dict(by) for name, by in best_known().items()}
    entry = entries.setdefault(row["problem"], {})
    value, bound, date = row["value"], row["bound"], row["date"]
    news = {row["objective"]: Known(value=value, bound=bound, date=date, version=row["version"])}
    if value is not None:
        # The schedule has a value by every objective, a bound by its own only.
        energy, cycles = row["energy_pj"], row["latency_cycles"]
        for name, other in (("edp", energy * cycles), ("energy", energy), ("latency", cycles)):
            if name in entry:
                known = entry[name].model_copy(update={"value": other, "date": date})
                news.setdefault(name, known)
    for name, new in news.items():
        old = entry.get(name)
        if old is not None and not old.agrees(new):
            print(f"{row['problem']}, {name}: {new} contradicts {old}")
            return False
        entry[name] = new if old is None else old.merged(new)
    write_best_known(entries)
    return True


def _best_points() -> dict[tuple[str, str], tuple[float, float]]:
    """(pJ, cycles) of the best schedule found, by problem and objective."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    with CSV.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["energy_pj"] or row["verified"] != "True":
                continue
            point = float(row["energy_pj"]), float(row["latency_cycles"])
            for objective in Objective:
                key = row["problem"], objective.value
                if key not in found or objective.of(*point) < objective.of(*found[key]):
                    found[key] = point
    return found


def _multiples(row: dict[str, str] | None, best: tuple[float, float] | None) -> str:
    """Energy and latency of a policy over those of the best known schedule."""
    if row is None or best is None or not row["energy_pj"]:
        return "-"
    energy, latency = float(row["energy_pj"]) / best[0], float(row["latency_cycles"]) / best[1]
    return f"{energy:.2f} / {latency:.2f}{'' if row['runs'] in ABLE else ' *'}"


def _proof_runs() -> dict[tuple[str, str], dict[str, str]]:
    """The quickest run of a version relied on that proved an entry, by problem and objective."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    with CSV.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = row["problem"], row["objective"]
            if row["status"] != "optimal" or row["verified"] != "True":
                continue
            if (row["version"] or WITHDRAWN[0]) in WITHDRAWN:
                continue
            if key not in found or float(row["seconds"]) < float(found[key]["seconds"]):
                found[key] = row
    return found


def _summary() -> list[str]:
    """How many entries are proven or nearly so, by objective, and what the proofs took."""
    lines = [
        "| objective | entries | proven | gap below 2 % | below 20 % | to be measured again "
        "| median seconds of proofs | longest | all | most MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    runs = _proof_runs()
    every = [(name, o, known) for name, by in best_known().items() for o, known in by.items()]
    for objective in (*(o.value for o in Objective), "all"):
        some = [entry for entry in every if objective in (entry[1], "all")]
        gaps = [
            known.gap if known.stands and known.gap is not None else 1.0 for _, _, known in some
        ]
        open_ = sum(not known.stands for _, _, known in some)
        proofs = [
            runs[name, o]
            for (name, o, _), gap in zip(some, gaps, strict=True)
            if gap <= 1e-6 and (name, o) in runs
        ]
        seconds = [float(row["seconds"]) for row in proofs]
        counts = " | ".join(str(sum(gap <= most for gap in gaps)) for most in (1e-6, 0.02, 0.2))
        figures = "- | - | - | -"
        if proofs:
            memory = max(int(row["peak_mib"] or 0) for row in proofs)
            figures = (
                f"{median(seconds):.0f} | {max(seconds):.0f} | {sum(seconds):,.0f} | {memory:,}"
            )
        lines.append(f"| {objective} | {len(some)} | {counts} | {open_} | {figures} |")
    return lines


def write_page() -> None:
    """The table of what is known, from the catalogue's entries."""
    lines = [
        "# Results",
        "",
        "Best known values and bounds of the catalogue's pairs, `exact` rules, efficient tile",
        "sizes, all overlap modes. Written by `benchmarks/catalogue.py`; all runs, with times and",
        "memory, are in [results.csv](results.csv). EDP in pJ cycles, energy in pJ, latency in",
        "cycles. A gap of 0 is a proof: bound and value agree to 1e-6. A gap with a question mark",
        "is by a bound of version 0.1.0, which may be too high (a defect, see the changelog); such",
        "entries are to be measured again, and count as not proven.",
        "",
        "Policies (`benchmarks/policies.py`, all figures in [policies.csv](policies.csv)): energy",
        "and latency, as multiples of those of the best known schedule, of each layer on its own,",
        "of the best of DeFiNES's 108 points with one tile for all stacks, and of its best",
        "combination with a tile per stack. Where what a policy decides overfills a memory, its",
        "placements are replaced by some that fit; * where none were found: then it is costed as",
        "if it fitted. Tiles of DeFiNES's grid need not be of efficient size: 72 of FSRCNN's 540",
        "rows are on none of the ten. So a policy may be better than an optimum.",
        "",
        "Seconds are of the quickest run that proved an entry, with all that `solve` does, many of",
        "them beside other runs, on machines and in states of the code that differ.",
        "",
        *_summary(),
        "",
        "| problem | objective | best known | bound | gap | layer by layer | one tile "
        "| tile per stack | date |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    points = _best_points()
    rows = {(r["problem"], r["objective"], r["policy"]): r for r in kept_rows()}
    for name, by in sorted(best_known().items()):
        for objective, known in by.items():
            value = "-" if known.value is None else f"{known.value:.6e}"
            gap = "-" if known.gap is None else "0" if known.gap <= 1e-6 else f"{known.gap:.2%}"
            gap += "" if known.stands else " ?"
            best = points.get((name, objective))
            policies = " | ".join(
                _multiples(rows.get((name, objective, policy)), best)
                for policy in ("layer by layer", "one tile", "tile per stack")
            )
            lines.append(
                f"| {name} | {objective} | {value} | {known.bound:.6e} | {gap} | {policies} "
                f"| {known.date} |"
            )
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
