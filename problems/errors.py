"""What can go wrong with a problem, and how it is told: one line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FuseproofError(Exception):
    """Base of every error that this project raises on purpose."""


class ProblemError(FuseproofError):
    """The input cannot be used as it is written.

    The text is one line: where (file and key path), what was given, what is allowed.
    """

    def __init__(self, message: str, *, file: str = "", key: str = "") -> None:
        self.file = file
        self.key = key
        self.message = " ".join(message.split())
        super().__init__(": ".join(part for part in (file, key, self.message) if part))

    def in_file(self, file: str) -> ProblemError:
        """The same error with the file that it is in, if it does not name one yet."""
        return self if self.file else ProblemError(self.message, file=file, key=self.key)


class PolicyError(FuseproofError):
    """A policy decided on something that fits nowhere."""


class InfeasibleError(FuseproofError):
    """No schedule exists: something needs more than the hardware or a limit grants.

    `demand` and `limit` are in `unit`; `levers` are the changes that would help.
    """

    def __init__(
        self,
        what: str,
        *,
        demand: float,
        limit: float,
        unit: str,
        levers: Iterable[str] = (),
    ) -> None:
        self.what = what
        self.demand = demand
        self.limit = limit
        self.unit = unit
        self.levers = tuple(levers)
        text = f"{what}: needs {demand:,} {unit}, the limit is {limit:,} {unit}"
        if self.levers:
            text += "; " + " or ".join(self.levers)
        super().__init__(text)


def nearest(given: object, allowed: Iterable[str]) -> str:
    """Return a `; did you mean ...?` suffix, or nothing if no allowed name is close."""
    names = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(str(given).casefold(), names, n=1, cutoff=0.5)
    return f"; did you mean '{names[close[0]]}'?" if close else ""
