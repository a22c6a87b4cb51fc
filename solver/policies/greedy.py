"""Greedy fusion: grow each stack by a later one for as long as that pays.

Every stack takes the tile and mode of its own least bound; the schedule that comes out
is then placed and mapped at its best.
"""

from __future__ import annotations

import numpy as np

from solver.cuts import producers
from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import PolicyPoint, describe, no_point, point_of
from solver.policies.stack_sets import joined, through_dram, union
from solver.screen import Screen
from solver.space import StackRange

SHORTLIST = 24
"""Tiles and modes of a stack, the most promising by their floors, that are bounded with
placements."""


def greedy_fusion(fixed: FixedStacks, ranges: tuple[StackRange, ...]) -> PolicyPoint:
    """The greedy schedule over the tile sizes and modes of `ranges`."""
    name = "greedy fusion"
    spec = through_dram(ranges)
    reads = producers(fixed.problem.workload)
    known: dict[tuple[int, ...], FixedStack | None] = {}

    def own(layers: tuple[int, ...]) -> FixedStack | None:
        if layers not in known:
            r = spec.get(layers)
            known[layers] = None if r is None else _own_best(fixed, r)
        return known[layers]

    alone: list[FixedStack] = []
    for layer in range(len(fixed.problem.workload.layers)):
        stack = own((layer,))
        if stack is None:
            return no_point(name, f"layer {layer} alone fits no tile")
        alone.append(stack)
    chosen: Stacks = tuple(alone)
    position = 0
    while position < len(chosen):
        trials = []
        for other in chosen[position + 1 :]:
            merged = own(union(chosen[position], other))
            trial = None if merged is None else joined(chosen, position, other, merged, reads)
            if trial is not None:
                trials.append((fixed.bound(trial), len(trials), trial))
        if trials and min(trials)[0] < fixed.bound(chosen):
            chosen = min(trials)[2]
        else:
            position += 1
    return point_of(name, chosen, fixed.best(chosen), describe(chosen))


def _own_best(fixed: FixedStacks, r: StackRange) -> FixedStack | None:
    """The tile and mode of a set of layers with the least objective for itself."""
    (screened,) = Screen(fixed.tables, (r,)).screen()
    # Between stacks maps go through DRAM here, the last of the memories that may hold them.
    energy, latency = screened.energy[..., -1, -1], screened.latency[..., -1, -1]
    floor = fixed.objective.of(energy, latency).ravel()
    best: tuple[float, FixedStack] | None = None
    for flat in np.argsort(floor, kind="stable")[:SHORTLIST].tolist():
        m, w, h = np.unravel_index(flat, energy.shape)
        stack = FixedStack(r.layers, r.widths[w], r.heights[h], r.modes[m])
        bound = fixed.bound((stack,))
        if np.isfinite(bound) and (best is None or bound < best[0]):
            best = (bound, stack)
    return None if best is None else best[1]
