"""Rule sets: the named switches in which the two cost models differ (design 2b)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Switches of the cost model; each names one departure from the reference.

    Q1..Q16 number the reference's quirks (docs/cost-model.md).
    """

    name: str
    joint_capacity: bool
    """Everything alive shares each memory's budget (Q4, Q5, Q7)."""
    true_padding: bool
    """Padding belongs to the layer and halos are clipped at the border (Q1)."""
    true_branches: bool
    """Tiles are places in their maps, not only sizes: each reader of a map has its own halo
    and caches, and a map may leave its stack while it is read there (Q3)."""
    true_spans: bool
    """A tied extent is the span S*(A-1)+F even where the stride passes the kernel."""
    cached_reads_at_data_width: bool
    """Reads from a cache move the data's own width (Q8)."""
    charge_stack_input_cache: bool
    """Writing a stack input's halo into a cache costs energy and time (Q9)."""
    charge_weight_arrival: bool
    """Resident weights are copied from DRAM once; no tile is mapped differently (Q9)."""
    exact_partial_sums: bool
    """n writes of a partial sum need n-1 read-backs; the last write is final (Q13)."""
    integer_unrolling: bool
    """Unrolling factors are integers in energy as in latency."""
    explicit_double_buffering: bool
    """A double-buffered level takes its second copy from the memory's budget (Q14)."""
    accumulate_half_shared_loading: bool
    """Half-shared loading terms add up instead of overwriting each other (Q15)."""
    charge_last_drain: bool
    """A layer-tile's latency counts the way out of its last outputs (Q16)."""


DEFINES = RuleSet(
    name="defines",
    joint_capacity=False,
    true_padding=False,
    true_branches=False,
    true_spans=False,
    cached_reads_at_data_width=False,
    charge_stack_input_cache=False,
    charge_weight_arrival=False,
    exact_partial_sums=False,
    integer_unrolling=False,
    explicit_double_buffering=False,
    accumulate_half_shared_loading=False,
    charge_last_drain=False,
)
"""The reference's published rules, quirks included, but for Q2 (layers counted twice)."""

EXACT = RuleSet(
    name="exact",
    joint_capacity=True,
    true_padding=True,
    true_branches=True,
    true_spans=True,
    cached_reads_at_data_width=True,
    charge_stack_input_cache=True,
    charge_weight_arrival=True,
    exact_partial_sums=True,
    integer_unrolling=True,
    explicit_double_buffering=True,
    accumulate_half_shared_loading=True,
    charge_last_drain=True,
)
"""The model that this project stands for."""

RULE_SETS = {rules.name: rules for rules in (DEFINES, EXACT)}
