"""Layer by layer: every layer a stack of its own, in one tile, its feature maps in DRAM."""

from __future__ import annotations

from cost.overlap import OverlapMode
from problems.problem import Problem
from solver.policies.decided import DecidedPoints, uniform_stacks
from solver.policies.point import Legality, PolicyPoint, point_of


def layer_by_layer(problem: Problem, decided: DecidedPoints) -> list[PolicyPoint]:
    """The schedule that the reference's rules and the best mappings give; repaired if need be."""
    layers = problem.workload.layers
    whole = max(layer.sizes["OX"] for layer in layers), max(layer.sizes["OY"] for layer in layers)
    alone = tuple((layer,) for layer in range(len(layers)))
    stacks = uniform_stacks(problem, alone, whole, OverlapMode.FULLY_RECOMPUTE)
    name, note = "layer by layer", "each layer a stack, one tile, feature maps in DRAM"
    row = decided.cost(name, stacks, note)
    if row.legality is not Legality.INFEASIBLE:
        return [row]
    placed = decided.fixed.best(stacks.stacks)
    return [row, point_of(f"{name}, repaired", stacks.stacks, placed, note, Legality.REPAIRED)]
