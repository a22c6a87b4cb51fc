"""Cuts of a workload: the sets of layers that may have run before the next stack starts.

A cut is a set of layers that holds the producers of each of its layers. Stacks lead from
cut to cut: a stack that ends in some layer is that layer with everything it needs that
has not run yet, so it is convex and has one last layer.
"""

from __future__ import annotations

from functools import cache

from problems.errors import ProblemError
from problems.workload import Workload

MOST_CUTS = 20_000
Cut = frozenset[int]


def producers(workload: Workload) -> tuple[tuple[int, ...], ...]:
    """Positions of the layers that each layer reads; the network input is none of them."""
    position = {layer.name: i for i, layer in enumerate(workload.layers)}
    return tuple(
        tuple(position[s] for s in layer.all_sources if s != workload.input_name)
        for layer in workload.layers
    )


@cache
def _cuts(reads: tuple[tuple[int, ...], ...]) -> tuple[Cut, ...]:
    found: set[Cut] = {frozenset()}
    open_cuts: list[Cut] = [frozenset()]
    while open_cuts:
        cut = open_cuts.pop()
        for layer, needs in enumerate(reads):
            if layer not in cut and all(p in cut for p in needs):
                more = cut | {layer}
                if more not in found:
                    found.add(more)
                    open_cuts.append(more)
        if len(found) > MOST_CUTS:
            raise ProblemError(
                f"the workload branches too widely: more than {MOST_CUTS:,} sets of layers may "
                "have run at some point"
            )
    return tuple(sorted(found, key=lambda cut: (len(cut), sorted(cut))))


def cuts(workload: Workload) -> tuple[Cut, ...]:
    """All cuts, smaller ones first; in a chain the k-th holds the first k layers.

    Raises ProblemError if there are too many to enumerate.
    """
    return _cuts(producers(workload))


def ancestors(workload: Workload) -> tuple[Cut, ...]:
    """All layers that each layer needs."""
    found: list[Cut] = []
    for needs in producers(workload):
        found.append(frozenset(needs).union(*(found[p] for p in needs)))
    return tuple(found)
