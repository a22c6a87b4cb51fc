"""The optimum beside policies: what each heuristic leaves on the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from cost.overlap import OverlapMode
from cost.rules import EXACT, RuleSet
from problems.problem import Problem
from solver.objective import Objective
from solver.policies.annealing import annealing
from solver.policies.combination import combination_rows
from solver.policies.decided import DecidedPoints
from solver.policies.defines import NAME, defines_rows
from solver.policies.fixed_stacks import FixedStack, FixedStacks
from solver.policies.greedy import greedy_fusion
from solver.policies.layer_by_layer import layer_by_layer
from solver.policies.point import Legality, PolicyPoint, describe
from solver.policies.stack_sets import are_inside
from solver.result import Result, Status
from solver.search import TOLERANCE
from solver.solve import solve
from solver.space import EFFICIENT, StackRange, TileSpace, stack_ranges


def silent(_: str) -> None:
    """Take a line of progress and drop it."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An optimum and policies on one problem; prints as a table.

    `contradictions` names every schedule that beats the proven bound although it can run
    and lies in the space: each is a bug. `better_outside` names those that are better but
    lie outside the space that was searched. `positions`: numbers of the layers by name.
    """

    optimum: Result
    rows: tuple[PolicyPoint, ...]
    ranges: tuple[StackRange, ...]
    positions: dict[str, int]
    interrupted: bool = False

    def regret(self, row: PolicyPoint) -> float | None:
        """Excess of a row over the optimum's objective in percent; None without costs."""
        value, best = row.value(self.optimum.objective), self.optimum.value
        if value is None or best is None:
            return None
        return 100 * (value / best - 1)

    def above_bound(self, row: PolicyPoint) -> float | None:
        """Excess of a row over the proven bound in percent: no regret can be larger."""
        value, bound = row.value(self.optimum.objective), self.optimum.best_bound
        if value is None or bound <= 0:
            return None
        return 100 * (value / bound - 1)

    @property
    def proven(self) -> bool:
        """Whether what stands beside the policies is the optimum."""
        return self.optimum.status is Status.OPTIMAL

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Policies below the proven bound of a space that holds them."""
        return tuple(
            row.policy for row in self._below_bound() if are_inside(row.stacks, self.ranges)
        )

    @property
    def better_outside(self) -> tuple[str, ...]:
        """Policies below the proven bound of a space that does not hold them."""
        return tuple(
            row.policy for row in self._below_bound() if not are_inside(row.stacks, self.ranges)
        )

    def _below_bound(self) -> list[PolicyPoint]:
        bound = self.optimum.best_bound * (1 - TOLERANCE)
        return [
            row
            for row in self.rows
            if row.legality in (Legality.FEASIBLE, Legality.REPAIRED)
            and (row.value(self.optimum.objective) or 0.0) < bound
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Table of all rows, then loud lines about what must not be."""
        yield comparison_table(self)
        yield schedules_table(self)
        yield _LEGEND
        if not self.proven:
            yield _UNPROVEN
        for name in self.contradictions:
            yield (
                f"[bold red]BUG: {name} beats the optimum's proven bound. Please report this "
                "with the problem and the options.[/]"
            )
        for name in self.better_outside:
            yield f"[yellow]{name} is better, and lies outside the space that was searched.[/]"
        if self.interrupted:
            yield "[yellow]interrupted: some policies are missing[/]"


def compare(
    problem: Problem,
    objective: Objective,
    rules: RuleSet = EXACT,
    *,
    tiles: TileSpace = EFFICIENT,
    modes: tuple[OverlapMode, ...] = tuple(OverlapMode),
    max_depth: int | None = None,
    time_limit_s: float | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = silent,
) -> Comparison:
    """Solve `problem`, then run every policy on it.

    The optimum is that of the space given by `tiles`, `modes` and `max_depth`, in at most
    `time_limit_s`, which leaves it unproven if it runs out; greedy fusion and annealing search
    the same tiles and modes. Annealing gets the optimum's time. Raises ProblemError and
    InfeasibleError as `solve` does; a policy without a schedule is a row that says so.
    """
    progress("optimum")
    started = time.monotonic()
    optimum = solve(
        problem,
        objective=objective,
        rules=rules,
        tiles=tiles,
        modes=modes,
        max_depth=max_depth,
        time_limit_s=time_limit_s,
        workers=workers,
        seed=seed,
    )
    seconds = time.monotonic() - started
    ranges = stack_ranges(problem, rules, tiles, modes, max_depth)
    fixed = FixedStacks(problem, rules, objective, time_limit_s and time_limit_s / 2)
    decided = DecidedPoints(problem, rules, objective, fixed)
    rows: list[PolicyPoint] = []
    interrupted = False
    try:
        progress("layer by layer")
        rows += layer_by_layer(problem, decided)
        grid = defines_rows(decided, fixed, progress)
        rows += grid
        progress("DeFiNES, a tile per stack")
        rows += combination_rows(problem, decided, fixed, grid[0])
        progress("greedy fusion")
        rows.append(greedy_fusion(fixed, ranges))
        progress(f"annealing, {seconds:.0f} s")
        rows.append(annealing(fixed, ranges, seconds, seed))
    except KeyboardInterrupt:
        interrupted = True
    return Comparison(
        optimum=optimum,
        rows=tuple(rows),
        interrupted=interrupted,
        ranges=ranges,
        positions={layer.name: i for i, layer in enumerate(problem.workload.layers)},
    )


