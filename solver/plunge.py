"""Good schedules from close bounds: the cheapest path, solved as it is, again and again."""

from __future__ import annotations

import numpy as np

from solver.frontier import Frontier
from solver.option_steps import PLACED, SHARPENED
from solver.weighted import WeightedSolver

MOST_ROUNDS, IDLE_ROUNDS = 8, 3
"""Paths solved, and how many of these in turn may bring nothing better."""
RELUCTANCE = 1.01
"""How much dearer options not placed yet are taken to be after each look at some."""
HOPELESS = 0.01
"""Relative distance to what is known beyond which no further round follows."""
CLOSE = 1e-4
"""Relative distance to the bounds at which nothing better is worth a round."""


def plunge(
    solver: WeightedSolver,
    weights: tuple[float, float],
    *,
    known: float = np.inf,
    most_looks: float = np.inf,
) -> float:
    """Hand on schedules near the least weighted cost, if placements near the bounds fit.

    Round by round the cheapest path of placed options is taken, and each of its options is mapped
    and fitted, whatever rivals there are: among very many alike a search that turns to the
    cheapest every time would end with none of them. Looks at options are those of an exact search,
    so what they find out about bounds is true. It ends after `most_looks`, and where the first
    round finds nothing near the weighted cost `known`: what is near the bounds does not fit. The
    relative distance from the best schedule to the bounds; infinite if there is none.
    """
    options = solver.options
    bounds = options.bounds(weights)
    best, idle, distance = np.inf, 0, np.inf
    for _ in range(MOST_ROUNDS):
        path, looks = _placed_path(solver, weights, bounds, most_looks)
        most_looks -= looks
        if not path:
            break
        states = [(i, options.state(arc, i)) for arc, i in options.first_of_twins(path)]
        dull = [(state, np.inf) for _, state in states if state.stage[weights] < SHARPENED]
        solver.steps.sharpen(dull, weights)
        for i, state in states:
            options.take_bound(bounds, i, weights)
            if np.isfinite(bounds[i]):
                solver.steps.fit(state, weights)
        found = solver.attained(weights)
        idle = 0 if found < best else idle + 1
        best = min(best, found)
        if solver.learns(weights):
            np.maximum(bounds, options.bounds(weights), out=bounds)
        floor = float(solver.paths.ahead(options.least(bounds))[solver.paths.end])
        distance = best / floor - 1
        if idle == IDLE_ROUNDS or best > known * (1 + HOPELESS) or distance <= CLOSE:
            break
    return distance


def _placed_path(
    solver: WeightedSolver, weights: tuple[float, float], bounds: np.ndarray, most_looks: float
) -> tuple[list[tuple[int, int]], int]:
    """(arc, option) numbers of a cheap path of placed options, and looks; `bounds` are raised.

    No path if there is none, or it takes too many looks to find.
    """
    options, paths = solver.options, solver.paths
    placed = np.zeros(len(bounds), dtype=np.bool_)
    for i, state in options.states.items():
        placed[options.twins(i)] = state.stage.get(weights, 0) >= PLACED
    dearer, looks = 1.0, 0
    # An option once placed is no longer dearer, nor are paths through it: then it may leave out
    # some of the cheapest, which are looked at later.
    frontier = Frontier(options, solver.steps, weights)
    while looks < most_looks:
        taken = np.where(placed, bounds, bounds * dearer)
        least = options.least(taken)
        ahead = paths.ahead(least)
        if not np.isfinite(ahead[paths.end]):
            break
        path = solver.path(taken, least, ahead)
        rough = [i for _, i in path if not placed[i]]
        if not rough:
            return path, looks
        others = paths.through(least, ahead)
        for i in frontier.bound(bounds, others, np.inf, rough):
            placed[options.twins(i)] = options.states[i].stage[weights] >= PLACED
        dearer *= RELUCTANCE
        looks += 1
    return [], looks
