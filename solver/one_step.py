"""What one step of a layer takes in every memory at least, wherever its tensors rest.

Of each operand, a memory between the MACs and the place where the tensor of the tile rests
holds a block, at least the one of a single step of the array; the memory of rest holds the
whole tensor. Tiles of one position take least: with larger ones no block gets smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from cost.boundary_tables import OUT, held_amount
from cost.lattice import N_DIMS, spatial_factors
from cost.layer_model import LayerModel
from cost.mapping_tables import tensor_bits
from solver.stack_tables import StackTables

Demand = dict[int, int]
"""Bits by memory."""


def step_demands(tables: StackTables, layer: int) -> tuple[Demand, ...]:
    """Least demands of one step, one for each way to place the tensors of a tile.

    Only the sizes of memories do not matter for them. No ways for a layer without steps.
    """
    model = tables.models[layer]
    if not model.layer.computes:
        return ()
    sizes = tables.tile_sizes(layer, 1, 1)
    blocks = _blocks(model, sizes)
    whole = [float(bits) for bits in tensor_bits(model.arrays, sizes)]
    usable = tables.usable_levels(layer)
    joins = model.layer.kind.joins
    places = [[m for m in range(len(chain)) if usable[o, m]] for o, chain in enumerate(model.chain)]
    found = []
    for rest in product(*places):
        if joins and model.chain[0][rest[0]] != model.chain[1][rest[1]]:
            continue  # both operands of a join rest in one memory
        demand: dict[int, float] = {}
        for o, chain in enumerate(model.chain):
            for m in range(rest[o]):
                demand[chain[m]] = demand.get(chain[m], 0.0) + blocks[o][m]
            last = chain[rest[o]]
            demand[last] = demand.get(last, 0.0) + whole[o]
        # A hair below the next integer is float noise; demands must not be overstated.
        found.append({memory: int(np.ceil(bits - 1e-6)) for memory, bits in demand.items()})
    return tuple(found)


def _blocks(model: LayerModel, sizes: np.ndarray) -> list[list[float]]:
    """[o][m]: bits of the block of one step at level m of operand o."""
    arrays = model.arrays
    q, factor, _ = spatial_factors(sizes, arrays.unroll_dim, arrays.unroll_factor, arrays.exact)
    sums_wait = any(arrays.rel[OUT, d] == 0 and q[d] > 1 for d in range(N_DIMS))
    ones = np.ones(N_DIMS, dtype=np.int64)
    found = []
    for o, chain in enumerate(model.chain):
        row = []
        for m in range(len(chain)):
            width = int(arrays.precision[o, 0 if o == OUT and m == 0 and sums_wait else 1])
            row.append(float(held_amount(arrays, o, m, ones, factor, sizes)) * width)
        found.append(row)
    return found


def can_step(demands: Sequence[Demand], sizes_bits: Sequence[int]) -> bool:
    """Whether some way to place the tensors leaves room for one step."""
    return not demands or any(
        all(bits <= sizes_bits[memory] for memory, bits in demand.items()) for demand in demands
    )
