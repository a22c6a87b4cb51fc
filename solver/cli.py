"""The `fuseproof` command."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cost.rules import RULE_SETS, RuleSet
from problems import (
    FuseproofError,
    InfeasibleError,
    PolicyError,
    Problem,
    ProblemError,
    catalogue,
    load_problem,
)
from solver.arguments import BAD_INPUT, Commands, UsageError, parse_arguments
from solver.objective import Objective
from solver.write_file import check_writable, write_whole

if TYPE_CHECKING:
    from solver.pins import Pins
    from solver.restrictions import Narrowing
    from solver.result import Result

DONE, STOPPED, INFEASIBLE = 0, 3, 4
"""Exit codes beside `BAD_INPUT`."""
FEW_COLLECTIONS = 100_000, 20, 20
"""Thresholds of Python's garbage collector (`gc.set_threshold`). A solve keeps most of what it
makes; looking through it every 700 objects, the default, was a fifth to a third of the time of
making models."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 input, 3 limit, 4 infeasible)."""
    gc.set_threshold(*FEW_COLLECTIONS)
    try:
        args = parse_arguments(argv, COMMANDS)
        code = int(args.run(args))
        sys.stdout.flush()
    except SystemExit as stop:
        return int(stop.code or 0)
    except (InfeasibleError, PolicyError) as error:
        return _fail(INFEASIBLE, f"infeasible: {error}")
    except (FuseproofError, UsageError) as error:
        return _fail(BAD_INPUT, f"error: {error}")
    except KeyboardInterrupt:
        return _fail(STOPPED, "stopped by Ctrl-C before there was an answer")
    except BrokenPipeError:
        # The reader (head, a closed pager) has seen enough; exit must not flush into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return STOPPED
    return code


def _fail(code: int, line: str) -> int:
    print(line, file=sys.stderr)
    return code


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console(highlight=False).print(renderable)


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
    if args.output is not None:
        check_writable(args.output)
    from cost.recost import recost
    from solver.comparison import policy_point
    from solver.report import result_report
    from solver.result import Status
    from solver.schedule_file import write_result

    rules = RULE_SETS[args.rules]
    pins = _pins(problem, args)
    from solver.pinned_space import NoDivisionError

    try:
        with _pin_file_named(args):
            result = _search(problem, args, rules, pins)
    except (InfeasibleError, NoDivisionError) as error:
        raise _with_all_limits(error, problem, args, rules, pins) from None
    with _interrupts_held():
        if args.output is not None:
            write_result(args.output, result)
        if result.schedule is None:
            known = f"{result.best_bound:.6g} {result.objective.unit}"
            return _fail(
                STOPPED,
                f"stopped after {result.seconds:.1f} s before any schedule was found"
                + (f"; nothing costs less than {known}" if result.best_bound > 0 else ""),
            )
        recosted = recost(problem, result.schedule, rules)
        policy = None
        if result.status is Status.OPTIMAL and args.time_limit is None:
            policy = policy_point(problem, result.schedule, rules)
        _print(result_report(problem, result, recosted, policy))
    if recosted.violations:
        return _fail(STOPPED, "error: the schedule does not pass its own re-costing")
    return DONE if result.status is Status.OPTIMAL else STOPPED


def _pins(problem: Problem, args: argparse.Namespace) -> Pins:
    """What is fixed by hand."""
    from solver.pin_file import read_pins
    from solver.pins import Pins

    return Pins() if args.pin is None else read_pins(args.pin, problem)


@contextlib.contextmanager
def _pin_file_named(args: argparse.Namespace) -> Iterator[None]:
    """What only the space shows to be wrong with a pin file is told with its name, too."""
    from solver.pinned_space import PinnedMappingError

    try:
        yield
    except PinnedMappingError as error:
        raise error.in_file(str(args.pin)) from None


def _narrowing(args: argparse.Namespace, pins: Pins) -> Narrowing:
    from solver.restrictions import Narrowing

    return Narrowing(tiles=args.tiles, modes=args.modes, max_depth=args.max_depth, pins=pins)


def _with_all_limits(
    error: FuseproofError,
    problem: Problem,
    args: argparse.Namespace,
    rules: RuleSet,
    pins: Pins | None = None,
) -> FuseproofError:
    """The error of a search that proved its space empty, with every limit in conflict."""
    from solver.explain import with_all_limits
    from solver.pins import Pins

    return with_all_limits(error, problem, rules, _narrowing(args, pins or Pins()))


