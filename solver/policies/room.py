"""Room in memories beside what is alive: what a repair keeps to, and what it moves up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cost.reference_levels import TilePlaces
from cost.stack_tiles import StackTiling, TileKind
from problems.hardware import Hardware
from problems.workload import Operand
from solver.stack_tables import StackTables


def less_room(hardware: Hardware, used: Mapping[int, int]) -> Hardware:
    """The accelerator with smaller memories; `used` gives bits by memory."""
    return replace(
        hardware,
        memories=tuple(
            replace(memory, size_bits=max(0, memory.size_bits - used[m])) if used.get(m) else memory
            for m, memory in enumerate(hardware.memories)
        ),
    )


class Room:
    """What is alive in a stack beside one layer-tile, and where it lies.

    `make` moves something up, so that the next attempt finds more room.
    """

    def __init__(
        self, tables: StackTables, tiling: StackTiling, places: TilePlaces, weights: list[int]
    ) -> None:
        self.tables, self.tiling = tables, tiling
        self.places, self.weights = places, weights
        self.hardware = tables.problem.hardware
        self._least: dict[tuple[TileKind, int], int] = {}
        self._waiting: dict[tuple[TileKind, int], tuple[int, int]] = {}

    def left(self, kind: TileKind, e: int, lies_in: dict[int, int], *, landing: bool) -> Hardware:
        """What is free for layer `e`, or before it for the tiles that it fetches."""
        graph = self.tiling.graph
        # What waits when nothing fits is what may move.
        self._waiting = {
            (kind, t): (lies_in[t], kind.tensor_bits[t])
            for t, span in enumerate(graph.waits)
            if e in span and t in lies_in and lies_in[t] != self.tables.domains.dram
        }
        used: dict[int, int] = {}
        for name, memory, bits in self._standing():
            if name != e or landing:  # the mapping counts the layer's own weights
                used[memory] = used.get(memory, 0) + bits
        for memory, bits in self._waiting.values():
            used[memory] = used.get(memory, 0) + bits
        return less_room(self.hardware, used)

    def _standing(self) -> list[tuple[str | int, int, int]]:
        """(what, memory, bits) of caches, and of weights by layer, as far as they are on chip."""
        tiling, places = self.tiling, self.places
        each: list[tuple[str | int, int | None, int]] = [
            ("rows", places.rows, sum(tiling.v_cache_bits)),
            ("columns", places.columns, sum(tiling.h_cache_bits)),
        ]
        for e, (layer, memory) in enumerate(zip(tiling.graph.layers, self.weights, strict=True)):
            each.append((e, memory, layer.weight_volume_bits))
        dram = self.tables.domains.dram
        return [(what, m, bits) for what, m, bits in each if bits and m is not None and m != dram]

    def least_level(self, kind: TileKind, tensor: int) -> int:
        """Level of its chain below which a tensor's tile may not lie."""
        return self._least.get((kind, tensor), 0)

    def at_least(self, kind: TileKind, e: int, memory: int) -> int:
        """The output memory of a layer, or the one above to which its tile had to move."""
        level = max(self.hardware.level_of(Operand.O, memory), self.least_level(kind, e))
        chain = self.hardware.chains[Operand.O]
        return next(m for m in chain[level:] if m in self.tables.domains.outputs)

    def make(self) -> bool:
        """Move up what takes the largest share of its memory; False if all is in DRAM."""

        def share(memory: int, bits: int) -> float:
            return bits / max(1, self.hardware.memories[memory].size_bits)

        if self._waiting:
            key = max(self._waiting, key=lambda key: share(*self._waiting[key]))
            operand = Operand.O if key[1] < len(self.tiling.graph.layers) else Operand.I
            self._least[key] = self.hardware.level_of(operand, self._waiting[key][0]) + 1
            self._waiting = {}
            return True
        standing = self._standing()
        if not standing:
            return False
        what, memory, _ = max(standing, key=lambda each: share(each[1], each[2]))
        domains = self.tables.domains
        if isinstance(what, int):
            self.weights[what] = domains.weights[domains.weights.index(memory) + 1]
        else:
            above = domains.caches[domains.caches.index(memory) + 1]
            self.places = replace(self.places, **{what: above})
        return True
