"""Compare the `defines` rules with recorded figures of the reference tool.

    python benchmarks/fidelity.py [FILE...] [--markdown [PAGE]]

Without files: all of tests/data/golden. Every recorded layer-tile is costed under its
recorded mapping, every copy phase with its recorded actions, and the policy is run at the
recorded point, mappings searched within the recorded limit on loop factors.

Exit codes: 0 all within the limits, 1 something beyond them, 2 a file cannot be used.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# For a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.recorded import DIRECTIONS, Phase, Point, Recording, Tile, read, tile_key
from cost.copies import CopyAction, copy_energy_pj, group_latency_cycles
from cost.kernel import evaluate_layer_tile
from cost.loop_order_search import LoopOrderSearch
from cost.loop_orders import TooFewLoopFactorsError
from cost.mapping import LayerTile, TemporalMapping
from cost.policy_result import PolicyResult
from cost.reference_mapper import loop_order_mapper
from cost.reference_policy import NoMappingError, reference_schedule
from cost.rules import DEFINES
from problems import FuseproofError, Operand, Problem, ProblemError

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "data" / "golden"
PAGE = ROOT / "docs" / "validation.md"
RECORD_LIMIT = 1e-9
"""Largest relative deviation of layer-tiles and copy phases."""
TOTAL_LIMIT = 1e-6
"""Largest relative deviation of a schedule's energy and latency."""
BAD_INPUT, DIFFERENT = 2, 1
CYCLES = ("ideal", "temporal", "stall", "loading", "offloading", "latency")


def deviation(found: float, recorded: float) -> float:
    """Relative deviation; infinite from a recorded zero."""
    if found == recorded:
        return 0.0
    return abs(found - recorded) / abs(recorded) if recorded else math.inf


