"""Cheapest paths over cuts against networkx."""

from random import Random

import networkx as nx
import numpy as np
import pytest

from solver.paths import Paths

CUTS, MEMORIES = 6, 2


def random_arcs(rng: Random) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Arcs between nodes (cut, memory, no layer), in order of their tails."""
    nodes = [(cut, memory, -1) for cut in range(CUTS) for memory in range(MEMORIES)]
    pairs = [(a, b) for a in nodes for b in nodes if a[0] < b[0]]
    return sorted(rng.sample(pairs, len(pairs) // 3))


@pytest.mark.parametrize("seed", range(20))
def test_paths_equal_networkx(seed: int) -> None:
    """Tests ways ahead, paths through every arc, and the cheapest one."""
    rng = Random(seed)
    arcs = random_arcs(rng)
    start, end = (0, 0, -1), (CUTS - 1, 0, -1)
    paths = Paths([a for a, _ in arcs], [b for _, b in arcs], start, end)
    costs = np.array([rng.choice([1.0, 2.0, 5.0, np.inf]) for _ in arcs])
    graph = nx.DiGraph()
    graph.add_nodes_from(paths.nodes)
    for (tail, head), cost in zip(arcs, costs.tolist(), strict=True):
        if np.isfinite(cost):
            graph.add_edge(tail, head, weight=cost)
    ahead = paths.ahead(costs)
    named = paths.named(ahead)
    assert named == pytest.approx(nx.single_source_dijkstra_path_length(graph, start))
    behind = nx.single_source_dijkstra_path_length(graph.reverse(), end)
    through = paths.through(costs, ahead)
    for (tail, head), found in zip(arcs, through.tolist(), strict=True):
        assert found == pytest.approx(named.get(tail, np.inf) + behind.get(head, np.inf))
    if end in named:
        path = paths.cheapest(costs, ahead)
        assert arcs[path[0]][0] == start
        assert arcs[path[-1]][1] == end
        for k, after in zip(path, path[1:], strict=False):
            assert arcs[k][1] == arcs[after][0]
        assert costs[path].sum() == pytest.approx(named[end])
