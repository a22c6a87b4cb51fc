"""Layer by layer: every layer a stack of its own, in one tile, its feature maps in DRAM."""

from __future__ import annotations

from cost.overlap import OverlapMode
from problems.problem import Problem
from solver.policies.decided import DecidedPoints, uniform_stacks
from solver.policies.point import PolicyPoint


def layer_by_layer(problem: Problem, decided: DecidedPoints) -> PolicyPoint:
    """The schedule that the reference's rules and the best mappings give."""
    layers = problem.workload.layers
    whole = max(layer.sizes["OX"] for layer in layers), max(layer.sizes["OY"] for layer in layers)
    stacks = uniform_stacks(problem, range(len(layers)), whole, OverlapMode.FULLY_RECOMPUTE)
    note = "each layer a stack, one tile, feature maps in DRAM"
    return decided.cost("layer by layer", stacks, note)
