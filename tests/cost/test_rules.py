"""Each switch of the rules on each layer kind: where it changes the cost and where not."""

from dataclasses import fields, replace

import pytest

from cost.kernel import LayerTileCost, evaluate_layer_tile
from cost.mapping import LayerTile, TemporalMapping, operand_names
from cost.overlap import OverlapMode
from cost.reference_copies import copies_before
from cost.reference_graph import build_stack
from cost.reference_levels import CachePlaces, LayerPlaces
from cost.reference_tiles import tile_classes, tile_geometry
from cost.rules import DEFINES, EXACT, RuleSet
from problems import Hardware, Layer, LayerKind, Operand, Unroll, Workload
from tests.cost.layer_kinds import KINDS, LOOPS, REDUCTION, WINDOWED, of_kind
from tests.cost.small_hardware import ACCUMULATOR, DRAM, SMALL, hardware, memory, ports


def cost(
    of: Layer,
    rules: RuleSet,
    *,
    on: Hardware = SMALL,
    unroll: tuple[Unroll, ...] = (),
    flagged: bool = False,
    weight_levels: int | None = None,
) -> LayerTileCost:
    """Cost a whole layer, reduction loops outermost, over all levels.

    Next to nothing stays below the top, so that partial sums travel and inputs are
    refetched. `flagged` double-buffers all but the top levels; `weight_levels` keeps
    fewer levels for the weights.
    """
    factor = {entry.loop_dim: entry.factor for entry in unroll}
    steps = [(dim, -(-size // factor.get(dim, 1))) for dim, size in of.loops]
    order = [step for step in steps if step[0] not in REDUCTION and step[1] > 1]
    order += [step for step in steps if step[0] in REDUCTION and step[1] > 1]
    count = len(order)
    cuts: dict[str, tuple[int, ...]] = {}
    for name in operand_names(of):
        operand = Operand.I if name in ("X", "Y") else Operand(name)
        levels = len(on.chains[operand])
        if name == "W" and weight_levels is not None:
            levels = weight_levels
        cuts[name] = (0,) * (levels - 1) + (count,)
    flags = {name: (flagged,) * (len(row) - 1) + (False,) for name, row in cuts.items()}
    return evaluate_layer_tile(
        on,
        unroll,
        LayerTile(layer=of, sizes=of.loops, levels={n: len(row) for n, row in cuts.items()}),
        TemporalMapping(loops=tuple(order), cuts=cuts, double_buffered=flags),
        rules,
    )


def pair(name: str, others: RuleSet) -> tuple[RuleSet, RuleSet]:
    """Rules without and with one mend, all other switches as in `others`."""
    without, mended = (replace(others, name=name, **{name: on}) for on in (False, True))
    return without, mended


AMONG = pytest.mark.parametrize("others", [DEFINES, EXACT], ids=lambda rules: rules.name)
"""A mend shows whether the other ones are there or not."""


def test_the_two_rule_sets_are_opposite_in_every_switch() -> None:
    """Tests that each switch is off in the one and on in the other."""
    for field in fields(RuleSet):
        if field.name != "name":
            assert (getattr(DEFINES, field.name), getattr(EXACT, field.name)) == (False, True)


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_partial_sums_differ_only_where_something_is_summed(
    kind: LayerKind, others: RuleSet
) -> None:
    """Tests read-backs: one per write in the reference, one less per output when mended."""
    reduces = any(dim in REDUCTION for dim in LOOPS[kind].split())
    of = of_kind(kind)
    unmended, mended_rules = pair("exact_partial_sums", others)
    reference, exact = cost(of, unmended), cost(of, mended_rules)
    if not reduces:
        assert exact == reference
        return
    outputs = of.channels * of.sizes["OX"] * of.sizes["OY"]
    writes = reference.words["O", 0, "wl"]
    assert reference.words["O", 0, "rl"] == writes
    assert exact.words["O", 0, "rl"] == writes - outputs
    assert exact.energy_pj < reference.energy_pj
    flat = of_kind(kind, **{dim: 1 for dim in REDUCTION if dim in LOOPS[kind].split()})
    plain, mended = cost(flat, unmended), cost(flat, mended_rules)
    assert mended.energy_pj == plain.energy_pj
    assert mended.latency_cycles == plain.latency_cycles


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_unrolling_differs_only_with_a_remainder(kind: LayerKind, others: RuleSet) -> None:
    """Tests channels on two MACs: 4 channels cost alike, 3 do not."""
    dim = "K" if "K" in LOOPS[kind].split() else "G"
    unroll = (Unroll(array_dim="D1", loop_dim=dim, factor=2),)
    unmended, rules = pair("integer_unrolling", others)
    even = of_kind(kind, **{dim: 4})
    assert cost(even, rules, unroll=unroll).words == cost(even, unmended, unroll=unroll).words
    odd = of_kind(kind, **{dim: 3})
    exact, reference = (cost(odd, each, unroll=unroll) for each in (rules, unmended))
    assert exact.temporal_cycles == reference.temporal_cycles
    assert exact.words != reference.words
    assert exact.energy_pj > reference.energy_pj


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_spans_differ_only_where_the_stride_passes_the_filter(
    kind: LayerKind, others: RuleSet
) -> None:
    """Tests input bits at rest: with stride 2, filters of 2 leave no gap, those of 1 do."""
    unmended, rules = pair("true_spans", others)
    buffer, top = 2, 3
    if kind not in WINDOWED:
        assert cost(of_kind(kind), rules) == cost(of_kind(kind), unmended)
        return
    taps = {"FX": 2, "FY": 2, "OX": 3, "OY": 3}
    touching = of_kind(kind, stride=2, **taps)
    assert cost(touching, rules).held_bits == cost(touching, unmended).held_bits
    gaps = of_kind(kind, stride=2, **(taps | {"FX": 1, "FY": 1}))
    exact, reference = cost(gaps, rules).held_bits, cost(gaps, unmended).held_bits
    if "OX" not in LOOPS[kind].split():  # a single output pixel has no gap to span
        assert exact == reference
        return
    side = 2 * (gaps.sizes["OX"] - 1) + 1
    pixels = gaps.sizes["OX"] * gaps.sizes["OY"]
    assert exact[top] - reference[top] == 8 * gaps.input_channels * (side * side - pixels)
    assert exact[buffer] >= reference[buffer]


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_double_buffers_cost_bits_only_where_they_are_explicit(
    kind: LayerKind, others: RuleSet
) -> None:
    """Tests that a flag doubles what a level holds; near-empty memories stall alike then."""
    of = of_kind(kind)
    unmended, rules = pair("explicit_double_buffering", others)
    roomy = replace(SMALL, memories=tuple(replace(m, size_bits=1 << 20) for m in SMALL.memories))
    reference = cost(of, unmended, on=roomy)
    flagged, single = (cost(of, rules, on=roomy, flagged=on) for on in (True, False))
    assert reference.held_bits == single.held_bits
    below = 2 if kind is LayerKind.ADD else 1
    assert sum(flagged.held_bits.values()) > sum(single.held_bits.values())
    assert flagged.held_bits[below] == 2 * single.held_bits[below]
    assert flagged.stall_cycles == reference.stall_cycles <= single.stall_cycles
    assert flagged.energy_pj == reference.energy_pj == single.energy_pj


NEAR = memory("near", 8, ports(Operand.I, "r", "w"))
SHARED = memory(
    "shared",
    4,
    ports(Operand.I, "r", "w"),
    ports(Operand.W, "r", "w"),
    ports(Operand.O, "r", "w", "w", "r"),
)
HALF_SHARED = hardware(ACCUMULATOR, NEAR, SHARED, DRAM)
"""With weights up to `shared` only, both hops of the inputs share one of their two ports."""
APART = hardware(
    ACCUMULATOR,
    NEAR,
    memory("weights", 4, ports(Operand.W, "r", "w")),
    memory("own", 4, ports(Operand.I, "r", "w"), ports(Operand.O, "r2", "w2", "w3", "r3")),
    replace(DRAM, operands=(ports(Operand.I, "i", "i"), *DRAM.operands[1:])),
)


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_loading_differs_only_with_half_shared_hops(kind: LayerKind, others: RuleSet) -> None:
    """Tests two hops of 2 and 4 cycles that add up; without shared ports nothing changes.

    Both inputs of an add go through the same ports, so that no hop shares just one.
    """
    of = of_kind(kind)
    unmended, rules = pair("accumulate_half_shared_loading", others)
    exact, reference = (
        cost(of, each, on=HALF_SHARED, weight_levels=1) for each in (rules, unmended)
    )
    more = 0 if kind is LayerKind.ADD else 2
    assert exact.loading_cycles - reference.loading_cycles == more
    assert exact.energy_pj == reference.energy_pj
    assert cost(of, rules, on=APART) == cost(of, unmended, on=APART)


@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_last_drain_is_all_that_its_switch_adds(kind: LayerKind, others: RuleSet) -> None:
    """Tests that latency grows by the offloading cycles and nothing else changes."""
    unmended, rules = pair("charge_last_drain", others)
    exact, reference = cost(of_kind(kind), rules), cost(of_kind(kind), unmended)
    assert exact.latency_cycles - reference.latency_cycles == reference.offloading_cycles > 0
    assert replace(exact, latency_cycles=reference.latency_cycles) == reference


@pytest.mark.parametrize(
    "name",
    [
        "joint_capacity",
        "true_padding",
        "cached_reads_at_data_width",
        "charge_stack_input_cache",
        "charge_weight_arrival",
    ],
)
@AMONG
@pytest.mark.parametrize("kind", KINDS)
def test_switches_about_schedules_leave_layer_tiles_alone(
    kind: LayerKind, name: str, others: RuleSet
) -> None:
    """Tests that capacities, caches and arrivals are no matter of a single layer-tile."""
    unmended, rules = pair(name, others)
    assert cost(of_kind(kind), rules) == cost(of_kind(kind), unmended)


@pytest.mark.parametrize("kind", [kind for kind in WINDOWED if "OX" in LOOPS[kind].split()])
@pytest.mark.parametrize(("output_bits", "same"), [(8, True), (4, False), (16, False)])
def test_cached_reads_differ_only_where_widths_do(
    kind: LayerKind, output_bits: int, same: bool
) -> None:
    """Tests that a halo is read at its own width, not at that of the layer's output."""
    sizes = {"OX": 8, "OY": 8, "FX": 3, "FY": 3}
    of = of_kind(kind, **sizes)
    of = replace(of, precision=replace(of.precision, output_bits=output_bits))
    net = Workload(
        name="net",
        input_name="input",
        input_channels=of.input_channels,
        input_width=10,
        input_height=10,
        input_bits=8,
        layers=(of,),
    )
    stack = build_stack(net, ["layer"])
    last = tile_classes(stack, (4, 4))[-1]
    geometry = tile_geometry(stack, OverlapMode.FULLY_CACHED, last)
    buffer, dram = 2, 3
    found = [
        copies_before(
            SMALL,
            stack,
            of,
            geometry=geometry,
            caches=CachePlaces(
                read_columns=dram, fill_columns=None, read_rows=dram, fill_rows=None
            ),
            places=LayerPlaces(inputs=buffer, output=dram, weights=None),
            produced_at={"input": buffer},
            rules=rules,
        )
        for rules in pair("cached_reads_at_data_width", DEFINES)
    ]
    bits = [[copy.bits for copy in copies] for copies in found]
    # Two columns of six rows, then four fresh columns of two rows.
    assert bits[1] == [of.input_channels * 8 * 12, of.input_channels * 8 * 8]
    assert bits[0] == [part * output_bits // 8 for part in bits[1]]
    assert (found[0] == found[1]) == same


@pytest.mark.parametrize("rules", [DEFINES, EXACT], ids=lambda rules: rules.name)
@pytest.mark.parametrize(
    ("special", "general", "ones"),
    [
        (LayerKind.CONV, LayerKind.GROUPED_CONV, "G"),
        (LayerKind.DEPTHWISE, LayerKind.GROUPED_CONV, "K C"),
        (LayerKind.MATMUL, LayerKind.POINTWISE, "OY"),
        (LayerKind.FULLY_CONNECTED, LayerKind.MATMUL, "OX"),
        (LayerKind.POINTWISE, LayerKind.CONV, "FX FY"),
        (LayerKind.GLOBAL_POOL, LayerKind.POOL, "OX OY"),
        (LayerKind.MAX_POOL, LayerKind.AVERAGE_POOL, ""),
    ],
)
def test_special_cases_of_a_kind_cost_alike(
    special: LayerKind, general: LayerKind, ones: str, rules: RuleSet
) -> None:
    """Tests that a kind is its more general one with some loops of a single step."""
    alike = of_kind(general, **dict.fromkeys(ones.split(), 1))
    assert cost(of_kind(special), rules) == cost(alike, rules)
