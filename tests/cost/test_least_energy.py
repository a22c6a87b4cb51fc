"""The mapping of least energy against enumeration, the search over orders, and the kernel."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from cost.boundary_tables import SIZE
from cost.kernel import evaluate_layer_tile, fits
from cost.layer_model import LayerModel, build_layer_model
from cost.least_energy import least_energy_mapping
from cost.mapping import LayerTile, TemporalMapping
from cost.mapping_search import MappingPoint, pareto_set, size_vector
from cost.rules import DEFINES, EXACT, RuleSet
from cost.search_input import Aim
from problems import Hardware, Layer, load_problem
from tests.cost.test_mapping_oracle import random_case

LAYER_TILES = (
    ("fsrcnn@meta-proto-df", "7", {"OX": 60, "OY": 36}, (4, 2, 4)),
    ("fsrcnn@meta-proto-df", "5", {"OX": 62, "OY": 272}, (4, 2, 3)),
    ("fsrcnn@meta-proto-df", "1", {"OX": 20, "OY": 18}, (2, 3, 3)),
    ("fsrcnn@ascend-like-df", "7", {"OX": 60, "OY": 12}, (4, 3, 4)),
    ("fsrcnn@tpu-like-df", "4", {"OX": 32, "OY": 36}, (3, 2, 2)),
    ("resnet-18@meta-proto-df", "14", {"OX": 14, "OY": 14}, (4, 3, 3)),
)
"""(problem, layer, tile, levels of W, I and O); shared memories bind in some."""


def narrowed(hardware: Hardware, rng: Random) -> list[int]:
    """Sizes of the memories, all but the largest cut down at random."""
    sizes = [memory.size_bits for memory in hardware.memories]
    return [bits if bits > 1 << 20 else int(bits * rng.uniform(0.4, 1)) for bits in sizes]


def with_memories(model: LayerModel, sizes: list[int]) -> LayerModel:
    """The model on memories of other sizes."""
    memory = model.memory.copy()
    memory[:, SIZE] = sizes
    return replace(model, memory=memory)


def kernel_differs(
    hardware: Hardware,
    workload: str,
    layer: Layer,
    tile: LayerTile,
    point: MappingPoint,
    rules: RuleSet,
) -> str:
    """What the kernel says otherwise of a mapping; empty if it agrees."""
    unroll = hardware.unrolling(workload, layer)
    flags = point.double_buffered if rules.explicit_double_buffering else None
    mapping = TemporalMapping(loops=point.loops, cuts=point.cuts, double_buffered=flags)
    cost = evaluate_layer_tile(hardware, unroll, tile, mapping, rules)
    if not fits(hardware, unroll, tile, mapping, rules):
        return "does not fit"
    if abs(cost.energy_pj - point.energy_pj) > 1e-9 * cost.energy_pj:
        return f"energy {cost.energy_pj}, not {point.energy_pj}"
    if cost.latency_cycles != point.latency_cycles:
        return f"latency {cost.latency_cycles}, not {point.latency_cycles}"
    return ""


def mismatch(seed: int, rules: RuleSet) -> str:
    """How the mapping differs from the best of all; empty if it does not."""
    hardware, layer, levels, mappings = random_case(seed, rules)
    rng = Random(seed)
    for sizes in ([m.size_bits for m in hardware.memories], narrowed(hardware, rng)):
        memories = tuple(
            replace(memory, size_bits=bits)
            for memory, bits in zip(hardware.memories, sizes, strict=True)
        )
        own = replace(hardware, memories=memories)
        model = build_layer_model(own, own.unrolling("net", layer), layer, rules)
        point = least_energy_mapping(
            model, size_vector(layer.sizes), (levels["W"], levels["I"], levels["O"])
        )
        wanted = mappings.pareto(dict(enumerate(sizes)))
        if (point is None) != (not wanted):
            return f"seed {seed}: {point}, all mappings {wanted}"
        if point is None:
            continue
        least = min(energy for energy, _ in wanted)
        tile = LayerTile(layer=layer, sizes=layer.loops, levels=levels)
        said = kernel_differs(own, "net", layer, tile, point, rules)
        if said or abs(point.energy_pj - least) > 1e-9 * least:
            return f"seed {seed} ({rules.name}, {sizes}): {point}, least {least}; {said}"
    return ""


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_energy_is_the_least_of_all_mappings(rules: RuleSet, block: int) -> None:
    """Tests least energy and the kernel's word on it, on whole and narrowed memories."""
    wrong = [mismatch(seed, rules) for seed in range(15 * block, 15 * (block + 1))]
    assert not any(wrong), next(text for text in wrong if text)


@pytest.mark.parametrize("most", [1 << 20, 1], ids=["priced", "searched"])
@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
def test_energy_is_the_least_where_memories_bind(
    rules: RuleSet, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests prices on memories, and the search over loop orders that takes over at last."""
    monkeypatch.setattr("cost.least_energy.FEW_LABELS", 1)
    monkeypatch.setattr("cost.least_energy.UNPRICED_LABELS", 1)
    monkeypatch.setattr("cost.least_energy.MOST_LABELS", most)
    wrong = [mismatch(seed, rules) for seed in range(400, 415)]
    assert not any(wrong), next(text for text in wrong if text)


@pytest.mark.parametrize("rules", [EXACT, DEFINES], ids=lambda rules: rules.name)
@pytest.mark.parametrize("case", LAYER_TILES, ids=lambda case: f"{case[0]}-{case[1]}")
def test_search_over_loop_orders_finds_nothing_cheaper(
    case: tuple[str, str, dict[str, int], tuple[int, int, int]], rules: RuleSet
) -> None:
    """Tests layer-tiles of the catalogue whose mappings are too many to enumerate."""
    source, name, extent, levels = case
    problem = load_problem(source)
    layer = next(each for each in problem.workload.layers if each.name == name)
    model = build_layer_model(
        problem.hardware, problem.hardware.unrolling(problem.workload.name, layer), layer, rules
    )
    sizes = layer.sizes | extent
    point = least_energy_mapping(model, size_vector(sizes), levels)
    less = np.inf if point is None else point.energy_pj * (1 - 1e-8)
    aim = Aim(weights=(1.0, 0.0), weighted_only=True, weighted_cutoff=less, energy_cutoff_pj=less)
    assert not pareto_set(model, size_vector(sizes), levels, aim)
    if point is not None:
        kept = dict(zip(model.operands, levels, strict=True))
        own = {dim: sizes[dim] for dim, _ in layer.loops}
        tile = LayerTile(layer=layer, sizes=tuple(own.items()), levels=kept)
        assert not kernel_differs(
            problem.hardware, problem.workload.name, layer, tile, point, rules
        )