def _search(
    problem: Problem, args: argparse.Namespace, rules: RuleSet, pins: Pins | None
) -> Result:
    """Solve, with progress on standard error if that is a terminal."""
    from rich.console import Console

    from solver.progress import LiveProgress
    from solver.solve import solve

    objective = Objective(args.objective)
    with LiveProgress(objective, Console(stderr=True, highlight=False)) as progress:
        return solve(
            problem,
            objective=objective,
            rules=rules,
            tiles=args.tiles,
            modes=args.modes,
            max_depth=args.max_depth,
            pins=pins,
            time_limit_s=args.time_limit,
            workers=args.workers,
            seed=args.seed,
            progress=progress.show,
        )


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Only the answer is written out meanwhile: a second Ctrl-C must not lose it."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        # Elsewhere than in the main thread no interrupts arrive, and none can be refused.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _evaluate(args: argparse.Namespace) -> int:
    from solver.evaluate import policy_figures, schedule_figures

    problem = load_problem(args.problem)
    if args.json is not None:
        check_writable(args.json)
    if args.schedule is not None:
        if args.policy is not None or args.tile is not None:
            raise ProblemError("evaluate: --schedule goes without --policy and --tile")
        figures = schedule_figures(problem, args.schedule, args.rules)
    elif args.policy is None or args.tile is None:
        raise ProblemError("evaluate: give --policy defines with --tile WxH, or --schedule")
    else:
        figures = policy_figures(problem, args.mode, args.tile, args.rules, args.lpf_limit)
    if args.json is not None:
        write_whole(args.json, json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        if name != "violations":
            print(f"{name}: {value}")
    violations = figures.get("violations", ())
    for fault in violations:
        print(f"VIOLATION: {fault}")
    return BAD_INPUT if violations else DONE


def _compare(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    from solver.compare import compare, silent

    comparison = compare(
        problem,
        Objective(args.objective),
        RULE_SETS[args.rules],
        tiles=args.tiles,
        modes=args.modes,
        max_depth=args.max_depth,
        time_limit_s=args.time_limit,
        workers=args.workers,
        seed=args.seed,
        progress=_step if sys.stderr.isatty() else silent,
    )
    if sys.stderr.isatty():
        print(file=sys.stderr)
    _print(comparison)
    return STOPPED if comparison.contradictions or comparison.interrupted else DONE


def _pareto(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    for path in (args.output, args.plot):
        if path is not None:
            check_writable(path)
    from solver.front import pareto_front
    from solver.front_report import front_report, plot_front, write_front

    def tell(points: int, epsilon: float) -> None:
        _step(f"{points} points, epsilon {epsilon:.3g}")

    try:
        front = pareto_front(
            problem,
            rules=RULE_SETS[args.rules],
            tiles=args.tiles,
            modes=args.modes,
            max_depth=args.max_depth,
            epsilon=args.epsilon,
            time_limit_s=args.time_limit,
            workers=args.workers,
            seed=args.seed,
            progress=tell if sys.stderr.isatty() else None,
        )
    except InfeasibleError as error:
        raise _with_all_limits(error, problem, args, RULE_SETS[args.rules]) from None
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if args.output is not None:
        write_front(args.output, front)
    if args.plot is not None:
        plot_front(args.plot, front)
    _print(front_report(front, args.max_energy, args.max_latency))
    return DONE if front.complete else STOPPED


def _explain(args: argparse.Namespace) -> int:
    problem = load_problem(args.problem)
    if args.output is not None:
        check_writable(args.output)
    from solver.explain import Question, explain
    from solver.explain_report import answer_report, write_answer
    from solver.limits import StoppedError
    from solver.pin_file import layer_position

    pins = _pins(problem, args)
    question = Question(
        problem=problem,
        rules=RULE_SETS[args.rules],
        narrowing=_narrowing(args, pins),
        max_energy_pj=args.max_energy,
        max_latency_cycles=args.max_latency,
        fused=tuple(
            tuple(sorted({layer_position(problem, name, "--fuse") for name in group}))
            for group in args.fuse
        ),
        split=tuple(layer_position(problem, name, "--split") for name in args.split),
        more_memory=args.more_memory,
        time_limit_s=args.time_limit,
    )
    try:
        with _pin_file_named(args):
            answer = explain(
                question, lambda changed, pins: _search(changed, args, question.rules, pins)
            )
    except StoppedError as stop:
        return _fail(STOPPED, f"stopped before it was clear whether all limits can be kept{stop}")
    if args.output is not None:
        write_answer(args.output, answer)
    _print(answer_report(answer))
    if answer.conflict is not None:
        return INFEASIBLE
    return DONE if answer.optimal else STOPPED


def _step(text: str) -> None:
    print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def _verify(args: argparse.Namespace) -> int:
    from solver.report import verification_report
    from solver.schedule_file import read_result
    from solver.verify import verify

    document = read_result(args.file)
    problem = None if args.problem is None else load_problem(args.problem)
    try:
        verification = verify(document, problem)
    except ProblemError as error:
        raise error.in_file(str(args.file)) from None
    for fault in verification.problems:
        print(f"FAULT: {fault}")
    _print(verification_report(str(args.file), verification))
    return DONE if verification.ok else STOPPED


COMMANDS: Commands = {
    "list": ("what the catalogue holds", _list),
    "show": ("the problem, checked, as a report", _show),
    "solve": ("the best schedule, with proof", _solve),
    "evaluate": ("cost a policy or a saved schedule", _evaluate),
    "compare": ("the optimum beside policies", _compare),
    "explain": (
        "why nothing fits; what a forced decision or a larger memory would change",
        _explain,
    ),
    "pareto": ("nondominated energy and latency, to a stated distance", _pareto),
    "verify": ("re-cost a saved result and check its certificate", _verify),
}

if __name__ == "__main__":
    sys.exit(main())
