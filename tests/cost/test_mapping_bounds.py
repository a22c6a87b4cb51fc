"""Lower bounds of layer-tiles against the true optimum over all mappings and placements."""

from random import Random

import numpy as np
import pytest

from cost.best_mapping import BestSearch, best_mapping
from cost.floor_tables import FROM_AND_TO_TOP, FROM_TOP, TO_TOP, floor_costs
from cost.layer_model import MAX_LEVELS, LayerModel, build_layer_model
from cost.least_energy import least_energy_mapping
from cost.mapping_bounds import least_bounds, lower_bounds
from cost.mapping_search import pareto_set, size_vector
from cost.rules import DEFINES, EXACT, RuleSet
from cost.search_input import mixed_bound
from problems import Hardware, Layer, load_problem
from tests.oracle.random_problems import dilated, random_hardware, random_layer

SEEDS, BLOCKS = 24, 4
MIXED = (1.0, 3.0)


def usable_levels(hardware: Hardware, layer: Layer, model: LayerModel) -> np.ndarray:
    """[operand, level]: where a whole tensor may rest."""
    usable = np.zeros((3, MAX_LEVELS), dtype=np.bool_)
    for o, chain in enumerate(model.chain):
        for level, memory in enumerate(chain):
            lone = o == 0 and not layer.has_weights
            usable[o, level] = hardware.memories[memory].instances == 1 or lone
    return usable


def check(seed: int, rules: RuleSet) -> None:
    """No bound of one random layer-tile is above what some mapping attains."""
    rng = Random(seed)
    hardware = random_hardware(rng)
    layer = random_layer(rng, "layer", "input", rng.randint(1, 4), 4)
    if rules.true_padding:
        layer = dilated(rng, layer)
    model = build_layer_model(hardware, hardware.unrolling("net", layer), layer, rules)
    sizes = size_vector(layer.sizes)
    bounds = lower_bounds(model, sizes)
    usable = usable_levels(hardware, layer, model)
    least = np.full((4, 2), np.inf)
    tops = tuple(n - 1 for n in bounds.shape[:3])
    for top in np.ndindex(*bounds.shape[:3]):
        if not all(usable[o, top[o]] for o in range(3)):
            continue
        levels = (top[0] + 1, top[1] + 1, top[2] + 1)
        points = pareto_set(model, sizes, levels)
        if not points:
            continue
        where = f"seed {seed}, {rules.name}, levels {levels}"
        energy = min(point.energy_pj for point in points)
        cycles = min(point.latency_cycles for point in points)
        weighted = min(MIXED[0] * p.energy_pj + MIXED[1] * p.latency_cycles for p in points)
        assert bounds[top][0] <= energy * (1 + 1e-9), where
        assert bounds[top][1] <= cycles, where
        assert mixed_bound(model, sizes, levels, (0.0, 1.0)) <= cycles + 1e-6, where
        assert mixed_bound(model, sizes, levels, MIXED) <= weighted * (1 + 1e-9), where
        best = best_mapping(model, sizes, levels, MIXED, 0.5 * weighted)
        assert best is not None, where
        found = MIXED[0] * best.energy_pj + MIXED[1] * best.latency_cycles
        assert found == pytest.approx(weighted, rel=1e-9), where
        for variant in range(4):
            from_top = variant in (FROM_TOP, FROM_AND_TO_TOP)
            to_top = variant in (TO_TOP, FROM_AND_TO_TOP)
            if (not from_top or top[1] == tops[1]) and (not to_top or top[2] == tops[2]):
                least[variant] = np.minimum(least[variant], (energy, cycles))
    width, height = sizes[5:6], sizes[4:5]
    floors = floor_costs(model, sizes, width, height, usable)[:, 0, 0]
    for variant in range(4):
        alone = least_bounds(
            model,
            sizes,
            width,
            height,
            usable,
            from_top=variant in (FROM_TOP, FROM_AND_TO_TOP),
            to_top=variant in (TO_TOP, FROM_AND_TO_TOP),
        )[0]
        for name, bound in (("floor", floors[variant]), ("least", alone)):
            where = f"seed {seed}, {rules.name}, {name} {variant}"
            assert (bound <= least[variant] * (1 + 1e-9)).all(), where


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_bounds_are_below_the_optimum(rules: RuleSet, block: int) -> None:
    """Tests floors, least, placement and mixed bounds on random layer-tiles."""
    for seed in range(block, SEEDS, BLOCKS):
        check(seed, rules)


def test_steps_that_do_not_fit_have_no_mapping() -> None:
    """Tests that bounds say so where both inputs of an add crowd a memory of their own."""
    problem = load_problem("resnet-18@tesla-npu-like-df")
    number, add = next(
        (n, layer) for n, layer in enumerate(problem.workload.layers) if layer.kind.joins
    )
    hardware = problem.hardware
    unroll = hardware.unrolling(problem.workload.name, add)
    model = build_layer_model(hardware, unroll, add, EXACT)
    usable = usable_levels(hardware, add, model)
    whole = size_vector(add.sizes)
    fitting = 0
    for width, height in ((56, 56), (16, 27), (4, 1), (1, 4), (1, 1)):
        sizes = whole.copy()
        sizes[5], sizes[4] = width, height
        at = np.array([width]), np.array([height])
        bounds = lower_bounds(model, sizes)
        floor = floor_costs(model, whole, *at, usable)[0, 0, 0]
        least = least_bounds(model, whole, *at, usable, from_top=False, to_top=False)[0]
        tops = (n - 1 for n in bounds.shape[:3])
        found = least_energy_mapping(model, sizes, tuple(n + 1 for n in tops))
        where = f"layer {number}, {width} x {height}"
        assert np.isinf(bounds).all() == np.isinf(floor).all() == (found is None), where
        assert np.isinf(least[0]) == (found is None), where
        fitting += found is not None
    assert 0 < fitting < 5


