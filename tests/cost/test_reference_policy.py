"""The reference's schedules: decisions, copies, counts and totals against recorded ones."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cost.exact_mapper import exact_mapper
from cost.loop_order_search import LoopOrderSearch
from cost.overlap import OverlapMode
from cost.policy_result import MappedLayer, Mapper, PolicyResult, ScheduledTile
from cost.reference_graph import ReferenceRuleError
from cost.reference_mapper import loop_order_mapper
from cost.reference_policy import NoMappingError, reference_schedule
from cost.rules import DEFINES
from problems import Hardware, Layer, Operand, load_problem

GOLDEN = sorted((Path(__file__).parents[1] / "data" / "golden").glob("schedule_*.json"))
LAYERS_COUNTED_TWICE = "schedule_mc-cnn__tpu-like__m3_32x32_lpf6"
"""Here the reference overlooks a cut after layer 0 and evaluates layers twice."""
SWEEP = json.loads((GOLDEN[0].parent / "sweep_fsrcnn__meta-proto-df.json").read_text())
WHOLE = [path for path in GOLDEN if path.stem != LAYERS_COUNTED_TWICE]

FREE = MappedLayer(
    mac_pj=0.0,
    memory_pj=(),
    temporal_cycles=0,
    stall_cycles=0,
    loading_cycles=0,
    mapping=None,
)


def key(layer: str, columns: int, rows: int, levels: Mapping[str, int]) -> tuple[Any, ...]:
    """Tell layer-tiles apart by layer, size and levels."""
    return layer, columns, rows, tuple(sorted(levels.items()))


def recorded_mapper(golden: dict[str, Any], hardware: Hardware) -> Mapper:
    """A mapper that looks layer-tiles up; what the reference never mapped does not fit."""
    names = [memory.name for memory in hardware.memories]
    known: dict[tuple[Any, ...], MappedLayer] = {}
    for layer, columns, rows, _, levels, mac, memories, *cycles in golden["layers"]:
        known[key(layer, columns, rows, levels)] = MappedLayer(
            mac_pj=mac,
            memory_pj=tuple((Operand(o), names.index(name), pj) for o, name, pj in memories),
            temporal_cycles=cycles[0],
            stall_cycles=cycles[1],
            loading_cycles=cycles[2],
            mapping=None,
        )

    def mapper(
        layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        plain = {operand.value: kept for operand, kept in levels.items()}
        return known.get(key(layer.name, sizes["OX"], sizes["OY"], plain))

    return mapper


def schedule(golden: dict[str, Any], mapper: Mapper | None = None) -> PolicyResult:
    problem = load_problem(golden["problem"])
    return reference_schedule(
        problem.hardware,
        problem.workload,
        mode=OverlapMode(golden["mode"]),
        tile=tuple(golden["tile"]),
        mapper=mapper or recorded_mapper(golden, problem.hardware),
    )


def tiles(result: PolicyResult) -> Iterator[ScheduledTile]:
    for stack in result.stacks:
        yield from stack.tiles


def phases(result: PolicyResult) -> Counter[tuple[Any, ...]]:
    """Every copy phase with its actions, cycles, energy and count."""
    names = result.memory_names
    found: Counter[tuple[Any, ...]] = Counter()
    for tile in tiles(result):
        nodes = [("input", each.copies) for each in tile.inputs]
        nodes += [(each.name, each.copies) for each in tile.layers]
        for node, copies in nodes:
            actions = [
                (a.bits, str(a.from_operand), names[a.from_memory], str(a.to_operand),
                 names[a.to_memory])
                for a in copies.actions
            ]  # fmt: skip
            parts = (node, tuple(sorted(actions)), copies.latency_cycles)
            found[(*parts, round(copies.energy_pj, 3))] += tile.tile.count
    return found


def recorded_phases(golden: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for node, count, cycles, energy, actions in golden["copies"]:
        plain = tuple(sorted(tuple(action[:5]) for action in actions))
        found[node, plain, cycles, round(energy, 3)] += count
    return found


def layer_tiles(result: PolicyResult) -> Counter[tuple[Any, ...]]:
    """Every layer-tile with its size, levels and count."""
    found: Counter[tuple[Any, ...]] = Counter()
    for tile in tiles(result):
        for layer in tile.layers:
            sizes, levels = dict(layer.sizes), {str(o): kept for o, kept in layer.levels}
            found[key(layer.name, sizes["OX"], sizes["OY"], levels)] += tile.tile.count
    return found


def recorded_layer_tiles(golden: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for layer, columns, rows, count, levels, *_ in golden["layers"]:
        found[key(layer, columns, rows, levels)] += count
    return found


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_decisions_copies_and_totals_are_the_recorded_ones(path: Path) -> None:
    """Tests layer-tiles with levels, copy phases, counts and totals, mappings being given."""
    golden = json.loads(path.read_text())
    result = schedule(golden)
    assert layer_tiles(result) == recorded_layer_tiles(golden)
    assert phases(result) == recorded_phases(golden)
    assert result.energy_pj == pytest.approx(golden["energy_pj"], rel=1e-9)
    assert result.latency_cycles == golden["latency_cycles"]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_breakdowns_add_up(path: Path) -> None:
    """Tests that energy by cause, by memory, and cycles by cause are the totals."""
    result = schedule(json.loads(path.read_text()))
    energy, latency = result.energy, result.latency
    by_cause = energy.mac_pj + sum(pj for _, pj in energy.operand_pj) + energy.copies_pj
    assert by_cause == pytest.approx(result.energy_pj, rel=1e-9)
    by_memory = energy.mac_pj + sum(pj for _, pj in energy.memory_pj)
    assert by_memory == pytest.approx(result.energy_pj, rel=1e-9)
    computing = latency.temporal_cycles + latency.stall_cycles + latency.loading_cycles
    assert computing + latency.copies_cycles == result.latency_cycles
    assert result.edp == result.energy_pj * result.latency_cycles


def test_layers_are_counted_once_where_the_reference_counts_twice() -> None:
    """Tests that a cut after layer 0 counts, and later layers are as recorded.

    The reference puts layers 0 and 1 into a stack of their own again, and once more all
    four; from layer 2 on its stacks are right.
    """
    golden = json.loads(next(p for p in GOLDEN if p.stem == LAYERS_COUNTED_TWICE).read_text())
    result = schedule(golden, lambda layer, sizes, levels: FREE)
    assert [stack.layers for stack in result.stacks] == [("0",), ("1",), ("2",), ("3",)]
    ours, recorded = layer_tiles(result), recorded_layer_tiles(golden)
    later = {tile: count for tile, count in ours.items() if tile[0] in "23"}
    assert later
    # Layer 3 ends a stack in both of the reference's versions, so it is recorded twice.
    assert all(recorded[tile] >= count for tile, count in later.items())


def searched(golden: dict[str, Any]) -> PolicyResult:
    """The schedule with temporal mappings found by the reference's own search."""
    problem = load_problem(golden["problem"])
    search = LoopOrderSearch(hardware=problem.hardware, limit=golden["lpf_limit"])
    return schedule(golden, loop_order_mapper(search, problem.workload.name))


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_totals_with_the_mapping_search(path: Path) -> None:
    """Tests that nothing given but problem, mode and tile leads to the recorded totals."""
    golden = json.loads(path.read_text())
    result = searched(golden)
    assert result.energy_pj == pytest.approx(golden["energy_pj"], rel=1e-9)
    assert result.latency_cycles == golden["latency_cycles"]


