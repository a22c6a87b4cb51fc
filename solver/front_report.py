"""The front as table, JSON and plot."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from solver.front import Front, Limited, within
from solver.schedule_file import schedule_to_list
from solver.write_file import write_whole

FRONT_FORMAT = "fuseproof-front/1"


def front_report(
    front: Front, max_energy_pj: float | None = None, max_latency_cycles: float | None = None
) -> RenderableType:
    """What is nondominated, what may be missing, and the best within limits."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("pJ", "cycles", "pJ*cycles"):
        table.add_column(column, justify="right")
    table.add_column("on a proven line")
    table.add_column("stacks: layers, tile, mode")
    for point in front.points:
        stacks = "; ".join(
            f"{len(s.layers)} x {s.tile_x}x{s.tile_y} {s.mode.value}" for s in point.schedule.stacks
        )
        table.add_row(
            f"{point.energy_pj:.8g}",
            f"{point.latency_cycles:.0f}",
            f"{point.energy_pj * point.latency_cycles:.7g}",
            "yes" if point.supported else "no",
            stacks,
        )
    lines = [
        f"Front of {front.problem}, rules {front.rules}: {len(front.points)} points, "
        f"{front.seconds:.1f} s" + ("" if front.complete else ", stopped early"),
        f"Of every schedule in the space some point is at most {front.epsilon:.3%} worse in "
        "energy and in latency."
        if front.points
        else "No schedule was found.",
    ]
    if front.complete and front.epsilon > front.asked:
        lines.append(
            "Every point that a weighted sum can find is here; others would lie between the "
            "lines and the points, within that distance."
        )
    if max_latency_cycles is not None:
        limit = f"at most {max_latency_cycles:.10g} cycles"
        lines.append(_limited(within(front, max_latency_cycles=max_latency_cycles), limit, "pJ"))
    if max_energy_pj is not None:
        limit = f"at most {max_energy_pj:.10g} pJ"
        lines.append(_limited(within(front, max_energy_pj=max_energy_pj), limit, "cycles"))
    lines += [
        f"Space: {front.space.options} stack options, tiles {front.space.tiles}, modes "
        + ", ".join(front.space.modes),
        *front.space.notes,
    ]
    return Group(table, *(Text(line) for line in lines))


def _limited(found: Limited, limit: str, unit: str) -> str:
    """The best within a limit, in words."""
    if found.bound == float("inf"):
        return f"With {limit}: no schedule (proven)."
    if found.value is None:
        return f"With {limit}: none found; nothing takes less than {found.bound:.8g} {unit}."
    gap = max(0.0, 1 - found.bound / found.value)
    return (
        f"With {limit}: {found.value:.8g} {unit}, and nothing takes less than "
        f"{found.bound:.8g} {unit} (gap {gap:.2g})."
    )


def front_to_dict(front: Front) -> dict[str, Any]:
    """Everything about a front as values that JSON knows."""
    return {
        "format": FRONT_FORMAT,
        "problem": front.problem,
        "rules": front.rules,
        "epsilon": front.epsilon if front.points else None,
        "epsilon_asked": front.asked,
        "complete": front.complete,
        "seconds": front.seconds,
        "space": {
            "tiles": front.space.tiles,
            "modes": list(front.space.modes),
            "max_depth": front.space.max_depth,
            "options": front.space.options,
            "notes": list(front.space.notes),
        },
        "lines": [{"energy_weight": a, "latency_weight": b, "bound": c} for a, b, c in front.lines],
        "points": [
            {
                "energy_pj": p.energy_pj,
                "latency_cycles": p.latency_cycles,
                "supported": p.supported,
                "stacks": schedule_to_list(p.schedule),
            }
            for p in front.points
        ],
    }


def write_front(path: Path, front: Front) -> None:
    """Write a front as JSON, whole or not at all; ProblemError if the path is no use."""
    text = json.dumps(front_to_dict(front), separators=(",", ":"), allow_nan=False)
    write_whole(path, text + "\n")


def plot_front(path: Path, front: Front) -> None:
    """Draw a front as SVG, whole or not at all; ProblemError if the path is no use."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    energies = [p.energy_pj / 1e9 for p in front.points]
    cycles = [p.latency_cycles / 1e6 for p in front.points]
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    axes.step(energies, cycles, where="post", color="0.75", linewidth=1)
    for supported, style, name in ((True, "o", "on a proven line"), (False, "x", "best found")):
        at = [i for i, p in enumerate(front.points) if p.supported is supported]
        if at:
            axes.plot([energies[i] for i in at], [cycles[i] for i in at], style, label=name)
    axes.set_xlabel("energy (mJ)")
    axes.set_ylabel("latency (million cycles)")
    axes.set_title(f"{front.problem}: energy and latency, to {front.epsilon:.2%}")
    axes.legend()
    text = io.StringIO()
    figure.savefig(text, format="svg")
    plt.close(figure)
    write_whole(path, text.getvalue())
