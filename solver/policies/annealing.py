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

from solver.cuts import producers
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import PolicyPoint, describe, no_point, point_of
from solver.policies.stack_sets import joined, runnable, split, through_dram, union
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
    best = fixed.best_of(walk.best(), seconds - (time.monotonic() - started))
    if best is None:
        return no_point(name, f"nothing found in {walk.steps} steps")
    spent = time.monotonic() - started
    note = f"{describe(best.stacks)}; seed {seed}, {walk.steps} steps, {spent:.0f} s"
    return point_of(name, best.stacks, best.placed, note)


class _Walk:
    """State of the walk: where it is, and the best that it has met."""

    def __init__(
        self, fixed: FixedStacks, ranges: tuple[StackRange, ...], rng: random.Random
    ) -> None:
        self.fixed, self.rng = fixed, rng
        self.ranges = through_dram(ranges)
        self.reads = producers(fixed.problem.workload)
        self.steps = 0
        # Layer by layer fits whenever anything does.
        self.current: Stacks = tuple(
            self._largest(layer) for layer in range(len(fixed.problem.workload.layers))
        )
        self.value = math.inf
        self._met: dict[Stacks, float] = {}
        self._move_to(self.current, fixed.bound(self.current))

    def best(self) -> list[Stacks]:
        """The best schedules met, by bound."""
        return heapq.nsmallest(KEPT, self._met, key=self._met.__getitem__)

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
                self._met = {stacks: self._met[stacks] for stacks in self.best()}

    def _neighbour(self) -> Stacks | None:
        """Cut a stack, join two, or change the tile or the mode of one."""
        rng, current = self.rng, self.current
        k = rng.randrange(len(current))
        stack = current[k]
        move = rng.random()
        if move < 0.15 and len(stack.layers) > 1:
            parts = split(stack.layers, rng.choice(stack.layers[:-1]), self.reads)
            if any(part not in self.ranges for part in parts):
                return None
            drawn = tuple(self._draw(part) for part in parts)
            return runnable((*current[:k], *drawn, *current[k + 1 :]), self.reads)
        if move < 0.4:
            others = [other for other in current[k + 1 :] if union(stack, other) in self.ranges]
            if not others:
                return None
            other = rng.choice(others)
            return joined(current, k, other, self._draw(union(stack, other)), self.reads)
        return (*current[:k], self._change(stack), *current[k + 1 :])

    def _draw(self, layers: tuple[int, ...]) -> FixedStack:
        r = self.ranges[layers]
        rng = self.rng
        return FixedStack(layers, rng.choice(r.widths), rng.choice(r.heights), rng.choice(r.modes))

    def _change(self, stack: FixedStack) -> FixedStack:
        """Another mode, or a tile side some sizes up or down."""
        r = self.ranges[stack.layers]
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
        r = self.ranges[layer,]
        return FixedStack((layer,), max(r.widths), max(r.heights), r.modes[0])
