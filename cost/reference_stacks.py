"""The reference tool's fuse depth: cut where the weights overflow the chip.

The network is first split at its branch-free points; these pieces are gathered into
stacks as long as their weights fit the weight memory just below the top of the chain.
A piece that does not fit even alone is scheduled layer by layer. The reference knows no
matmul of two maps; here the matrix is cut off from the matmul, which reads it like weights.
"""

from __future__ import annotations

from cost.reference_backward import effective_workload
from cost.reference_graph import StackGraph, build_stack, processing_order
from problems.hardware import Hardware
from problems.workload import Operand, Workload


def weight_capacity_bits(hardware: Hardware) -> int:
    """Size of the second-highest memory for weights: what a stack's weights may fill."""
    chain = hardware.chains[Operand.W]
    return hardware.memories[chain[max(len(chain) - 2, 0)]].size_bits


def branch_free_units(workload: Workload) -> tuple[tuple[str, ...], ...]:
    """Pieces of the network between branch-free points, in processing order.

    The network input shares a piece with the first layer.
    """
    graph = workload.graph
    units: list[tuple[str, ...]] = []
    unit: list[str] = [workload.input_name]
    branches = graph.out_degree(workload.input_name)
    for name in processing_order(workload):
        if name == workload.input_name:
            continue
        branches -= graph.in_degree(name) - 1
        unit.append(name)
        if branches == 1:
            units.append(tuple(unit))
            unit = []
        branches += graph.out_degree(name) - 1
    if unit:
        units.append(tuple(unit))
    return tuple(units)


def automatic_cuts(hardware: Hardware, workload: Workload) -> tuple[str, ...]:
    """Nodes after which the reference ends a stack, in processing order.

    May contain the network input and the last layer, where a cut changes nothing.
    """
    capacity = weight_capacity_bits(hardware)
    cuts: list[str] = []
    previous: tuple[str, ...] = ()
    filled = 0
    open_layers: set[str] = set()
    for unit in branch_free_units(workload):
        layers = [workload.by_name[name] for name in unit if name != workload.input_name]
        names = {layer.name for layer in layers}
        matrices = {layer.weight_source for layer in layers}
        bits = sum(layer.weight_volume_bits for layer in layers)
        if bits > capacity or matrices & names:
            cuts += [previous[-1]] if previous and previous[-1] not in cuts else []
            cuts += unit
            filled = 0
            open_layers.clear()
        elif filled + bits > capacity or matrices & open_layers:
            # No test for a cut already there: after an oversized piece nothing is filled.
            cuts.append(previous[-1])
            filled = bits
            open_layers = names
        else:
            filled += bits
            open_layers |= names
        previous = unit
    return tuple(cuts)


def stacks_from_cuts(workload: Workload, cuts: tuple[str, ...]) -> tuple[StackGraph, ...]:
    """Build the stacks between cut points of a workload at effective sizes.

    Each layer is in exactly one stack: a cut after the first layer counts like any
    other, where the reference ignores it and evaluates layers twice (quirk Q2).

    Raises
    ------
    ValueError
        If a cut names no node, or leaves a stack with several outputs.
    """
    order = processing_order(workload)
    unknown = [cut for cut in cuts if cut not in order]
    if unknown:
        raise ValueError(f"workload {workload.name} has no node {', '.join(unknown)} to cut after")
    stacks: list[StackGraph] = []
    members: list[str] = []
    for name in order:
        if name != workload.input_name:
            members.append(name)
        if members and (name in cuts or name == order[-1]):
            stacks.append(build_stack(workload, members))
            members = []
    return tuple(stacks)


def automatic_stacks(hardware: Hardware, workload: Workload) -> tuple[StackGraph, ...]:
    """Stacks of the reference's own rule, at effective sizes."""
    effective = effective_workload(workload)
    return stacks_from_cuts(effective, automatic_cuts(hardware, effective))
