"""Readable reports: rich renderables made from results, never printed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cost.overlap import OverlapMode
from cost.recost import MAC, Recosted
from cost.rules import RULE_SETS
from cost.schedule import StackPlan, TilePlan
from problems.problem import Problem
from solver.comparison import PolicyPoint
from solver.objective import Objective
from solver.result import Result, Status
from solver.verify import Verification


def result_report(
    problem: Problem,
    result: Result,
    recosted: Recosted | None,
    policy: PolicyPoint | None = None,
) -> RenderableType:
    """What was solved, the answer with its proof, and where energy and time go."""
    parts: list[RenderableType] = [_summary(problem, result, policy)]
    if result.schedule is not None:
        order = tuple(problem.workload.by_name)
        parts.append(_stacks(result.schedule.stacks, order))
        for stack in result.schedule.stacks:
            name = f"Stack {_run(stack.layers, order)}"
            parts += [_places(stack, name), _loops(stack, name)]
    if recosted is not None:
        shares = recosted.breakdown
        macs = shares.energy_by_operand.get(MAC, 0.0)
        parts += [
            _shares("Energy by memory", "pJ", {**shares.energy_by_memory, MAC: macs}),
            _shares("Energy by operand", "pJ", shares.energy_by_operand),
            _shares("Latency by cause", "cycles", shares.latency_by_cause),
        ]
        parts += [Text(f"VIOLATION: {fault}", style="bold red") for fault in recosted.violations]
    parts += [_effort(result), _bullets("Notes", _notes(result))]
    return Group(*parts)


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An open table; `right` columns hold numbers that stay whole."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        show_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        number = column in right
        table.add_column(
            column,
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
        )
    return table


def _facts() -> Table:
    """A table of names and values without a heading row."""
    table = _table("name", "value")
    table.show_header = False
    table.columns[0].no_wrap = True
    return table


def _summary(problem: Problem, result: Result, policy: PolicyPoint | None) -> RenderableType:
    space, unit = result.space, result.objective.unit
    every = len(space.modes) == len(OverlapMode)
    depth = "any depth" if space.max_depth is None else f"at most {space.max_depth} layers"
    goal = "EDP" if result.objective is Objective.EDP else result.objective.value
    table = _facts()
    table.add_row("status", Text(result.status.value, style=_STYLES[result.status]))
    table.add_row("rules", result.rules)
    table.add_row(
        "space",
        f"{space.options:,} stack options in {space.stack_ranges} runs of layers",
    )
    table.add_row("  tiles", space.tiles)
    table.add_row("  modes", "all" if every else ", ".join(space.modes))
    table.add_row("  stacks", depth)
    if result.energy_pj is not None and result.latency_cycles is not None:
        assert result.edp is not None and result.gap is not None
        table.add_row("energy", f"{_amount(result.energy_pj)} pJ")
        table.add_row("latency", f"{_amount(result.latency_cycles)} cycles")
        table.add_row("EDP", f"{result.edp:.6e} pJ*cycles")
        table.add_row("bound", f"{result.best_bound:.9g} {unit}: nothing in the space is below")
        gap = f"{result.gap:.1e}" if result.gap <= result.tolerance else f"{result.gap:.2%}"
        table.add_row("gap", f"{gap} (optimal: at most {result.tolerance:.0e})")
        if policy is not None:
            table.add_row("policy", _beside(result, policy))
    return _titled(f"{problem.name}: least {goal}", table)


def _beside(result: Result, policy: PolicyPoint) -> str:
    value = float(result.objective.of(policy.energy_pj, policy.latency_cycles))
    best = result.value
    assert best is not None
    beside = f"{value / best - 1:+.2%}" if best else "-"
    caution = "; it may overfill memories" if RULE_SETS[result.rules].joint_capacity else ""
    return (
        f"{policy.name}: {value:.6e} {result.objective.unit}, {beside}{caution} "
        "(all policies: fuseproof compare)"
    )


_STYLES = {
    Status.OPTIMAL: "bold green",
    Status.FEASIBLE: "bold yellow",
    Status.INFEASIBLE: "bold red",
    Status.UNKNOWN: "bold yellow",
}


def _stacks(stacks: tuple[StackPlan, ...], order: tuple[str, ...]) -> RenderableType:
    exports = any(_exports(stack) for stack in stacks)
    right = ("no", "tile", "tiles")
    also = ("also writes",) if exports else ()
    table = _table("no", "layers", *right[1:], "overlap mode", "from", "to", *also, right=right)
    for number, stack in enumerate(stacks):
        table.add_row(
            str(number),
            _run(stack.layers, order),
            f"{stack.tile_x} x {stack.tile_y}",
            f"{sum(t.count for t in stack.tiles):,}",
            stack.mode.value,
            stack.source,
            stack.target,
            *((", ".join(_exports(stack)) or "-",) if exports else ()),
        )
    return _titled("Stacks", table)


def _exports(stack: StackPlan) -> list[str]:
    """Layers before the last whose maps are written to DRAM while the stack runs."""
    written = {plan.layer for tile in stack.tiles for plan in tile.layers if plan.export_energy_pj}
    return [name for name in stack.layers if name in written]


def _run(layers: tuple[str, ...], order: tuple[str, ...]) -> str:
    """Layers in words: neighbours in the workload's order as `first .. last`."""
    runs: list[list[str]] = []
    for name in layers:
        if runs and order.index(name) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} .. {run[-1]}" for run in runs)


