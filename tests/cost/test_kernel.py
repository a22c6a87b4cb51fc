"""Costing one layer-tile: a worked example, memory budgets, and what is refused."""

import pytest

from cost.kernel import Overflow, evaluate_layer_tile, fits, overflows
from cost.mapping import LayerTile, TemporalMapping
from cost.rules import DEFINES, EXACT
from problems import load_problem

PROBLEM = load_problem("fsrcnn@meta-proto-df")
HARDWARE = PROBLEM.hardware
LAYER = PROBLEM.workload.by_name["3"]
UNROLLING = HARDWARE.unrolling("fsrcnn", LAYER)
TILE = LayerTile(
    layer=LAYER,
    sizes=tuple({**dict(LAYER.loops), "OX": 60, "OY": 72}.items()),
    levels={"W": 2, "I": 1, "O": 3},
)
LOOPS = (("C", 6), ("FY", 3), ("FX", 3), ("OY", 18), ("OX", 5), ("OX", 3))
MAPPING = TemporalMapping(loops=LOOPS, cuts={"W": (0, 6), "I": (6,), "O": (3, 4, 6)})


def test_worked_example() -> None:
    """Tests every figure of FSRCNN's layer 3 on a 60 x 72 tile (published configuration)."""
    cost = evaluate_layer_tile(HARDWARE, UNROLLING, TILE, MAPPING, DEFINES)
    assert cost.words == {
        ("O", 0, "rl"): 2799360,
        ("O", 0, "wl"): 2799360,
        ("O", 0, "rh"): 51840,
        ("O", 1, "wl"): 810,
        ("O", 1, "rh"): 810,
        ("O", 2, "wl"): 405,
        ("W", 0, "rl"): 349920,
        ("W", 0, "wh"): 349920,
        ("W", 1, "rl"): 5467.5,
        ("I", 0, "rl"): 7290,
    }
    assert cost.level_pj == pytest.approx(
        {
            ("O", 0): 113011.2,
            ("O", 1): 46461.6,
            ("O", 2): 76626,
            ("W", 0): 6998.4,
            ("W", 1): 94041,
            ("I", 0): 193622.4,
        }
    )
    assert cost.mac_pj == pytest.approx(223948.8)
    assert cost.energy_pj == pytest.approx(754709.4)
    assert cost.temporal_cycles == 14580
    assert cost.stall_cycles == 755
    assert cost.loading_cycles == 1
    assert cost.offloading_cycles == 55
    assert cost.latency_cycles == 15336


def test_memory_use_counts_all_tensors_of_a_memory() -> None:
    """Tests the bits in the buffer that inputs and outputs share, and the room left for them."""
    buffer = 4
    inputs = 12 * 62 * 74 * 8
    outputs = 12 * 4 * 72 * 8
    cost = evaluate_layer_tile(HARDWARE, UNROLLING, TILE, MAPPING, DEFINES)
    assert cost.held_bits[buffer] == inputs + outputs
    assert fits(HARDWARE, UNROLLING, TILE, MAPPING, DEFINES)
    enough = {buffer: inputs + outputs}
    assert fits(HARDWARE, UNROLLING, TILE, MAPPING, DEFINES, enough)
    short = {buffer: inputs + outputs - 1}
    assert overflows(HARDWARE, UNROLLING, TILE, MAPPING, DEFINES, short) == (
        Overflow(memory=buffer, held_bits=inputs + outputs, budget_bits=inputs + outputs - 1),
    )


def test_second_copy_takes_room() -> None:
    """Tests that a double-buffered register needs twice its size under the exact rules only."""
    doubled = TemporalMapping(
        loops=LOOPS,
        cuts=MAPPING.cuts,
        double_buffered={"W": (True, False), "I": (False,), "O": (False, True, False)},
    )
    assert fits(HARDWARE, UNROLLING, TILE, doubled, DEFINES)
    registers, buffer = 0, 4
    full = {o.memory for o in overflows(HARDWARE, UNROLLING, TILE, doubled, EXACT)}
    assert full == {registers}
    exact = evaluate_layer_tile(HARDWARE, UNROLLING, TILE, doubled, EXACT)
    single = evaluate_layer_tile(HARDWARE, UNROLLING, TILE, MAPPING, EXACT)
    assert exact.held_bits[buffer] - single.held_bits[buffer] == 12 * 4 * 72 * 8


def test_innermost_level_is_checked() -> None:
    """Tests that an accumulator for one partial sum does not take the outputs of a row."""
    wide = TemporalMapping(loops=LOOPS, cuts={"W": (0, 6), "I": (6,), "O": (4, 4, 6)})
    full = overflows(HARDWARE, UNROLLING, TILE, wide, DEFINES)
    assert [(o.memory, o.held_bits) for o in full] == [(1, 18 * 16)]


def test_mapping_must_cover_the_loops() -> None:
    """Tests that a mapping of another tile is refused, not costed."""
    short = TemporalMapping(loops=LOOPS[:-1], cuts={"W": (0, 5), "I": (5,), "O": (3, 4, 5)})
    with pytest.raises(ValueError, match="loops over OX must multiply to 15"):
        evaluate_layer_tile(HARDWARE, UNROLLING, TILE, short, DEFINES)
    alien = TemporalMapping(loops=(*LOOPS, ("G", 2)), cuts={"W": (0, 7), "I": (7,), "O": (3, 4, 7)})
    with pytest.raises(ValueError, match="unknown dims"):
        evaluate_layer_tile(HARDWARE, UNROLLING, TILE, alien, DEFINES)


def test_mapping_needs_a_cut_per_level() -> None:
    """Tests that cuts for more levels than are kept are refused."""
    extra = TemporalMapping(loops=LOOPS, cuts={"W": (0, 6), "I": (6, 6), "O": (3, 4, 6)})
    with pytest.raises(ValueError, match="tensor I needs one cut for each of its 1 levels"):
        evaluate_layer_tile(HARDWARE, UNROLLING, TILE, extra, DEFINES)


@pytest.mark.parametrize("cuts", [(), (7,), (4, 3, 6), (3, 4, 5), (-1, 6)])
def test_cuts_are_checked(cuts: tuple[int, ...]) -> None:
    """Tests that cuts never decrease and end at the outermost loop."""
    with pytest.raises(ValueError, match="cuts of O"):
        TemporalMapping(loops=LOOPS, cuts={"O": cuts})


def test_top_level_is_never_double_buffered() -> None:
    """Tests that a second copy of a whole tensor is refused."""
    with pytest.raises(ValueError, match="top level of I"):
        TemporalMapping(loops=LOOPS, cuts=MAPPING.cuts, double_buffered={"I": (True,)})


def test_levels_name_the_layers_tensors() -> None:
    """Tests that levels for other tensors, none, or too many are refused."""
    with pytest.raises(ValueError, match=r"its tensors are \['I', 'O', 'W'\]"):
        LayerTile(layer=LAYER, sizes=LAYER.loops, levels={"X": 1, "Y": 1, "O": 1})
    with pytest.raises(ValueError, match="needs a memory level"):
        LayerTile(layer=LAYER, sizes=LAYER.loops, levels={"W": 0, "I": 1, "O": 1})
    tall = LayerTile(layer=LAYER, sizes=TILE.sizes, levels={"W": 9, "I": 1, "O": 3})
    with pytest.raises(ValueError, match="9 levels kept for W, meta-proto-df has 4"):
        evaluate_layer_tile(HARDWARE, UNROLLING, tall, MAPPING, DEFINES)
