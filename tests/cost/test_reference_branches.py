"""Graphs with shortcuts under the reference's rules: tables and re-coster against its policy."""

from random import Random

import pytest

from cost.exact_mapper import exact_mapper
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.recost_capacity import StackView, live_peak_bits
from cost.recost_tiles import edge_bits, stack_geometry
from cost.reference_backward import effective_workload
from cost.reference_graph import Extent, StackGraph, build_stack, input_bits, output_bits
from cost.reference_policy import reference_schedule
from cost.reference_stacks import automatic_stacks, stacks_from_cuts
from cost.reference_tiles import TileGeometry, tile_classes, tile_geometry
from cost.rules import DEFINES
from cost.schedule import StackPlan, TilePlan
from cost.stack_graph import stack_graph
from cost.stack_tiles import StackTiling, TileKind, tile_stack
from problems import Problem, load_problem
from solver.policies.written_policy import write_policy
from solver.space import EFFICIENT, StackRange, stack_ranges

MODES = tuple(OverlapMode)
PAIR = "resnet-18@meta-proto-df"


@pytest.fixture(scope="module")
def residual() -> tuple[Problem, tuple[StackRange, ...]]:
    """The reference's ResNet-18 and all stacks that its rules know."""
    problem = load_problem(PAIR)
    return problem, stack_ranges(problem, DEFINES, EFFICIENT, MODES, None)


def position(thing: object) -> tuple[bool, ...]:
    """Which borders a class or kind of tiles touches."""
    if isinstance(thing, TileKind):
        sides = (thing.column, thing.row)
        return tuple(flag for side in sides for flag in (side.is_first, side.is_last))
    names = ("first_column", "last_column", "first_row", "last_row")
    return tuple(getattr(thing, name) for name in names)


@pytest.mark.parametrize("seed", range(24))
def test_sizes_and_amounts_are_the_references(
    residual: tuple[Problem, tuple[StackRange, ...]], seed: int
) -> None:
    """Tests sizes, live bits, caches and copies of random stacks against the policy's."""
    problem, ranges = residual
    rng = Random(seed)
    stack = rng.choice(ranges)
    tile, mode = (rng.choice(stack.widths), rng.choice(stack.heights)), rng.choice(MODES)
    graph = stack_graph(problem.workload, stack.layers, DEFINES)
    tiling = tile_stack(graph, *tile, mode, DEFINES)
    reference = build_stack(problem.workload, [layer.name for layer in graph.layers])
    assert reference.layers == graph.layers
    classes = {position(each): each for each in tile_classes(reference, tile)}
    for kind in tiling.kinds:
        wanted = tile_geometry(reference, mode, classes[position(kind)])
        assert kind.live_bits == wanted.alive_bits
        caches = wanted.column_cache_bits, wanted.row_cache_bits, wanted.corner_bits
        assert (kind.h_cache_bits, kind.v_cache_bits, kind.corner_bits) == caches
        for e, layer in enumerate(graph.layers):
            size = wanted.sizes[layer.name]
            assert kind.sizes[e] == size
            assert kind.operand_bits[e] == input_bits(layer, size)
            assert kind.output_bits[e] == output_bits(layer, size)
        for t in graph.outside:
            edge = graph.edges[graph.readers[t][0]]
            source = reference.input_by_name[graph.layers[edge.layer].sources[edge.operand]]
            assert kind.tensor_bits[t] == source.bits(wanted.sizes[source.name])
        check_writes(tiling, kind, wanted, mode)
        check_walked(problem, reference, tiling, kind, tile)


