"""Which layers of a stack fetch the maps that it reads from DRAM."""

from __future__ import annotations

from enum import Enum

from cost.stack_graph import NETWORK_INPUT
from problems.workload import Workload
from solver.space import StackRange


class Fetched(Enum):
    """How tiles of an operand come from DRAM for a layer: not (or for a layer before it), for
    several layers of the stack that read the map, this one first, or for this one alone."""

    NOT, FOR_SEVERAL, FOR_ONE = range(3)


AllFetched = tuple[Fetched, ...]
"""By operand of a layer."""


class Fetching:
    """Tells it of any stack without its graph: stacks grow with the square of the layers."""

    def __init__(self, workload: Workload) -> None:
        self._producers = [
            [workload.positions.get(source, NETWORK_INPUT) for source in layer.sources]
            for layer in workload.layers
        ]
        self.nothing: list[AllFetched] = [(Fetched.NOT,) * len(made) for made in self._producers]
        """What a layer fetches that fetches nothing."""
        self._known: dict[tuple[tuple[int, ...], int], dict[int, AllFetched]] = {}

    def of(self, r: StackRange, source: int) -> dict[int, AllFetched]:
        """How operands come from DRAM, by layer of a stack; layers with none are left out.

        `source`: the memory that the carried map lies in. A tensor with several readers is
        charged to the first one.
        """
        carried = r.carried if source != r.dram else -1
        if (r.layers, carried) not in self._known:
            self._known[r.layers, carried] = self._find(r.layers, carried)
        return self._known[r.layers, carried]

    def _find(self, layers: tuple[int, ...], carried: int) -> dict[int, AllFetched]:
        inside = set(layers)
        readers: dict[int, list[tuple[int, int]]] = {}
        for p in layers:
            for operand, producer in enumerate(self._producers[p]):
                if producer not in inside and (producer != carried or carried < 0):
                    readers.setdefault(producer, []).append((p, operand))
        found: dict[int, list[Fetched]] = {}
        for places in readers.values():
            layer, operand = places[0]
            flags = found.setdefault(layer, list(self.nothing[layer]))
            flags[operand] = Fetched.FOR_SEVERAL if len(places) > 1 else Fetched.FOR_ONE
        return {layer: tuple(flags) for layer, flags in found.items()}
