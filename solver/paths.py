"""Cheapest paths over the cuts of a network, where every arc has a cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver.space import Node


class Paths:
    """Paths from `start` to `end` along arcs [k] from `tails` to `heads`.

    Arcs are in order of their tails, and lead on to later nodes. Costs are by arc, infinite
    where an arc is closed; what is found is by node.
    """

    def __init__(
        self, tails: Sequence[Node], heads: Sequence[Node], start: Node, end: Node
    ) -> None:
        self.nodes = tuple(dict.fromkeys((start, end, *tails, *heads)))
        number = {node: i for i, node in enumerate(self.nodes)}
        self.start, self.end = number[start], number[end]
        self._tails = [number[node] for node in tails]
        self._heads = [number[node] for node in heads]
        self._into: dict[int, list[int]] = {}
        for k, head in enumerate(self._heads):
            self._into.setdefault(head, []).append(k)

    def ahead(self, costs: np.ndarray) -> np.ndarray:
        """Least cost from the start to every node."""
        found = [np.inf] * len(self.nodes)
        found[self.start] = 0.0
        for tail, head, cost in zip(self._tails, self._heads, costs.tolist(), strict=True):
            total = found[tail] + cost
            if total < found[head]:
                found[head] = total
        return np.array(found)

    def through(self, costs: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """Least cost of the other arcs of a path through every arc."""
        behind = [np.inf] * len(self.nodes)
        behind[self.end] = 0.0
        reverse = slice(None, None, -1)
        for tail, head, cost in zip(
            self._tails[reverse], self._heads[reverse], costs[reverse].tolist(), strict=True
        ):
            total = behind[head] + cost
            if total < behind[tail]:
                behind[tail] = total
        others: np.ndarray = ahead[self._tails] + np.array(behind)[self._heads]
        return others

    def cheapest(self, costs: np.ndarray, ahead: np.ndarray) -> list[int]:
        """Arcs of the cheapest path, first to last; there has to be one."""
        node, path = self.end, []
        while node != self.start:
            best = min(self._into[node], key=lambda k: ahead[self._tails[k]] + costs[k])
            path.append(best)
            node = self._tails[best]
        return path[::-1]

    def named(self, ahead: np.ndarray) -> dict[Node, float]:
        """Finite values by node."""
        return {
            node: cost
            for node, cost in zip(self.nodes, ahead.tolist(), strict=True)
            if np.isfinite(cost)
        }
