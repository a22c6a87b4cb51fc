"""Some mapping of little weighted cost, soon: for first schedules, never for bounds."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from cost.best_mapping import BestSearch
from cost.layer_model import LayerModel
from cost.least_energy import TooManyChainsError, least_energy_mapping
from cost.mapping_search import MappingPoint, weigh_point
from cost.met_soon import met_soon
from cost.search_input import mixed_bound

NODES_A_SHORT_SEARCH = 20_000
"""Nodes of a search near the lower bound where no mapping is met soon."""
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

    `budget` [memory]: bits free for the layer-tile, all there are if None. Where no mapping is met
    soon, what is nearest to the lower bound is next.
    """
    met = met_soon(model, sizes, levels, weights, budget)
    if met is not None:
        return met
    nearest = BestSearch(model, sizes, levels, weights, 0.0, budget)
    effort = 0
    while not nearest.done and effort < NODES_A_SHORT_SEARCH:
        effort += nearest.step()
    return nearest.point
