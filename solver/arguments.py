"""Options of the `fuseproof` command: what may be given, and one line for what may not."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from cost.overlap import OverlapMode
from cost.rules import DEFINES, EXACT, RULE_SETS
from problems.errors import nearest
from solver.objective import Objective
from solver.space import TileSpace, parse_tiles

BAD_INPUT = 2
MOST_WORKERS = 1000
MOST_SEED = 2**31 - 1
"""CP-SAT's seed is a 32-bit number."""
_Kind = TypeVar("_Kind")

Commands = dict[str, tuple[str, Callable[[argparse.Namespace], int]]]
"""By name: what the command does in a few words, and the function that does it."""


class UsageError(Exception):
    """The command line cannot be understood; the text is the one line to print."""


class _Parser(argparse.ArgumentParser):
    """Refuses in one line, without the page of usage that argparse prints."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see '{self.prog} --help')")


def parse_arguments(argv: Sequence[str] | None, commands: Commands) -> argparse.Namespace:
    """Read the command line; `run` of the outcome is the command's function.

    Raises UsageError, or SystemExit(0) after printing help.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser, known = _parser(commands)
    if given and given[0] not in commands and not given[0].startswith("-"):
        names = ", ".join(commands)
        parser.error(
            f"unknown command '{given[0]}', expected one of {names}" + nearest(given[0], commands)
        )
    args, unknown = parser.parse_known_args(given)
    if unknown:
        parser_of = known[args.command]
        options = [name for name in parser_of._option_string_actions if name.startswith("--")]
        hint = nearest(unknown[0].partition("=")[0], options) if unknown[0][0] == "-" else ""
        what = "option" if unknown[0].startswith("-") else "argument"
        parser_of.error(f"unknown {what} '{unknown[0]}'{hint}")
    return args


def _parser(commands: Commands) -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="fuseproof",
        description="Optimal schedules for DNN accelerators, proven.",
        epilog="exit codes: 0 done and optimal, 2 bad input, 3 stopped by a limit or not "
        "verified, 4 proven infeasible",
        allow_abbrev=False,
    )
    known: dict[str, argparse.ArgumentParser] = {}
    subparsers = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", parser_class=_Parser
    )
    for name, (text, run) in commands.items():
        sub = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        known[name] = sub
        _OPTIONS[name](sub)
    return parser, known


def _problem(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "problem", metavar="PROBLEM", help="WORKLOAD@HARDWARE (names or YAML files) or a YAML file"
    )


def _goal(sub: argparse.ArgumentParser, objective: bool) -> None:
    """What to optimise."""
    _problem(sub)
    add = sub.add_argument
    add("--rules", type=_one_of(RULE_SETS), default=EXACT.name, metavar="RULES", help=_RULES)
    if objective:
        add(
            "--objective",
            type=_one_of(o.value for o in Objective),
            default=Objective.EDP.value,
            metavar="OBJECTIVE",
            help="energy, latency or edp (their product; the default)",
        )
    add("--seed", type=_count(0, MOST_SEED), default=0, metavar="N", help="seed of the search")


def _search(sub: argparse.ArgumentParser, objective: bool = True) -> None:
    """In which space, and for how long."""
    _goal(sub, objective)
    add = sub.add_argument
    add(
        "--tiles",
        type=_tiles,
        default=parse_tiles("efficient"),
        metavar="SIZES",
        help="efficient (the default), all, or grid:W1,W2,..xH1,H2,..",
    )
    add(
        "--modes",
        type=_modes,
        default=tuple(OverlapMode),
        metavar="MODES",
        help="overlap modes, joined by commas: " + ", ".join(OverlapMode),
    )
    add("--max-depth", type=_count(), metavar="N", help="most layers in a stack")
    add("--time-limit", type=_seconds, metavar="S", help="seconds until the search stops")
    add("--workers", type=_count(most=MOST_WORKERS), metavar="N", help="threads of CP-SAT")


def _solve(sub: argparse.ArgumentParser) -> None:
    _search(sub)
    _pin(sub)
    sub.add_argument(
        "-o", "--output", type=Path, metavar="FILE.json", help="write the result there"
    )