def check_writes(
    tiling: StackTiling, kind: TileKind, wanted: TileGeometry, mode: OverlapMode
) -> None:
    """What a map leaves in caches is written once, before the layer after its own."""
    graph = tiling.graph
    for e, layer in enumerate(graph.layers[:-1]):
        width, height = wanted.sizes[layer.name]
        columns, rows = wanted.kept[layer.name]
        columns *= wanted.tile.writes_columns(mode)
        rows *= wanted.tile.writes_rows(mode)
        into = {i: kind.edges[i] for i in graph.readers[e]}
        assert sum(edge.h_write_bits for edge in into.values()) == output_bits(
            layer, (columns, height)
        )
        assert sum(edge.h_write_less_v_bits for edge in into.values()) == output_bits(
            layer, (columns, height - rows)
        )
        assert sum(edge.v_write_bits for edge in into.values()) == output_bits(layer, (width, rows))
        for i, edge in into.items():
            assert graph.edges[i].layer == e + 1 or not edge.h_write_bits + edge.v_write_bits


def check_walked(
    problem: Problem, reference: StackGraph, tiling: StackTiling, kind: TileKind, tile: Extent
) -> None:
    """The re-coster walks to the same amounts."""
    names, workload = tuple(layer.name for layer in reference.layers), problem.workload
    geometry = stack_geometry(workload, names, tile, tiling.mode, frozenset(), DEFINES)
    x, y = geometry.columns[kind.column.runs[0][0]], geometry.rows[kind.row.runs[0][0]]
    for i, edge in enumerate(tiling.graph.edges):
        layer = tiling.graph.layers[edge.layer]
        found = edge_bits(workload, names, (layer.sources[edge.operand], layer.name), x, y, DEFINES)
        stated = kind.edges[i]
        for name in ("fresh", "moved", "input", "operand", "h_read", "v_read"):
            assert getattr(found, f"{name}_bits") == getattr(stated, f"{name}_bits"), name
        if edge.tensor < len(names):
            assert found.h_write_bits == stated.h_write_bits
            assert found.h_write_beside_v_bits == stated.h_write_less_v_bits
            assert found.v_write_bits == stated.v_write_bits
    plan = StackPlan(
        layers=names,
        tile_x=tile[0],
        tile_y=tile[1],
        mode=tiling.mode,
        source="dram",
        carried=None,
        target="dram",
        weights=(None,) * len(names),
        arrival_energy_pj=0.0,
        arrival_latency_cycles=0,
        tiles=(),
    )
    view = StackView(
        workload=workload,
        hardware=problem.hardware,
        rules=DEFINES,
        plan=plan,
        layers=reference.layers,
        exports=frozenset(),
        geometry=geometry,
    )
    one = TilePlan(columns=kind.column.runs, rows=kind.row.runs, layers=())
    assert live_peak_bits(view, one) == kind.live_bits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("hardware", "cuts", "tile"),
    [
        ("meta-proto-df", None, (14, 7)),
        ("meta-proto-df", ("1", "27"), (7, 7)),
        ("tpu-like", ("7", "16", "27"), (13, 9)),
        ("edge-tpu-like-df", ("10", "27"), (5, 14)),
        ("ascend-like", None, (28, 31)),
    ],
)
def test_policy_costs_the_same_when_walked(
    hardware: str, cuts: tuple[str, ...] | None, tile: Extent, mode: OverlapMode
) -> None:
    """Tests that the reference's schedule, written out, re-costs to the reference's figures."""
    problem = load_problem(f"resnet-18@{hardware}")
    effective = effective_workload(problem.workload)
    stacks = (
        stacks_from_cuts(effective, cuts)
        if cuts
        else automatic_stacks(problem.hardware, problem.workload)
    )
    decided = reference_schedule(
        problem.hardware,
        problem.workload,
        mode=mode,
        tile=tile,
        mapper=exact_mapper(problem.hardware, problem.workload.name, DEFINES),
        stacks=stacks,
    )
    walked = recost(problem, write_policy(problem, decided, DEFINES), DEFINES)
    assert walked.energy_pj == pytest.approx(decided.energy_pj, rel=1e-9)
    assert walked.latency_cycles == decided.latency_cycles