def comparison_table(comparison: Comparison) -> Table:
    """The rows with energy, latency, EDP, regret and whether they can run."""
    optimum = comparison.optimum
    table = Table(
        title=f"{optimum.problem}: {optimum.objective.value}, rules {optimum.rules}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("policy", no_wrap=True)
    columns = ["mJ", "Mcycles", "pJ*cycles", "regret" if comparison.proven else "vs\nfound"]
    if not comparison.proven:
        columns.append("vs\nbound")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("runs", no_wrap=True)
    own = ["-"]
    if not comparison.proven:
        value = optimum.value
        known = value is not None and optimum.best_bound > 0
        own.append(_percent(100 * (value / optimum.best_bound - 1) if known else None))
    table.add_row(
        _optimum_name(comparison),
        *_figures(optimum.energy_pj, optimum.latency_cycles),
        *own,
        "yes" if optimum.schedule is not None else "-",
        end_section=True,
    )
    for row in comparison.rows:
        excess = [_percent(comparison.regret(row))]
        if not comparison.proven:
            excess.append(_percent(comparison.above_bound(row)))
        table.add_row(
            _short(row.policy),
            *_figures(row.energy_pj, row.latency_cycles),
            *excess,
            _CAN_RUN[row.legality],
        )
    return table


def _percent(excess: float | None) -> str:
    if excess is None:
        return "-"
    digits = 2 if abs(excess) < 10 else 1 if abs(excess) < 100 else 0
    return f"{excess:+.{digits}f} %"


def schedules_table(comparison: Comparison) -> Table:
    """What each row is: cuts, tiles and mode; what does not fit; how the row came about."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("policy", no_wrap=True)
    table.add_column("schedule")
    table.add_row(_optimum_name(comparison), _optimum_note(comparison))
    for row in comparison.rows:
        suffix = " (repaired)" if row.legality is Legality.REPAIRED else ""
        table.add_row(_short(row.policy), row.note + suffix)
    return table


_LEGEND = (
    "regret: objective above the optimum's. runs: no: overfills memories, costed as if they were "
    "large enough; repaired: the same cuts, tile and mode with placements and mappings that fit."
)
_UNPROVEN = (
    "[yellow]not proven optimal: a row's regret lies between its excess over the best found "
    "(negative: the row is better) and that over the bound.[/]"
)


def _optimum_name(comparison: Comparison) -> str:
    return "optimum" if comparison.proven else "best found"


def _short(policy: str) -> str:
    """A policy's name in the table: overlap modes indented under the policy that has them."""
    modes = [mode.value for mode in OverlapMode]
    name = policy.removesuffix(", repaired")
    prefix, _, rest = name.partition(" ")
    return f"  {rest}" if prefix == NAME and rest in modes else name


_CAN_RUN = {
    Legality.FEASIBLE: "yes",
    Legality.REPAIRED: "repaired",
    Legality.INFEASIBLE: "no",
    Legality.NONE: "-",
}


def _figures(energy_pj: float | None, latency_cycles: float | None) -> tuple[str, str, str]:
    if energy_pj is None or latency_cycles is None:
        return "-", "-", "-"
    return (
        f"{energy_pj / 1e9:.4g}",
        f"{latency_cycles / 1e6:.4g}",
        f"{energy_pj * latency_cycles:.3e}",
    )


def _optimum_note(comparison: Comparison) -> str:
    optimum = comparison.optimum
    if optimum.schedule is None:
        return f"{optimum.status.value} after {optimum.seconds:.0f} s"
    stacks = tuple(
        FixedStack(
            tuple(comparison.positions[name] for name in s.layers), s.tile_x, s.tile_y, s.mode
        )
        for s in optimum.schedule.stacks
    )
    gap = "" if comparison.proven else f", gap {100 * (optimum.gap or 0.0):.3g} %"
    return f"{describe(stacks)}; {optimum.status.value}{gap}, {optimum.seconds:.0f} s"
