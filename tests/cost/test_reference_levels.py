"""Lowest-level-that-fits rules for live features, caches and weights."""

import pytest

from cost.overlap import OverlapMode
from cost.reference_graph import StackGraph, StackInput
from cost.reference_levels import TilePlaces, decide_tile_places, place_input, place_layer
from cost.reference_tiles import TileClass, TileGeometry
from problems import Hardware, Layer, LayerKind, MemoryLevel, Operand, OperandPorts, Precision

LOW, MIDDLE, HIGH = range(3)


def hardware(*sizes_bits: int, holds: str = "IOW", instances: int = 1) -> Hardware:
    """Memories of the given sizes for all operands, below an ample one.

    `holds` and `instances` are those of the innermost memory.
    """

    def memory(index: int, size_bits: int) -> MemoryLevel:
        ports = tuple(
            OperandPorts(operand=Operand(operand), read_down="r", write_from_above="w")
            for operand in (holds if index == 0 else "IOW")
        )
        return MemoryLevel(
            name=f"level {index}",
            size_bits=size_bits,
            read_bits_per_cycle=64,
            write_bits_per_cycle=64,
            read_pj=1.0,
            write_pj=1.0,
            read_granule_bits=64,
            write_granule_bits=64,
            served_dims=("D1",),
            instances=instances if index == 0 else 1,
            shared_read_write_port=False,
            operands=ports,
        )

    return Hardware(
        name="toy",
        array_dims=(("D1", 4),),
        mac_pj=0.04,
        memories=tuple(memory(i, size) for i, size in enumerate((*sizes_bits, 10**9))),
        spatial_rules=(),
    )


def stack(weight_bits: int) -> StackGraph:
    """One pointwise layer of one channel with weights of the given width."""
    layer = Layer(
        name="a",
        kind=LayerKind.POINTWISE,
        sources=("in",),
        loops=(("B", 1), ("K", 1), ("C", 1), ("OY", 8), ("OX", 8)),
        precision=Precision(partial_bits=16, output_bits=8, weight_bits=weight_bits, input_bits=8),
    )
    source = StackInput(name="in", batch=1, channels=1, width=8, height=8, element_bits=8)
    return StackGraph(inputs=(source,), layers=(layer,))


def places(
    memories: Hardware,
    mode: OverlapMode,
    *,
    first_column: bool = False,
    alive: int = 100,
    columns: int = 0,
    rows: int = 0,
    corner: int = 0,
    weights: int = 1,
) -> TilePlaces:
    geometry = TileGeometry(
        tile=TileClass(
            count=1,
            width=8,
            height=8,
            first_column=first_column,
            last_column=False,
            first_row=False,
            last_row=False,
        ),
        sizes={},
        overlap={},
        kept={},
        column_cache_bits=columns,
        row_cache_bits=rows,
        corner_bits=corner,
        alive_bits=alive,
    )
    return decide_tile_places(memories, stack(weights), mode, geometry)


def test_features_take_the_lowest_memory_that_holds_them() -> None:
    """Tests that a memory just large enough is taken, one bit less is not."""
    memories = hardware(100, 200)
    assert places(memories, OverlapMode.FULLY_RECOMPUTE, alive=100).features == LOW
    assert places(memories, OverlapMode.FULLY_RECOMPUTE, alive=101).features == MIDDLE


@pytest.mark.parametrize("low", [{"holds": "O"}, {"holds": "OI", "instances": 2}])
def test_features_need_one_memory_for_inputs_and_outputs(low: dict) -> None:
    """Tests that private and replicated memories are passed over, however large."""
    memories = hardware(1000, 200, **low)
    assert places(memories, OverlapMode.FULLY_RECOMPUTE).features == MIDDLE


def test_caches_exist_only_where_the_mode_asks() -> None:
    """Tests which caches each mode places."""
    memories = hardware(1000)
    chosen = {mode: places(memories, mode) for mode in OverlapMode}
    assert {mode: (p.columns, p.rows) for mode, p in chosen.items()} == {
        OverlapMode.FULLY_RECOMPUTE: (None, None),
        OverlapMode.H_CACHED: (LOW, None),
        OverlapMode.FULLY_CACHED: (LOW, LOW),
    }