@dataclass(kw_only=True)
class Deviations:
    """Largest relative deviation by quantity, over `count` records."""

    count: int
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, quantity: str, found: float, recorded: float) -> None:
        """Note one pair of values."""
        worst = max(self.largest.get(quantity, 0.0), deviation(found, recorded))
        self.largest[quantity] = worst

    @property
    def worst(self) -> float:
        """The largest deviation of all."""
        return max(self.largest.values(), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Total:
    """A schedule's energy (pJ) and latency (cycles), recorded and ours.

    `unlike` counts layer-tiles and copy phases that one side has and the other has not; None
    where the file does not record them, or the reference counts layers twice.
    """

    point: Point
    energy_pj: float
    cycles: int
    unlike: int | None

    @property
    def worst(self) -> float:
        """The larger deviation of the two totals."""
        return max(
            deviation(self.energy_pj, self.point.energy_pj),
            deviation(self.cycles, self.point.cycles),
        )

    @property
    def within(self) -> bool:
        """Whether it is as recorded, or recorded with layers counted twice."""
        return self.point.counts_twice or (self.worst <= TOTAL_LIMIT and not self.unlike)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A file's figures against ours."""

    recording: Recording
    tiles: Deviations
    phases: Deviations
    totals: tuple[Total, ...]

    @property
    def within(self) -> bool:
        """Whether nothing is beyond the limits."""
        records = max(self.tiles.worst, self.phases.worst)
        return records <= RECORD_LIMIT and all(total.within for total in self.totals)


def compare(recording: Recording) -> Comparison:
    """Cost everything in a file; ProblemError if it cannot be costed at all."""
    problem = recording.problem
    tiles = Deviations(count=len(recording.tiles))
    phases = Deviations(count=len(recording.phases))
    try:
        for tile in recording.tiles:
            _compare_tile(problem, tile, tiles)
        for phase in recording.phases:
            _compare_phase(problem, phase, phases)
        searches = {
            point.limit: LoopOrderSearch(hardware=problem.hardware, limit=point.limit)
            for point in recording.points
        }
        totals = tuple(
            _compare_total(recording, point, searches[point.limit]) for point in recording.points
        )
    except (KeyError, IndexError, ValueError, TooFewLoopFactorsError) as error:
        text = f"unknown {error}" if isinstance(error, KeyError) else str(error)
        message = f"does not fit {problem.name}: {text}"
        raise ProblemError(message, file=recording.name) from None
    return Comparison(recording=recording, tiles=tiles, phases=phases, totals=totals)


def _compare_tile(problem: Problem, tile: Tile, into: Deviations) -> None:
    layer = problem.workload.by_name[tile.layer]
    cost = evaluate_layer_tile(
        problem.hardware,
        problem.hardware.unrolling(problem.workload.name, layer),
        LayerTile(layer=layer, sizes=tile.sizes, levels=tile.levels),
        TemporalMapping(loops=tile.loops, cuts=tile.cuts),
        DEFINES,
    )
    for name, levels in tile.words.items():
        for level, row in enumerate(levels):
            for direction, words in zip(DIRECTIONS, row, strict=True):
                into.add("words", cost.words.get((name, level, direction), 0.0), words)
            into.add("energy", cost.level_pj[name, level], tile.level_pj[name][level])
    into.add("energy", cost.mac_pj, tile.mac_pj)
    into.add("energy", cost.energy_pj, tile.energy_pj)
    ours = (
        cost.ideal_cycles,
        cost.temporal_cycles,
        cost.stall_cycles,
        cost.loading_cycles,
        cost.offloading_cycles,
        cost.latency_cycles,
    )
    for name, found, recorded in zip(CYCLES, ours, tile.cycles, strict=True):
        into.add(name, found, recorded)


def _compare_phase(problem: Problem, phase: Phase, into: Deviations) -> None:
    hardware = problem.hardware
    index = {memory.name: number for number, memory in enumerate(hardware.memories)}
    actions = [
        CopyAction(
            bits=bits,
            from_operand=Operand(sender),
            from_memory=index[source],
            to_operand=Operand(receiver),
            to_memory=index[target],
        )
        for bits, sender, source, receiver, target in phase.actions
    ]
    energy = math.fsum(copy_energy_pj(hardware, action) for action in actions)
    into.add("energy", energy, phase.energy_pj)
    into.add("latency", group_latency_cycles(hardware, actions), phase.cycles)


def _compare_total(recording: Recording, point: Point, search: LoopOrderSearch) -> Total:
    problem = recording.problem
    result = reference_schedule(
        problem.hardware,
        problem.workload,
        mode=point.mode,
        tile=point.tile,
        mapper=loop_order_mapper(search, problem.workload.name),
    )
    unlike = None
    if point.chosen and not point.counts_twice:
        unlike = _unlike(result, recording, point)
    return Total(
        point=point, energy_pj=result.energy_pj, cycles=result.latency_cycles, unlike=unlike
    )


def _unlike(result: PolicyResult, recording: Recording, point: Point) -> int:
    """Layer-tiles and copy phases, times their count, that only one side has."""
    tiles: Counter[object] = Counter()
    phases: Counter[object] = Counter()
    for tile in (tile for stack in result.stacks for tile in stack.tiles):
        count = tile.tile.count
        for layer in tile.layers:
            sizes = dict(layer.sizes)
            levels = {operand.value: kept for operand, kept in layer.levels}
            key = tile_key(layer.name, sizes.get("OX", 1), sizes.get("OY", 1), levels)
            tiles[key] += count
        made = [("input", each.copies) for each in tile.inputs]
        made += [(each.name, each.copies) for each in tile.layers]
        for node, copies in made:
            bits = sorted(action.bits for action in copies.actions)
            phases[node, tuple(bits), copies.latency_cycles] += count
    for key, count in point.chosen:
        tiles[key] -= count
    for phase in recording.phases:
        bits = sorted(action[0] for action in phase.actions)
        phases[phase.node, tuple(bits), phase.cycles] -= phase.count
    return sum(map(abs, tiles.values())) + sum(map(abs, phases.values()))


def report(comparison: Comparison) -> str:
    """Several lines about one file."""
    recording = comparison.recording
    lines = [f"{recording.name}: {recording.problem.name}"]
    for what, found in (("layer-tiles", comparison.tiles), ("copy phases", comparison.phases)):
        if found.count:
            parts = ", ".join(f"{name} {value:.1e}" for name, value in found.largest.items())
            verdict = "equal" if found.worst <= RECORD_LIMIT else "DIFFERENT"
            lines.append(f"  {found.count} {what} {verdict}: {parts}")
    for total in comparison.totals:
        point = total.point
        lines.append(f"  {point}: {_verdict(total)}")
        for name, ours, recorded, unit in (
            ("energy", total.energy_pj, point.energy_pj, "pJ"),
            ("latency", total.cycles, point.cycles, "cycles"),
        ):
            lines.append(
                f"    {name:8}reference {recorded:,.3f} {unit}, ours {ours:,.3f} {unit}, "
                f"deviation {deviation(ours, recorded):.1e}"
            )
        if total.unlike is not None:
            lines.append(f"    layer-tiles and copy phases chosen otherwise: {total.unlike}")
    return "\n".join(lines)


def _verdict(total: Total) -> str:
    if total.point.counts_twice:
        return "not comparable, the reference counts layers twice (Q2)"
    return "equal" if total.within else "DIFFERENT"


PREFACE = """\
# Validation

Made by `python benchmarks/fidelity.py --markdown`; do not edit. Figures of the reference tool \
(DeFiNES, public snapshot of 2023-02, run unchanged) against ours under `--rules defines`. \
Deviations are relative; the largest of each kind is shown.

- Records: word accesses, energies and cycles of each recorded layer-tile under its recorded \
mapping, and energy and latency of each recorded copy phase. Limit {record:.0e}.
- Totals: the policy run at the recorded mode, tile size and limit on loop factors, everything \
else decided and searched by our code. Limit {total:.0e}. "Otherwise" counts layer-tiles and copy \
phases that only one side has.
- Q2: the reference overlooks a cut after layer 0 and evaluates layers twice; its records must be \
equal, its total is not. Ours counts each layer once.

`python benchmarks/fidelity.py FILE...` does the same for any recorded file.
"""


def page(comparisons: Sequence[Comparison]) -> str:
    """The generated page docs/validation.md."""
    lines = [PREFACE.format(record=RECORD_LIMIT, total=TOTAL_LIMIT), "## Records", ""]
    lines += ["| pair | file | layer-tiles | deviation | copy phases | deviation |"]
    lines += ["|---|---|---|---|---|---|"]
    for each in comparisons:
        if each.tiles.count or each.phases.count:
            cells = [each.recording.problem.name, f"`{each.recording.name}`"]
            for found in (each.tiles, each.phases):
                cells += [str(found.count), f"{found.worst:.1e}"] if found.count else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    tiles = sum(each.tiles.count for each in comparisons)
    phases = sum(each.phases.count for each in comparisons)
    lines += ["", f"{tiles} layer-tiles and {phases} copy phases in all.", "", "## Totals", ""]
    lines += [
        "| pair | point | energy, reference (pJ) | ours | deviation | "
        "latency, reference (cycles) | ours | deviation | otherwise |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for each in comparisons:
        for total in each.totals:
            lines.append(f"| {' | '.join(_cells(each.recording, total))} |")
    return "\n".join(lines) + "\n"


def _cells(recording: Recording, total: Total) -> list[str]:
    point = total.point
    cells = [recording.problem.name, str(point)]
    for recorded, ours, digits in (
        (point.energy_pj, total.energy_pj, 3),
        (point.cycles, total.cycles, 0),
    ):
        off = "Q2" if point.counts_twice else f"{deviation(ours, recorded):.1e}"
        cells += [f"{recorded:,.{digits}f}", f"{ours:,.{digits}f}", off]
    return [*cells, "" if total.unlike is None else str(total.unlike)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(description="Deviations from recorded reference figures.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument(
        "--markdown",
        nargs="?",
        type=Path,
        const=PAGE,
        metavar="PAGE",
        help="write the tables to this page (default docs/validation.md)",
    )
    args = parser.parse_args(argv)
    files = args.files or sorted([*GOLDEN.glob("*.json"), *GOLDEN.glob("*.jsonl")])
    comparisons = []
    try:
        recordings = [read(path) for path in files]
        for recording in recordings:
            try:
                comparison = compare(recording)
            except NoMappingError as error:
                print(f"{recording.name}: DIFFERENT, ours finds {error}", flush=True)
                continue
            comparisons.append(comparison)
            print(report(comparison), flush=True)
        if args.markdown is not None:
            _write(args.markdown, page(comparisons))
    except FuseproofError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    within = sum(each.within for each in comparisons)
    print(f"{within} of {len(files)} files within the limits")
    return 0 if within == len(files) else DIFFERENT


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProblemError(f"cannot be written: {error.strerror}", file=str(path)) from None


if __name__ == "__main__":
    sys.exit(main())
