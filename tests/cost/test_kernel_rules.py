"""Each switch of the rules that concerns a layer-tile, against counts made by hand."""

from dataclasses import replace

import pytest

from cost.kernel import LayerTileCost, evaluate_layer_tile
from cost.latency import PortUse, covered_cycles
from cost.mapping import LayerTile, TemporalMapping
from cost.rules import DEFINES, EXACT, RuleSet
from problems import Hardware, Layer, LayerKind, Operand, Unroll
from tests.cost.small_hardware import (
    ACCUMULATOR,
    DRAM,
    SMALL,
    UNROLL_K,
    hardware,
    layer,
    memory,
    ports,
)

POINTWISE = layer(LayerKind.POINTWISE, B=1, K=2, C=3, OY=1, OX=2)


def cost(
    of: Layer,
    loops: tuple[tuple[str, int], ...],
    rules: RuleSet,
    *,
    on: Hardware = SMALL,
    unroll: tuple[Unroll, ...] = (),
    double_buffered: dict[str, tuple[bool, ...]] | None = None,
    **cuts: tuple[int, ...],
) -> LayerTileCost:
    """Cost a whole layer, the kept levels following from the cuts."""
    tile = LayerTile(
        layer=of, sizes=of.loops, levels={name: len(row) for name, row in cuts.items()}
    )
    mapping = TemporalMapping(loops=loops, cuts=cuts, double_buffered=double_buffered)
    return evaluate_layer_tile(on, unroll, tile, mapping, rules)


def words(found: LayerTileCost, name: str, level: int) -> dict[str, float]:
    """Word accesses of a tensor at a level, by direction, those that happen."""
    return {d: n for (t, m, d), n in found.words.items() if (t, m) == (name, level)}


PSUMS = replace(DEFINES, exact_partial_sums=True)


def test_sums_kept_in_the_accumulator_come_back_between_macs_only() -> None:
    """Tests 12 writes for 4 outputs of 3 products each: 8 read-backs, all finals leave once."""
    order = (("C", 3), ("K", 2), ("OX", 2))
    cuts = {"W": (3,), "I": (3,), "O": (1, 3)}
    exact = cost(POINTWISE, order, PSUMS, **cuts)
    assert words(exact, "O", 0) == {"wl": 12, "rl": 8, "rh": 4}
    assert words(exact, "O", 1) == {"wl": 4}
    reference = cost(POINTWISE, order, DEFINES, **cuts)
    assert words(reference, "O", 0) == {"wl": 12, "rl": 12, "rh": 4}
    assert words(reference, "O", 1) == {"wl": 4}


def test_sums_that_leave_the_accumulator_return_narrow_only_at_the_end() -> None:
    """Tests that of 12 writes to the buffer 8 take two words and the last 4 take one."""
    order = (("K", 2), ("C", 3), ("OX", 2))
    cuts = {"W": (3,), "I": (3,), "O": (0, 3)}
    exact = cost(POINTWISE, order, PSUMS, **cuts)
    assert words(exact, "O", 0) == {"wl": 12, "rl": 8, "rh": 12, "wh": 8}
    assert words(exact, "O", 1) == {"wl": 8 * 2 + 4, "rl": 8 * 2}
    # Writes: 20 busy cycles, the first one's 2 are free, 11 windows of one cycle: 7 late.
    # Read-backs: 16 busy cycles, none free, 8 windows: 8 late.
    assert exact.stall_cycles == 8
    reference = cost(POINTWISE, order, DEFINES, **cuts)
    assert words(reference, "O", 1) == {"wl": 24, "rl": 24}
    assert reference.stall_cycles == 11


def test_a_level_holds_wide_sums_if_a_reduction_goes_on_above_its_lower_edge() -> None:
    """Tests the bits that accumulator and buffer hold when sums stay, and when they leave."""
    inner = cost(POINTWISE, (("C", 3), ("K", 2), ("OX", 2)), PSUMS, W=(3,), I=(3,), O=(1, 3))
    assert inner.held_bits == {0: 16, 1: 6 * 8, 2: 6 * 8 + 4 * 8}
    outer = cost(POINTWISE, (("K", 2), ("C", 3), ("OX", 2)), PSUMS, W=(3,), I=(3,), O=(0, 3))
    assert outer.held_bits == {0: 16, 1: 6 * 8, 2: 6 * 8 + 4 * 16}


def test_integer_unrolling_counts_whole_macs_and_clips_to_the_tile() -> None:
    """Tests 3 output channels on 2 MACs: two steps, both MACs fed, 3 channels held."""
    three = layer(LayerKind.POINTWISE, B=1, K=3, C=3, OY=1, OX=1)
    loops = (("C", 3), ("K", 2))
    cuts = {"W": (2,), "I": (2,), "O": (1, 2)}
    rules = replace(DEFINES, integer_unrolling=True)
    exact = cost(three, loops, rules, unroll=UNROLL_K, **cuts)
    assert (exact.temporal_cycles, exact.ideal_cycles, exact.mac_pj) == (6, 5, 9.0)
    assert words(exact, "W", 0) == {"rl": 6}  # 16 bits for two MACs in each of 6 steps
    assert words(exact, "O", 0) == {"wl": 12, "rl": 12, "rh": 4}
    assert words(exact, "O", 1) == {"wl": 4}  # twice two channels of 8 bits
    assert exact.held_bits == {0: 16, 1: 9 * 8, 2: 3 * 8 + 3 * 8}
    # The reference sees 1.5 MACs, of which it feeds one whole one with weights.
    reference = cost(three, loops, DEFINES, unroll=UNROLL_K, **cuts)
    assert words(reference, "O", 1) == {"wl": 2}


