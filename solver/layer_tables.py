"""Lower bounds of layer-tiles, each worked out once for all that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from cost.floor_tables import AS_PLACED, FROM_AND_TO_TOP, FROM_TOP, TO_TOP, tile_floors
from cost.layer_classes import is_symmetric, layer_classes
from cost.layer_model import MAX_LEVELS, LayerModel, build_layer_model
from cost.mapping_bounds import least_bounds, lower_bounds, many_lower_bounds
from cost.mapping_search import size_vector
from cost.rules import RuleSet
from problems.problem import Problem
from problems.workload import Operand
from solver.pinned_inside import FREE

NEVER = 1e200
"""Stands for infinity where costs are multiplied by what may be zero."""
TILES_A_TURN = 32
"""Sizes of layer-tiles bounded between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class TileKey:
    """A layer-tile by what it costs: `like` (layer, width, height) stands for all alike.

    `turned`: the tile is the transpose of the one that stands for it. `pinned`: number of what
    is fixed of its mapping (`solver.pinned_inside`), which it shares with no other layer.
    """

    like: tuple[int, int, int]
    turned: bool = False
    pinned: int = FREE

    @property
    def plain(self) -> TileKey:
        """The key of the tile that stands for all alike."""
        return TileKey(self.like, pinned=self.pinned)


