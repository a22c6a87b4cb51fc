"""Tiles under the reference's rules: effective sizes, cuts, classes, back-propagation."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost.overlap import OverlapMode
from cost.reference_backward import backward_pass, effective_workload
from cost.reference_graph import (
    StackGraph,
    build_stack,
    input_bits,
    input_extent,
    output_bits,
    resized,
    whole_graph,
)
from cost.reference_stacks import (
    automatic_cuts,
    automatic_stacks,
    branch_free_units,
    stacks_from_cuts,
)
from cost.reference_tiles import tile_classes, tile_geometry
from problems import Layer, LayerKind, Precision, Workload, load_problem

PRECISION = Precision(partial_bits=16, output_bits=8, weight_bits=8, input_bits=8)
WORKLOADS = ("fsrcnn", "dmcnn-vd", "mc-cnn", "mobilenet-v1", "resnet-18")


def workload(name: str) -> Workload:
    return load_problem(f"{name}@meta-proto-df").workload


def conv(name: str, source: str, size: int, taps: int = 3, stride: int = 1) -> Layer:
    loops = {"B": 1, "K": 4, "C": 4, "OY": size, "OX": size, "FY": taps, "FX": taps}
    return Layer(
        name=name,
        kind=LayerKind.CONV,
        sources=(source,),
        loops=tuple(loops.items()),
        stride_x=stride,
        stride_y=stride,
        precision=PRECISION,
    )


def add(name: str, sources: tuple[str, str], size: int) -> Layer:
    return Layer(
        name=name,
        kind=LayerKind.ADD,
        sources=sources,
        loops=(("B", 1), ("G", 4), ("OY", size), ("OX", size)),
        precision=replace(PRECISION, weight_bits=0),
    )


def network(*layers: Layer) -> Workload:
    return Workload(
        name="toy",
        input_name="in",
        input_channels=4,
        input_width=1,
        input_height=1,
        input_bits=8,
        layers=layers,
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_effective_sizes_follow_from_the_output_alone(name: str) -> None:
    """Tests that propagation restores the catalogue's sizes after all others are lost."""
    original = workload(name)
    last = original.layers[-1].name
    shrunk = replace(
        original,
        input_width=1,
        input_height=1,
        layers=tuple(
            layer if layer.name == last else resized(layer, (1, 1)) for layer in original.layers
        ),
    )
    assert effective_workload(shrunk) == original


@pytest.mark.parametrize(
    ("problem", "count", "first"),
    [
        ("fsrcnn@meta-proto-df", 0, ()),
        ("mobilenet-v1@meta-proto-df", 4, ("17", "23", "25", "27")),
        ("resnet-18@tpu-like-df", 11, ("13", "16", "17", "18")),
        ("dmcnn-vd@edge-tpu-like", 19, ("0", "1", "2")),
        ("mobilenet-v1@edge-tpu-like", 22, ("7", "8", "9")),
        ("resnet-18@edge-tpu-like", 27, ("1", "2", "3")),
        ("mc-cnn@tpu-like", 5, ("input", "0", "1", "2", "3")),
        ("resnet-18@tpu-like", 29, ("input", "0", "1")),
    ],
)
def test_automatic_cuts(problem: str, count: int, first: tuple[str, ...]) -> None:
    """Tests the cut rule on the cut lists that the reference printed."""
    loaded = load_problem(problem)
    cuts = automatic_cuts(loaded.hardware, loaded.workload)
    assert len(cuts) == count
    assert cuts[: len(first)] == first


@pytest.mark.parametrize("problem", ["resnet-18@meta-proto-df", "mc-cnn@tpu-like"])
def test_stacks_partition_the_layers(problem: str) -> None:
    """Tests that each layer is in one stack, also where a cut follows the first layer."""
    loaded = load_problem(problem)
    stacks = automatic_stacks(loaded.hardware, loaded.workload)
    names = [layer.name for stack in stacks for layer in stack.layers]
    assert sorted(names) == sorted(layer.name for layer in loaded.workload.layers)


def test_units_close_where_no_branch_is_open() -> None:
    """Tests that a residual block stays whole and everything else falls apart."""
    toy = network(
        conv("a", "in", 12),
        conv("b", "a", 10),
        conv("c", "b", 8),
        add("d", ("a", "c"), 8),
        conv("e", "d", 6),
    )
    assert branch_free_units(toy) == (("in", "a"), ("b", "c", "d"), ("e",))


