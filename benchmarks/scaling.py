"""Time solves of large networks made in memory: chains of 50 to 400 layers, ResNet-152.

    python benchmarks/scaling.py [chain-50 chain-100 resnet-152 ...] [--objective edp ...]
                                 [--time-limit 600] [--size 56] [--channels 16] [--write]

Each solve runs in a process of its own, so that peak memory is its own too. `--write` puts
the table into docs/scaling.md. Not a test: what takes too long is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.synthetic import synthetic_problem  # noqa: E402 - run from anywhere
from solver.objective import Objective  # noqa: E402
from solver.solve import solve  # noqa: E402
from solver.write_file import write_whole  # noqa: E402

NETWORKS = ["chain-50", "chain-100", "chain-200", "chain-400", "resnet-152"]
PHASES = {
    "screen": ("ranges", "opening", "screen"),
    "first": ("few sizes", "efficient sizes", "first schedule"),
    "prune": ("bound layers",),
    "decide": ("decide", "stopped"),
}
"""Columns of the table, and the solver's phases that each adds up."""
GRACE = 4.0
"""Times its limit after which a solve is ended from outside: not every phase looks at it."""
PAGE = ROOT / "docs" / "scaling.md"
MARK = "<!-- written by benchmarks/scaling.py --write -->"


def main() -> int:
    """Run the benchmark and print its table."""
    args = _arguments()
    if args.one:
        return _measure(args)
    outcomes = []
    for network in args.networks:
        for objective in args.objective:
            outcomes.append(_run(network, objective, args))
            print(json.dumps(outcomes[-1]), file=sys.stderr, flush=True)
    Console(width=None if sys.stdout.isatty() else 140).print(_table(outcomes))
    if args.write:
        _write(outcomes, args)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("networks", nargs="*", default=NETWORKS, help="chain-N, resnet-50, resnet-101, resnet-152")
    add("--objective", nargs="+", choices=[o.value for o in Objective], default=["edp"])
    add("--hardware", default="meta-proto-df")
    add("--size", type=int, default=56, help="side of a chain's first map")
    add("--channels", type=int, default=16, help="channels of a chain's first map")
    add("--max-depth", type=int, help="most layers in a stack")
    add("--time-limit", type=float, default=600.0, metavar="S")
    add("--workers", type=int)
    add("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    add("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(network: str, objective: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one solve in a fresh process."""
    command = [sys.executable, __file__, network, "--one", "--objective", objective]
    command += ["--hardware", args.hardware, "--time-limit", str(args.time_limit)]
    command += ["--size", str(args.size), "--channels", str(args.channels)]
    for name, value in (("--max-depth", args.max_depth), ("--workers", args.workers)):
        command += [] if value is None else [name, str(value)]
    outcome = {"network": network, "objective": objective}
    most = GRACE * args.time_limit + 60
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=most)
    except subprocess.TimeoutExpired:
        return outcome | {"error": f"ended after {most:.0f} s"}
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return outcome | {"error": reason[-1]}
    return outcome | json.loads(done.stdout)


def _measure(args: argparse.Namespace) -> int:
    """Solve one problem; print the figures as JSON."""
    problem = synthetic_problem(
        args.networks[0], size=args.size, channels=args.channels, hardware=args.hardware
    )
    started = time.monotonic()
    result = solve(
        problem,
        objective=Objective(args.objective[0]),
        max_depth=args.max_depth,
        time_limit_s=args.time_limit,
        workers=args.workers,
    )
    solved = time.monotonic() - started
    phases = dict(result.phase_seconds)
    # Stacks are listed before the solver's own clock starts.
    phases["ranges"] = max(0.0, solved - result.seconds)
    figures = {
        "layers": len(problem.workload.layers),
        "ranges": result.space.stack_ranges,
        "options": result.space.options,
        "counts": result.option_counts,
        "phases": phases,
        "seconds": solved,
        "status": result.status.value,
        "value": result.value,
        "bound": result.best_bound,
        "gap": result.gap,
        # Linux counts in KiB.
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))
    return 0


HEADER = ["network", "objective", "layers", "stacks", "options", *PHASES]
HEADER += ["seconds", "gap", "status", "peak MiB"]


def _cells(outcome: dict[str, Any]) -> list[str]:
    """One row of the table."""
    row = [outcome["network"], outcome["objective"]]
    if "error" in outcome:
        return row + ["-"] * (len(HEADER) - len(row) - 2) + [outcome["error"], "-"]
    row += [f"{outcome[key]:,}" for key in ("layers", "ranges", "options")]
    phases = outcome["phases"]
    row += [f"{sum(phases.get(name, 0.0) for name in names):.1f}" for names in PHASES.values()]
    gap = "-" if outcome["gap"] is None else f"{outcome['gap']:.1e}"
    return [
        *row,
        f"{outcome['seconds']:.0f}",
        gap,
        outcome["status"],
        f"{outcome['peak_mib']:,.0f}",
    ]


def _table(outcomes: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Large networks, seconds by phase", caption=_where())
    for name in HEADER:
        table.add_column(name, justify="left" if name in ("network", "objective") else "right")
    for outcome in outcomes:
        table.add_row(*_cells(outcome))
    return table


def _where() -> str:
    text = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
    return text + f"ortools {version('ortools')}, numba {version('numba')}"


def _write(outcomes: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Replace the table in the page; what is written by hand above the mark stays."""
    rows = [HEADER, ["---"] * len(HEADER), *map(_cells, outcomes)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    depth = "" if args.max_depth is None else f", stacks of at most {args.max_depth} layers"
    asked = f"{args.hardware}, time limit {args.time_limit:g} s{depth}; chains start at "
    asked += f"{args.size} x {args.size} x {args.channels}. {_where()}."
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Scaling\n\n"
    top = before.partition(MARK)[0].rstrip()
    write_whole(PAGE, "\n".join([top, "", MARK, "", asked, "", *lines, ""]))


if __name__ == "__main__":
    sys.exit(main())
