"""The `fuseproof` command."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost.overlap import OverlapMode
from cost.rules import RULE_SETS
from problems import FuseproofError, InfeasibleError, ProblemError, catalogue, load_problem
from solver.objective import Objective

if TYPE_CHECKING:
    from solver.result import TracePoint

DONE, BAD_INPUT, STOPPED, INFEASIBLE = 0, 2, 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 input, 3 limit, 4 infeasible)."""
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        return int(args.run(args))
    except InfeasibleError as error:
        print(f"infeasible: {error}", file=sys.stderr)
        return INFEASIBLE
    except FuseproofError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is below 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' seconds: expected more than 0")
    return value


def _tile(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(
            f"'{text}': expected WIDTHxHEIGHT of at least 1 each, such as 60x72"
        )
    return int(sides[0]), int(sides[1])


def _modes(text: str) -> tuple[OverlapMode, ...]:
    try:
        return tuple(OverlapMode(part) for part in text.split(","))
    except ValueError:
        allowed = ", ".join(mode.value for mode in OverlapMode)
        raise argparse.ArgumentTypeError(f"'{text}': expected some of {allowed}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuseproof", description="Optimal schedules, proven.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    command("list", _list, "what the catalogue holds")
    show = command("show", _show, "the problem, checked, as a report")
    solve = command("solve", _solve, "the best schedule, with proof")
    evaluate = command("evaluate", _evaluate, "cost a policy or a saved schedule")
    compare = command("compare", _compare, "the optimum beside policies")
    verify = command("verify", _verify, "re-cost a saved result and check its certificate")
    for sub in (show, solve, evaluate, compare):
        sub.add_argument("problem", metavar="PROBLEM", help="WORKLOAD@HARDWARE or a YAML file")
    for sub, rules in ((solve, "exact"), (evaluate, "defines"), (compare, "exact")):
        sub.add_argument("--rules", choices=sorted(RULE_SETS), default=rules)
    for sub in (solve, compare):
        sub.add_argument(
            "--objective", choices=[o.value for o in Objective], default=Objective.EDP.value
        )
        sub.add_argument("--tiles", default="efficient")
        sub.add_argument("--modes", type=_modes, default=tuple(OverlapMode))
        sub.add_argument("--max-depth", type=_positive)
        sub.add_argument("--time-limit", type=_seconds)
        sub.add_argument("--workers", type=_positive)
        sub.add_argument("--seed", type=int, default=0)
        sub.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    evaluate.add_argument("--policy", choices=["defines"])
    evaluate.add_argument("--schedule", type=Path, metavar="FILE.json")
    evaluate.add_argument(
        "--mode", type=OverlapMode, choices=list(OverlapMode), default=OverlapMode.FULLY_CACHED
    )
    evaluate.add_argument("--tile", type=_tile)
    evaluate.add_argument("--lpf-limit", type=_positive)
    evaluate.add_argument("--json", type=Path, metavar="FILE")
    verify.add_argument("file", type=Path, metavar="FILE.json")
    return parser


def _writable(path: Path | None) -> None:
    """Refuse an output path before the work, not after it."""
    if path is None:
        return
    folder = path.parent if str(path.parent) else Path()
    try:
        if path.is_dir():
            raise IsADirectoryError
        descriptor, name = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        Path(name).unlink()
    except OSError as error:
        raise ProblemError(f"{path}: cannot write there ({type(error).__name__})") from None


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console().print(renderable)


def _list(_: argparse.Namespace) -> int:
    names = catalogue()
    print("workloads: " + ", ".join(names.workloads))
    print("hardware:  " + ", ".join(names.hardware))
    return DONE


def _show(args: argparse.Namespace) -> int:
    from solver.report import problem_report

    _print(problem_report(load_problem(args.problem)))
    return DONE


def _solve(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    from solver.space import parse_tiles

    tiles = parse_tiles(args.tiles)
    _writable(args.output)
    from cost.recost import recost
    from solver.report import result_report
    from solver.result import Status
    from solver.schedule_file import write_result
    from solver.solve import solve

    rules = RULE_SETS[args.rules]
    result = solve(
        problem,
        objective=Objective(args.objective),
        rules=rules,
        tiles=tiles,
        modes=args.modes,
        max_depth=args.max_depth,
        time_limit_s=args.time_limit,
        workers=args.workers,
        seed=args.seed,
        progress=_progress if sys.stderr.isatty() else None,
    )
    recosted = None
    if result.schedule is not None:
        recosted = recost(problem, result.schedule, rules)
    _print(result_report(problem, result, recosted))
    if args.output is not None:
        write_result(args.output, result)
    if recosted is not None and recosted.violations:
        print("error: the schedule does not pass its own re-costing", file=sys.stderr)
        return STOPPED
    return DONE if result.status is Status.OPTIMAL else STOPPED


def _progress(point: TracePoint) -> None:
    best = "-" if point.objective is None else f"{point.objective:.6g}"
    print(
        f"\r{point.seconds:7.1f} s  best {best}  bound {point.bound:.6g}   ",
        end="",
        file=sys.stderr,
        flush=True,
    )


def _evaluate(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    _writable(args.json)
    rules = RULE_SETS[args.rules]
    if args.schedule is not None:
        from cost.recost import recost
        from solver.schedule_file import read_result, schedule_from_dict

        document = read_result(args.schedule)
        rules = RULE_SETS.get(str(document.get("rules")), rules)
        found = recost(problem, schedule_from_dict(document), rules)
        figures = {
            "energy_pj": found.energy_pj,
            "latency_cycles": found.latency_cycles,
            "violations": list(found.violations),
        }
    else:
        if args.policy is None or args.tile is None:
            raise ProblemError("evaluate: give --policy defines with --tile WxH, or --schedule")
        figures = _policy_figures(problem, args, rules)
    for name, value in figures.items():
        print(f"{name}: {value}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return DONE


def _policy_figures(problem: Any, args: argparse.Namespace, rules: Any) -> dict[str, Any]:
    from cost.reference_policy import reference_schedule

    if args.lpf_limit is not None:
        from cost.loop_order_search import LoopOrderSearch
        from cost.reference_mapper import loop_order_mapper

        search = LoopOrderSearch(hardware=problem.hardware, limit=args.lpf_limit)
        mapper = loop_order_mapper(search, problem.workload.name)
    else:
        from cost.exact_mapper import exact_mapper

        mapper = exact_mapper(problem.hardware, problem.workload.name, rules)
    found = reference_schedule(
        problem.hardware,
        problem.workload,
        mode=args.mode,
        tile=args.tile,
        mapper=mapper,
        rules=rules,
    )
    return {
        "mode": args.mode.value,
        "tile": list(args.tile),
        "energy_pj": found.energy_pj,
        "latency_cycles": found.latency_cycles,
        "edp": found.energy_pj * found.latency_cycles,
        "stacks": [[layer for layer in stack.layers] for stack in found.stacks],
    }


def _compare(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    from solver.compare import compare

    table = compare(problem, Objective(args.objective), RULE_SETS[args.rules])
    _print(table)
    return DONE


def _verify(args: argparse.Namespace) -> int:
    from solver.schedule_file import read_result
    from solver.verify import verify

    verification = verify(read_result(args.file))
    for fault in verification.problems:
        print(f"FAULT: {fault}")
    print("verified" if verification.ok else "rejected")
    return DONE if verification.ok else STOPPED


if __name__ == "__main__":
    sys.exit(main())
