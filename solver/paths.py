"""Cheapest paths over the cuts of a network, where every arc has a cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.space import Node


@dataclass(frozen=True, kw_only=True, eq=False)
class _ArcsAtCut:
    """Arcs that end (or begin) at one cut, sorted by the node there.

    `arcs`, `others` [arc]: their numbers and their other nodes'; `nodes`, `starts` [node]: which
    nodes they end at, and where the arcs of each start.
    """

    arcs: np.ndarray
    others: np.ndarray
    nodes: np.ndarray
    starts: np.ndarray


class Paths:
    """Paths from `start` to `end` along arcs [k] from `tails` to `heads`.

    Arcs lead on to later cuts. Costs are by arc, infinite where an arc is closed; what is found is
    by node.
    """

    def __init__(
        self, tails: Sequence[Node], heads: Sequence[Node], start: Node, end: Node
    ) -> None:
        self.nodes = tuple(dict.fromkeys((start, end, *tails, *heads)))
        number = {node: i for i, node in enumerate(self.nodes)}
        self.start, self.end = number[start], number[end]
        self._tails = np.array([number[node] for node in tails], dtype=np.int64)
        self._heads = np.array([number[node] for node in heads], dtype=np.int64)
        cuts = np.array([cut for cut, _, _ in self.nodes])
        self._into = _by_cut(self._heads, self._tails, cuts)
        self._out_of = _by_cut(self._tails, self._heads, cuts)[::-1]
        self._ending_at: dict[int, np.ndarray] = {
            node: arcs
            for cut in self._into
            for node, arcs in zip(
                cut.nodes.tolist(), np.split(cut.arcs, cut.starts[1:]), strict=True
            )
        }

    def ahead(self, costs: np.ndarray) -> np.ndarray:
        """Least cost from the start to every node."""
        return self._spread(self.start, self._into, costs)

    def through(self, costs: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """Least cost of the other arcs of a path through every arc."""
        behind = self._spread(self.end, self._out_of, costs)
        others: np.ndarray = ahead[self._tails] + behind[self._heads]
        return others

    def _spread(self, node: int, cuts: Sequence[_ArcsAtCut], costs: np.ndarray) -> np.ndarray:
        """Least cost between a node and every other, cut by cut."""
        found = np.full(len(self.nodes), np.inf)
        found[node] = 0.0
        for cut in cuts:
            totals = found[cut.others] + costs[cut.arcs]
            # The first node has no way to itself, but may be one among others at its cut.
            least = np.minimum.reduceat(totals, cut.starts)
            found[cut.nodes] = np.minimum(found[cut.nodes], least)
        return found

    def cheapest(self, costs: np.ndarray, ahead: np.ndarray) -> list[int]:
        """Arcs of the cheapest path, first to last; there has to be one."""
        node, path = self.end, []
        while node != self.start:
            arcs = self._ending_at[node]
            best = int(arcs[(ahead[self._tails[arcs]] + costs[arcs]).argmin()])
            path.append(best)
            node = int(self._tails[best])
        return path[::-1]

    def named(self, ahead: np.ndarray) -> dict[Node, float]:
        """Finite values by node."""
        return {
            node: cost
            for node, cost in zip(self.nodes, ahead.tolist(), strict=True)
            if np.isfinite(cost)
        }


def _by_cut(here: np.ndarray, others: np.ndarray, cuts: np.ndarray) -> list[_ArcsAtCut]:
    """Arcs by the cut of their node `here`, first cut first."""
    found = []
    order = np.lexsort((here, cuts[here]))
    for arcs in np.split(order, np.flatnonzero(np.diff(cuts[here[order]])) + 1):
        if len(arcs):
            nodes, starts = np.unique(here[arcs], return_index=True)
            found.append(_ArcsAtCut(arcs=arcs, others=others[arcs], nodes=nodes, starts=starts))
    return found