@pytest.mark.parametrize("seed", range(6))
def test_bounds_without_stalls(seed: int) -> None:
    """Tests that bounds that are not timed agree on energy and are no higher on cycles."""
    rng = Random(seed)
    hardware = random_hardware(rng)
    layer = random_layer(rng, "layer", "input", rng.randint(1, 4), 4)
    model = build_layer_model(hardware, hardware.unrolling("net", layer), layer, EXACT)
    sizes = size_vector(layer.sizes)
    timed, quick = (lower_bounds(model, sizes, timed=timed) for timed in (True, False))
    assert (timed[..., 0] == quick[..., 0]).all()
    assert (timed[..., 1] >= quick[..., 1]).all()
    usable = usable_levels(hardware, layer, model)
    at = sizes[5:6], sizes[4:5]
    ends = {"from_top": False, "to_top": True}
    timed, quick = (least_bounds(model, sizes, *at, usable, **ends, timed=t) for t in (True, False))
    assert timed[0, 0] == quick[0, 0]
    assert timed[0, 1] >= quick[0, 1]
    # Many times over, for threads share nothing.
    for _ in range(20):
        again = least_bounds(model, sizes, *at, usable, **ends, timed=False)
        assert (again == quick).all()


@pytest.mark.parametrize("size", [(16, 8), (7, 16), (11, 2), (5, 6), (24, 12)])
def test_mixes_of_views_come_close(size: tuple[int, int]) -> None:
    """Tests latencies where small first blocks of weights cost refills: one view sees but one.

    The cheapest placement of 3 x 3 tiles, weights and maps on chip; views alone are 2 to 13 % off.
    """
    problem = load_problem("resnet-18@tpu-like-df")
    layer = problem.workload.layers[3]
    model = build_layer_model(
        problem.hardware, problem.hardware.unrolling("resnet-18", layer), layer, EXACT
    )
    sizes = size_vector({**layer.sizes, "OX": size[0], "OY": size[1]})
    bounds = lower_bounds(model, sizes)[:-1, :-1, :-1, 1]
    at = np.unravel_index(np.argmin(bounds), bounds.shape)
    levels = (int(at[0]) + 1, int(at[1]) + 1, int(at[2]) + 1)
    best = best_mapping(model, sizes, levels, (0.0, 1.0), float(bounds[at]))
    assert best is not None
    assert 0.99 * best.latency_cycles <= bounds[at] <= best.latency_cycles


TIGHT = [
    # What DRAM's port takes beyond its windows, among ten ports that wait.
    ("mobilenet-v1@tesla-npu-like-df", "7", {"OY": 61, "OX": 1}, (5, 4, 3), 5964),
    ("mobilenet-v1@tesla-npu-like-df", "26", {"OY": 7, "OX": 7}, (5, 2, 3), 131092),
    # First blocks of both inputs of an add, which pass the same ports one after the other.
    ("resnet-18@ascend-like-df", "13", {"OY": 5, "OX": 17}, (4, 4, 3), 2726),
    ("resnet-18@tesla-npu-like-df", "19", {"OY": 14, "OX": 4}, (4, 4, 4), 5420),
    ("resnet-18@meta-proto", "19", {"OY": 4, "OX": 9}, (3, 3, 2), 2340),
    ("resnet-18@tpu-like-df", "7", {"OY": 10, "OX": 49}, (3, 3, 2), 7843),
    # Weights in DRAM, where on chip nothing holds them all, or another memory might.
    ("dmcnn-vd@tpu-like", "3", {"OY": 24, "OX": 67}, (2, 1, 2), 60193),
    ("dmcnn-vd@tpu-like-df", "3", {"OY": 24, "OX": 67}, (3, 2, 3), 60739),
]
"""Layer-tiles by problem, layer, size and levels, with their least cycles.

Of the first, say: twelve blocks of 492 cycles each from DRAM, 48 cycles of loops on the last one,
and 12 for first blocks on chip and the way out.
"""


@pytest.mark.parametrize(("source", "name", "size", "levels", "cycles"), TIGHT)
def test_latencies_of_the_catalogue_are_bounded_closely(
    source: str, name: str, size: dict[str, int], levels: tuple[int, int, int], cycles: int
) -> None:
    """Tests layer-tiles that 50,000 nodes of search did not settle while bounds were low."""
    problem = load_problem(source)
    layer = next(layer for layer in problem.workload.layers if layer.name == name)
    unrolling = problem.hardware.unrolling(problem.workload.name, layer)
    model = build_layer_model(problem.hardware, unrolling, layer, EXACT)
    sizes = size_vector({**layer.sizes, **size})
    place = tuple(n - 1 for n in levels)
    assert 0.9999 * cycles <= lower_bounds(model, sizes)[(*place, 1)] <= cycles
    assert cycles - 1 < mixed_bound(model, sizes, levels, (0.0, 1.0)) <= cycles * (1 + 1e-9)
    search = BestSearch(model, sizes, levels, (0.0, 1.0), 0.0)
    nodes = 0
    while not search.done:
        assert search.bound == round(search.bound) <= cycles
        nodes += search.step()
    assert search.point is not None
    assert search.point.latency_cycles == cycles
    assert nodes < 1_000
