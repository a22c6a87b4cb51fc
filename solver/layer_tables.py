"""Lower bounds of layer-tiles, each worked out once for all that are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cost.floor_tables import AS_PLACED, tile_floors
from cost.layer_classes import is_symmetric, layer_classes
from cost.layer_model import MAX_LEVELS, LayerModel, build_layer_model
from cost.mapping_bounds import lower_bounds, many_lower_bounds
from cost.mapping_search import size_vector
from cost.rules import RuleSet
from problems.problem import Problem
from problems.workload import Operand
from solver.pinned_inside import FREE

NEVER = 1e200
"""Stands for infinity where costs are multiplied by what may be zero."""
TILES_A_TURN = 64
"""Sizes of layer-tiles bounded between two looks at the clock."""
KEPT_BOUNDS = 200_000
"""Layer-tiles whose bounds by placement are remembered, though none has asked for them yet."""
ROUNDING = 1e-12
"""Relative difference of bounds that is no news."""

LayerTile = tuple[int, int, int]
"""Layer, width and height."""


@dataclass(frozen=True, slots=True)
class TileKey:
    """A layer-tile by what it costs: `like` (layer, width, height) stands for all alike.

    `turned`: the tile is the transpose of the one that stands for it. `pinned`: number of what
    is fixed of its mapping (`solver.pinned_inside`), which it shares with no other layer.
    """

    like: LayerTile
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
        self._bounds: dict[LayerTile, np.ndarray] = {}
        self._floors: dict[LayerTile, np.ndarray] = {}

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

    def size_codes(self, layer: int, widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
        """A number for each size of tiles of a layer: equal where `tile_key` is."""
        low, high = np.minimum(widths, heights), np.maximum(widths, heights)
        across, down = (low, high) if self._symmetric[layer] else (widths, heights)
        codes: np.ndarray = (across.astype(np.int64) << 32) + down
        return codes

    def layer_bounds(self, layer: int, width: int, height: int) -> np.ndarray:
        """[W, I, O levels, (pJ, cycles)] lower bounds of a layer-tile, over whole chains."""
        key = self.tile_key(layer, width, height).like
        found = self._bounds.get(key)
        if found is None:
            found = lower_bounds(self.models[key[0]], self.tile_sizes(*key), timed=self.timed)
            self._bounds[key] = found
        return found

    def raise_bounds(self, key: LayerTile, what: int, found: np.ndarray) -> bool:
        """Take over bounds [W, I, O level] on pJ or cycles; False if none is above those known."""
        known = self.layer_bounds(*key)
        if not np.any(found > known[..., what] * (1 + ROUNDING)):
            return False
        higher = known.copy()
        np.maximum(known[..., what], found, out=higher[..., what])
        self._bounds[key] = higher
        return True

    def bound_tiles(
        self, tiles: Iterable[LayerTile], pause: Callable[[], object] | None = None
    ) -> None:
        """Have `layer_bounds` of many tiles (layer, width, height), those of one layer at once.

        `pause` is called between some tiles and the next, and may raise.
        """
        for like, keys in self._missing(tiles, self._bounds).items():
            for some, found in self.bounds_of(like, keys, pause):
                self._bounds.update(zip(some, found, strict=True))

    def bounds_of(
        self,
        like: int,
        keys: Iterable[LayerTile],
        pause: Callable[[], object] | None = None,
        *,
        timed: bool = True,
    ) -> Iterator[tuple[list[LayerTile], np.ndarray]]:
        """Some of `keys` and the next, with their `layer_bounds` [tile, W, I, O, (pJ, cycles)].

        `like`: the layer that stands for all of them. Those that are not `timed` are sooner known.
        """
        sizes = self.tile_sizes(like, 1, 1)
        ordered = sorted(keys)
        for start in range(0, len(ordered), TILES_A_TURN):
            some = ordered[start : start + TILES_A_TURN]
            if pause is not None:
                pause()
            at = np.array(some, dtype=np.int64)
            model, timed = self.models[like], timed and self.timed
            yield some, many_lower_bounds(model, sizes, at[:, 1], at[:, 2], timed=timed)

    def keep_bounds(self, keys: Iterable[LayerTile], bounds: Iterable[np.ndarray]) -> None:
        """Remember `layer_bounds` of some keys, if there is room: others are worked out again."""
        if len(self._bounds) < KEPT_BOUNDS:
            self._bounds.update(zip(keys, bounds, strict=True))

    def all_bounds(self) -> list[tuple[LayerTile, np.ndarray]]:
        """Every layer-tile, each for all alike, whose `layer_bounds` are remembered."""
        return list(self._bounds.items())

    def known_bounds(self, key: LayerTile) -> np.ndarray | None:
        """The bounds remembered for a key."""
        return self._bounds.get(key)

    def floor(self, layer: int, width: int, height: int) -> np.ndarray:
        """(pJ, cycles) floor of a layer-tile."""
        key = self.tile_key(layer, width, height).like
        if key not in self._floors:
            self.floor_tiles([(layer, width, height)])
        return self._floors[key]

    def floor_tiles(self, tiles: Iterable[LayerTile]) -> None:
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
        tiles: Iterable[LayerTile],
        known: Mapping[LayerTile, np.ndarray],
    ) -> dict[int, set[LayerTile]]:
        """Keys of `tiles` that are not `known`, by the layer that stands for all alike."""
        missing: dict[int, set[LayerTile]] = {}
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