def _pin(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--pin", type=Path, metavar="FILE.yaml", help="decisions that are fixed")


def _explain(sub: argparse.ArgumentParser) -> None:
    _search(sub)
    add = sub.add_argument
    add(
        "--fuse",
        action="append",
        default=[],
        type=_names,
        metavar="A,B,..",
        help="what if these layers shared a stack? May be given more than once",
    )
    add(
        "--split",
        action="append",
        default=[],
        metavar="LAYER",
        help="what if a stack ended after this layer? May be given more than once",
    )
    add(
        "--more-memory",
        type=_positive,
        metavar="PERCENT",
        help="what if each shared memory on chip were larger, one at a time?",
    )
    _pin(sub)
    add("--max-latency", type=_positive, metavar="CYCLES", help="a limit that must be kept")
    add("--max-energy", type=_positive, metavar="PJ", help="a limit that must be kept")
    add("-o", "--output", type=Path, metavar="FILE.json", help="write the answer there")


def _pareto(sub: argparse.ArgumentParser) -> None:
    _search(sub, objective=False)
    add = sub.add_argument
    add(
        "--epsilon",
        type=_share,
        default=0.001,
        metavar="E",
        help="how much every schedule may be better than the front's points in both costs, "
        "relatively (default 0.001; 0 asks for all that weighted sums can find)",
    )
    add("--max-latency", type=_positive, metavar="CYCLES", help="ask for the least energy so fast")
    add("--max-energy", type=_positive, metavar="PJ", help="ask for the least latency so frugal")
    add("-o", "--output", type=Path, metavar="FILE.json", help="write points and proof there")
    add("--plot", type=_svg, metavar="FILE.svg", help="draw the front there")


def _evaluate(sub: argparse.ArgumentParser) -> None:
    _problem(sub)
    add = sub.add_argument
    add(
        "--rules",
        type=_one_of(RULE_SETS),
        metavar="RULES",
        help=f"{_RULES}; by default those of the schedule, or {DEFINES.name} for a policy",
    )
    add("--policy", type=_one_of(["defines"]), metavar="POLICY", help="defines")
    add("--schedule", type=Path, metavar="FILE.json", help="a result of solve")
    add(
        "--mode",
        type=_mode,
        default=OverlapMode.FULLY_CACHED,
        metavar="MODE",
        help="overlap mode: " + ", ".join(OverlapMode),
    )
    add("--tile", type=_tile, metavar="WxH", help="tile size, such as 60x72")
    add("--lpf-limit", type=_count(), metavar="N", help="the reference's own loop-order search")
    add("--json", type=Path, metavar="FILE", help="write the figures there")


def _verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", type=Path, metavar="FILE.json", help="a result of solve")
    sub.add_argument(
        "--problem", metavar="PROBLEM", help="take this problem, not the one that the file names"
    )


def _nothing(_: argparse.ArgumentParser) -> None:
    """A command without options."""


_RULES = "cost rules: " + ", ".join(sorted(RULE_SETS))
_OPTIONS = {
    "list": _nothing,
    "show": _problem,
    "solve": _solve,
    "evaluate": _evaluate,
    "compare": _search,
    "explain": _explain,
    "pareto": _pareto,
    "verify": _verify,
}


def _one_of(allowed: Iterable[str]) -> Callable[[str], str]:
    names = sorted(allowed)

    def read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"'{text}' is none of {', '.join(names)}{nearest(text, names)}"
            )
        return text

    return read


def _count(least: int = 1, most: int | None = None) -> Callable[[str], int]:
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        # Twenty digits pass every limit; Python refuses to read some thousands.
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
            raise argparse.ArgumentTypeError(f"'{text}', expected a whole number {wanted}")
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"'{text}', expected a whole number {wanted}")
        return value

    return read


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(text: str) -> float:
    value = _number(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"'{text}', expected a number of seconds above 0")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if len(names) < 2 or not all(names):
        raise argparse.ArgumentTypeError(f"'{text}', expected two layers or more: A,B")
    return names


def _positive(text: str) -> float:
    value = _number(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"'{text}', expected a number above 0")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"'{text}', expected a number from 0 to below 1")
    return value


def _svg(text: str) -> Path:
    if not text.lower().endswith(".svg"):
        raise argparse.ArgumentTypeError(f"'{text}', expected a file name that ends in .svg")
    return Path(text)


def _tile(text: str) -> tuple[int, int]:
    read = _count()
    try:
        width, height = (read(side) for side in text.split("x"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"'{text}', expected WIDTHxHEIGHT of at least 1 each, such as 60x72"
        ) from None
    return width, height


def _tiles(text: str) -> TileSpace:
    return parse_tiles(text)


def _mode(text: str) -> OverlapMode:
    return OverlapMode(_one_of(OverlapMode)(text))


def _modes(text: str) -> tuple[OverlapMode, ...]:
    # The same mode twice would put every option of it twice into the space.
    return tuple(dict.fromkeys(_mode(part) for part in text.split(",")))
