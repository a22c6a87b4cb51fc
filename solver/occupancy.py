"""What the placements of a kind of tile occupy, for bounds that know memories are shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cost.capacity_bound import Occupancy
from cost.stack_graph import StackGraph
from cost.stack_tiles import StackTiling
from solver.kind_tables import KindTables, fetching_edge


def by_entry(places: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """Memories [layer, entry], -1 where there are fewer."""
    out = np.full((len(places), width), -1, dtype=np.int64)
    for e, memories in enumerate(places):
        out[e, : len(memories)] = memories
    return out


def beside_maps(
    graph: StackGraph, sources: Sequence[int], memories: np.ndarray, bits: Sequence[int]
) -> np.ndarray:
    """Bits [layer, entry] that edges take in `memories`; a map read in place takes none."""
    reader = np.array([edge.layer for edge in graph.edges])
    taken = np.where(memories[reader] == np.array(sources)[:, None], 0, np.array(bits)[:, None])
    out = np.zeros(memories.shape)
    np.add.at(out, reader, taken)
    return out


def occupancy(
    tiling: StackTiling,
    kind: KindTables,
    room: np.ndarray,
    sources: Sequence[int],
    target: int,
) -> Occupancy:
    """Occupancy of the placements of `kind`, as the capacities of the CP-SAT model count it.

    `room` [memory] bits beside whole maps, infinite for DRAM; `sources` [edge]: memory of the
    whole map that a tensor comes from, -1 inside; `target`: memory of the last one's.
    """
    graph, tile = tiling.graph, kind.kind
    n = len(graph.layers)
    inputs = np.tile(np.array(kind.inputs), (n, 1))
    input_bits = beside_maps(graph, sources, inputs, [edge.operand_bits for edge in tile.edges])
    made = [
        bits if layer.computes else 0  # a concat's parts are its output
        for bits, layer in zip(tile.output_bits, graph.layers, strict=True)
    ]
    output_bits = np.tile(np.array(made, dtype=np.float64)[:, None], (1, len(kind.outputs)))
    if not np.isinf(room[target]):
        output_bits[-1, kind.outputs.index(target)] = 0.0
        if not graph.layers[-1].computes:
            input_bits[-1] = 0.0
    weight_bits = [layer.weight_volume_bits if layer.has_weights else 0 for layer in graph.layers]
    h_mem = by_entry(kind.h_use, kind.g.shape[3])
    v_mem = by_entry(kind.v, kind.g.shape[5])
    fetch_mem = np.full((n, kind.g.shape[1]), -1, dtype=np.int64)
    fetch_bits = np.zeros(n)
    fetch_waits = np.zeros((n, 2), dtype=np.int64)
    for t in graph.outside:
        edge = fetching_edge(graph, tile, t)
        e = graph.edges[edge].layer
        if edge < 0 or kind.primary[e] != edge:
            continue  # a second operand's place is not among the producers
        places = np.array(kind.producers[e])
        fetch_mem[e, : len(places)] = np.where(places == sources[edge], -1, places)
        fetch_bits[e] = tile.tensor_bits[t]
        fetch_waits[e] = max(graph.waits[t].start, e), graph.waits[t].stop
    return Occupancy(
        weight_mem=by_entry(kind.weights, kind.f.shape[1]),
        input_mem=np.array(kind.inputs),
        output_mem=np.array(kind.outputs),
        h_mem=h_mem,
        v_mem=v_mem,
        fetch_mem=fetch_mem,
        weight_bits=np.array(weight_bits, dtype=np.float64),
        input_bits=input_bits,
        output_bits=output_bits,
        h_bits=beside_maps(graph, sources, h_mem, tiling.h_cache_bits),
        v_bits=beside_maps(graph, sources, v_mem, tiling.v_cache_bits),
        output_waiting_bits=np.array(tile.tensor_bits[:n], dtype=np.float64),
        fetch_bits=fetch_bits,
        waits=np.array([(span.start, span.stop) for span in graph.waits[:n]], dtype=np.int64),
        fetch_waits=fetch_waits,
        runs=np.array(kind.runs),
        room=room,
        linked=kind.linked,
        stairs=np.zeros((0, 6), dtype=np.int64),
        step_costs=np.zeros(0),
        step_bits=np.zeros((0, len(room))),
    )
