"""Smallest sets of limits that cannot be kept together, by asking what can.

A set of limits is *in conflict* if nothing keeps all of them. Keeping fewer limits is never
harder, so both answers spread: what holds a conflict is one, and parts of a set that can be
kept can be kept. A conflict without a smaller one inside is *irreducible*.

The smallest one is found from the other side. What is left out of a set that can be kept, but
of no larger one, meets every conflict; so a smallest set that meets all of those known so far
is either in conflict, and then no conflict is smaller, or brings another of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations

from solver.limits import StoppedError

MOST_QUESTIONS = 400
"""Questions after which a conflict is left irreducible, be it the smallest or not."""

Keeps = Callable[[frozenset[int]], bool]
"""Whether anything keeps the limits of these numbers, all others lifted. May raise StoppedError."""


class Size(StrEnum):
    """What is proven of the size of a conflict."""

    SMALLEST = "smallest"
    """No conflict has fewer limits."""
    IRREDUCIBLE = "irreducible"
    """Without any one of its limits it is none; another conflict may have fewer."""
    UNREDUCED = "not reduced"
    """A conflict in which some limits may play no part: time ran out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """A conflict by the numbers of its limits, and what is proven of its size."""

    members: frozenset[int]
    size: Size


@dataclass(kw_only=True)
class _Memory:
    """Answers so far: each also answers for what it spreads to."""

    keeps: Keeps
    kept: list[frozenset[int]] = field(default_factory=list)
    conflicts: list[frozenset[int]] = field(default_factory=list)
    asked: int = 0

    def __call__(self, limits: frozenset[int]) -> bool:
        if any(limits <= known for known in self.kept):
            return True
        if any(limits >= known for known in self.conflicts):
            return False
        self.asked += 1
        answer = self.keeps(limits)
        (self.kept if answer else self.conflicts).append(limits)
        return answer


def smallest_conflict(
    limits: Iterable[int], keeps: Keeps, most_questions: int = MOST_QUESTIONS
) -> LimitSet | None:
    """A smallest conflict among `limits`, or an irreducible one if that takes too long.

    None if all can be kept. StoppedError if not even that was found out.
    """
    ask = _Memory(keeps=keeps)
    everything = frozenset(limits)
    if ask(everything):
        return None
    found = LimitSet(members=everything, size=Size.UNREDUCED)
    try:
        for limit in sorted(everything):
            smaller = found.members - {limit}
            if not ask(smaller):
                found = LimitSet(members=smaller, size=Size.UNREDUCED)
        if len(found.members) <= 1:
            return LimitSet(members=found.members, size=Size.SMALLEST)
        found = LimitSet(members=found.members, size=Size.IRREDUCIBLE)
        return _shrunk(everything, found, ask, most_questions)
    except StoppedError:
        return found


def _shrunk(
    everything: frozenset[int], found: LimitSet, ask: _Memory, most_questions: int
) -> LimitSet:
    """The irreducible `found`, or a smaller conflict; the smallest if questions allow."""
    to_meet: list[frozenset[int]] = []
    while ask.asked < most_questions:
        guess = _meeting(everything, to_meet, len(found.members))
        if guess is None:
            return LimitSet(members=found.members, size=Size.SMALLEST)
        try:
            if not ask(guess):
                return LimitSet(members=guess, size=Size.SMALLEST)
            for limit in sorted(everything - guess):
                if ask(guess | {limit}):
                    guess |= {limit}
        except StoppedError:
            return found
        to_meet.append(everything - guess)
    return found


def _meeting(
    everything: frozenset[int], to_meet: list[frozenset[int]], below: int
) -> frozenset[int] | None:
    """A smallest set of fewer than `below` limits that meets each of `to_meet`."""
    for size in range(below):
        for some in combinations(sorted(everything), size):
            chosen = frozenset(some)
            if all(chosen & one for one in to_meet):
                return chosen
    return None