def test_first_column_does_not_count_its_column_cache() -> None:
    """Tests that the column cache adds to the features, but not in the first column."""
    memories = hardware(100, 200)
    inner = places(memories, OverlapMode.H_CACHED, alive=80, columns=30)
    assert (inner.features, inner.columns) == (LOW, MIDDLE)
    first = places(memories, OverlapMode.H_CACHED, alive=80, columns=30, first_column=True)
    assert (first.features, first.columns) == (LOW, LOW)


def test_rows_beside_columns_share_their_corner() -> None:
    """Tests that the corner is saved only in the memory that holds both caches."""
    mode = OverlapMode.FULLY_CACHED
    both = places(hardware(150, 151), mode, alive=100, columns=20, rows=40, corner=10)
    assert (both.columns, both.rows) == (LOW, LOW)
    apart = places(hardware(119, 151, 500), mode, alive=100, columns=20, rows=40, corner=10)
    assert (apart.columns, apart.rows) == (MIDDLE, MIDDLE)
    # 160 bits with the corner: too much for level 1, which holds no column cache.
    above = places(hardware(120, 155, 500), mode, alive=100, columns=20, rows=40, corner=10)
    assert (above.columns, above.rows) == (LOW, HIGH)


@pytest.mark.parametrize(
    ("size", "mode", "expected"),
    [
        # 50 bits of weights beside 100 bits alive
        (150, OverlapMode.FULLY_RECOMPUTE, LOW),
        (149, OverlapMode.FULLY_RECOMPUTE, MIDDLE),
        # and 20 bits of column cache
        (170, OverlapMode.H_CACHED, LOW),
        (169, OverlapMode.H_CACHED, MIDDLE),
        # and 40 bits of row cache, less a corner of 10
        (200, OverlapMode.FULLY_CACHED, LOW),
        (199, OverlapMode.FULLY_CACHED, MIDDLE),
    ],
)
def test_weights_lie_beside_features_and_caches(
    size: int, mode: OverlapMode, expected: int
) -> None:
    """Tests that weights fit only beside what the same memory is given to hold."""
    memories = hardware(size)
    chosen = places(memories, mode, alive=100, columns=20, rows=40, corner=10, weights=50)
    assert (chosen.features, chosen.weights) == (LOW, expected)


def test_weights_above_the_features_have_a_memory_to_themselves() -> None:
    """Tests that a memory above the features counts the weights alone."""
    memories = hardware(120, 50)
    assert places(memories, OverlapMode.FULLY_RECOMPUTE, alive=100, weights=50).weights == MIDDLE


def test_too_many_weights_stay_at_the_top() -> None:
    """Tests that weights that fit nowhere are read from the top of the chain."""
    memories = hardware(120, 50)
    chosen = places(memories, OverlapMode.FULLY_RECOMPUTE, alive=100, weights=2 * 10**9)
    assert chosen.weights == HIGH


def test_output_shares_a_memory_with_the_inputs() -> None:
    """Tests that an output counts the inputs where both lie, and the last goes to the top."""
    layer = stack(8).last
    roomy, tight = hardware(1024, 2048), hardware(1023, 2048)
    # 64 pixels of 8 bits in and out
    inside = place_layer(roomy, layer, (8, 8), is_last=False, weights=LOW)
    assert (inside.inputs, inside.output) == (LOW, LOW)
    inside = place_layer(tight, layer, (8, 8), is_last=False, weights=LOW)
    assert (inside.inputs, inside.output) == (LOW, MIDDLE)
    last = place_layer(roomy, layer, (8, 8), is_last=True, weights=LOW)
    assert (last.inputs, last.output) == (LOW, HIGH)


def test_input_that_fits_nowhere_is_named() -> None:
    """Tests the error for a stack input larger than every memory."""
    source = stack(8).inputs[0]
    with pytest.raises(ValueError, match="no memory holds 2000000000 bits of input in"):
        place_input(hardware(100), source, 2 * 10**9)
