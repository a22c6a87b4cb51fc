"""What searches for mappings find out about layer-tiles, for all options that have such tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from problems.workload import Operand
from solver.floor_sums import CYCLES, ENERGY
from solver.layer_tables import NEVER, ROUNDING, LayerTile
from solver.least_by_rest import least_weighted, reduce_again
from solver.mapping_store import MappingStore
from solver.pinned_inside import Memories
from solver.prune import Pool
from solver.stack_tables import StackTables

LEAST_LESSON, RARER = 0.25, 8
"""What a lesson is to raise the bound of all by, as a share of the rise since the one before, and
how much rarer lessons become at most where it does not; only speed depends on them."""
Joint = dict[LayerTile, np.ndarray]
"""Bounds [W, I, O level] of weighted costs, by layer-tile."""


class Lessons:
    """After how many `looks` at options all are bounded anew; only speed depends on it.

    Rarer and rarer while that raises the bound of all by far less than looks do.
    """

    def __init__(self, least: int) -> None:
        self.looks = self._least = least
        self._learnt = 0.0

    def judge(self, before: float, after: float) -> None:
        """Take note of the bound of all before and after a lesson."""
        is_worth_it = after - before >= LEAST_LESSON * (before - self._learnt)
        self.looks = self._least if is_worth_it else min(2 * self.looks, RARER * self._least)
        self._learnt = after


def learn(
    pool: Pool,
    mappings: MappingStore,
    weights: tuple[float, float],
    pause: Callable[[], object],
) -> bool:
    """Raise the bounds of all options of a pool by what `mappings` knows; False if it is no news.

    An option looked at closely has its tiles mapped, and each of these is part of very many other
    options, too. Of pJ or of cycles alone; for weights of both see `learn_jointly`.
    """
    if min(weights) > 0:
        raise ValueError(f"weights of both costs, {weights}: expected those of one")
    what = ENERGY if weights[0] > 0 else CYCLES
    tables = pool.tables
    changed: dict[int, set[LayerTile]] = {}
    for tile, costs in mappings.known(weights):
        found = _by_level(tables, tile, costs)
        if tables.raise_bounds(tile, what.index(1.0), found / max(weights)):
            changed.setdefault(tile[0], set()).add(tile)
    if not changed:
        return False
    reduce_again(tables, changed)
    pool.screen.learn(changed, pause)
    pool.refresh((what,))
    return True


def learn_jointly(
    pool: Pool, mappings: MappingStore, weights: tuple[float, float], known: Joint
) -> bool:
    """The same for costs under weights of pJ and cycles; `known` is what was learnt before.

    Where a tile's energy is least its latency seldom is: so bounds of both together are above what
    those of each say, even before any mapping is searched.
    """
    tables = pool.tables
    mapped = dict(mappings.known(weights))
    changed: dict[int, Joint] = {}
    for tile, bounds in tables.all_bounds():
        costs = mapped.get(tile)
        before = known.get(tile)
        if before is not None and costs is None:
            continue
        never = (bounds >= NEVER).any(axis=-1)
        found = np.where(never, np.inf, np.minimum(bounds, NEVER) @ np.array(weights))
        if costs is not None:
            found = np.maximum(found, _by_level(tables, tile, costs))
        if before is None or np.any(found > before * (1 + ROUNDING)):
            known[tile] = found
            changed.setdefault(tile[0], {})[tile] = found

    def least(layer: int, tiles: list[LayerTile]) -> np.ndarray:
        return least_weighted(tables, layer, np.array([known[tile] for tile in tiles]))

    if changed:
        pool.screen.learn_jointly(weights, changed, least)
    return bool(changed)


def _by_level(tables: StackTables, tile: LayerTile, costs: Mapping[Memories, float]) -> np.ndarray:
    """Bounds [W, I, O level] of a layer-tile by where its tensors rest; 0 where none is known."""
    levels = tables.levels
    out = np.zeros(tables.layer_bounds(*tile).shape[:-1])
    for (w, i, o), cost in costs.items():
        # Both operands of a join rest where its input does.
        place = levels[Operand.I][i] if w < 0 else levels[Operand.W][w]
        out[place, levels[Operand.I][i], levels[Operand.O][o]] = cost
    return out
