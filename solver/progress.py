"""Live progress of a solve on a terminal: phase, incumbent, bound, gap, elapsed."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from solver.objective import Objective
from solver.result import TracePoint


class LiveProgress:
    """A line that follows a solve; it vanishes at the end.

    A context manager whose `show` takes the solve's trace points. Draws nothing if the
    console is no terminal.
    """

    def __init__(self, objective: Objective, console: Console) -> None:
        self.objective = objective
        self.point: TracePoint | None = None
        self.started = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self.line,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._drawing = console.is_terminal

    def __enter__(self) -> LiveProgress:
        self.started = time.monotonic()
        if self._drawing:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._drawing:
            self._live.stop()

    def show(self, point: TracePoint) -> None:
        """Take the newest point of the solve."""
        self.point = point
        if self._drawing:
            self._live.refresh()

    def line(self) -> Table:
        """The line as it should look now."""
        best, bound, gap, phase = "-", "-", "-", "tables"
        if self.point is not None:
            phase = self.point.phase
            bound = f"{self.point.bound:.6g}"
            if self.point.objective is not None:
                best = f"{self.point.objective:.6g} {self.objective.unit}"
                gap = f"{gap_of(self.point):.2%}"
        grid = Table.grid(padding=(0, 2))
        for _ in range(5):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(
            f"{time.monotonic() - self.started:6.1f} s",
            phase,
            f"best {best}",
            f"bound {bound}",
            f"gap {gap}",
        )
        return grid


def gap_of(point: TracePoint) -> float:
    """Relative gap of a trace point, 1 without a schedule."""
    if point.objective is None:
        return 1.0
    if point.objective <= 0:
        return 0.0
    return max(0.0, (point.objective - point.bound) / point.objective)
