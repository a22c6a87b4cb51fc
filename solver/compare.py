"""The optimum beside policies: what each heuristic leaves on the table."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass

from rich.table import Table

from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.reference_policy import NoMappingError, reference_schedule
from cost.rules import RuleSet
from problems.errors import InfeasibleError
from problems.problem import Problem
from solver.objective import Objective
from solver.result import Result
from solver.solve import evaluate_stacks, solve
from solver.space import EFFICIENT, stack_ranges
from solver.stack_tables import StackTables

GRID_WIDTHS, GRID_HEIGHTS = (1, 4, 16, 60, 240, 960), (1, 4, 18, 72, 270, 540)
"""DeFiNES's 6 x 6 grid of tile sizes for FSRCNN (case study 1)."""

Stack = tuple[int, int, int, int, OverlapMode]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy's point."""

    name: str
    energy_pj: float
    latency_cycles: float
    note: str


def compare(problem: Problem, objective: Objective, rules: RuleSet, seed: int = 0) -> Table:
    """A table of the optimum and every policy with its regret in percent."""
    started = time.monotonic()
    best = solve(problem, objective=objective, rules=rules)
    seconds = time.monotonic() - started
    tables = StackTables(problem, rules)
    rows = [_row("optimum", best, best.status.value)]
    rows.append(
        _row(
            "layer by layer",
            _by_layer(problem, rules, objective, tables),
            "each layer a stack, one tile",
        )
    )
    rows += _grid(problem, objective, rules)
    rows.append(
        _row(
            "greedy fusion",
            _greedy(problem, rules, objective, tables),
            "stacks grow while that helps, fixed tile",
        )
    )
    rows.append(
        _row(
            "annealing",
            _anneal(problem, rules, objective, tables, seconds, seed),
            f"{seconds:.0f} s, seed {seed}",
        )
    )
    return _table(rows, objective, rules)


def _row(name: str, result: Result | None, note: str) -> PolicyRow:
    if result is None or result.energy_pj is None or result.latency_cycles is None:
        return PolicyRow(name=name, energy_pj=math.inf, latency_cycles=math.inf, note="none fits")
    return PolicyRow(
        name=name, energy_pj=result.energy_pj, latency_cycles=result.latency_cycles, note=note
    )


def _value(result: Result | None, objective: Objective) -> float:
    if result is None or result.energy_pj is None or result.latency_cycles is None:
        return math.inf
    return float(objective.of(result.energy_pj, result.latency_cycles))


def _fixed(
    problem: Problem,
    rules: RuleSet,
    stacks: tuple[Stack, ...],
    objective: Objective,
    tables: StackTables,
) -> Result | None:
    """The best placements of fixed stacks, None if nothing fits."""
    try:
        return evaluate_stacks(problem, rules, stacks, objective, tables)
    except InfeasibleError:
        return None


def _by_layer(
    problem: Problem, rules: RuleSet, objective: Objective, tables: StackTables
) -> Result | None:
    stacks = tuple(
        (i, i, layer.sizes["OX"], layer.sizes["OY"], OverlapMode.FULLY_RECOMPUTE)
        for i, layer in enumerate(problem.workload.layers)
    )
    return _fixed(problem, rules, stacks, objective, tables)


def _grid(problem: Problem, objective: Objective, rules: RuleSet) -> list[PolicyRow]:
    """The reference's policy: automatic cuts, best of its grid in every mode."""
    mapper = exact_mapper(problem.hardware, problem.workload.name, rules)
    found: list[tuple[float, PolicyRow]] = []
    last = problem.workload.layers[-1].sizes
    tiles = sorted(
        {(min(x, last["OX"]), min(y, last["OY"])) for x in GRID_WIDTHS for y in GRID_HEIGHTS}
    )
    for mode in OverlapMode:
        for tile in tiles:
            try:
                point = reference_schedule(
                    problem.hardware,
                    problem.workload,
                    mode=mode,
                    tile=tile,
                    mapper=mapper,
                    rules=rules,
                )
            except NoMappingError:
                continue
            row = PolicyRow(
                name="DeFiNES policy, best of grid",
                energy_pj=point.energy_pj,
                latency_cycles=point.latency_cycles,
                note=f"{tile[0]} x {tile[1]}, {mode.value}",
            )
            found.append((float(objective.of(point.energy_pj, point.latency_cycles)), row))
    if not found:
        return []
    row = min(found, key=lambda pair: pair[0])[1]
    if rules.joint_capacity:
        row = PolicyRow(
            name=row.name,
            energy_pj=row.energy_pj,
            latency_cycles=row.latency_cycles,
            note=row.note + "; ignores joint capacity",
        )
    return [row]


