"""Closer bounds on a stack option: the mappings of its cheapest placements are searched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(kw_only=True, eq=False)
class _Run:
    """An option that is being sharpened: its bound is to reach `enough`.

    `parts` into which placements are divided, the `best` bound, and that `before` mappings that
    hold less were searched last. `renews`: whether new prices are looked for, as under those known
    nothing is unknown; `priced`: the bound when that was done last.
    """

    option: StackOption
    enough: float
    parts: int = 0
    best: float = 0.0
    before: float = 0.0
    renews: bool = False
    priced: float = 0.0


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
        return self.sharpen_all([(option, enough)], weights, to_the_end=to_the_end)[0]

    def sharpen_all(
        self,
        asked: Sequence[tuple[StackOption, float]],
        weights: tuple[float, float],
        *,
        to_the_end: bool = True,
    ) -> list[float]:
        """`sharpen` for many options, each with what is enough, on all cores.

        In every round all have their bounds, and then the mappings that any of them wants are
        searched, so the order in which threads end does not matter.
        """
        if self.patience < 0:
            return [self.floor(option, weights) for option, _ in asked]
        runs = [_Run(option=option, enough=enough) for option, enough in asked]
        waiting = runs
        proves = np.isinf(self.patience) and to_the_end
        while waiting:
            if self.pause is not None:
                self.pause()
            for run in waiting:
                run.renews |= (run.option, weights) not in self._known_prices
            looks = [(run.option, run.parts, run.renews) for run in waiting]
            floors = self._floors(looks, weights)
            wanted: dict[MappedTile, float] = {}
            left: list[tuple[MappedTile, list[float]]] = []
            going_on, at_last = [], []
            for run, (floor, picks, free) in zip(waiting, floors, strict=True):
                # What is made do with may turn out cheaper.
                run.best = floor if np.isfinite(self.patience) else max(run.best, floor)
                if run.best >= run.enough or not np.isfinite(run.best):
                    continue
                bounds, fresh = self._unknown(run.option, weights, picks)
                bounds = {t: bound for t, bound in bounds.items() if self.mappings.best(t) is None}
                renewed, run.renews = run.renews, False
                if bounds or fresh:
                    for tile, bound in bounds.items():
                        wanted.setdefault(tile, bound)
                    going_on.append(run)
                elif run.parts and not renewed and run.best > run.priced * (1 + LESS_RISE):
                    run.renews, run.priced = True, run.best
                    going_on.append(run)
                elif run.parts != self.parts:
                    run.parts = self.parts
                    going_on.append(run)
                elif proves and run.best > run.before * (1 + LESS_RISE):
                    run.before = run.best
                    left += self._left(run.option, weights, picks, free)
                    at_last.append(run)
            self.mappings.step_all(wanted)
            if at_last and self.mappings.find_within(left, EFFORT, HARD):
                going_on += at_last
            waiting = going_on
        return [run.best for run in runs]

    def divide_all(
        self, asked: Sequence[tuple[StackOption, float]], weights: tuple[float, float]
    ) -> list[float]:
        """Bounds of sharpened options with placements divided by what stays in memories.

        Each with what is enough. Where that brings a bound on, the mappings that open parts take
        are searched, and it is done again.
        """
        best = dict.fromkeys((option for option, _ in asked), 0.0)
        waiting = list(asked)
        while waiting:
            if self.pause is not None:
                self.pause()
            wanted: dict[MappedTile, float] = {}
            going_on = []
            divided = self._divided_rooms(waiting, weights)
            for (option, enough), found in zip(waiting, divided, strict=True):
                if found is None:
                    continue
                rises = found.bound > best[option] * (1 + LESS_RISE)
                best[option] = max(best[option], found.bound)
                if not rises or found.bound >= enough:
                    continue
                kinds = self._kinds(option)[1]
                picks = [found.taken[found.taken[:, 0] == k, 1:] for k in range(len(kinds))]
                bounds, _ = self._unknown(option, weights, picks)
                bounds = {t: bound for t, bound in bounds.items() if self.mappings.best(t) is None}
                if bounds:
                    wanted |= bounds
                    going_on.append((option, enough))
            self.mappings.step_all(wanted)
            waiting = going_on
        return [best[option] for option, _ in asked]

    def _picked(
        self, option: StackOption, weights: tuple[float, float], picks: list[np.ndarray]
    ) -> Iterator[tuple[int, int, Memories, MappedTile]]:
        """Kind, layer, memories and tile of the layer-tiles of picks that compute.

        `picks` by kind: [layer, (w, i, o)], or [any, (layer, w, i, o)].
        """
        tiling, kinds = self._kinds(option)
        for k, (kind, pick) in enumerate(zip(kinds, picks, strict=True)):
            numbered = pick if pick.shape[1] > 3 else np.insert(pick, 0, range(len(pick)), axis=1)
            for e, w, i, o in numbered.tolist():
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
