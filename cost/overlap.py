"""Overlap modes: what becomes of the halo that neighbouring tiles of a stack share."""

from __future__ import annotations

from enum import StrEnum


class OverlapMode(StrEnum):
    """Whether the columns and rows that two tiles share are computed once or twice."""

    FULLY_RECOMPUTE = "fully-recompute"
    """Nothing is kept: each tile computes its whole halo."""
    H_CACHED = "h-cached-v-recompute"
    """Columns shared with the tile on the left are kept, shared rows recomputed."""
    FULLY_CACHED = "fully-cached"
    """Shared columns and shared rows are kept."""

    @property
    def caches_columns(self) -> bool:
        """Whether the right-hand columns of a tile are kept for its right neighbour."""
        return self is not OverlapMode.FULLY_RECOMPUTE

    @property
    def caches_rows(self) -> bool:
        """Whether the bottom rows of a tile are kept for the tile below."""
        return self is OverlapMode.FULLY_CACHED
