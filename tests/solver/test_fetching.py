"""What stacks fetch, told without their graphs, against their graphs."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from cost.rules import EXACT
from problems import Problem, load_problem
from solver.fetching import AllFetched, Fetched, Fetching
from solver.prepare import cost_tables
from solver.prune import make_pool
from solver.screen import Screen
from solver.space import EFFICIENT, StackRange, stack_ranges
from solver.stack_tables import StackTables
from tests.oracle.random_kinds import random_concat
from tests.oracle.random_problems import random_graph
from tests.oracle.random_repeats import random_repeats
from tests.solver.test_screen import MODES


def by_graph(tables: StackTables, r: StackRange, source: int) -> dict[int, AllFetched]:
    """The same by the edges of a stack's graph."""
    graph = tables.graph(r.layers)
    carried = r.carried if source != r.dram else None
    flags = {p: [Fetched.NOT] * len(graph.edges_into[e]) for e, p in enumerate(r.layers)}
    for edge in graph.edges:
        if edge.fetches and graph.tensors[edge.tensor].producer != carried:
            shared = len(graph.readers[edge.tensor]) > 1
            how = Fetched.FOR_SEVERAL if shared else Fetched.FOR_ONE
            flags[r.layers[edge.layer]][edge.operand] = how
    return {p: tuple(f) for p, f in flags.items() if set(f) != {Fetched.NOT}}


def problems() -> list[Problem]:
    """A residual network, and small graphs of several forms."""
    made = [load_problem("resnet-18@meta-proto-df")]
    for seed in range(12):
        for family in (random_graph, random_concat, random_repeats):
            made.append(family(Random(seed), size=3))
    return made


def test_fetching_equals_graphs() -> None:
    """Tests every stack of every problem, for each memory that its map may come from."""
    kinds = set()
    for problem in problems():
        tables = cost_tables(problem, EXACT)
        fetching = Fetching(problem.workload)
        for r in stack_ranges(problem, EXACT, EFFICIENT, MODES[:1], None):
            for source in r.sources:
                wanted = by_graph(tables, r, source)
                assert fetching.of(r, source) == wanted, (problem.name, r.layers)
                kinds |= {how for flags in wanted.values() for how in flags}
    assert kinds == set(Fetched)


@pytest.mark.parametrize("name", ["fsrcnn@meta-proto-df", "resnet-18@meta-proto-df"])
def test_parts_take_over_counts(name: str) -> None:
    """Tests that a screen of part of the sizes has the floors that it has on its own."""
    problem = load_problem(name)
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, MODES, 3)
    whole = make_pool(Screen(tables, ranges)).screen
    part = tuple(
        StackRange(
            **{
                field: getattr(r, field)
                for field in StackRange.__dataclass_fields__
                if field not in ("widths", "heights")
            },
            widths=r.widths[::2],
            heights=r.heights[1::2] or r.heights,
        )
        for r in ranges[::2]
    )
    for weights in ((1.0, 0.0), (0.0, 1.0), (2.0, 5.0)):
        taken = Screen(tables, part, whole).floors(weights)
        own = Screen(tables, part).floors(weights)
        for a, b in zip(taken, own, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
