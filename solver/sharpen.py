"""Closer bounds on a stack option: the mappings of its cheapest placements are searched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from solver.known_costs import KnownCosts
from solver.mapping_searches import MappedTile
from solver.pinned_inside import Memories
from solver.stack_option import StackOption

HARD = 1e5
"""Nodes of search after which a placement of a layer-tile stands at its bound unless CP-SAT
chooses it; only speed depends on it."""
EFFORT = 2e5
"""Nodes of search for a mapping after which other options may have become more promising; only
speed depends on it."""
LESS_RISE = 1e-4
"""Relative rise of a bound for which mappings that hold less are worth a search; only speed
depends on it."""


class SharpenedCosts(KnownCosts):
    """Searches what mappings cost, likeliest first; see `KnownCosts`."""

    def sharpen(
        self,
        option: StackOption,
        weights: tuple[float, float],
        enough: float,
        *,
        to_the_end: bool = True,
    ) -> float:
        """Weighted lower bound of `option`, its likeliest mappings searched until it stands.

        The cheapest path of every kind of tile is taken, its mappings are searched, and so
        on until a path of known or hard mappings is the cheapest, or the bound reaches `enough`.
        First by prices on memories alone, then with placements divided. At last mappings that hold
        less are searched within what such paths leave, as long as that brings the bound on; not
        unless `to_the_end`.
        """
        if self.patience < 0:
            return self.floor(option, weights)
        parts, best, before = 0, 0.0, 0.0
        while True:
            if self.pause is not None:
                self.pause()
            floor, picks, free = self._floor(option, weights, parts)
            # What is made do with may turn out cheaper.
            best = floor if np.isfinite(self.patience) else max(best, floor)
            if best >= enough or not np.isfinite(best):
                return best
            bounds, fresh = self._unknown(option, weights, picks)
            if self.mappings.step_all(bounds) or fresh:
                continue
            if parts != self.parts:
                parts = self.parts
                continue
            proves = np.isinf(self.patience) and to_the_end
            if not proves or best <= before * (1 + LESS_RISE):
                return best
            before = best
            if not self.mappings.find_within(
                self._left(option, weights, picks, free), EFFORT, HARD
            ):
                return best

    def _picked(
        self, option: StackOption, weights: tuple[float, float], picks: list[np.ndarray]
    ) -> Iterator[tuple[int, int, Memories, MappedTile]]:
        """Kind, layer, memories and tile of the layer-tiles of picks that compute."""
        tiling, kinds = self._kinds(option)
        for k, (kind, pick) in enumerate(zip(kinds, picks, strict=True)):
            for e, (w, i, o) in enumerate(pick.tolist()):
                if kind.runs[e] and tiling.graph.layers[e].computes:
                    memories = (kind.weights[e][w], kind.inputs[i], kind.outputs[o])
                    yield k, e, memories, self._tile(option, kind, e, memories, weights)

    def _unknown(
        self, option: StackOption, weights: tuple[float, float], picks: list[np.ndarray]
    ) -> tuple[dict[MappedTile, float], bool]:
        """Picked tiles that are not hard, with bounds; whether some news is made do with."""
        kinds = self._kinds(option)[1]
        fresh = False
        bounds: dict[MappedTile, float] = {}
        for k, e, memories, tile in self._picked(option, weights, picks):
            if self.mappings.is_hard(tile, self.patience):
                fresh |= not self._makes_do(tile)
            elif not self.mappings.is_hard(tile, HARD):  # else its bound may do
                at = self._entry(kinds[k], e, memories)
                energy, cycles = (kinds[k].f[(e, *at)] - kinds[k].exports[e, at[2]]).tolist()
                bounds.setdefault(tile, weights[0] * energy + weights[1] * cycles)
        return bounds, fresh

    def _left(
        self,
        option: StackOption,
        weights: tuple[float, float],
        picks: list[np.ndarray],
        free: list[np.ndarray],
    ) -> list[tuple[MappedTile, list[float]]]:
        """Bits [memory] left to the mappings of picked tiles, where the best is known."""
        kinds = self._kinds(option)[1]
        budgets = []
        for k, e, memories, tile in self._picked(option, weights, picks):
            if kinds[k].occupancy is not None and self.mappings.best(tile):
                tensors = self._tensor_bits(option.layers[e], kinds[k], e, memories)
                beside = np.maximum(free[k][e], 0.0).tolist()
                budgets.append((tile, [b + tensors.get(m, 0) for m, b in enumerate(beside)]))
        return budgets
