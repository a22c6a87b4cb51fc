"""What a layer fetches of a map that no other layer of its stack reads."""

import numpy as np
import pytest

from cost.axis_tiles import new_to_reader, output_columns, walk_axis
from cost.rules import EXACT
from cost.stack_graph import stack_graph
from problems import load_problem


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_new_positions_are_those_of_a_stack_without_other_readers(axis: str, cached: bool) -> None:
    """Tests the shortcut of ResNet-18's second block in a deep stack against a shallow one."""
    workload = load_problem("resnet-18@meta-proto-df").workload
    exports = ()
    shallow = stack_graph(workload, (6, 7), EXACT, exports)
    deep = stack_graph(workload, tuple(range(3, 8)), EXACT, exports)
    total = shallow.layers[-1].sizes["O" + axis.upper()]
    differs = False
    for tiles in ((1,), (7,), (16, 40), (total,)):
        columns = output_columns(total, tiles)
        walks = [walk_axis(graph, axis, columns, cached) for graph in (shallow, deep)]
        edges = [
            next(
                i
                for i, edge in enumerate(graph.edges)
                if graph.layers[edge.layer].name == "7" and edge.operand == 0
            )
            for graph in (shallow, deep)
        ]
        alone = walks[0].edges[edges[0]]["moved"]
        found = new_to_reader(deep, axis, walks[1], edges[1], columns, cached)
        np.testing.assert_array_equal(found, alone)
        differs |= bool((walks[1].edges[edges[1]]["moved"] != alone).any())
    assert differs == cached