def test_total_where_the_reference_counts_layers_twice() -> None:
    """Tests the total of single-layer stacks, also known with the reference's slip mended."""
    golden = json.loads(next(p for p in GOLDEN if p.stem == LAYERS_COUNTED_TWICE).read_text())
    result = searched(golden)
    assert result.energy_pj == pytest.approx(3.64304388e10, rel=1e-9)
    assert result.latency_cycles == 77293504


def check_sweep(rows: list[list[Any]]) -> None:
    problem = load_problem("fsrcnn@meta-proto-df")
    search = LoopOrderSearch(hardware=problem.hardware, limit=6)
    mapper = loop_order_mapper(search, problem.workload.name)
    for mode, columns, rows_, energy, cycles in rows:
        golden = {"problem": problem.name, "mode": mode, "tile": [columns, rows_]}
        result = schedule(golden, mapper)
        assert result.energy_pj == pytest.approx(energy, rel=1e-9), golden
        assert result.latency_cycles == cycles, golden


def test_part_of_the_sweep() -> None:
    """Tests eight rows of the sweep: all modes, small and large tiles."""
    check_sweep(SWEEP[::10])


@pytest.mark.slow
def test_whole_sweep() -> None:
    """Tests all 73 recorded rows of the sweep."""
    assert len(SWEEP) == 73
    check_sweep(SWEEP)


