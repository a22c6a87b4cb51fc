"""What tiles of an option cost at least, kind by kind, by what is known of layer-tiles alone."""

from __future__ import annotations

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP
from cost.stack_tiles import StackTiling, TileKind
from solver.layer_tables import NEVER
from solver.least_by_rest import weight_ways
from solver.placed_tables import PlacedTables
from solver.stack_option import StackOption, tiles_that_run
from solver.way_in import (
    input_bits,
    input_copy_cycles,
    input_pj_per_bit,
    least_arrival,
    output_copy_cycles,
    output_pj_per_bit,
)

WAYS = 2
"""Most ways that weights can take: staying on chip, where they arrive once, or streamed."""


def kind_floors(tables: PlacedTables, option: StackOption) -> np.ndarray:
    """[kind, (pJ, cycles)] of all tiles of a kind: no placement costs less.

    Least bounds of layer-tiles where they are known (`solver.least_by_rest`), else floors, with
    the ways of maps and weights between DRAM and the chip; the same as in the sums of
    `solver.floor_sums`, which do not tell kinds apart.
    """
    tiling = tables.tiling(option)
    tiles = tiles_that_run(tiling)
    to_dram = option.target == tables.domains.dram
    last = len(option.layers) - 1
    rows = [
        (k, e)
        for k, kind in enumerate(tiling.kinds)
        for e, layer in enumerate(tiling.graph.layers)
        if layer.computes and kind.runs(e)
    ]
    costs = np.full((len(rows), WAYS, 4, 2), NEVER)
    way_in = np.zeros((len(rows), 2))
    lasts = np.zeros(len(rows), dtype=np.bool_)
    floors = np.zeros((len(tiling.kinds), 2))
    keys = [tables.tile_key(option.layers[e], *tiling.kinds[k].sizes[e]).like for k, e in rows]
    least_of = [
        tables.least.get((tables.alike(layer), weight_ways(tables, layer)), {})
        for layer in option.layers
    ]
    known = [least_of[e].get(key) for key, (_, e) in zip(keys, rows, strict=True)]
    tables.floor_tiles(key for key, found in zip(keys, known, strict=True) if found is None)
    arrivals = [np.array(least_arrival(tables, layer)) for layer in option.layers]
    for row, (k, e) in enumerate(rows):
        way_in[row] = _way_in(tables, option, tiling, tiling.kinds[k], e)
        lasts[row] = to_dram and e == last
        least = known[row]
        if least is None:
            costs[row, 0] = tables.floor(*keys[row])
            # Without a bound that knows where the input rests it has its way to go anyhow.
            costs[row, 0, [FROM_TOP, FROM_AND_TO_TOP], 0] += way_in[row, 0]
        else:
            costs[row, : len(least)] = least
        if e in tiling.graph.exports:
            # Outputs in DRAM need no way out beside, which is at most that of the tile.
            kind = tiling.kinds[k]
            out_pj = kind.output_bits[e] * output_pj_per_bit(tables)
            if least is not None:
                costs[row, :, [TO_TOP, FROM_AND_TO_TOP], 0] -= out_pj
            written = np.array(kind.column.fresh[e] * kind.row.fresh[e])
            leaving = float(output_copy_cycles(tables, option.layers[e], written))
            costs[row, :, [AS_PLACED, FROM_TOP], 1] += leaving
        if least is None:
            continue
        if len(least) == WAYS:
            costs[row, 0] += arrivals[e] / tiles[e]
    costs[~lasts, :, AS_PLACED] = costs[~lasts][:, :, [AS_PLACED, TO_TOP]].min(axis=2)
    costs[~lasts, :, FROM_TOP] = costs[~lasts][:, :, [FROM_TOP, FROM_AND_TO_TOP]].min(axis=2)
    costs[lasts, :, AS_PLACED] = costs[lasts, :, TO_TOP]
    costs[lasts, :, FROM_TOP] = costs[lasts, :, FROM_AND_TO_TOP]
    costs[:, :, AS_PLACED] += way_in[:, None]
    cheapest = costs[:, :, [AS_PLACED, FROM_TOP]].min(axis=(1, 2))
    np.add.at(floors, [k for k, _ in rows], cheapest)
    floors[:, 0] += _exports(tables, tiling)
    floors *= np.array([[kind.count] for kind in tiling.kinds])
    return np.minimum(floors, NEVER)


def _way_in(
    tables: PlacedTables, option: StackOption, tiling: StackTiling, kind: TileKind, e: int
) -> tuple[float, float]:
    """(pJ, cycles) of bringing what a layer fetches from DRAM for one tile to the chip.

    Operands rest there all or none, and come through DRAM's one port for them.
    """
    graph, layer = tiling.graph, option.layers[e]
    sizes = graph.layers[e].sizes
    energy = cycles = 0.0
    for i in graph.edges_into[e]:
        edge = graph.edges[i]
        source = tables.source_of(option, graph, edge.tensor)
        if not edge.fetches or source != tables.domains.dram:
            continue
        fresh = 1
        for steps, outputs, taps in (
            (kind.column.edges[i], kind.sizes[e][0], sizes["FX"]),
            (kind.row.edges[i], kind.sizes[e][1], sizes["FY"]),
        ):
            fresh *= min(steps.moved, steps.extent - steps.reused, outputs * taps)
        energy += fresh * input_bits(tables, layer, edge.operand) * input_pj_per_bit(tables)
        cycles += float(input_copy_cycles(tables, layer, np.array(fresh), edge.operand))
    return energy, cycles


def _exports(tables: PlacedTables, tiling: StackTiling) -> np.ndarray:
    """[kind] pJ of writing out what one tile makes that is read outside of the stack, too."""
    graph = tiling.graph
    link = output_pj_per_bit(tables)
    computed = [e for e in graph.exports if graph.layers[e].computes]
    return np.array([sum(k.export_bits[e] for e in computed) * link for k in tiling.kinds])
