"""Least bounds of layer-tiles by where their tensors rest, for many sizes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP
from cost.mapping_bounds import least_bounds
from problems.workload import Operand
from solver.layer_tables import NEVER, TILES_A_TURN, LayerTile
from solver.placed_tables import PlacedTables, Ways

VARIANTS = {
    (False, False): AS_PLACED,
    (True, False): FROM_TOP,
    (False, True): TO_TOP,
    (True, True): FROM_AND_TO_TOP,
}
"""By whether input and output rest in DRAM."""


def weight_ways(tables: PlacedTables, layer: int) -> Ways:
    """Memories in which the weights of a layer may rest, by the way that they take.

    Staying on chip, if they can; and, where they arrive once to do so, streamed from DRAM. -1
    stands for the second operand of a join.
    """
    workload_layer = tables.problem.workload.layers[layer]
    if workload_layer.kind.joins:
        return ((-1,),)
    dram = tables.domains.dram
    places = tables.weight_places[layer]
    if not workload_layer.has_weights:
        return (places,)
    if not tables.rules.charge_weight_arrival:
        # The reference's first tiles read theirs from DRAM.
        return (tuple(dict.fromkeys((*places, dram))),)
    staying = tuple(m for m in places if m != dram)
    return (staying, (dram,)) if staying else ((dram,),)


def least_by_rest(
    tables: PlacedTables,
    layer: int,
    widths: np.ndarray,
    heights: np.ndarray,
    pause: Callable[[], object],
    *,
    timed: bool = True,
) -> np.ndarray:
    """[tile, way, variant, (pJ, cycles)] least bounds over the placements that variants name.

    Ways are those of `weight_ways`. Here AS_PLACED names inputs and outputs below DRAM. Energy and
    cycles may be of different placements; `NEVER` where there is none. `pause` is called between
    some tiles and the next, and may raise. Without `timed`, quicker, cycles leave out all stalls.
    """
    keys = [
        tables.tile_key(layer, w, h).like
        for w, h in zip(widths.tolist(), heights.tolist(), strict=True)
    ]
    weights = weight_ways(tables, layer)
    like, quick = tables.alike(layer), tables.timed and not timed
    known = (tables.quick if quick else tables.least).setdefault((like, weights), {})
    missing = {key for key in keys if key not in known}
    if tables.timed and timed and not tables.rules.accumulate_half_shared_loading:
        known.update(_at_innermost(tables, layer, sorted(missing), weights, pause))
        return np.array([known[key] for key in keys])
    for key in sorted(missing):
        bounds = tables.known_bounds(key)
        if bounds is not None:
            known[key] = _reduced(tables, bounds[None], weights)[0]
            missing.discard(key)
    for some, found in tables.bounds_of(like, missing, pause, timed=timed):
        known.update(zip(some, _reduced(tables, found, weights), strict=True))
        if not quick:
            tables.keep_bounds(some, found)
    return np.array([known[key] for key in keys])


def reduce_again(tables: PlacedTables, tiles: Mapping[int, set[LayerTile]]) -> None:
    """Bring what was found up to the bounds of layer-tiles that have risen since.

    `tiles` by the layer that stands for all alike.
    """
    for (like, weights), known in tables.least.items():
        keys = sorted(key for key in tiles.get(like, ()) if key in known)
        if keys:
            bounds = np.array([tables.layer_bounds(*key) for key in keys])
            for key, least in zip(keys, _reduced(tables, bounds, weights), strict=True):
                known[key] = np.maximum(known[key], least)


def _at_innermost(
    tables: PlacedTables,
    layer: int,
    keys: list[LayerTile],
    weights: Ways,
    pause: Callable[[], object],
) -> Iterator[tuple[LayerTile, np.ndarray]]:
    """Keys with their bounds where tensors rest as low as they fit: quicker under some rules.

    From there any other place only adds to the way. What does not fit below DRAM has a bound that
    holds for no placement at all.
    """
    sizes = tables.tile_sizes(layer, 1, 1)
    for start in range(0, len(keys), TILES_A_TURN):
        some = keys[start : start + TILES_A_TURN]
        widths, heights = np.array(some, dtype=np.int64).T[1:]
        out = np.empty((len(some), len(weights), 4, 2))
        for n, places in enumerate(weights):
            chain = tables.models[layer].chain[0]
            for (from_top, to_top), variant in VARIANTS.items():
                pause()
                usable = tables.usable_levels(layer)
                if places != (-1,):
                    usable[0, : len(chain)] = [m in places for m in chain]
                elif from_top:
                    # Both operands of a join rest in one memory.
                    usable[0, : len(chain) - 1] = False
                found = least_bounds(
                    tables.models[layer],
                    sizes,
                    widths,
                    heights,
                    usable,
                    from_top=from_top,
                    to_top=to_top,
                    timed=True,
                )
                out[:, n, variant] = np.minimum(found, NEVER)
        yield from zip(some, out, strict=True)


def least_weighted(tables: PlacedTables, layer: int, bounds: np.ndarray) -> np.ndarray:
    """Least [tile, way, variant] of weighted bounds [tile, W, I, O level]; see `least_by_rest`."""
    found: np.ndarray = _reduced(tables, bounds[..., None], weight_ways(tables, layer))[..., 0]
    return found


def _reduced(tables: PlacedTables, bounds: np.ndarray, weights: Ways) -> np.ndarray:
    """Least [tile, way, variant, cost] of bounds [tile, W, I, O levels, cost]."""
    domains, levels = tables.domains, tables.levels
    b = np.array([levels[Operand.I][memory] for memory in domains.inputs])
    o = np.array([levels[Operand.O][memory] for memory in domains.outputs])
    inputs = {top: [(m == domains.dram) == top for m in domains.inputs] for top in (False, True)}
    outputs = {top: [(m == domains.dram) == top for m in domains.outputs] for top in (False, True)}
    out = np.empty((len(bounds), len(weights), 4, bounds.shape[-1]))
    for n, places in enumerate(weights):
        if places == (-1,):
            # Both operands of a join rest in one memory.
            least = bounds[:, b, b][:, :, o]
        else:
            w = [levels[Operand.W][memory] for memory in places]
            least = bounds[:, w].min(axis=1, initial=np.inf)[:, b[:, None], o[None, :]]
        for (from_top, to_top), variant in VARIANTS.items():
            some = least[:, inputs[from_top]][:, :, outputs[to_top]]
            out[:, n, variant] = some.min(axis=(1, 2), initial=NEVER)
    return out
