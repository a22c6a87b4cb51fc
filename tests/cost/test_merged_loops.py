"""Loops taken together where no cost tells them apart."""

from math import prod

import numpy as np
import pytest

from cost.kernel import evaluate_layer_tile
from cost.lattice import OX, OY
from cost.layer_model import build_layer_model
from cost.mapping import LayerTile, TemporalMapping
from cost.mapping_search import pareto_set, size_vector
from cost.merged_loops import merged_loops
from cost.rules import DEFINES, EXACT
from cost.search_input import Aim
from problems import load_problem


def tile_of(problem: str, layer: int, sizes: dict[str, int]):
    """(problem, layer, model under exact rules, sizes by dim) of a layer-tile."""
    loaded = load_problem(problem)
    chosen = loaded.workload.layers[layer]
    unroll = loaded.hardware.unrolling(loaded.workload.name, chosen)
    model = build_layer_model(loaded.hardware, unroll, chosen, EXACT)
    return loaded, chosen, model, {**chosen.sizes, **sizes}


CASES = (
    ("resnet-18@meta-proto-df", 4, {"OX": 8, "OY": 4, "K": 64}),  # an add
    ("fsrcnn@tesla-npu-like", 1, {"OX": 16, "OY": 12}),  # a pointwise convolution
    ("mobilenet-v1@meta-proto-df", 2, {"OX": 16, "OY": 8, "K": 16}),
)


@pytest.mark.parametrize(("problem", "number", "some"), CASES)
def test_mappings_of_merged_loops_cost_the_same(
    problem: str, number: int, some: dict[str, int]
) -> None:
    """The same fronts, and what is split again is a mapping of the tile at that very cost."""
    loaded, layer, model, sizes = tile_of(problem, number, some)
    vector = size_vector(sizes)
    merged = merged_loops(model, vector)
    assert merged.parts
    assert prod(merged.sizes.tolist()) == prod(vector.tolist())
    levels = tuple(int(n) for n in model.arrays.n_levels)
    plain = pareto_set(model, vector, levels, Aim(), capacity=4096)
    found = pareto_set(model, merged.sizes, levels, Aim(), capacity=4096)
    costs = [(p.energy_pj, p.latency_cycles) for p in plain]
    assert [(p.energy_pj, p.latency_cycles) for p in found] == [
        (pytest.approx(energy, rel=1e-12), cycles) for energy, cycles in costs
    ]
    tile = LayerTile(
        layer=layer,
        sizes=tuple(sizes.items()),
        levels=dict(zip(model.operands, levels, strict=True)),
    )
    unroll = loaded.hardware.unrolling(loaded.workload.name, layer)
    for point in found:
        split = merged.split(point)
        mapping = TemporalMapping(
            loops=split.loops, cuts=split.cuts, double_buffered=split.double_buffered
        )
        cost = evaluate_layer_tile(loaded.hardware, unroll, tile, mapping, EXACT)
        assert cost.energy_pj == pytest.approx(point.energy_pj, rel=1e-12)
        assert cost.latency_cycles == point.latency_cycles


def test_what_costs_may_tell_apart_stays_apart() -> None:
    """Taps, remainders of the unrolling, and the reference's rules keep loops as they are."""
    _, _, model, sizes = tile_of("fsrcnn@tesla-npu-like", 2, {"OX": 16, "OY": 12})
    assert not merged_loops(model, size_vector(sizes)).parts
    loaded, layer, model, sizes = tile_of("fsrcnn@tesla-npu-like", 1, {"OX": 16, "OY": 12})
    rows_are_unrolled = OY in model.arrays.unroll_dim.tolist()
    vector = size_vector(sizes)
    vector[OY if rows_are_unrolled else OX] += 1
    assert not merged_loops(model, vector).parts
    unroll = loaded.hardware.unrolling(loaded.workload.name, layer)
    reference = build_layer_model(loaded.hardware, unroll, layer, DEFINES)
    assert not merged_loops(reference, size_vector(sizes)).parts
    assert np.array_equal(merged_loops(reference, vector).sizes, vector)
