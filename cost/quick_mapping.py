"""Some mapping of little weighted cost, soon: for first schedules, never for bounds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from cost.best_mapping import BestSearch, root_bound
from cost.layer_model import LayerModel
from cost.least_energy import TooManyChainsError, least_energy_mapping
from cost.mapping_search import MappingPoint, Walk, weigh_point
from cost.search_input import Aim, budget_of, mixed_bound, search_tables

SHORT_REACH, SHORT_TURNS, NODES_A_SHORT_TURN = (0.1, np.inf), 5, 300
"""A short search: relative distances from the lower bound, turns for each, nodes in a turn."""
NODES_A_SHORT_SEARCH = 20_000
"""Nodes of the search that follows where it finds nothing."""
NEAR = 0.01
"""Relative distance from a lower bound at which a mapping of least energy will do."""
FEW_LABELS = 100_000
"""Partial chains after which the search for least energy is given up."""


def quick_mapping(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
    budget: np.ndarray | None = None,
    *,
    any_will_do: bool = False,
) -> MappingPoint | None:
    """A mapping of little weighted cost, soon; None if no short search finds one.

    `budget` [memory]: bits free for the layer-tile, all there are if None.

    The mapping of least energy is soon found and often the one; else the better of that and
    of the best that a short search meets, unless `any_will_do`.
    """
    least = None
    if weights[0] > 0:
        with suppress(TooManyChainsError):
            least = least_energy_mapping(model, sizes, levels, budget, FEW_LABELS)
    if least is not None:
        if any_will_do:
            return least
        cost = weigh_point(weights, least)
        if weights[1] <= 0 or cost <= mixed_bound(model, sizes, levels, weights) * (1 + NEAR):
            return least
    other = short_search(model, sizes, levels, weights, budget)
    return min(
        (point for point in (least, other) if point is not None),
        key=lambda point: weigh_point(weights, point),
        default=None,
    )


def short_search(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
    budget: np.ndarray | None = None,
) -> MappingPoint | None:
    """A mapping of little weighted cost, soon; None if a short search finds none.

    `budget` [memory]: bits free for the layer-tile, all there are if None.

    At first no operand may take more than its share of what is free: then most that is looked
    at fits. Where nothing does, what is nearest to the lower bound is next.
    """
    aim = Aim(weights=weights, weighted_only=True, shared_out=True)
    counts = np.array(levels, dtype=np.int64)
    ready = search_tables(model, sizes, counts, aim, budget_of(model, budget))
    if ready.fits:
        least = root_bound(ready.tables, counts)
        for reach in SHORT_REACH:
            tables = ready.tables._replace(weighted_cutoff=least * (1 + reach))
            walk = Walk(model, replace(ready, tables=tables), levels, 256)
            for _ in range(SHORT_TURNS):
                ended = walk.turn(NODES_A_SHORT_TURN)
                if ended or walk.found:
                    break
            if walk.found:
                return walk.points()[0]
    nearest = BestSearch(model, sizes, levels, weights, 0.0, budget)
    effort = 0
    while not nearest.done and effort < NODES_A_SHORT_SEARCH:
        effort += nearest.step()
    return nearest.point