class LayerTables:
    """Caches models and layer-tile bounds of one problem and rule set.

    Where only energy is asked for, bounds need not be `timed`: their cycles are then low.
    """

    def __init__(self, problem: Problem, rules: RuleSet, *, timed: bool = True) -> None:
        self.problem = problem
        self.rules = rules
        self.timed = timed
        hardware, workload = problem.hardware, problem.workload
        self.models: tuple[LayerModel, ...] = tuple(
            build_layer_model(hardware, hardware.unrolling(workload.name, layer), layer, rules)
            for layer in workload.layers
        )
        self._full_sizes = tuple(size_vector(layer.sizes) for layer in workload.layers)
        self._classes = layer_classes(self.models, self._full_sizes)
        self._symmetric = tuple(
            is_symmetric(model, sizes)
            for model, sizes in zip(self.models, self._full_sizes, strict=True)
        )
        self._bounds: dict[tuple[int, int, int], np.ndarray] = {}
        self._least: dict[tuple[int, bytes, int], dict[tuple[int, ...], np.ndarray]] = {}
        self._floors: dict[tuple[int, int, int], np.ndarray] = {}

    def tile_sizes(self, layer: int, width: int, height: int) -> np.ndarray:
        """Loop sizes of a layer-tile of layer number `layer`."""
        sizes = self._full_sizes[layer].copy()
        sizes[5], sizes[4] = width, height
        return sizes

    def alike(self, layer: int) -> int:
        """The first layer whose tiles cost what those of `layer` do."""
        return self._classes[layer]

    def tile_key(self, layer: int, width: int, height: int) -> TileKey:
        """What stands for a tile of layer number `layer` wherever only its cost matters."""
        turned = self._symmetric[layer] and width > height
        size = (height, width) if turned else (width, height)
        return TileKey((self._classes[layer], *size), turned)

    def size_codes(self, layer: int, widths: np.ndarray, heights: np.ndarray) -> list[int]:
        """A number for each size of tiles of a layer: equal where `tile_key` is."""
        low, high = np.minimum(widths, heights), np.maximum(widths, heights)
        across, down = (low, high) if self._symmetric[layer] else (widths, heights)
        codes: list[int] = np.unique((across.astype(np.int64) << 32) + down).tolist()
        return codes

    def layer_bounds(self, layer: int, width: int, height: int) -> np.ndarray:
        """[W, I, O levels, (pJ, cycles)] lower bounds of a layer-tile, over whole chains."""
        key = self.tile_key(layer, width, height).like
        found = self._bounds.get(key)
        if found is None:
            found = lower_bounds(self.models[key[0]], self.tile_sizes(*key), timed=self.timed)
            self._bounds[key] = found
        return found

    def least_tiles(
        self,
        layer: int,
        widths: np.ndarray,
        heights: np.ndarray,
        usable: np.ndarray,
        variant: int,
        pause: Callable[[], object],
    ) -> np.ndarray:
        """[tile, (pJ, cycles)] least bounds over placements; see `least_bounds`.

        `pause` is called between a few tiles and the next, and may raise.
        """
        keys = [
            self.tile_key(layer, w, h).like
            for w, h in zip(widths.tolist(), heights.tolist(), strict=True)
        ]
        known = self._least.setdefault((self._classes[layer], usable.tobytes(), variant), {})
        missing = np.array(sorted({key for key in keys if key not in known}), dtype=np.int64)
        for start in range(0, len(missing), TILES_A_TURN):
            pause()
            some = missing[start : start + TILES_A_TURN]
            bounds = least_bounds(
                self.models[layer],
                self.tile_sizes(layer, 1, 1),
                some[:, 1],
                some[:, 2],
                usable,
                from_top=variant in (FROM_TOP, FROM_AND_TO_TOP),
                to_top=variant in (TO_TOP, FROM_AND_TO_TOP),
                timed=self.timed,
            )
            known.update(zip(map(tuple, some.tolist()), bounds, strict=True))
        return np.array([known[key] for key in keys])

    def bound_tiles(
        self, tiles: Iterable[tuple[int, int, int]], pause: Callable[[], object] | None = None
    ) -> None:
        """Have `layer_bounds` of many tiles (layer, width, height), those of one layer at once.

        `pause` is called between some tiles and the next, and may raise.
        """
        for like, keys in self._missing(tiles, self._bounds).items():
            sizes = self.tile_sizes(like, 1, 1)
            all_keys = np.array(sorted(keys), dtype=np.int64)
            for start in range(0, len(all_keys), TILES_A_TURN):
                at = all_keys[start : start + TILES_A_TURN]
                if pause is not None:
                    pause()
                found = many_lower_bounds(
                    self.models[like], sizes, at[:, 1], at[:, 2], timed=self.timed
                )
                self._bounds.update(zip(map(tuple, at.tolist()), found, strict=True))

    def floor(self, layer: int, width: int, height: int) -> np.ndarray:
        """(pJ, cycles) floor of a layer-tile."""
        key = self.tile_key(layer, width, height).like
        if key not in self._floors:
            self.floor_tiles([(layer, width, height)])
        return self._floors[key]

    def floor_tiles(self, tiles: Iterable[tuple[int, int, int]]) -> None:
        """Have floors of many tiles (layer, width, height), those of one layer at once."""
        for like, keys in self._missing(tiles, self._floors).items():
            at = np.array(sorted(keys), dtype=np.int64)
            usable = self.usable_levels(like)
            sizes = self.tile_sizes(like, 1, 1)
            floors = tile_floors(self.models[like], sizes, at[:, 1], at[:, 2], usable)[AS_PLACED]
            # They get multiplied by weights that may be zero.
            floors = np.minimum(floors, NEVER)
            self._floors.update(zip(map(tuple, at.tolist()), floors, strict=True))

    def _missing(
        self,
        tiles: Iterable[tuple[int, int, int]],
        known: Mapping[tuple[int, int, int], np.ndarray],
    ) -> dict[int, set[tuple[int, int, int]]]:
        """Keys of `tiles` that are not `known`, by the layer that stands for all alike."""
        missing: dict[int, set[tuple[int, int, int]]] = {}
        for tile in tiles:
            key = self.tile_key(*tile).like
            if key not in known:
                missing.setdefault(key[0], set()).add(key)
        return missing

    def usable_levels(self, layer: int) -> np.ndarray:
        """[operand, level]: whether a tensor of a tile may rest at that level."""
        usable = np.zeros((3, MAX_LEVELS), dtype=np.bool_)
        model = self.models[layer]
        lone_weights = not self.problem.workload.layers[layer].has_weights
        for o, (name, chain) in enumerate(zip(model.operands, model.chain, strict=True)):
            for m, i in enumerate(chain):
                free = lone_weights and name == Operand.W.value
                usable[o, m] = self.problem.hardware.memories[i].instances == 1 or free
        return usable
