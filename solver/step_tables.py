"""What is known of mappings that hold less, as the tables that bounds of placements read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from cost.capacity_bound import Occupancy
from cost.mapping_search import weigh_point
from solver.staircase import Staircase


class Steps(NamedTuple):
    """Weighted costs [step] and bits [step, memory]: no mapping costs and holds less than one."""

    costs: np.ndarray
    bits: np.ndarray

    def above(self, cost: float, tensor_bits: Mapping[int, int]) -> Steps:
        """What they add to a cost, and to the bits [memory] that the tensors take."""
        taken = [tensor_bits.get(m, 0) for m in range(self.bits.shape[1])]
        return Steps(np.maximum(self.costs - cost, 0.0), np.maximum(self.bits - taken, 0.0))


Entry = tuple[int, int, int, int]
"""Layer and places of W, I and O on the axes of the cost table f."""


def steps_of(stairs: Staircase) -> Steps | None:
    """The steps of a staircase, cheapest first; None where the first takes nothing."""
    steps = [(c.cost, c.least_bits) for c in stairs.corners]
    steps += [(weigh_point(stairs.weights, p), p.held_bits) for p in stairs.points]
    steps.sort()
    # What other memories hold is not what the staircase is about.
    counts = np.zeros(len(stairs.most_bits))
    counts[list(stairs.shared)] = 1.0
    bits = np.array([held for _, held in steps], dtype=np.float64) * counts
    return Steps(np.array([cost for cost, _ in steps]), bits) if bits[0].any() else None


def with_steps(x: Occupancy, known: Iterable[tuple[Entry, Steps]]) -> Occupancy:
    """An occupancy that knows, of some entries, the steps above their costs and tensors."""
    entries = [(at, steps) for at, steps in known if steps.bits[0].any()]
    if not entries:
        return x
    ends = np.cumsum([len(steps.costs) for _, steps in entries]).tolist()
    firsts = [0, *ends[:-1]]
    stairs = [(*at, first, end) for (at, _), first, end in zip(entries, firsts, ends, strict=True)]
    return x._replace(
        stairs=np.array(stairs, dtype=np.int64),
        step_costs=np.concatenate([steps.costs for _, steps in entries]),
        step_bits=np.concatenate([steps.bits for _, steps in entries]),
    )
