"""What placement bounds know of shared memories."""

import numpy as np
import pytest

from cost.kind_paths import kind_bounds
from solver.stack_option import StackOption, tiles_that_run
from solver.stack_tables import StackTables
from tests.solver.resnet_block import block_on_chip, resnet_tables

BOTH = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.fixture(scope="module")
def tables() -> StackTables:
    """Tables of ResNet-18, whose shortcuts make tiles wait."""
    return resnet_tables()


@pytest.fixture(scope="module")
def on_chip(tables: StackTables) -> StackOption:
    """The block between two maps in the larger activation memory."""
    return block_on_chip(tables)


def test_whole_maps_leave_little_room(tables: StackTables, on_chip: StackOption) -> None:
    maps = tables.map_bits(on_chip)
    assert set(maps) == {on_chip.source}
    for kind in tables.kind_tables(on_chip):
        assert kind.occupancy is not None
        size = tables.domains.sizes_bits[on_chip.source]
        assert kind.occupancy.room[on_chip.source] == size - maps[on_chip.source]
        assert np.isinf(kind.occupancy.room[tables.domains.dram])


def test_maps_read_and_made_in_place_take_none(tables: StackTables, on_chip: StackOption) -> None:
    for kind in tables.kind_tables(on_chip):
        assert kind.occupancy is not None
        read, made = kind.inputs.index(on_chip.source), kind.outputs.index(on_chip.target)
        assert kind.occupancy.input_bits[0, read] == 0
        assert kind.occupancy.output_bits[-1, made] == 0
        assert (np.delete(kind.occupancy.input_bits[0], read) > 0).all()


def test_shortcuts_wait_for_their_readers(tables: StackTables, on_chip: StackOption) -> None:
    graph = tables.graph(on_chip.layers)
    for kind in tables.kind_tables(on_chip):
        assert kind.occupancy is not None
        for e, span in enumerate(graph.waits[: len(graph.layers)]):
            assert tuple(kind.occupancy.waits[e]) == (span.start, span.stop)
    assert any(graph.waits)


def test_what_does_not_fit_beside_the_maps_is_closed(
    tables: StackTables, on_chip: StackOption
) -> None:
    closed = 0
    both = zip(tables.kind_tables(on_chip), tables.lone_tables(on_chip), strict=True)
    for kind, lone in both:
        fits = np.isfinite(kind.f)
        assert not (fits & ~np.isfinite(lone.f)).any()
        assert (kind.f[fits] == lone.f[fits]).all()
        closed += int((np.isfinite(lone.f) & ~fits).sum())
    assert closed > 0


def test_shared_memories_raise_the_bound(tables: StackTables, on_chip: StackOption) -> None:
    # The optimum of this option is 1.67e10 at these weights, as CP-SAT finds in minutes.
    weights = np.array([[13.25587, 2213.0468548343742]])
    assert 1.4e10 < tables.option_bounds(on_chip, weights)[0] < 1.67e10


def test_every_tile_carries_its_share_of_the_weights(
    tables: StackTables, on_chip: StackOption
) -> None:
    tiles = tiles_that_run(tables.tiling(on_chip))
    kinds = tables.kind_tables(on_chip)
    for e, memories in enumerate(kinds[0].weights):
        for w, memory in enumerate(memories):
            arrival = tables.arrival(on_chip.layers[e], memory)
            shared = np.zeros(2)
            for kind in kinds:
                fits = np.isfinite(kind.f[e, w, ..., 0])
                more = tables.with_arrival(on_chip, kind, tiles)[e, w][fits] - kind.f[e, w][fits]
                shared += kind.kind.count * more[0]
            assert shared == pytest.approx(arrival)


def test_never_below_the_bound_of_tensors_alone(tables: StackTables, on_chip: StackOption) -> None:
    tiles = tiles_that_run(tables.tiling(on_chip))
    alone = np.zeros(2)
    for kind in tables.lone_tables(on_chip):
        f = tables.with_arrival(on_chip, kind, tiles)
        alone += kind.kind.count * kind_bounds(f, kind.g, kind.linked, BOTH)
    assert (tables.option_bounds(on_chip, BOTH) >= alone * (1 - 1e-12)).all()
