"""Readable reports: rich renderables made from results, never printed here."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cost.recost import Recosted
from cost.schedule import StackPlan, TilePlan
from problems.problem import Problem
from solver.result import Result


def result_report(problem: Problem, result: Result, recosted: Recosted | None) -> RenderableType:
    """What was solved, the answer with its proof, and where energy and time go."""
    parts: list[RenderableType] = [_summary(result)]
    if result.schedule is not None:
        parts.append(_stacks(result))
        for stack in result.schedule.stacks:
            parts.append(_placements(stack))
    if recosted is not None:
        parts += [
            _shares("Energy by memory (pJ)", recosted.breakdown.energy_by_memory),
            _shares("Energy by operand (pJ)", recosted.breakdown.energy_by_operand),
            _shares("Latency by cause (cycles)", recosted.breakdown.latency_by_cause),
        ]
        parts += [Text(f"VIOLATION: {fault}", style="bold red") for fault in recosted.violations]
    parts.append(_effort(result))
    return Group(*parts)


def _summary(result: Result) -> Table:
    table = Table(title=f"{result.problem}: {result.objective.value}", show_header=False)
    space = result.space
    rows = [
        ("status", result.status.value),
        ("rules", result.rules),
        (
            "space",
            f"{space.options:,} stack options, {space.stack_ranges} runs of layers, "
            f"tiles {space.tiles}, modes {', '.join(space.modes)}",
        ),
    ]
    rows += [("limited to", note) for note in space.notes]
    if result.energy_pj is not None and result.latency_cycles is not None:
        rows += [
            ("energy", f"{result.energy_pj:,.0f} pJ"),
            ("latency", f"{result.latency_cycles:,} cycles"),
            ("EDP", f"{result.edp:.6e} pJ*cycles"),
            ("bound", f"{result.best_bound:.9g} {result.objective.unit}"),
            ("gap", f"{result.gap:.1e} (optimal means at most {result.tolerance:.0e})"),
        ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _stacks(result: Result) -> Table:
    assert result.schedule is not None
    table = Table(title="Stacks")
    for column in ("layers", "tile", "tiles", "overlap mode", "from", "to"):
        table.add_column(column)
    for stack in result.schedule.stacks:
        table.add_row(
            f"{stack.layers[0]}..{stack.layers[-1]}",
            f"{stack.tile_x} x {stack.tile_y}",
            str(sum(t.count for t in stack.tiles)),
            stack.mode.value,
            stack.source,
            stack.target,
        )
    return table


def _placements(stack: StackPlan) -> Table:
    usual: TilePlan = max(stack.tiles, key=lambda tile: tile.count)
    table = Table(title=f"Which memory holds what ({usual.count} tiles of the commonest kind)")
    for column in ("layer", "size", "W", "I", "O", "H cache", "V cache", "loops (innermost first)"):
        table.add_column(column, overflow="fold")
    for plan in usual.layers:
        loops = " ".join(f"{dim}{factor}" for dim, factor in plan.mapping.loops)
        table.add_row(
            plan.layer,
            f"{plan.width}x{plan.height}",
            plan.weights or "-",
            plan.operand,
            plan.output,
            plan.h_use or plan.h_make or "-",
            plan.v or "-",
            loops,
        )
    return table


def _shares(title: str, amounts: object) -> Table:
    table = Table(title=title)
    table.add_column("what")
    table.add_column("amount", justify="right")
    table.add_column("share", justify="right")
    pairs = dict(amounts)  # type: ignore[call-overload]
    total = sum(pairs.values()) or 1
    for name, amount in sorted(pairs.items(), key=lambda pair: -pair[1]):
        table.add_row(name, f"{amount:,.0f}", f"{100 * amount / total:.1f} %")
    return table


def _effort(result: Result) -> Table:
    table = Table(title=f"Effort: {result.seconds:.1f} s", show_header=False)
    for name, count in result.option_counts.items():
        table.add_row(f"options {name}", f"{count:,}")
    for name, seconds in result.phase_seconds.items():
        table.add_row(name, f"{seconds:.1f} s")
    table.add_row("proof steps", str(len(result.proof)))
    return table


def problem_report(problem: Problem) -> RenderableType:
    """The layers and memories of a problem."""
    layers = Table(title=f"Workload {problem.workload.name}")
    for column in ("layer", "kind", "reads", "loops"):
        layers.add_column(column)
    for layer in problem.workload.layers:
        loops = " ".join(f"{dim}{size}" for dim, size in layer.loops)
        layers.add_row(layer.name, layer.kind.value, ", ".join(layer.sources), loops)
    memories = Table(title=f"Hardware {problem.hardware.name}")
    for column in ("memory", "bits", "bits/cycle", "pJ/word r/w", "copies", "holds"):
        memories.add_column(column)
    for memory in problem.hardware.memories:
        memories.add_row(
            memory.name,
            f"{memory.size_bits:,}",
            str(memory.read_bits_per_cycle),
            f"{memory.read_pj:g}/{memory.write_pj:g}",
            str(memory.instances),
            " ".join(entry.operand.value for entry in memory.operands),
        )
    return Group(layers, memories)