def test_stack_reads_maps_from_outside_as_inputs() -> None:
    """Tests that a cut inside a residual block gives a stack with two inputs."""
    toy = network(conv("a", "in", 12), conv("b", "a", 10), add("c", ("a", "b"), 10))
    stack = build_stack(toy, ["c"])
    assert [source.name for source in stack.inputs] == ["a", "b"]
    assert {source.width for source in stack.inputs} == {10}


def test_stack_with_two_outputs_is_refused() -> None:
    """Tests that the error names the layers that nobody in the stack reads."""
    toy = network(conv("a", "in", 12), conv("b", "a", 10), add("c", ("a", "b"), 10))
    with pytest.raises(ValueError, match="several outputs: b, x"):
        build_stack(replace(toy, layers=(*toy.layers, conv("x", "a", 10))), ["a", "b", "x"])


def test_cut_after_an_unknown_node_is_refused() -> None:
    """Tests that a misspelt cut is named."""
    with pytest.raises(ValueError, match="no node nine"):
        stacks_from_cuts(workload("fsrcnn"), ("nine",))


@given(tile=st.tuples(st.integers(1, 1000), st.integers(1, 600)))
def test_classes_cover_the_output(tile: tuple[int, int]) -> None:
    """Tests that tiles of all classes together have the output's area and tile count."""
    stack = whole_graph(workload("fsrcnn"))
    classes = tile_classes(stack, tile)
    assert sum(each.count * each.width * each.height for each in classes) == 960 * 540
    assert sum(each.count for each in classes) == -(-960 // tile[0]) * -(-540 // tile[1])
    assert sum(each.count for each in classes if each.very_first) == 1
    assert sum(each.count for each in classes if each.very_last) == 1


def test_odd_tiles_come_first() -> None:
    """Tests that the remainder is in the first column and the first row."""
    classes = tile_classes(whole_graph(workload("fsrcnn")), (100, 72))
    assert Counter((each.width, each.height) for each in classes for _ in range(each.count)) == {
        (60, 36): 1,
        (100, 36): 9,
        (60, 72): 7,
        (100, 72): 63,
    }
    assert all((each.width == 60) == each.first_column for each in classes)
    assert all((each.height == 36) == each.first_row for each in classes)


def test_tile_size_must_be_positive() -> None:
    """Tests that a tile without columns is refused."""
    with pytest.raises(ValueError, match="at least 1x1"):
        tile_classes(whole_graph(workload("fsrcnn")), (0, 4))


def computed(stack: StackGraph, mode: OverlapMode, tile: tuple[int, int]) -> dict[str, int]:
    """Pixels that each layer computes over all tiles."""
    total: Counter[str] = Counter()
    for each in tile_classes(stack, tile):
        sizes = tile_geometry(stack, mode, each).sizes
        for layer in stack.layers:
            total[layer.name] += each.count * sizes[layer.name][0] * sizes[layer.name][1]
    return dict(total)


@given(tile=st.tuples(st.integers(1, 1000), st.integers(1, 600)))
def test_full_caching_computes_every_pixel_once(tile: tuple[int, int]) -> None:
    """Tests that with both caches no layer of a stride-1 chain computes a pixel twice."""
    stack = whole_graph(workload("fsrcnn"))
    full = {name: x * y for name, (x, y) in stack.full_sizes.items() if name != "input"}
    assert computed(stack, OverlapMode.FULLY_CACHED, tile) == full


def test_recomputing_computes_the_halo_of_every_tile() -> None:
    """Tests the three modes on one layer: halos of 8 columns and rows, worked by hand."""
    stack = whole_graph(workload("fsrcnn"))
    # Layer 2 lies under four 3x3 layers: 8 columns and rows beyond each 60x60 tile.
    assert computed(stack, OverlapMode.FULLY_RECOMPUTE, (60, 60))["2"] == 16 * 9 * 68 * 68
    assert computed(stack, OverlapMode.H_CACHED, (60, 60))["2"] == 968 * 9 * 68
    assert computed(stack, OverlapMode.FULLY_CACHED, (60, 60))["2"] == 968 * 548


def test_branch_keeps_what_its_slower_consumer_reads() -> None:
    """Tests that a map read by an add and by three convolutions is kept for both.

    The convolutions run 3 columns ahead of the add and alone would share 2; the add's
    next tile starts where its last one ended, 3 columns behind.
    """
    toy = network(
        conv("a", "in", 14),
        conv("b", "a", 12),
        conv("c", "b", 10),
        conv("d", "c", 8),
        add("e", ("a", "d"), 8),
    )
    stack = whole_graph(effective_workload(toy))
    result = backward_pass(stack, (4, 8), reuse_columns=False, reuse_rows=False)
    assert result.sizes["a"] == (10, 14)
    assert result.kept == {"d": (0, 0), "c": (2, 2), "b": (2, 2), "a": (3, 3), "in": (2, 2)}
    assert result.overlap["b", 0] == (2, 2)
    assert result.overlap["e", 0] == (0, 0)


def test_strided_layer_overlaps_less() -> None:
    """Tests overlap and extents of a stride-2 convolution: F - S columns shared."""
    stack = whole_graph(effective_workload(network(conv("a", "in", 20, taps=3, stride=2))))
    assert stack.full_sizes["in"] == (41, 41)
    assert input_extent(stack.last, (5, 4)) == (11, 9)
    cached = backward_pass(stack, (5, 4), reuse_columns=True, reuse_rows=False)
    assert cached.overlap["a", 0] == (1, 1)
    assert cached.sizes["in"] == (10, 9)


def test_caches_and_peak_of_a_middle_tile() -> None:
    """Tests cache room and live bits of a two-layer stack, worked by hand."""
    stack = whole_graph(effective_workload(network(conv("a", "in", 18), conv("b", "a", 16))))
    middle = next(
        each
        for each in tile_classes(stack, (4, 4))
        if not (each.first_column or each.last_column or each.first_row or each.last_row)
    )
    geometry = tile_geometry(stack, OverlapMode.FULLY_CACHED, middle)
    assert geometry.sizes == {"in": (4, 4), "a": (4, 4), "b": (4, 4)}
    # Both layers: 4 channels of 8 bits, operands of 6x6 pixels, 2 columns and rows shared.
    assert geometry.column_cache_bits == 2 * 4 * 6 * 2 * 8
    assert geometry.row_cache_bits == 4 * (20 + 18) * 2 * 8
    assert geometry.corner_bits == 2 * 4 * 2 * 2 * 8
    operand, product = input_bits(stack.last, (4, 4)), output_bits(stack.last, (4, 4))
    assert (operand, product) == (4 * 36 * 8, 4 * 16 * 8)
    assert geometry.alive_bits == operand + product
    # Recomputing: a 6x6 map from an 8x8 input; the cache room stays that of full caching.
    recomputed = tile_geometry(stack, OverlapMode.FULLY_RECOMPUTE, middle)
    assert recomputed.alive_bits == 4 * (64 + 36) * 8
    assert recomputed.column_cache_bits == geometry.column_cache_bits


def test_peak_counts_a_waiting_branch() -> None:
    """Tests that the shortcut's tensor stays alive beside the block's convolutions."""
    toy = network(conv("a", "in", 8, taps=1), conv("b", "a", 8, taps=1), add("c", ("a", "b"), 8))
    stack = whole_graph(toy)
    whole = tile_classes(stack, (8, 8))[0]
    geometry = tile_geometry(stack, OverlapMode.FULLY_RECOMPUTE, whole)
    # While b runs: its operand (a's tensor) and its product; while the add runs: a, b, c.
    assert geometry.alive_bits == 3 * (4 * 64 * 8)


def test_deeply_nested_branches_end() -> None:
    """Tests that a stack whose visits double forty times is settled in one pass."""
    layers: list[Layer] = [conv("c0", "in", 4, taps=1)]
    for i in range(40):
        layers.append(conv(f"b{i}", f"c{i}", 4, taps=1))
        layers.append(add(f"c{i + 1}", (f"c{i}", f"b{i}"), 4))
    stack = whole_graph(network(*layers))
    result = backward_pass(stack, (2, 4), reuse_columns=False, reuse_rows=False)
    assert set(result.sizes.values()) == {(2, 4)}
    assert set(result.kept.values()) == {(0, 0)}
