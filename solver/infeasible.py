"""Why a problem has no schedule at all: the memory that cannot hold even the least block."""

from __future__ import annotations

import numpy as np

from cost.boundary_tables import OUT, SIZE, held_amount
from cost.lattice import N_DIMS, spatial_factors
from problems.errors import InfeasibleError
from solver.stack_tables import StackTables


def explain_infeasible(tables: StackTables) -> InfeasibleError:
    """Name the layer and memory whose least demand passes the limit furthest.

    Whatever the tile, mapping and placement, every memory below an operand's highest one
    holds at least what one step of the array below it takes.
    """
    problem = tables.problem
    worst = (-np.inf, "", "", 0, 0)
    for index, (layer, model) in enumerate(
        zip(problem.workload.layers, tables.models, strict=True)
    ):
        if not model.layer.computes:
            continue
        arrays = model.arrays
        sizes = tables.tile_sizes(index, 1, 1)
        q, factor, _ = spatial_factors(sizes, arrays.unroll_dim, arrays.unroll_factor, arrays.exact)
        sums_wait = any(arrays.rel[OUT, d] == 0 and q[d] > 1 for d in range(N_DIMS))
        demand: dict[int, float] = {}
        for o, chain in enumerate(model.chain):
            for m, memory in enumerate(chain[:-1]):
                width = int(arrays.precision[o, 0 if o == OUT and m == 0 and sums_wait else 1])
                ones = np.ones(N_DIMS, dtype=np.int64)
                held = float(held_amount(arrays, o, m, ones, factor, sizes)) * width
                demand[memory] = demand.get(memory, 0.0) + held
        for memory, bits in demand.items():
            limit = int(arrays.memory[memory, SIZE])
            name = problem.hardware.memories[memory].name
            worst = max(worst, (bits / limit, layer.name, name, round(bits), limit))
    _, layer_name, memory_name, bits_needed, limit = worst
    return InfeasibleError(
        f"no schedule of {problem.source} fits; layer {layer_name} cannot do one step out of "
        f"{memory_name}",
        demand=bits_needed,
        limit=limit,
        unit="bits",
        levers=(f"enlarge {memory_name}", "unroll fewer operands over what it serves"),
    )
