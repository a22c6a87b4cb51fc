"""A placement of a stack option that fits, by what is known of its mappings."""

from __future__ import annotations

import numpy as np

from solver.fitting import fitting_places
from solver.kind_tables import KindTables
from solver.mapping_searches import MappedTile
from solver.places import Fitting
from solver.sharpen import HARD, SharpenedCosts
from solver.spots import UNKNOWN, Costs
from solver.stack_option import StackOption, main_kind


class KnownPlacement(SharpenedCosts):
    """Finds placements near the bounds of options; see `KnownCosts`. They prove nothing."""

    def fitting(
        self, option: StackOption, weights: tuple[float, float], rounds: int = 0
    ) -> Fitting | None:
        """Some placement of an option that fits, like the one that its bound likes best.

        None where none is found, or where memories are not shared. In so many `rounds` the best
        mappings of what it places are searched, and it is found anew by what they cost and hold.
        """
        if not self.tables.rules.joint_capacity:
            return None
        tiling, kinds = self._kinds(option)
        main = main_kind(tiling)
        sizes = np.array(self.tables.domains.sizes_bits, dtype=np.float64)
        while True:
            floor, picks, _ = self._floor(option, weights)
            if not np.isfinite(floor):
                return None
            known = self._costs(option, weights)
            costs = [Costs(f, g, pairs) for f, g, _, pairs in known]
            beyond = [self._beyond(option, kind, weights) for kind in kinds]
            found = fitting_places(
                tiling.graph,
                kinds,
                costs,
                main,
                picks[main],
                sizes,
                beyond,
                self._shared(option, known),
            )
            rounds -= 1
            if found is None or rounds < 0 or not self._settle(option, weights, found):
                return found

    def _settle(self, option: StackOption, weights: tuple[float, float], fitting: Fitting) -> bool:
        """Search the best mappings of a placement; False if none was news."""
        tiling, kinds = self._kinds(option)
        bounds: dict[MappedTile, float] = {}
        for (k, e), memories in fitting.places.layers.items():
            if tiling.graph.layers[e].computes:
                tile = self._tile(option, kinds[k], e, memories, weights)
                energy, cycles = self._entry_floor(kinds[k], e, memories)
                bound = weights[0] * energy + weights[1] * cycles
                bounds.setdefault(tile, bound)
        news = False
        while bounds and self.mappings.step_all(bounds):
            news = True
            bounds = {t: b for t, b in bounds.items() if not self.mappings.is_hard(t, HARD)}
        return news

    def _beyond(
        self, option: StackOption, kind: KindTables, weights: tuple[float, float]
    ) -> np.ndarray:
        """Bits that the best mappings known take beyond whole tensors; see `fitting_places`."""
        n_memories = len(self.tables.domains.sizes_bits)
        out = np.full((*kind.f.shape[:-1], n_memories), UNKNOWN)
        graph = self.tables.tiling(option).graph
        for e, layer in enumerate(graph.layers):
            if not kind.runs[e] or not layer.computes:
                out[e] = 0.0
                continue
            key = self.tables.key_of(option, kind.kind, e)
            for memories in self.mappings.costs(key, weights):
                if not self._is_open(kind, e, memories, kind.f[..., 0]):
                    continue
                best = self.mappings.best(self._tile(option, kind, e, memories, weights))
                if best:
                    least = self._tensor_bits(option.layers[e], kind, e, memories)
                    held = np.array(best[0].held_bits, dtype=np.float64)
                    held -= [least.get(m, 0) for m in range(n_memories)]
                    out[(e, *self._entry(kind, e, memories))] = np.maximum(held, 0.0)
        return out

    def _entry_floor(
        self, kind: KindTables, e: int, memories: tuple[int, int, int]
    ) -> tuple[float, float]:
        """(pJ, cycles) lower bound of a layer-tile with its tensors in `memories`."""
        at = self._entry(kind, e, memories)
        energy, cycles = (kind.f[(e, *at)] - kind.exports[e, at[2]]).tolist()
        return energy, cycles
