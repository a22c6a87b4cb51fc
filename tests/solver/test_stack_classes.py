"""Stacks of equal layers cost the same wherever they are."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random

import numpy as np
import pytest

from benchmarks.synthetic import synthetic_problem
from cost.recost import recost
from cost.rules import EXACT
from problems import (
    InfeasibleError,
    Layer,
    LayerKind,
    Padding,
    Precision,
    Problem,
    Workload,
)
from solver.objective import Objective
from solver.open_options import OpenOptions
from solver.prepare import cost_tables
from solver.prune import Pool, make_pool
from solver.screen import Screen
from solver.solve import solve
from solver.space import EFFICIENT, TileSpace, stack_ranges
from solver.stack_classes import StackClasses
from tests.oracle.random_repeats import random_repeats
from tests.solver.test_screen import MODES, least_cost

SMALL = TileSpace(text="small grid", widths=(1, 2), heights=(1, 3))


def draw(seed: int) -> Problem:
    """A network with equal layers."""
    return random_repeats(Random(seed), size=3, levels=2 + seed % 2, tight=1.0 + seed % 3)


def pool_of(problem: Problem) -> Pool:
    """All options of a problem."""
    tables = cost_tables(problem, EXACT)
    return make_pool(Screen(tables, stack_ranges(problem, EXACT, EFFICIENT, MODES, None)))


def test_twins_cost_the_same() -> None:
    """Tests bounds and optima of options, each looked at as if it were the only one."""
    compared = solved = 0
    for seed in range(40):
        pool = pool_of(draw(seed))
        tables, options = pool.tables, OpenOptions(pool)
        pairs = np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 7.0]])
        for arc_number, arc in enumerate(options.arcs):
            for i in range(arc.start, arc.end):
                twins = options.twins(i).tolist()
                if twins[0] != i or len(twins) == 1:
                    continue
                places = [(options.arc_of(t), t) for t in twins]
                found = [options.option(*place) for place in places]
                assert len({option.layers for option in found}) == len(found)
                bounds = [tables.option_bounds(option, pairs) for option in found]
                assert all(b == pytest.approx(bounds[0], rel=1e-12) for b in bounds[1:])
                compared += 1
                if compared % 5:
                    continue
                costs = [least_cost(tables, option, (3.0, 7.0)) for option in found]
                assert costs == pytest.approx([costs[0]] * len(costs), rel=1e-9), (seed, found)
                solved += np.isfinite(costs[0])
                assert arc_number == places[0][0]
    assert compared > 300
    assert solved > 40


def test_what_tells_stacks_apart() -> None:
    """Tests that other sizes, other readers and memories make other classes."""
    problem = synthetic_problem("resnet-50", size=56, channels=16, hardware="meta-proto-df")
    tables = cost_tables(problem, EXACT)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, MODES, 3)
    classes = StackClasses(tables)
    names = [layer.name for layer in problem.workload.layers]
    by_layers = {tuple(names[p] for p in r.layers): r for r in ranges}
    dram = ranges[0].dram

    def alike(one: tuple[str, ...], other: tuple[str, ...], source: int = dram) -> bool:
        first, second = by_layers[one], by_layers[other]
        return classes.class_of(first, source) == classes.class_of(second, source)

    assert alike(("s1b01.1", "s1b01.2", "s1b01.3"), ("s1b02.1", "s1b02.2", "s1b02.3"))
    assert not alike(("s1b01.1",), ("s2b01.1",))
    assert not alike(("s1b00.1",), ("s1b01.1",))  # reads fewer channels
    assert not alike(("s1b01.1", "s1b01.2"), ("s1b01.2", "s1b01.3"))
    onwards = by_layers["s1b01.1", "s1b01.2"]
    places = {classes.class_of(onwards, source) for source in onwards.sources}
    assert len(places) == len(onwards.sources)


def conv(
    name: str, source: str, size: int, *, taps: int = 3, stride: int = 1, pad: int = 0
) -> Layer:
    """A convolution of 8 channels to a map of `size` a side."""
    loops = {"K": 8, "C": 8, "OY": size, "OX": size, "FY": taps, "FX": taps}
    return Layer(
        name=name,
        kind=LayerKind.CONV,
        sources=(source,),
        loops=tuple(loops.items()),
        stride_x=stride,
        stride_y=stride,
        padding=Padding(left=pad, right=pad, top=pad, bottom=pad),
        precision=Precision(partial_bits=16, output_bits=8, weight_bits=8, input_bits=8),
    )


def add(name: str, sources: tuple[str, str], size: int) -> Layer:
    """The sum of two maps of 8 channels."""
    precision = Precision(partial_bits=16, output_bits=8, weight_bits=0, input_bits=8)
    loops = (("G", 8), ("OY", size), ("OX", size))
    return Layer(name=name, kind=LayerKind.ADD, sources=sources, loops=loops, precision=precision)


def classes_of(layers: list[Layer], size: int) -> dict[str, Hashable]:
    """Classes of all stacks of a network out of DRAM, by the names of their layers in a row."""
    hardware = synthetic_problem("chain-8", size=16, channels=8, hardware="meta-proto-df").hardware
    workload = Workload(
        name="made",
        input_name="input",
        input_channels=8,
        input_width=size,
        input_height=size,
        input_bits=8,
        layers=tuple(layers),
    )
    problem = Problem(name="made", workload=workload, hardware=hardware, source="made")
    tables = cost_tables(problem, EXACT)
    classes = StackClasses(tables)
    ranges = stack_ranges(problem, EXACT, EFFICIENT, MODES, None)
    return {"".join(layers[p].name for p in r.layers): classes.class_of(r, r.dram) for r in ranges}


def test_readers_tell_stacks_apart() -> None:
    """Tests equal layers of which some are read outside of the stack, too."""
    layers = [conv(n, s, 9, pad=1) for n, s in (("a", "input"), ("b", "a"), ("c", "b"), ("d", "c"))]
    found = classes_of([*layers, add("e", ("d", "b"), 9)], 9)
    assert found["a"] == found["b"] == found["c"] == found["d"]
    assert found["ab"] == found["cd"]
    assert found["bc"] not in (found["ab"], found["cd"])  # b leaves for e as well
    assert found["abc"] != found["bcd"]


def test_maps_that_are_read_tell_stacks_apart() -> None:
    """Tests equal layers that read all of a map and all but its last row and column."""
    layers = [conv("a", "input", 10), conv("b", "a", 4, stride=2), conv("c", "a", 9, taps=2)]
    layers += [conv("d", "c", 4, stride=2), add("e", ("b", "d"), 4)]
    found = classes_of(layers, 12)
    assert found["b"] != found["d"]


@pytest.mark.parametrize("objective", list(Objective), ids=lambda objective: objective.value)
def test_optima_are_those_without_classes(
    objective: Objective, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests that searches that know of twins find what those do that look at each."""
    found = []
    for shares in (True, False):
        if not shares:
            monkeypatch.setattr(
                StackClasses, "class_of", lambda self, r, source: (r.layers, source)
            )
        for seed in range(24):
            problem = draw(seed)
            try:
                result = solve(problem, objective=objective, tiles=SMALL, workers=1)
            except InfeasibleError:
                found.append(np.inf)
                continue
            assert result.schedule is not None
            assert recost(problem, result.schedule, EXACT).violations == ()
            found.append(result.value)
    assert found[:24] == pytest.approx(found[24:], rel=1e-9)
    assert sum(map(np.isfinite, found[:24])) > 12
