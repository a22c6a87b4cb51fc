"""What writing maps out of a stack while it runs costs, tile by tile."""

from __future__ import annotations

import numpy as np

from cost.copy_tables import WITHIN_O, CopyTables, copy_energy, phase_latency
from cost.stack_graph import StackGraph
from cost.stack_tiles import TileKind
from solver.placements import MemoryDomains


def export_costs(
    tables: CopyTables, domains: MemoryDomains, graph: StackGraph, kind: TileKind
) -> np.ndarray:
    """[layer, O, (pJ, cycles)] of writing out what is read outside of the stack, too."""
    out = np.zeros((len(graph.layers), len(domains.outputs), 2))
    for e in graph.exports:
        bits = kind.export_bits[e]
        for o, memory in enumerate(domains.outputs):
            if memory == domains.dram or bits == 0:
                continue
            actions = np.array([[WITHIN_O, memory, domains.dram, bits]], dtype=np.int64)
            out[e, o] = (
                copy_energy(
                    tables.hops, tables.ports, tables.costs, WITHIN_O, memory, domains.dram, bits
                ),
                phase_latency(tables.hops, tables.ports, tables.n_ports, actions, 1),
            )
    return out
