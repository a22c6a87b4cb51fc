"""The mends of the exact rules that concern whole stacks, one by one, on every layer kind.

Those that concern a single layer-tile are in test_rules.py. Amounts follow from windows by
hand; the solver's tiles and the re-coster's, which share no code, must both say the same.
Only kinds with a filter have windows (`WINDOWED`); a global pool and a fully connected layer
have one output pixel, so one tile; an add has no weights, and those of a pool have no bits.
"""

from dataclasses import replace

import pytest

from cost.overlap import OverlapMode
from cost.recost import recost
from cost.recost_layer import map_layer_tile, weight_arrival
from cost.recost_tiles import AxisColumn, edge_bits, stack_geometry
from cost.rules import EXACT, RuleSet
from cost.schedule import LayerTilePlan, Schedule, TilePlan
from cost.stack_graph import stack_graph
from cost.stack_tiles import StackTiling, tile_stack
from problems import Hardware, Layer, LayerKind, Operand, Padding, Problem, Workload
from solver.objective import Objective
from solver.policies.fixed_stacks import FixedStack, FixedStacks
from solver.stack_tables import StackTables
from tests.cost.layer_kinds import KINDS, LOOPS, WINDOWED, of_kind
from tests.cost.small_hardware import DRAM, hardware, memory, ports

ONE_PIXEL = (LayerKind.GLOBAL_POOL, LayerKind.FULLY_CONNECTED)
TILED = tuple(kind for kind in KINDS if kind not in ONE_PIXEL)
SLIDING = tuple(kind for kind in WINDOWED if "FX" in LOOPS[kind] and kind in TILED)
"""Kinds whose windows may overlap from tile to tile."""
WEIGHTLESS = tuple(kind for kind in KINDS if kind.is_pool or kind is LayerKind.ADD)


def off(switch: str) -> RuleSet:
    """The exact rules without one mend."""
    return replace(EXACT, name=f"without {switch}", **{switch: False})


def sized(kind: LayerKind, outputs: int, taps: int = 1, stride: int = 1) -> Layer:
    """A layer `outputs` wide and one high, with a filter of `taps` x 1 if it has one."""
    wanted = {"OX": outputs, "OY": 1, "FX": taps, "FY": 1}
    return of_kind(kind, stride, **{d: n for d, n in wanted.items() if d in LOOPS[kind].split()})


def workload(width: int, *layers: Layer) -> Workload:
    """Layers over an input of `width` x 1 pixels with the channels that the first one reads."""
    return Workload(
        name="net",
        input_name="input",
        input_channels=layers[0].input_channels,
        input_width=width,
        input_height=1,
        input_bits=8,
        layers=layers,
    )


def alone(of: Layer, width: int) -> Workload:
    """One layer; both operands of an add come through a layer that changes nothing."""
    if of.kind is not LayerKind.ADD:
        return workload(width, of)
    copy = replace(sized(LayerKind.POINTWISE, width), name="copy", sources=("input",))
    copy = replace(copy, loops=(("K", of.channels), *copy.loops[1:]))
    return workload(width, copy, replace(of, sources=("input", "copy")))


def columns(net: Workload, tile: int, mode: OverlapMode, rules: RuleSet) -> tuple[AxisColumn, ...]:
    """The re-coster's columns of the whole network as one stack."""
    names = [layer.name for layer in net.layers]
    exports: frozenset[str] = frozenset()
    return stack_geometry(net, names, (tile, 1), mode, exports, rules).columns


def tiling(net: Workload, tile: int, mode: OverlapMode, rules: RuleSet) -> StackTiling:
    """The solver's tiles of the whole network as one stack."""
    return tile_stack(stack_graph(net, tuple(range(len(net.layers))), rules), tile, 1, mode, rules)


def steps(
    net: Workload, edge: tuple[str, str], what: str, tile: int, mode: OverlapMode, rules: RuleSet
) -> list[int]:
    """An amount on an edge in every column, on which both geometries agree."""
    walked = [getattr(column.edges[edge], what) for column in columns(net, tile, mode, rules)]
    found = tiling(net, tile, mode, rules)
    graph = found.graph
    number = next(
        i
        for i, e in enumerate(graph.edges)
        if (graph.layers[e.layer].sources[e.operand], graph.layers[e.layer].name) == edge
    )
    told = dict.fromkeys(range(len(walked)), -1)
    for kind in found.kinds:
        for first, count in kind.column.runs:
            for column in range(first, first + count):
                told[column] = getattr(kind.column.edges[number], what)
    assert list(told.values()) == walked
    return walked


