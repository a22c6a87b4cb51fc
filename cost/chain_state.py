"""What the search over chains of loop prefixes reads and writes (see `chain_search`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cost.layer_model import LayerArrays
from cost.mapping_tables import MappingTables

CLOSED, FRESH, IN_RELEVANT, IN_IRRELEVANT = 0, 1, 2, 3
PLACE, PICK, JUMP = 0, 1, 2
MAX_TRAIL = 64
TOLERANCE = 1e-9
"""Relative slack of every float comparison that prunes: rounding must not cut off a mapping."""
FOUND, OVERFLOWED, NODES, LEAVES, HEIGHT, STARTED = range(6)
"""Counters of a search."""


class SearchTables(NamedTuple):
    """What the search reads; views as in `latency_views`, v last for speed."""

    layer: LayerArrays
    tables: MappingTables
    sizes: np.ndarray
    levels: np.ndarray
    view_costs: np.ndarray
    """[o, m, i, v]"""
    view_constants: np.ndarray
    energy_to_go: np.ndarray
    """[a, b, c, i]: see `completion_table`."""
    views_to_go: np.ndarray
    """[a, b, c, i, v]"""
    weighted_to_go: np.ndarray
    """[a, b, c, i, v]: of the weighted sum of energy and each view."""
    packed: np.ndarray
    """[i]: exponents of every point in one number, see `packed_exponents`."""
    spare: int
    sums_go_on: np.ndarray
    """[i]: whether loops above a point add to the same outputs again."""
    budget: np.ndarray
    """[memory]: bits free."""
    copy_bits: np.ndarray
    """[o, m, i]: bits that a copy of a block takes at least (`tables.bits` are those beyond the
    least, which are reserved once only)."""
    weigh_memory: np.ndarray
    """[memory]: whether holding fewer bits there makes a mapping nondominated."""
    energy_weight: float
    latency_weight: float
    weighted_cutoff: float
    energy_cutoff: float
    latency_cutoff: float
    weighted_only: bool
    """Whether a mapping's cost is its weighted cost alone."""


class SearchState(NamedTuple):
    """What the search writes."""

    whole: np.ndarray
    """All of `placed`, the runs and `status`, which are parts of it: saved and restored at once."""
    placed: np.ndarray
    run_relevant: np.ndarray
    run_irrelevant: np.ndarray
    status: np.ndarray
    flags: np.ndarray
    usage: np.ndarray
    """[memory]: bits held so far."""
    trail: np.ndarray
    archive: np.ndarray
    archive_trail: np.ndarray
    archive_flags: np.ndarray
    archive_placed: np.ndarray
    counters: np.ndarray
    stack: np.ndarray
    """[height, (kind, depth, operand or axis, point, loop above, ending loop, flag)]."""
    node: np.ndarray
    """[depth, (point, first operand, loop above, last pick, trail length)]."""
    jumps: np.ndarray
    """[k, (point, operand)]: where the next boundaries may lie, of the node looked at."""
    remaining: np.ndarray
    spent: np.ndarray
    """[depth, (pJ, views...)]."""
    saved_whole: np.ndarray
    saved_flags: np.ndarray
    saved_usage: np.ndarray
