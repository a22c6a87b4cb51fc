"""A mapping that a short walk meets where no operand takes more than its share of any memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cost.layer_model import LayerModel
from cost.mapping_search import MappingPoint, Walk
from cost.search_bounds import root_bound
from cost.search_input import Aim, budget_of, search_tables

REACH, TURNS, NODES_A_SHORT_TURN = (0.1, np.inf), 5, 300
"""Relative distances from the lower bound, turns for each, nodes in a turn."""


def met_soon(
    model: LayerModel,
    sizes: np.ndarray,
    levels: tuple[int, int, int],
    weights: tuple[float, float],
    budget: np.ndarray | None = None,
) -> MappingPoint | None:
    """A mapping of little weighted cost; None if none is met.

    Parameters as in `best_mapping`. Where operands share out what is free most that is looked at
    fits.
    """
    aim = Aim(weights=weights, weighted_only=True, shared_out=True)
    counts = np.array(levels, dtype=np.int64)
    ready = search_tables(model, sizes, counts, aim, budget_of(model, budget))
    if not ready.fits:
        return None
    least = root_bound(ready.tables, counts)
    for reach in REACH:
        tables = ready.tables._replace(weighted_cutoff=least * (1 + reach))
        walk = Walk(model, replace(ready, tables=tables), levels, 256)
        for _ in range(TURNS):
            ended = walk.turn(NODES_A_SHORT_TURN)
            if ended or walk.found:
                break
        if walk.found:
            return walk.points()[0]
    return None