def _usual(stack: StackPlan) -> TilePlan:
    return max(stack.tiles, key=lambda tile: tile.count)


def _kind(stack: StackPlan) -> str:
    """Which tiles of a stack a table is about."""
    tiles = sum(t.count for t in stack.tiles)
    kinds = len(stack.tiles)
    of = "its only tile" if tiles == 1 else f"the commonest of {kinds} kinds of tiles"
    return "all tiles" if kinds == 1 and tiles > 1 else of


def _places(stack: StackPlan, name: str) -> RenderableType:
    usual = _usual(stack)
    table = _table("layer", "size", "W", "I", "O", "H cache", "V cache", right=("size",))
    for plan in usual.layers:
        table.add_row(
            plan.layer,
            f"{plan.width} x {plan.height}",
            plan.weights or "-",
            plan.operand,
            plan.output,
            plan.h_use or plan.h_make or "-",
            plan.v or "-",
        )
    places = _rests(usual)
    others = sum(t.count for t in stack.tiles if _rests(t) != places)
    title = f"{name}: which memory holds what, {_kind(stack)}"
    if others:
        title += f" ({others:,} others place some tensors elsewhere: see the JSON)"
    return _titled(title, table)


def _rests(tile: TilePlan) -> list[tuple[str | None, ...]]:
    """Memories of the tensors of a tile's layers."""
    return [(plan.weights, plan.operand, plan.output) for plan in tile.layers]


def _loops(stack: StackPlan, name: str) -> RenderableType:
    table = _table("layer", "loops")
    for plan in _usual(stack).layers:
        loops = " ".join(f"{dim}{factor}" for dim, factor in plan.mapping.loops)
        table.add_row(plan.layer, loops or "none")
    title = f"{name}: temporal loops, innermost first, {_kind(stack)}"
    return _titled(title, table)


def _shares(title: str, unit: str, amounts: Mapping[str, float]) -> RenderableType:
    table = _table("where", unit, "share", right=(unit, "share"))
    total = sum(amounts.values())
    for name, amount in sorted(amounts.items(), key=lambda pair: -pair[1]):
        if amount:
            table.add_row(name, _amount(amount), f"{amount / total:.1%}")
    table.add_row("all", _amount(total), "100.0%", style="bold")
    return _titled(title, table)


def _amount(value: float) -> str:
    """A number in full; decimals only where they matter."""
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.3f}"


def _effort(result: Result) -> RenderableType:
    table = _facts()
    for name, seconds in result.phase_seconds.items():
        table.add_row(name, f"{seconds:.1f} s")
    for name, count in result.option_counts.items():
        table.add_row(f"options {name}", f"{count:,}")
    table.add_row("proof steps", str(len(result.proof)))
    return _titled(f"Effort: {result.seconds:.1f} s", table)


def _notes(result: Result) -> Iterator[str]:
    """What the answer rests on and where it ends."""
    if result.status is Status.FEASIBLE:
        yield "stopped before the proof was complete: a better schedule may exist, by the gap"
    if result.space.tiles != "all":
        yield "other tile sizes than those of the space are not looked at (--tiles all: every one)"
    yield from result.space.notes
    if RULE_SETS[result.rules].joint_capacity:
        yield "everything that is alive in a memory at a time shares its size"
    else:
        yield "costs are those of the reference's published code, its quirks included"
    yield "layers, tiles and copies run one after another; the network's ends live in DRAM"
    yield "DRAM counts as unlimited"


def _bullets(title: str, lines: Iterator[str] | tuple[str, ...]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for line in lines:
        table.add_row("-", line)
    return Group(Text(title, style="bold"), table)


def _titled(title: str, table: Table) -> RenderableType:
    """A table under a title of any length; rich would wrap its own to the table's width."""
    return Group(Text(title, style="bold"), table, Text(""))


def verification_report(name: str, verification: Verification) -> RenderableType:
    """The outcome of a check, with what it rests on and what it leaves open.

    Faults are not in it: each is one line of its own, which a table would wrap.
    """
    parts: list[RenderableType] = []
    if verification.ok:
        parts += [
            _bullets("Checked", verification.checked),
            _bullets("Not checked", verification.unchecked),
        ]
    outcome = "verified" if verification.ok else "rejected"
    parts.append(Text(f"{name}: {outcome}", style="bold"))
    return Group(*parts)


def problem_report(problem: Problem) -> RenderableType:
    """The layers and memories of a problem."""
    layers = _table("layer", "kind", "reads", "loops")
    for layer in problem.workload.layers:
        loops = " ".join(f"{dim}{size}" for dim, size in layer.loops)
        layers.add_row(layer.name, layer.kind.value, ", ".join(layer.all_sources), loops)
    right = ("bits", "bits/cycle", "pJ/word r/w", "copies")
    memories = _table("memory", *right, "holds", right=right)
    for memory in problem.hardware.memories:
        memories.add_row(
            memory.name,
            f"{memory.size_bits:,}",
            str(memory.read_bits_per_cycle)
            if memory.read_bits_per_cycle == memory.write_bits_per_cycle
            else f"{memory.read_bits_per_cycle}/{memory.write_bits_per_cycle}",
            f"{memory.read_pj:g}/{memory.write_pj:g}",
            str(memory.instances),
            " ".join(entry.operand.value for entry in memory.operands),
        )
    return Group(
        _titled(f"Workload {problem.workload.name}", layers),
        _titled(f"Hardware {problem.hardware.name}", memories),
    )
