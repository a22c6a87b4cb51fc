"""Temporal mappings fixed by hand: of which layer-tiles they are, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from cost.mapping import memory_operand, operand_names
from cost.rules import EXACT
from cost.schedule import ScheduledMapping
from cost.spatial import unroll_layer_tile
from problems.errors import ProblemError
from problems.problem import Problem
from problems.workload import Layer, Operand

WALKED = ("OX", "OY")
"""Loops that are as long as the tile; all others are those of the layer."""


def temporal_steps(problem: Problem, position: int, width: int, height: int) -> dict[str, int]:
    """Steps of the temporal loops of a layer-tile, by dim."""
    layer = problem.workload.layers[position]
    walked = {"OX": width, "OY": height}
    sizes = tuple((dim, walked.get(dim, size)) for dim, size in layer.loops)
    unroll = problem.hardware.unrolling(problem.workload.name, layer)
    # Rule sets differ in how much is busy in a step, not in the number of steps.
    return dict(unroll_layer_tile(problem.hardware, unroll, sizes, EXACT).temporal)


def loop_products(mapping: ScheduledMapping) -> dict[str, int]:
    """Steps of a mapping's loops, by dim."""
    dims = {dim for dim, _ in mapping.loops}
    return {dim: prod(factor for d, factor in mapping.loops if d == dim) for dim in dims}


def matches(
    problem: Problem,
    position: int,
    mapping: ScheduledMapping,
    width: int,
    height: int,
    *,
    own_weights: bool = False,
) -> bool:
    """Whether a mapping has loops as long as those of a layer-tile.

    `own_weights`: the tile reads its weights from DRAM, wherever they stay (the first tile of a
    stack by the reference's rules), so that the mapping has to begin there.
    """
    if own_weights and len(mapping.cuts["W"]) != len(problem.hardware.chains[Operand.W]):
        return False
    products = loop_products(mapping)
    steps = temporal_steps(problem, position, width, height)
    return all(products.get(dim, 1) == count for dim, count in steps.items())


def resting(problem: Problem, position: int, mapping: ScheduledMapping) -> tuple[int, int, int]:
    """Memories in which W (-1 for a join), I and O rest under a mapping."""
    chains = problem.hardware.chains
    joins = problem.workload.layers[position].kind.joins

    def top(operand: Operand, name: str) -> int:
        return chains[operand][len(mapping.cuts[name]) - 1]

    return (
        -1 if joins else top(Operand.W, "W"),
        top(Operand.I, "X" if joins else "I"),
        top(Operand.O, "O"),
    )


def check_mapping(problem: Problem, position: int, mapping: ScheduledMapping) -> None:
    """ProblemError with a key of the mapping if it is none of any tile of a layer.

    Whether the tiles of a space are as large as it says is another question.
    """
    layer = problem.workload.layers[position]
    if not layer.computes:
        raise ProblemError(f"layer {layer.name} computes nothing: it has no loops", key="loops")
    _check_loops(problem, position, mapping)
    _check_per_level(layer, mapping.cuts, "cuts", mapping.cuts)
    _check_per_level(layer, mapping.double_buffered, "double_buffered", mapping.cuts)
    for name, cuts in mapping.cuts.items():
        _check_cuts(problem, layer, name, cuts, len(mapping.loops))
    if layer.kind.joins and len(mapping.cuts["X"]) != len(mapping.cuts["Y"]):
        raise ProblemError("X and Y rest in one memory: give both as many cuts", key="cuts")


def _check_loops(problem: Problem, position: int, mapping: ScheduledMapping) -> None:
    layer = problem.workload.layers[position]
    whole = temporal_steps(problem, position, layer.sizes["OX"], layer.sizes["OY"])
    products = loop_products(mapping)
    for dim in products:
        if dim not in whole:
            raise ProblemError(
                f"layer {layer.name} has no loop {dim}, expected some of {', '.join(whole)}",
                key="loops",
            )
    for dim, steps in whole.items():
        product = products.get(dim, 1)
        if product != steps and not (dim in WALKED and product < steps):
            most = "at most " if dim in WALKED else ""
            raise ProblemError(
                f"loops over {dim} multiply to {product}, layer {layer.name} takes {most}{steps} "
                "steps",
                key="loops",
            )


def _check_per_level(
    layer: Layer,
    given: Mapping[str, tuple[int, ...]] | Mapping[str, tuple[bool, ...]],
    key: str,
    cuts: Mapping[str, tuple[int, ...]],
) -> None:
    names = operand_names(layer)
    if set(given) != set(names):
        raise ProblemError(f"expected one list for each of {', '.join(names)}", key=key)
    for name, levels in given.items():
        if len(levels) != len(cuts[name]):
            raise ProblemError(
                f"has {len(levels)} entries, the cuts of {name} have {len(cuts[name])}",
                key=f"{key}.{name}",
            )


def _check_cuts(
    problem: Problem, layer: Layer, name: str, cuts: tuple[int, ...], loops: int
) -> None:
    hardware = problem.hardware
    chain = hardware.chains[memory_operand(name)]
    levels = range(1, len(chain) + 1)
    if name == "W" and not layer.has_weights:
        allowed = [1]
    else:
        # A tile rests in a memory that all the array shares.
        allowed = [n for n in levels if hardware.memories[chain[n - 1]].instances == 1]
    if len(cuts) not in allowed:
        tops = ", ".join(f"{n} ({hardware.memories[chain[n - 1]].name})" for n in allowed)
        raise ProblemError(
            f"has {len(cuts)} levels, expected as many as lead to where {name} rests: {tops}",
            key=f"cuts.{name}",
        )
    if list(cuts) != sorted(cuts) or cuts[-1] != loops:
        raise ProblemError(
            f"is {list(cuts)}: cuts never decrease, and the last one counts all {loops} loops",
            key=f"cuts.{name}",
        )