def test_first_tile_alone_maps_weights_from_dram() -> None:
    """Tests that only the tile that starts a stack keeps all weight levels."""
    golden = json.loads(WHOLE[-1].read_text()) | {"problem": "fsrcnn@meta-proto-df"}
    golden |= {"mode": "fully-cached", "tile": [60, 72]}
    result = schedule(golden, lambda layer, sizes, levels: FREE)
    for tile in tiles(result):
        kept = {dict(layer.levels)[Operand.W] for layer in tile.layers}
        assert kept == ({4} if tile.tile.very_first else {2})


def test_levels_rise_until_a_mapping_fits() -> None:
    """Tests that outputs get an extra level before inputs, and copies follow."""
    golden = {"problem": "fsrcnn@meta-proto-df", "mode": "fully-recompute", "tile": [60, 72]}
    asked: list[tuple[int, int]] = []

    def mapper(
        layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        if layer.name != "3":
            return FREE
        asked.append((levels[Operand.O], levels[Operand.I]))
        return FREE if levels[Operand.I] == 2 else None

    result = schedule(golden, mapper)
    assert asked[:3] == [(3, 1), (4, 1), (3, 2)]
    layer = next(tiles(result)).layers[3]
    assert result.memory_names[layer.places.inputs] == "sram_1MB_A"


def test_dilation_is_refused() -> None:
    """Tests that rules that count distinct pixels at dilation 1 say so."""
    problem = load_problem("fsrcnn@meta-proto-df")
    first, *rest = problem.workload.layers
    dilated = replace(problem.workload, layers=(replace(first, dilation_x=2), *rest))
    with pytest.raises(ReferenceRuleError, match="layer 0: the rules defines know no dilation"):
        reference_schedule(
            problem.hardware,
            dilated,
            mode=OverlapMode.FULLY_CACHED,
            tile=(60, 72),
            mapper=lambda layer, sizes, levels: FREE,
        )


def test_padding_is_ignored() -> None:
    """Tests that the padded network is scheduled as large as the reference's form of it."""
    results = []
    for name in ("mobilenet-v1", "mobilenet-v1-padded"):
        golden = {"problem": f"{name}@meta-proto-df", "mode": "fully-cached", "tile": [7, 7]}
        results.append(schedule(golden, lambda layer, sizes, levels: FREE))
    reference, padded = ([tile.inputs[0].extent for tile in tiles(each)] for each in results)
    assert reference == padded
    assert results[0].energy_pj == results[1].energy_pj


def test_nothing_fits() -> None:
    """Tests that the error names the layer and its sizes."""
    golden = {"problem": "fsrcnn@meta-proto-df", "mode": "fully-recompute", "tile": [60, 72]}
    with pytest.raises(NoMappingError, match="layer 0 at sizes B=1, K=56, C=1, OY=46, OX=70"):
        schedule(golden, lambda layer, sizes, levels: None)


def test_error_names_the_memory_that_the_smallest_blocks_overfill() -> None:
    """Tests an add: its two inputs share a memory too small for one step of the array."""
    problem = load_problem("resnet-18-padded@tesla-npu-like")
    mapper = exact_mapper(problem.hardware, problem.workload.name, DEFINES)
    text = (
        r"layer layer1\.0\.add at sizes .* fits the memories of tesla-npu-like: its smallest "
        "blocks in sram_1KB_I need 15,568 bits, the limit is 8,192 bits"
    )
    with pytest.raises(NoMappingError, match=text):
        reference_schedule(
            problem.hardware,
            problem.workload,
            mode=OverlapMode.FULLY_CACHED,
            tile=(28, 28),
            mapper=mapper,
        )
