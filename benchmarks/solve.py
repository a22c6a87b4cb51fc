"""Time full solves by phase, and count stack options before and after each pruning.

    python benchmarks/solve.py [PROBLEM ...] [--rules exact defines] [--objective edp ...]

Each solve runs in a process of its own, so that peak memory is its own too; the compiled
functions are warm if anything was solved on this machine before. Not a test: it fails only
where a solve does.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cost.recost import recost  # noqa: E402 - run from anywhere, also uninstalled
from cost.rules import RULE_SETS  # noqa: E402
from problems import FuseproofError, load_problem  # noqa: E402
from solver.objective import Objective  # noqa: E402
from solver.schedule_file import result_to_dict  # noqa: E402
from solver.solve import solve  # noqa: E402
from solver.space import parse_tiles  # noqa: E402
from solver.verify import verify  # noqa: E402

PHASES = {
    "build and screen": ("screen",),
    "first schedule": ("few sizes", "efficient sizes", "first schedule"),
    "bound and prune": ("bound layers",),
    "decide with CP-SAT": ("decide", "stopped"),
}
"""Rows of the table, and the solver's phases that each adds up."""


def main() -> int:
    """Run the benchmark; exit code 1 if a solve failed."""
    args = _arguments()
    if args.one:
        return _measure(args)
    outcomes = []
    for problem in args.problems:
        for rules in args.rules:
            for objective in args.objective:
                outcomes.append(_run(problem, rules, objective, args))
    console = Console(width=None if sys.stdout.isatty() else 120)
    where = f"{platform.machine()}, Python {platform.python_version()}, "
    where += f"ortools {version('ortools')}, numba {version('numba')}"
    console.print(_table(outcomes, where))
    if args.json is not None:
        args.json.write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")
    return 1 if any("error" in outcome for outcome in outcomes) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=["fsrcnn@meta-proto-df"])
    parser.add_argument(
        "--rules", nargs="+", choices=sorted(RULE_SETS), default=["exact", "defines"]
    )
    parser.add_argument(
        "--objective", nargs="+", choices=[o.value for o in Objective], default=["edp"]
    )
    parser.add_argument("--tiles", default="efficient")
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(problem: str, rules: str, objective: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one solve in a fresh process."""
    command = [sys.executable, __file__, problem, "--one", "--rules", rules]
    command += ["--objective", objective, "--tiles", args.tiles]
    for name, value in (("--time-limit", args.time_limit), ("--workers", args.workers)):
        command += [] if value is None else [name, str(value)]
    name = f"{problem}\n{rules}, {objective}"
    if sys.stderr.isatty():
        print(f"solving {problem}, {rules}, {objective}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"name": name, "error": reason[-1]}
    outcome: dict[str, Any] = json.loads(done.stdout)
    return {"name": name, **outcome}


def _measure(args: argparse.Namespace) -> int:
    """Solve and verify one problem; print the figures as JSON."""
    rules = RULE_SETS[args.rules[0]]
    started = time.monotonic()
    try:
        problem = load_problem(args.problems[0])
        loaded = time.monotonic()
        result = solve(
            problem,
            objective=Objective(args.objective[0]),
            rules=rules,
            tiles=parse_tiles(args.tiles),
            time_limit_s=args.time_limit,
            workers=args.workers,
        )
        solved = time.monotonic()
        document = result_to_dict(result)
        verification = verify(document, problem)
        verified = time.monotonic()
        if result.schedule is not None:
            recost(problem, result.schedule, rules)
        recosted = time.monotonic()
    except FuseproofError as error:
        print(error, file=sys.stderr)
        return 1
    figures = {
        "seconds": {
            "load": loaded - started,
            "solve": solved - loaded,
            "verify": verified - solved,
            "re-cost": recosted - verified,
        },
        "phases": result.phase_seconds,
        "counts": result.option_counts,
        "options": result.space.options,
        "stack_ranges": result.space.stack_ranges,
        "weighted_solves": len(result.proof),
        "survivors": max((step.survivors for step in result.proof), default=0),
        "status": result.status.value,
        "energy_pj": result.energy_pj,
        "latency_cycles": result.latency_cycles,
        "objective": result.value,
        "bound": result.best_bound,
        "gap": result.gap,
        "verified": verification.ok,
        # Linux counts in KiB.
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))
    return 0


def _table(outcomes: list[dict[str, Any]], where: str) -> Table:
    table = Table(title="Solves by phase", caption=where, show_lines=False)
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome["name"], justify="right")

    def row(name: str, read: Any, end: bool = False) -> None:
        cells = ["-" if "error" in o else read(o) for o in outcomes]
        table.add_row(name, *cells, end_section=end)

    for name, parts in PHASES.items():
        row(name, lambda o, p=parts: _seconds(sum(o["phases"].get(key, 0.0) for key in p)))
    row("solve in all", lambda o: _seconds(o["seconds"]["solve"]))
    row("verify", lambda o: _seconds(o["seconds"]["verify"]), end=True)
    row("runs of layers", lambda o: f"{o['stack_ranges']:,}")
    row("stack options", lambda o: f"{o['options']:,}")
    stages = list(dict.fromkeys(key for o in outcomes for key in o.get("counts", {})))
    for stage in stages:
        if stage != "all":
            row(f"  {stage}", lambda o, s=stage: f"{o['counts'][s]:,}" if s in o["counts"] else "-")
    row("  decided by CP-SAT", lambda o: f"{o['survivors']:,}")
    row("weighted solves", lambda o: f"{o['weighted_solves']:,}", end=True)
    row("status", lambda o: str(o["status"]))
    row("energy (pJ)", lambda o: _number(o["energy_pj"], ",.0f"))
    row("latency (cycles)", lambda o: _number(o["latency_cycles"], ",.0f"))
    row("objective", lambda o: _number(o["objective"], ".8e"))
    row("bound", lambda o: _number(o["bound"], ".8e"))
    row("gap", lambda o: _number(o["gap"], ".1e"))
    row("verified", lambda o: "yes" if o["verified"] else "NO", end=True)
    row("peak memory", lambda o: f"{o['peak_mib']:,.0f} MiB")
    if any("error" in outcome for outcome in outcomes):
        table.add_row("error", *[str(outcome.get("error", "")) for outcome in outcomes])
    return table


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    sys.exit(main())
