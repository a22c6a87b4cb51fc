"""What the tables of a layer-tile lose because its operands share memories.

`mapping_tables` asks of each boundary alone whether its block fits. Whole tensors that
rest in a memory, and the least blocks of the other operands that pass through it, leave
less room than the memory's size; knowing that beforehand spares the search whole regions
in which nothing fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.layer_model import LayerModel
from cost.mapping_tables import MappingTables


@dataclass(frozen=True, kw_only=True, eq=False)
class JointRoom:
    """Tables without blocks that can never fit.

    `tables.bits` are what blocks take beyond the least of their boundary; `reserved_bits`
    [memory] are those least blocks and the tensors at rest. `fits`: whether anything can.
    """

    tables: MappingTables
    reserved_bits: np.ndarray
    fits: bool


def joint_room(
    model: LayerModel,
    t: MappingTables,
    levels: np.ndarray,
    budget_bits: np.ndarray,
    *,
    shared_out: bool = False,
) -> JointRoom:
    """Take out of `t` what cannot fit `budget_bits` [memory] beside the other operands.

    With `shared_out` also what may fit, but takes more than an equal share of what is free:
    a search for some mapping then hardly meets dead ends.
    """
    pj = t.pj.copy()
    resting = np.zeros(len(budget_bits))
    for o in range(3):
        resting[model.mem_index[o, levels[o] - 1]] += t.tensor_bits[o]
    boundaries = [
        (o, m, int(model.mem_index[o, m])) for o in range(3) for m in range(levels[o] - 1)
    ]
    least = np.zeros(pj.shape[:2])
    while True:
        reserved = resting.copy()
        for o, m, memory in boundaries:
            held = t.bits[o, m][np.isfinite(pj[o, m])]
            if not len(held):
                return JointRoom(tables=t, reserved_bits=reserved, fits=False)
            least[o, m] = held.min()
            reserved[memory] += least[o, m]
        changed = False
        for o, m, memory in boundaries:
            room = budget_bits[memory] - reserved[memory] + least[o, m]
            out = (t.bits[o, m] > room) & np.isfinite(pj[o, m])
            if out.any():
                pj[o, m, out] = np.inf
                changed = True
        if not changed:
            break
    bits = np.maximum(t.bits - least[:, :, None], 0.0)
    if shared_out:
        free = budget_bits - reserved
        sharers = np.bincount([memory for *_, memory in boundaries], minlength=len(free))
        for o, m, memory in boundaries:
            pj[o, m, bits[o, m] * sharers[memory] > free[memory]] = np.inf
    fits = bool((reserved <= budget_bits).all())
    return JointRoom(tables=t._replace(pj=pj, bits=bits), reserved_bits=reserved, fits=fits)