def _greedy(
    problem: Problem, rules: RuleSet, objective: Objective, tables: StackTables
) -> Result | None:
    """Grow each stack by one layer as long as the whole improves."""
    layers = problem.workload.layers
    tile_x, tile_y = GRID_WIDTHS[2], GRID_HEIGHTS[2]
    cuts = list(range(len(layers)))

    def evaluate(ends: list[int]) -> Result | None:
        starts = [0, *(end + 1 for end in ends[:-1])]
        stacks: tuple[Stack, ...] = tuple(
            (a, b, tile_x, tile_y, OverlapMode.FULLY_CACHED)
            for a, b in zip(starts, ends, strict=True)
        )
        return _fixed(problem, rules, stacks, objective, tables)

    best = evaluate(cuts)
    position = 0
    while position < len(cuts) - 1:
        merged = cuts[:position] + cuts[position + 1 :]
        trial = evaluate(merged)
        if _value(trial, objective) < _value(best, objective):
            best, cuts = trial, merged
        else:
            position += 1
    return best


def _anneal(
    problem: Problem,
    rules: RuleSet,
    objective: Objective,
    tables: StackTables,
    seconds: float,
    seed: int,
) -> Result | None:
    """Random moves over cuts, tiles and modes for as long as the proof took."""
    rng = random.Random(seed)
    ranges = {
        (r.first, r.last): r
        for r in stack_ranges(problem, rules, EFFICIENT, tuple(OverlapMode), None)
    }
    n = len(problem.workload.layers)

    def draw(first: int, last: int) -> Stack:
        r = ranges[first, last]
        return (first, last, rng.choice(r.widths), rng.choice(r.heights), rng.choice(r.modes))

    current: tuple[Stack, ...] = (draw(0, n - 1),)
    best: Result | None = None
    value = math.inf
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        trial = list(current)
        k = rng.randrange(len(trial))
        first, last = trial[k][:2]
        if rng.random() < 0.2 and first < last:
            cut = rng.randrange(first, last)
            trial[k : k + 1] = [draw(first, cut), draw(cut + 1, last)]
        elif rng.random() < 0.3 and k + 1 < len(trial):
            trial[k : k + 2] = [draw(first, trial[k + 1][1])]
        else:
            trial[k] = draw(first, last)
        result = _fixed(problem, rules, tuple(trial), objective, tables)
        found = _value(result, objective)
        share = (deadline - time.monotonic()) / seconds
        if not math.isfinite(found):
            continue
        if found < value or rng.random() < math.exp(-(found / value - 1) / max(1e-3, 0.1 * share)):
            current = tuple(trial)
            if best is None or found < _value(best, objective):
                best = result
            value = found
    return best


def _table(rows: list[PolicyRow], objective: Objective, rules: RuleSet) -> Table:
    table = Table(title=f"{objective.value}, rules {rules.name}")
    for column in ("policy", "energy (mJ)", "latency (Mcycles)", "regret", "note"):
        table.add_column(column)
    best = float(objective.of(rows[0].energy_pj, rows[0].latency_cycles))
    for row in rows:
        value = float(objective.of(row.energy_pj, row.latency_cycles))
        table.add_row(
            row.name,
            f"{row.energy_pj / 1e9:.4f}",
            f"{row.latency_cycles / 1e6:.4f}",
            f"{100 * (value / best - 1):+.2f} %",
            row.note,
        )
    return table
