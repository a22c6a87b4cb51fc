"""Of one stack's tiles and modes the cheapest, as some rule places it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cost.schedule import Schedule
from solver.policies.fixed_stacks import FixedStack, FixedStacks

Weights = tuple[float, float]
"""Of pJ and of cycles."""
PlaceOne = Callable[[FixedStack], Schedule | None]
"""The stack alone, placed and mapped; None where that fails."""


def best_stack(
    fixed: FixedStacks,
    candidates: Sequence[FixedStack],
    weights: Weights,
    place: PlaceOne,
    *,
    overfilled: bool = False,
    pause: Callable[[], object] = lambda: None,
) -> FixedStack | None:
    """The candidate of least weighted cost as `place` has it; None if none can be placed.

    None is placed whose bound is above a known cost; `overfilled` as for those bounds.
    `pause` is called between one candidate and the next, and may raise.
    """

    def weighed(energy_pj: float, cycles: float) -> float:
        cost = weights[0] * energy_pj + weights[1] * cycles
        # Nothing fits: infinite, also at weight zero.
        return math.inf if math.isnan(cost) else cost

    ranked = []
    for n, stack in enumerate(candidates):
        pause()
        ranked.append((weighed(*fixed.stack_bound(stack, overfilled=overfilled)), n))
    found: FixedStack | None = None
    least = math.inf
    for bound, n in sorted(ranked):
        if bound >= least:
            break
        pause()
        placed = place(candidates[n])
        if placed is None:
            continue
        cost = weighed(placed.energy_pj, placed.latency_cycles)
        if cost < least:
            found, least = candidates[n], cost
    return found


def lifted_alone(fixed: FixedStacks) -> PlaceOne:
    """Stacks placed by rule with what overfills a memory moved up."""

    def place(stack: FixedStack) -> Schedule | None:
        plan = fixed.lifted_stack(stack)
        return None if plan is None else Schedule(stacks=(plan,))

    return place
