"""What searches for mappings find out about layer-tiles, for all options that have such tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from problems.workload import Operand
from solver.floor_sums import CYCLES, ENERGY
from solver.layer_tables import LayerTile
from solver.least_by_rest import reduce_again
from solver.mapping_store import MappingStore
from solver.pinned_inside import Memories
from solver.prune import Pool
from solver.stack_tables import StackTables


def learn(
    pool: Pool,
    mappings: MappingStore,
    weights: tuple[float, float],
    pause: Callable[[], object],
) -> bool:
    """Raise the bounds of all options of a pool by what `mappings` knows; False if it is no news.

    An option looked at closely has its tiles mapped, and each of these is part of very many other
    options, too. Floors are kept by pJ and by cycles, so it is for weights of one of them alone.
    """
    if min(weights) > 0:
        return False
    what = ENERGY if weights[ENERGY] > 0 else CYCLES
    tables = pool.tables
    changed: dict[int, set[LayerTile]] = {}
    for tile, costs in mappings.known(weights):
        found = _by_level(tables, tile, costs)
        if tables.raise_bounds(tile, what, found / weights[what]):
            changed.setdefault(tile[0], set()).add(tile)
    if not changed:
        return False
    reduce_again(tables, changed)
    pool.screen.learn(changed, pause)
    pool.refresh((what,))
    return True


def _by_level(tables: StackTables, tile: LayerTile, costs: Mapping[Memories, float]) -> np.ndarray:
    """Bounds [W, I, O level] of a layer-tile by where its tensors rest; 0 where none is known."""
    levels = tables.levels
    out = np.zeros(tables.layer_bounds(*tile).shape[:-1])
    for (w, i, o), cost in costs.items():
        # Both operands of a join rest where its input does.
        place = levels[Operand.I][i] if w < 0 else levels[Operand.W][w]
        out[place, levels[Operand.I][i], levels[Operand.O][o]] = cost
    return out
