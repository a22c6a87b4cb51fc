"""The bound of a whole search for mappings, at its root."""

from __future__ import annotations

import numpy as np

from cost.chain_state import SearchTables


def root_bound(tables: SearchTables, levels: np.ndarray) -> float:
    """Weighted bound of every mapping."""
    last = len(tables.tables.products) - 1
    root = tables.weighted_to_go[tuple(levels - 1)][last]
    most = float((root + tables.latency_weight * tables.view_constants).max())
    return most + tables.energy_weight * float(tables.tables.fixed_pj)
