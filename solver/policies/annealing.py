"""Simulated annealing over cuts, tiles and modes in a given time.

The walk costs each stack by its lower bound, which takes milliseconds and is close; half
of the time is kept to place and map the best schedules that it met.
"""

from __future__ import annotations

import heapq
import math
import random
import time

import numpy as np

from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import PolicyPoint, describe, no_point, point_of
from solver.result import Result
from solver.space import StackRange

WALK_SHARE = 0.5
"""Share of the time that goes into the walk."""
KEPT = 32
"""Schedules of the walk, the best by their bounds, that may be placed and mapped."""
START_TEMPERATURE, END_TEMPERATURE = 0.3, 0.003
"""Relative worsening that is accepted with probability 1/e, at the start and at the end."""


def annealing(
    fixed: FixedStacks, ranges: tuple[StackRange, ...], seconds: float, seed: int
) -> PolicyPoint:
    """The best schedule of a seeded walk of `seconds` in all."""
    name = "annealing"
    started = time.monotonic()
    walk = _Walk(fixed, ranges, random.Random(seed))
    while time.monotonic() - started < WALK_SHARE * seconds:
        walk.step((time.monotonic() - started) / (WALK_SHARE * seconds))
    best: tuple[Stacks, Result] | None = None
    least = math.inf
    costed = 0
    for bound, stacks in walk.best():
        # One is always costed; and none that cannot win.
        if costed and (time.monotonic() - started >= seconds or bound >= least):
            break
        costed += 1
        result = fixed.best(stacks)
        if result is not None and result.value is not None and result.value < least:
            best, least = (stacks, result), result.value
    if best is None:
        return no_point(name, f"nothing found in {walk.steps} steps")
    spent = time.monotonic() - started
    note = f"{describe(best[0])}; seed {seed}, {walk.steps} steps, {costed} placed, {spent:.0f} s"
    return point_of(name, *best, note)


class _Walk:
    """State of the walk: where it is, and the best that it has met."""

    def __init__(
        self, fixed: FixedStacks, ranges: tuple[StackRange, ...], rng: random.Random
    ) -> None:
        self.fixed, self.rng = fixed, rng
        self.ranges = {(r.first, r.last): r for r in ranges}
        self.steps = 0
        # Layer by layer fits whenever anything does.
        self.current: Stacks = tuple(
            self._largest(layer) for layer in range(len(fixed.problem.workload.layers))
        )
        self.value = math.inf
        self._met: dict[Stacks, float] = {}
        self._move_to(self.current, fixed.bound(self.current))

    def best(self) -> list[tuple[float, Stacks]]:
        """The best schedules met, by bound."""
        ranked = heapq.nsmallest(KEPT, self._met.items(), key=lambda item: item[1])
        return [(bound, stacks) for stacks, bound in ranked]

    def step(self, progress: float) -> None:
        """Try one move; `progress` from 0 to 1 cools the walk."""
        self.steps += 1
        trial = self._neighbour()
        if trial is None:
            return
        found = self.fixed.bound(trial)
        if not np.isfinite(found):
            return
        cooling = (END_TEMPERATURE / START_TEMPERATURE) ** progress
        temperature = START_TEMPERATURE * cooling
        worse = 0.0 if math.isinf(self.value) else found / self.value - 1
        if worse <= 0 or self.rng.random() < math.exp(-worse / temperature):
            self._move_to(trial, found)

    def _move_to(self, stacks: Stacks, value: float) -> None:
        self.current, self.value = stacks, value
        if np.isfinite(value):
            self._met[stacks] = value
            if len(self._met) > 8 * KEPT:
                self._met = {each: bound for bound, each in self.best()}

    def _neighbour(self) -> Stacks | None:
        """Cut a stack, join two, or change the tile or the mode of one."""
        rng, current = self.rng, self.current
        k = rng.randrange(len(current))
        stack = current[k]
        move = rng.random()
        if move < 0.15 and stack.first < stack.last:
            cut = rng.randrange(stack.first, stack.last)
            parts = self._draw(stack.first, cut), self._draw(cut + 1, stack.last)
            return (*current[:k], *parts, *current[k + 1 :])
        if move < 0.4 and k + 1 < len(current):
            if (stack.first, current[k + 1].last) not in self.ranges:
                return None
            joined = self._draw(stack.first, current[k + 1].last)
            return (*current[:k], joined, *current[k + 2 :])
        return (*current[:k], self._change(stack), *current[k + 1 :])

    def _draw(self, first: int, last: int) -> FixedStack:
        r = self.ranges[first, last]
        rng = self.rng
        return FixedStack(
            first, last, rng.choice(r.widths), rng.choice(r.heights), rng.choice(r.modes)
        )

    def _change(self, stack: FixedStack) -> FixedStack:
        """Another mode, or a tile side some sizes up or down."""
        r = self.ranges[stack.first, stack.last]
        what = self.rng.randrange(3)
        if what == 0:
            return stack._replace(mode=self.rng.choice(r.modes))
        if what == 1:
            return stack._replace(tile_x=self._near(r.widths, stack.tile_x))
        return stack._replace(tile_y=self._near(r.heights, stack.tile_y))

    def _near(self, sizes: tuple[int, ...], size: int) -> int:
        reach = max(1, len(sizes) // 8)
        place = sizes.index(size) + self.rng.randint(-reach, reach)
        return sizes[min(max(place, 0), len(sizes) - 1)]

    def _largest(self, layer: int) -> FixedStack:
        r = self.ranges[layer, layer]
        return FixedStack(layer, layer, max(r.widths), max(r.heights), r.modes[0])
