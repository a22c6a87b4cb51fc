"""What a search says at once where it has proven that nothing fits; `find_conflict` says more."""

from __future__ import annotations

import numpy as np

from problems.errors import InfeasibleError
from solver.one_step import step_demands
from solver.stack_tables import StackTables


def explain_infeasible(tables: StackTables) -> InfeasibleError:
    """Name the layer and memory that stand in the way of one step most.

    Of every layer the way to place its tensors that asks least beyond what there is.
    """
    problem = tables.problem
    worst = (-np.inf, 0, 0, 0)
    for index in range(len(tables.models)):
        ways = [
            max((bits / tables.domains.sizes_bits[m], index, m, bits) for m, bits in way.items())
            for way in step_demands(tables, index)
        ]
        worst = max(worst, min(ways, default=worst))
    fullness, layer, memory, bits = worst
    name = problem.hardware.memories[memory].name
    step = f"layer {problem.workload.layers[layer].name} cannot do one step out of {name}"
    if fullness <= 1:
        step = f"every layer can do one step, and {name} is nearest to its limit then"
    return InfeasibleError(
        f"no schedule of {problem.source} fits; {step}",
        demand=bits,
        limit=tables.domains.sizes_bits[memory],
        unit="bits",
        levers=(f"enlarge {name}", "unroll fewer operands over what it serves"),
    )
