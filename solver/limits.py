"""What ends a search early: its deadline, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


class StoppedError(Exception):
    """The time limit or an interrupt was noticed inside a search."""


class TooHardError(Exception):
    """A search that proves nothing spent the effort that it may spend on one thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """Limits and parameters of CP-SAT; `deadline` in seconds of `time.monotonic`."""

    deadline: float | None
    workers: int
    seed: int
    interrupted: threading.Event = field(default_factory=threading.Event)

    def left(self) -> float | None:
        """Seconds left, None without a limit; raises StoppedError when none are."""
        if self.interrupted.is_set():
            raise StoppedError
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise StoppedError
        return left

    @contextmanager
    def remembering_interrupts(self) -> Iterator[None]:
        """Let a Ctrl-C whose KeyboardInterrupt gets lost still stop the search.

        Python raises KeyboardInterrupt wherever it happens to be; inside a callback of a C
        library (a finaliser, a dispatcher) the exception can vanish. The usual handler runs
        as before, and the next look at the limits stops. Does nothing outside the main
        thread, where no handler can be set, or if interrupts are handled by no Python code.
        """
        usual = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(usual):
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            self.interrupted.set()
            usual(number, frame)

        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)