RECOMPUTE, CACHED = OverlapMode.FULLY_RECOMPUTE, OverlapMode.FULLY_CACHED


@pytest.mark.parametrize("kind", SLIDING)
def test_padding_is_not_fetched(kind: LayerKind) -> None:
    """Tests three tiles of 2 outputs, 3 taps, a column of zeros at each end: 3, 4, 3 columns.

    Without the mend each tile reads 4; the loops see 4 either way.
    """
    padded = replace(sized(kind, 6, taps=3), padding=Padding(left=1, right=1))
    net, edge = workload(6, padded), ("input", "layer")
    unmended = off("true_padding")
    assert steps(net, edge, "extent", 2, RECOMPUTE, EXACT) == [3, 4, 3]
    assert steps(net, edge, "extent", 2, RECOMPUTE, unmended) == [4, 4, 4]
    for rules in (EXACT, unmended):
        assert steps(net, edge, "operand", 2, RECOMPUTE, rules) == [4, 4, 4]


def test_padding_of_a_global_pool_is_not_fetched() -> None:
    """Tests a window of 3 around a map of one column."""
    pool = replace(sized(LayerKind.GLOBAL_POOL, 1, taps=3), padding=Padding(left=1, right=1))
    net = workload(1, pool)
    assert steps(net, ("input", "layer"), "extent", 1, RECOMPUTE, EXACT) == [1]
    assert steps(net, ("input", "layer"), "extent", 1, RECOMPUTE, off("true_padding")) == [3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", list(OverlapMode))
def test_without_padding_nothing_is_clipped(kind: LayerKind, mode: OverlapMode) -> None:
    """Tests that maps which fit their windows are tiled alike with and without the mend."""
    outputs = 1 if kind in ONE_PIXEL else 6
    of = sized(kind, outputs, taps=3)
    net = alone(of, outputs + (2 if kind in WINDOWED and "FX" in LOOPS[kind] else 0))
    edge = (net.layers[-1].sources[0], "layer")
    for what in ("extent", "operand", "moved", "reused", "kept"):
        mended, unmended = (
            steps(net, edge, what, 2, mode, rules) for rules in (EXACT, off("true_padding"))
        )
        assert mended == unmended, what


@pytest.mark.parametrize("kind", SLIDING)
def test_spans_keep_the_gaps_of_a_stride(kind: LayerKind) -> None:
    """Tests 3 outputs at stride 3: one tap spans 7 columns and touches 3; 3 taps touch all 9."""
    for taps, span, distinct in ((1, 7, 3), (3, 9, 9)):
        net = workload(span, sized(kind, 3, taps=taps, stride=3))
        for rules, wanted in ((EXACT, span), (off("true_spans"), distinct)):
            assert steps(net, ("input", "layer"), "extent", 3, RECOMPUTE, rules) == [wanted], taps


KEEPS_SIZE = tuple(kind for kind in TILED if kind is not LayerKind.ADD)
"""Kinds that may stand in a branch beside a shortcut; an add joins the branches."""


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("kind", KEEPS_SIZE)
def test_a_shortcut_waits_for_its_branch(kind: LayerKind, swapped: bool) -> None:
    """Tests a map read by an add and, through 3 taps, by a branch: its tiles run 1 ahead.

    What the branch made early the add finds in a cache, whichever source it names first; the
    reference lets the order of visits decide (Q3). Without a filter nothing runs ahead.
    """
    ahead = 1 if kind in SLIDING else 0
    branch = sized(kind, 6, taps=3)
    if ahead:
        branch = replace(branch, padding=Padding(left=1, right=1))
    first = replace(sized(LayerKind.POINTWISE, 6), name="first")
    first = replace(first, loops=(("K", branch.input_channels), *first.loops[1:]))
    branch = replace(branch, name="branch", sources=("first",))
    join = sized(LayerKind.ADD, 6)
    channels = {"G": branch.channels}
    join = replace(join, loops=tuple((d, channels.get(d, n)) for d, n in join.loops))
    join = replace(join, sources=("branch", "first") if swapped else ("first", "branch"))
    net = workload(6, first, branch, join)
    made = [column.outputs["first"] for column in columns(net, 2, CACHED, EXACT)]
    assert made == [2 + ahead, 2, 2 - ahead]
    assert steps(net, ("first", "layer"), "reused", 2, CACHED, EXACT) == [0, ahead, ahead]
    assert steps(net, ("first", "branch"), "reused", 2, CACHED, EXACT) == [0, 2 * ahead, 2 * ahead]


@pytest.mark.parametrize("output_bits", [4, 8, 16])
@pytest.mark.parametrize("kind", TILED)
def test_cached_columns_are_read_as_wide_as_they_are(kind: LayerKind, output_bits: int) -> None:
    """Tests that a tile reads its 2 old columns of 8 bits, whatever its outputs take."""
    of = sized(kind, 4, taps=3)
    of = replace(of, precision=replace(of.precision, output_bits=output_bits))
    overlap = 2 if kind in SLIDING else 0
    net = alone(of, 4 + overlap)
    edge = (net.layers[-1].sources[0], "layer")
    for rules, width in ((EXACT, 8), (off("cached_reads_at_data_width"), output_bits)):
        walked = columns(net, 2, CACHED, rules)[1]
        names = [layer.name for layer in net.layers]
        row = stack_geometry(net, names, (2, 1), CACHED, frozenset(), rules).rows[0]
        wanted = overlap * of.input_channels * width
        assert edge_bits(net, names, edge, walked, row, rules).h_read_bits == wanted
        kinds = tiling(net, 2, CACHED, rules).kinds
        right = next(kind for kind in kinds if kind.column.is_last)
        number = 0 if kind is not LayerKind.ADD else 1
        assert right.edges[number].h_read_bits == wanted


@pytest.mark.parametrize("kind", TILED)
def test_the_cache_of_a_stack_input_is_written_for_something(kind: LayerKind) -> None:
    """Tests that the first tile stores the 2 columns that the second reads, charged or not.

    Inside a stack the same columns are charged under either rule.
    """
    of = sized(kind, 4, taps=3)
    overlap = 2 if kind in SLIDING else 0
    wanted = overlap * of.input_channels * 8
    unmended = off("charge_stack_input_cache")
    outside = alone(of, 4 + overlap)
    number = 0 if kind is not LayerKind.ADD else 1
    for rules, bits in ((EXACT, wanted), (unmended, 0)):
        left = next(k for k in tiling(outside, 2, CACHED, rules).kinds if k.column.is_first)
        assert left.edges[number].h_write_bits == bits
    if kind is LayerKind.ADD:
        return  # its second operand comes from inside already
    before = replace(sized(LayerKind.POINTWISE, 4 + overlap), name="before")
    before = replace(before, loops=(("K", of.input_channels), *before.loops[1:]))
    inside = workload(4 + overlap, before, replace(of, sources=("before",)))
    for rules in (EXACT, unmended):
        left = next(k for k in tiling(inside, 2, CACHED, rules).kinds if k.column.is_first)
        assert left.edges[1].h_write_bits == wanted


SHARED = memory(
    "buffer",
    8,
    ports(Operand.I, "r_i", "w_i"),
    ports(Operand.W, "r_w", "w_w"),
    ports(Operand.O, "r_o", "w_a", "w_b", "r_a"),
    size_bits=1 << 14,
)
ON = hardware(SHARED, DRAM)
"""One memory for everything below DRAM: 8-bit words of 1 and 2 pJ, DRAM 2-bit words alike."""


def problem(net: Workload, on: Hardware = ON) -> Problem:
    """The network on a small accelerator."""
    return Problem(name="net@small", workload=net, hardware=on, source="net@small")


@pytest.mark.parametrize("kind", KINDS)
def test_weights_arrive_once_and_at_a_price(kind: LayerKind) -> None:
    """Tests bits / 2 reads of DRAM at 1 pJ, bits / 8 writes at 2 pJ, and bits / 2 cycles."""
    net = alone(sized(kind, 1), 1)
    position = len(net.layers) - 1
    of = net.layers[position]
    bits = 0 if kind in WEIGHTLESS else of.weight_volume_bits
    assert (bits > 0) == of.has_weights
    mended = StackTables(problem(net), EXACT)
    price = (bits / 2 * 1 + bits / 8 * 2, bits // 2)
    assert mended.arrival(position, 0) == price
    if bits:
        arrival = weight_arrival(ON, of, "buffer")
        assert (arrival.energy_pj, arrival.latency_cycles) == price
    # Weights that stay in DRAM do not arrive, and the reference lets all arrive for nothing.
    assert mended.arrival(position, 1) == (0.0, 0)
    unmended = StackTables(problem(net), off("charge_weight_arrival"))
    assert unmended.arrival(position, 0) == (0.0, 0)


def tightest(of: Problem, schedule: Schedule, rules: RuleSet) -> int:
    """Bits of the buffer below which a schedule is said to overfill it."""
    low, high = 0, SHARED.size_bits
    while low < high:
        middle = (low + high) // 2
        on = hardware(replace(SHARED, size_bits=middle), DRAM)
        found = recost(replace(of, hardware=on), schedule, rules).violations
        if any("buffer" in fault for fault in found):
            low = middle + 1
        else:
            high = middle
    return low


def moved_out(schedule: Schedule) -> Schedule:
    """The schedule with caches and weights in DRAM; what it says of costs is wrong then."""

    def out(place: str | None) -> str | None:
        return None if place is None else "dram"

    def layer(plan: LayerTilePlan) -> LayerTilePlan:
        mapping = plan.mapping
        if plan.weights is not None:
            cuts = mapping.cuts | {"W": (0, len(mapping.loops))}
            flags = mapping.double_buffered | {"W": (False, False)}
            mapping = replace(mapping, cuts=cuts, double_buffered=flags)
        return replace(
            plan,
            mapping=mapping,
            weights=out(plan.weights),
            h_use=out(plan.h_use),
            h_make=out(plan.h_make),
            v=out(plan.v),
        )

    def tile(plan: TilePlan) -> TilePlan:
        return replace(plan, layers=tuple(layer(each) for each in plan.layers))

    return Schedule(
        stacks=tuple(
            replace(
                stack,
                weights=tuple(out(place) for place in stack.weights),
                tiles=tuple(tile(each) for each in stack.tiles),
            )
            for stack in schedule.stacks
        )
    )


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_is_alive_shares_a_memory(kind: LayerKind) -> None:
    """Tests a layer before another one: tiles, 2 old columns and all weights need room at once.

    The reference lets a layer-tile fill the memory in which caches and the other layer's
    weights lie. Where both lie in DRAM, and no branch waits, the rule sets agree.
    """
    outputs = 1 if kind in ONE_PIXEL else 4
    overlap = 2 if kind in SLIDING else 0
    reach = 2 if "FX" in LOOPS[kind] else 0
    net = alone(sized(kind, outputs, taps=1 + reach), outputs + reach)
    of = net.layers[-1]
    after = replace(sized(LayerKind.POINTWISE, outputs), name="after", sources=("layer",))
    after = replace(after, loops=(("K", 2), ("C", of.channels), *after.loops[2:]))
    net = replace(net, layers=(*net.layers, after))
    made = problem(net)
    stack = FixedStack(tuple(range(len(net.layers))), (outputs + 1) // 2, 1, CACHED)
    schedule = FixedStacks(made, EXACT, Objective.ENERGY).by_rule((stack,))
    unmended = off("joint_capacity")
    assert recost(made, schedule, EXACT).violations == ()
    (plan,) = schedule.stacks
    assert {place for place in plan.weights if place is not None} == {"buffer"}

    joint, separate = (tightest(made, schedule, rules) for rules in (EXACT, unmended))
    assert separate < joint
    standing = sum(each.weight_volume_bits for each in net.layers)
    standing += overlap * of.input_channels * 8
    holds = []
    for tile in plan.tiles:
        for step in tile.layers:
            layer = net.by_name[step.layer]
            unroll = ON.unrolling(net.name, layer)
            size = (step.width, step.height)
            held = map_layer_tile(ON, unroll, layer, step, size, EXACT).total_bits(0)
            # The add reads the input, too, which waits beside the copy's operand until then.
            waiting = step.width * layer.input_channels * 8 if step.layer == "copy" else 0
            holds.append(held - layer.weight_volume_bits + waiting)
    assert joint == max(holds) + standing

    apart = moved_out(schedule)
    alike = tightest(made, apart, EXACT) == tightest(made, apart, unmended)
    assert alike == (kind is not LayerKind.ADD)