def test_true_spans_count_skipped_pixels() -> None:
    """Tests a filter of one tap with stride 2: 4 outputs touch 4 of 7 inputs."""
    sparse = layer(LayerKind.CONV, stride=2, B=1, K=1, C=1, OY=1, OX=4, FY=1, FX=1)
    loops = (("OX", 4),)
    cuts = {"W": (1,), "I": (1,), "O": (0, 1)}
    spans = cost(sparse, loops, replace(DEFINES, true_spans=True), **cuts)
    pixels = cost(sparse, loops, DEFINES, **cuts)
    outputs_bits = 4 * 8
    assert spans.held_bits[2] == 7 * 8 + outputs_bits
    assert pixels.held_bits[2] == 4 * 8 + outputs_bits


STREAMED = layer(LayerKind.POINTWISE, B=1, K=4, C=1, OY=1, OX=2)


@pytest.mark.parametrize(("flagged", "stall"), [(True, 0), (False, 3)])
def test_double_buffered_level_has_the_whole_period(flagged: bool, stall: int) -> None:
    """Tests a pixel used for 4 cycles and fetched in 4: too late if there is one copy only.

    Without a second copy it may be replaced in the last of the 4 cycles alone.
    """
    rules = replace(DEFINES, explicit_double_buffering=True)
    found = cost(
        STREAMED,
        (("K", 4), ("OX", 2)),
        rules,
        double_buffered={"W": (False,), "I": (flagged, False), "O": (False, False)},
        W=(2,),
        I=(1, 2),
        O=(0, 2),
    )
    assert found.stall_cycles == stall
    assert found.held_bits[2] == 8 * (2 if flagged else 1) + 8 * 8
    assert found.held_bits[3] == 2 * 8


def test_the_reference_grants_double_buffers_by_itself() -> None:
    """Tests that a memory less than half full refills in the background, at no cost in bits."""
    found = cost(STREAMED, (("K", 4), ("OX", 2)), DEFINES, W=(2,), I=(1, 2), O=(0, 2))
    assert found.stall_cycles == 0
    assert found.held_bits[2] == 8 + 8 * 8


def test_half_shared_loading_adds_up() -> None:
    """Tests two hops that each share one port with the weights: 2 and 4 cycles."""
    near = memory("near", 8, ports(Operand.I, "r", "w"))
    shared = memory(
        "shared",
        4,
        ports(Operand.I, "r", "w"),
        ports(Operand.W, "r", "w"),
        ports(Operand.O, "r", "w", "w", "r"),
    )
    on = hardware(ACCUMULATOR, near, shared, DRAM)
    loops = (("K", 4), ("OX", 2))
    cuts = {"W": (2,), "I": (1, 1, 2), "O": (0, 2)}
    both = cost(
        STREAMED, loops, replace(DEFINES, accumulate_half_shared_loading=True), on=on, **cuts
    )
    last = cost(STREAMED, loops, DEFINES, on=on, **cuts)
    assert (both.loading_cycles, last.loading_cycles) == (2 + 4, 4)


def test_last_drain_counts_where_the_rules_say_so() -> None:
    """Tests that offloading joins the latency under its switch only."""
    loops = (("C", 3), ("K", 2), ("OX", 2))
    cuts = {"W": (3,), "I": (3,), "O": (1, 3, 3)}
    drained = cost(POINTWISE, loops, replace(DEFINES, charge_last_drain=True), **cuts)
    reference = cost(POINTWISE, loops, DEFINES, **cuts)
    # 4 outputs of 8 bits over 2 bits a cycle, and a cycle for the hop below.
    assert reference.offloading_cycles == 16 + 1
    assert drained.latency_cycles - reference.latency_cycles == 16 + 1


def test_exact_rules_cost_no_more_traffic_than_the_reference() -> None:
    """Tests that without remainders the exact rules differ by what partial sums save."""
    loops = (("K", 2), ("C", 3), ("OX", 2))
    cuts = {"W": (3,), "I": (3,), "O": (0, 3)}
    exact = cost(POINTWISE, loops, EXACT, **cuts)
    reference = cost(POINTWISE, loops, DEFINES, **cuts)
    saved = {key: n - exact.words[key] for key, n in reference.words.items()}
    assert {key for key, n in saved.items() if n} == {
        ("O", 0, "rl"),
        ("O", 0, "wh"),
        ("O", 1, "wl"),
        ("O", 1, "rl"),
    }
    assert min(saved.values()) == 0


@pytest.mark.parametrize(
    "windows",
    [
        [(4, 2), (12, 3)],
        [(4, 1), (4, 3), (8, 5)],
        [(2, 1), (6, 4), (12, 11)],
        [(3, 1), (6, 2), (24, 13)],
        [(5, 2)],
    ],
)
def test_covered_cycles_counts_marked_cycles(windows: list[tuple[int, int]]) -> None:
    """Tests the union of windows against marking every cycle."""
    total = 2 * max(period for period, _ in windows)
    uses = [
        PortUse(period_cycles=period, window_cycles=window, busy_cycles=0, window_sum_cycles=0)
        for period, window in windows
    ]
    marked = sum(
        any(cycle % period < window for period, window in windows) for cycle in range(total)
    )
    assert covered_cycles(uses, total) == marked
