"""Stage 2 of pruning: layer-tiles of promising options bounded by their best lone mappings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from solver.objective import Objective
from solver.part_space import is_sparse, survivors
from solver.prune import SAFETY, Pool
from solver.scout import floor_of, tangent
from solver.screen import Near, Wanted

MOST_TILES, MOST_TILES_LEFT = 100_000, 4_000_000
"""Layer-tiles bounded at a time, and where a good schedule is known: each is part of very many
options, of which every one would have to be looked at. Only speed depends on them."""
WORTHWHILE = 0.01
"""Relative rise of the bound of all after which layers are bounded once more."""
TILES_AN_OPTION, TILES_AN_OPTION_AND_LAYER, LEAST_TILES = 2.0, 0.5, 100
"""Layer-tiles that may be bounded for each option that they may decide, in all and of one layer,
and how many take as long as passing over the pool once; only speed depends on them."""
FIRST_TILES = 16_000
"""Layer-tiles bounded at a time while no good schedule is known, unless options are very many; only
speed depends on it."""
TILES_AN_OPTION_LEFT = 10.0
"""The same where a good schedule is known, so that most options left will be looked at closely."""
LARGE_POOL = 1_000_000
"""Options alive from which on the tiles of few promising ones are worth it, too: what is learnt
about those leaves fewer of all others; only speed depends on it."""
QUICK_FROM = 300_000
"""Options from which on layer-tiles are bounded without stalls first; only speed depends on it."""
OPTIONS_A_TILE, WIDER, IDLE = 500, 2.0, 1e-3
"""Options that are passed over in the time that a layer-tile takes, and the growth of the reach
where the tiles within take less time than the pass, and the relative rise of the bound of all for
which such passes go on; only speed depends on them."""


def refine_within(
    pool: Pool,
    objective: Objective,
    point: tuple[float, float] | None,
    reaches: tuple[float, ...],
    *,
    widens: bool,
    pause: Callable[[], object],
) -> Iterator[tuple[Pool, tuple[float, float]]]:
    """Bound the layer-tiles of the most promising options, and of those a little less so.

    Reach by reach (see `refine_near`) the pool, or one of what is left if that is little of it,
    and the weights along which bounds were compared. `point` (pJ, cycles): the best schedule.
    """
    incumbent = np.inf if point is None else float(objective.of(*point))
    for reach, timed in product(reaches, (False, True)):
        # Energies of a large pool are sooner bounded, and leave less of it.
        if not timed and (objective is not Objective.EDP or pool.alive() < QUICK_FROM):
            continue
        energy, latency = floor_of(pool)
        if not np.isfinite(energy):
            return
        slant = tangent(objective, energy, latency)
        refine_near(
            pool, objective, incumbent, slant, reach, widens=widens, timed=timed, pause=pause
        )
        yield pool, slant
        if point is not None:
            pool.prune(objective, incumbent, tangent(objective, *point))
        if is_sparse(pool):
            pool = survivors(pool)
            yield pool, slant


def refine_near(
    pool: Pool,
    objective: Objective,
    incumbent: float,
    weights: tuple[float, float],
    reach: float,
    *,
    widens: bool,
    timed: bool,
    pause: Callable[[], object],
) -> None:
    """Bound the layer-tiles of promising options by their best lone mappings.

    Promising are options whose bound is below `incumbent` and at most `reach` (a share) above
    the bound of all; as that rises others become so, until the tiles of all that are have their
    bounds. If tiles are very many, or many for the options that they occur in, so that looking at
    those one by one is quicker, the reach grows if it `widens`, or else floors stay as they are.
    It grows, too, where tiles are few, so that passes over a large pool are few; and they end where
    the bound of all rises no more. Without `timed` only energies are bounded, which takes less
    time. `pause` is called often, and may raise.
    """
    below = 0.0
    few = False
    while True:
        pause()
        least = pool.lower_bound(objective, weights)
        if few and least <= below * (1 + IDLE):
            return
        below, bounds = least, pool.bounds(objective, weights)

        def reached(
            share: float, bounds: list[np.ndarray] = bounds, least: float = least
        ) -> _Reached:
            limit = min(incumbent, least * (1 + share))
            return _reached(pool, bounds, limit, widens=widens, timed=timed)

        here = reached(reach)
        while here.tiles and here.few and not here.too_many and 0 < least * (1 + reach) < incumbent:
            if here.all_of_it:
                break
            pause()
            wider = reached(reach * WIDER)
            if wider.too_many:
                break
            # A pass over the pool takes longer than these tiles do.
            here, reach = wider, reach * WIDER
        few = here.few
        if not here.tiles:
            return
        if here.too_many:
            # Beyond the schedule known nothing more comes within reach: bounds along other weights
            # may have left options that these put above it.
            if not widens or not 0 < least * (1 + reach) < incumbent < np.inf:
                return
            reach *= WIDER  # more options have more of their tiles in common
            continue
        pool.screen.sharpen(here.tiles, here.wanted, pause, timed=timed)
        pool.refresh()
        if few:
            reach *= WIDER


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reached:
    """Layer-tiles to be bounded of options within reach.

    `tiles`: how many by layer, which are `few` beside the pool or `too_many` for the options.
    `all_of_it`: nothing of the pool is beyond.
    """

    wanted: Wanted
    tiles: dict[int, int]
    few: bool
    too_many: bool
    all_of_it: bool


def _reached(
    pool: Pool, bounds: list[np.ndarray], limit: float, *, widens: bool, timed: bool
) -> _Reached:
    """What is within reach of a pool: all with `bounds` of at most `limit`."""
    near = _within(pool, bounds, limit)
    wanted = pool.screen.wanted(near)
    tiles = pool.screen.count(wanted, timed=timed)
    count, options, alive = sum(tiles.values()), sum(int(m.sum()) for _, m in near), pool.alive()
    cap = MOST_TILES_LEFT if widens else MOST_TILES
    most = TILES_AN_OPTION_LEFT * options
    if not widens:
        most = min(FIRST_TILES, TILES_AN_OPTION * options)
    if alive >= LARGE_POOL:
        most = cap
    return _Reached(
        wanted=wanted,
        tiles=tiles,
        few=count * OPTIONS_A_TILE < pool.size,
        too_many=count > min(cap, most),
        all_of_it=options == alive,
    )


def refine_by_layer(
    pool: Pool,
    objective: Objective,
    incumbent: float,
    weights: tuple[float, float],
    reach: float,
    *,
    pause: Callable[[], object],
) -> None:
    """The same where tiles are many: layer by layer, as far as it is worth it.

    Those first that promise most for the tiles they have, anew while that raises the bound of
    all. Where tiles are too many for the options that may beat `incumbent`, floors stay as they
    are.
    """
    below, start = 0.0, pool.alive()
    while (least := pool.lower_bound(objective, weights)) > below * (1 + WORTHWHILE):
        below = least
        near = _near(pool, objective, incumbent, weights, reach)
        promises = pool.screen.promises(pool.screen.wanted(near), weights, pause)
        rises = {
            at: rise / (tiles + LEAST_TILES) for at, (rise, tiles) in promises.items() if rise > 0
        }
        for at in sorted(rises, key=lambda found: -rises[found]):
            pause()
            near = _near(pool, objective, incumbent, weights, reach)
            wanted = pool.screen.wanted(near, (at,))
            # As the bound rises all that may beat the incumbent would have to be looked at.
            if pool.screen.count(wanted).get(at, 0) <= TILES_AN_OPTION_AND_LAYER * start:
                pool.screen.sharpen((at,), wanted, pause)
                pool.refresh()
                pool.prune(objective, incumbent, weights)


def _near(
    pool: Pool,
    objective: Objective,
    incumbent: float,
    weights: tuple[float, float],
    reach: float,
) -> Near:
    """The promising options of a pool; none if there is no schedule."""
    least = pool.lower_bound(objective, weights)
    if not np.isfinite(least):
        return []
    bounds = pool.bounds(objective, weights)
    return _within(pool, bounds, min(incumbent, least * (1 + reach)))


def _within(pool: Pool, bounds: list[np.ndarray], limit: float) -> Near:
    """Options alive whose `bounds` are at most `limit`."""
    masks = [
        (r.screened.range, r.alive & (bound * (1 - SAFETY) <= limit))
        for r, bound in zip(pool.ranges, bounds, strict=True)
    ]
    return [(spec, mask) for spec, mask in masks if mask.any()]
