"""What tiles of an option cost at least, kind by kind, by what is known of layer-tiles alone."""

from __future__ import annotations

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP
from cost.stack_tiles import StackTiling, TileKind
from solver.layer_tables import NEVER, LayerTile
from solver.least_by_rest import weight_ways
from solver.placed_tables import PlacedTables, Ways
from solver.stack_option import StackOption
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


class KindFloors:
    """Costs of all tiles of a kind that no placement goes below, option by option.

    Least bounds of layer-tiles where they are known (`solver.least_by_rest`), else floors, with
    the ways of maps and weights between DRAM and the chip; the same as in the sums of
    `solver.floor_sums`, which do not tell kinds apart.
    """

    def __init__(self, tables: PlacedTables) -> None:
        self._tables = tables
        self._by_layer: dict[int, tuple[Ways, int, np.ndarray]] = {}

    def _layer(self, layer: int) -> tuple[Ways, int, np.ndarray]:
        """Ways of a layer's weights, the layer that stands for it, and its weights' arrival."""
        found = self._by_layer.get(layer)
        if found is None:
            tables = self._tables
            arrival = np.array(least_arrival(tables, layer))
            found = weight_ways(tables, layer), tables.alike(layer), arrival
            self._by_layer[layer] = found
        return found

    def of(self, option: StackOption) -> np.ndarray:
        """[kind, (pJ, cycles)] of all tiles of a kind of an option."""
        tables, tiling = self._tables, self._tables.tiling(option)
        graph, kinds = tiling.graph, tiling.kinds
        rows: list[tuple[int, int]] = []
        keys: list[LayerTile] = []
        known: list[np.ndarray | None] = []
        spread = np.zeros((len(option.layers), 2))
        """[layer, (pJ, cycles)] of the weights' arrival, by tile."""
        for e, (layer, computes) in enumerate(
            zip(option.layers, (of.computes for of in graph.layers), strict=True)
        ):
            if not computes:
                continue
            ways, like, arrival = self._layer(layer)
            least_of = tables.least.get((like, ways), {})
            tiles = 0
            for k, kind in enumerate(kinds):
                if kind.runs(e):
                    tiles += kind.count
                    key = tables.tile_key(layer, *kind.sizes[e]).like
                    rows.append((k, e))
                    keys.append(key)
                    known.append(least_of.get(key))
            spread[e] = arrival / max(tiles, 1)
        of_kind, of_layer = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        costs = self._costs(keys, known)
        rough = np.array([least is None for least in known], dtype=np.bool_)
        streams = np.array([least is not None and len(least) == WAYS for least in known])
        way_in = np.zeros((len(rows), 2))
        lasts = of_layer == len(option.layers) - 1
        lasts &= option.target == tables.domains.dram
        from_dram = [
            any(
                graph.edges[i].fetches
                and tables.source_of(option, graph, graph.edges[i].tensor) == tables.domains.dram
                for i in into
            )
            for into in graph.edges_into
        ]
        for row, (k, e) in enumerate(rows):
            if from_dram[e]:
                way_in[row] = _way_in(tables, option, tiling, kinds[k], e)
            if e in graph.exports:
                # Outputs in DRAM need no way out beside, which is at most that of the tile.
                if not rough[row]:
                    out_pj = kinds[k].output_bits[e] * output_pj_per_bit(tables)
                    costs[row, :, [TO_TOP, FROM_AND_TO_TOP], 0] -= out_pj
                written = np.array(kinds[k].column.fresh[e] * kinds[k].row.fresh[e])
                leaving = float(output_copy_cycles(tables, option.layers[e], written))
                costs[row, :, [AS_PLACED, FROM_TOP], 1] += leaving
        # Without a bound that knows where the input rests it has its way to go anyhow.
        costs[:, 0, FROM_TOP, 0] += way_in[:, 0] * rough
        costs[:, 0, FROM_AND_TO_TOP, 0] += way_in[:, 0] * rough
        costs[:, 0] += (spread[of_layer] * streams[:, None])[:, None]
        # Third axis: whether the input rests on chip or in DRAM.
        below = costs[:, :, [AS_PLACED, FROM_TOP]]
        least = costs[:, :, [TO_TOP, FROM_AND_TO_TOP]]
        least[~lasts] = np.minimum(below, least)[~lasts]
        least[:, :, 0] += way_in[:, None]
        floors = np.zeros((len(kinds), 2))
        np.add.at(floors, of_kind, least.min(axis=(1, 2)))
        if graph.exports:
            floors[:, 0] += _exports(tables, tiling)
        floors *= np.array([[kind.count] for kind in kinds])
        return np.minimum(floors, NEVER)

    def _costs(self, keys: list[LayerTile], known: list[np.ndarray | None]) -> np.ndarray:
        """Costs [row, way, variant, (pJ, cycles)] of layer-tiles, floors where nothing is known."""
        costs = np.full((len(keys), WAYS, 4, 2), NEVER)
        by_ways: dict[int, list[int]] = {}
        for row, least in enumerate(known):
            by_ways.setdefault(0 if least is None else len(least), []).append(row)
        for ways, rows in by_ways.items():
            if ways:
                costs[rows, :ways] = [known[row] for row in rows]
                continue
            self._tables.floor_tiles(keys[row] for row in rows)
            for row in rows:
                costs[row, 0] = self._tables.floor(*keys[row])
        return costs


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
