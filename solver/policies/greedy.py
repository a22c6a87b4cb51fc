"""Greedy fusion: grow each stack by the next layer for as long as that pays.

Every stack takes the tile and mode of its own least bound; the schedule that comes out
is then placed and mapped at its best.
"""

from __future__ import annotations

import numpy as np

from solver.policies.fixed_stacks import FixedStack, FixedStacks, Stacks
from solver.policies.point import PolicyPoint, describe, no_point, point_of
from solver.screen import Screen
from solver.space import StackRange

SHORTLIST = 24
"""Tiles and modes of a stack, the most promising by their floors, that are bounded with
placements."""


def greedy_fusion(fixed: FixedStacks, ranges: tuple[StackRange, ...]) -> PolicyPoint:
    """The greedy schedule over the tile sizes and modes of `ranges`."""
    name = "greedy fusion"
    spec = {(r.first, r.last): r for r in ranges}
    known: dict[tuple[int, int], FixedStack | None] = {}

    def own(first: int, last: int) -> FixedStack | None:
        if (first, last) not in known:
            r = spec.get((first, last))
            known[first, last] = None if r is None else _own_best(fixed, r)
        return known[first, last]

    chosen: list[FixedStack] = []
    for layer in range(len(fixed.problem.workload.layers)):
        alone = own(layer, layer)
        if alone is None:
            return no_point(name, f"layer {layer} alone fits no tile")
        chosen.append(alone)
    position = 0
    while position + 1 < len(chosen):
        merged = own(chosen[position].first, chosen[position + 1].last)
        if merged is not None:
            trial = [*chosen[:position], merged, *chosen[position + 2 :]]
            if fixed.bound(tuple(trial)) < fixed.bound(tuple(chosen)):
                chosen = trial
                continue
        position += 1
    stacks: Stacks = tuple(chosen)
    return point_of(name, stacks, fixed.best(stacks), describe(stacks))


def _own_best(fixed: FixedStacks, r: StackRange) -> FixedStack | None:
    """The tile and mode of a run of layers with the least objective for itself."""
    (screened,) = Screen(fixed.tables, (r,)).screen()
    # Between stacks maps go through DRAM here, the last of the memories that may hold them.
    energy, latency = screened.energy[..., -1, -1], screened.latency[..., -1, -1]
    floor = fixed.objective.of(energy, latency).ravel()
    best: tuple[float, FixedStack] | None = None
    for flat in np.argsort(floor, kind="stable")[:SHORTLIST].tolist():
        m, w, h = np.unravel_index(flat, energy.shape)
        stack = FixedStack(r.first, r.last, r.widths[w], r.heights[h], r.modes[m])
        bound = fixed.bound((stack,))
        if np.isfinite(bound) and (best is None or bound < best[0]):
            best = (bound, stack)
    return None if best is None else best[1]
