"""The reference's own mapping search: every loop order, one greedy allocation of each.

An order is cut by memories from the inside out; each memory takes the loops that leave
least data to move from the next one, one memory at a time. The order of least energy
wins, the first one met on ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product as combinations_of
from math import ceil, prod

from cost.accesses import access_pj, link_accesses
from cost.kernel import LayerTileCost, evaluate
from cost.links import boundaries, links
from cost.loop_orders import Loop, loop_factors, loop_orders
from cost.mapping import LayerTile, TemporalMapping, memory_operand
from cost.rules import DEFINES, RuleSet
from cost.tensor_size import DIM_POSITION, NO_LOOPS, tensor_elements
from cost.tile_model import Extents, TensorModel, TileModel, build_tile_model
from problems.hardware import Hardware, Unroll
from problems.workload import Operand

Prefix = tuple[int, ...]
Cuts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedTile:
    """The mapping that a search settled on, and its cost."""

    mapping: TemporalMapping
    cost: LayerTileCost


@dataclass(kw_only=True)
class LoopOrderSearch:
    """Search with a memory: layer-tiles met before are answered at once.

    `limit` is the largest number of loop factors of an order.
    """

    hardware: Hardware
    limit: int
    rules: RuleSet = DEFINES
    _known: dict[tuple[object, ...], MappedTile | None] = field(default_factory=dict)

    def best(self, unroll: Sequence[Unroll], layer_tile: LayerTile) -> MappedTile | None:
        """Return the best mapping of a layer-tile, None if no loop order fits.

        Raises TooFewLoopFactorsError if `limit` is below the number of loop dims.
        """
        key = (tuple(unroll), layer_tile.key)
        if key not in self._known:
            model = build_tile_model(self.hardware, unroll, layer_tile, self.rules)
            self._known[key] = search_loop_orders(model, self.limit)
        return self._known[key]


def search_loop_orders(model: TileModel, limit: int) -> MappedTile | None:
    """Return the first loop order of strictly least energy, None if none fits.

    Raises TooFewLoopFactorsError if `limit` is below the number of loop dims.
    """
    loops = loop_factors(model.temporal, limit)
    allocator = _Allocator(model)
    energies = _Energies(model)
    best: TemporalMapping | None = None
    best_pj = 0.0
    mac_pj = model.hardware.mac_pj * model.layer_tile.macs
    for order in loop_orders(loops):
        cuts = allocator.allocate(order)
        if cuts is None:
            continue
        # With the MACs, as the reference compares: they decide which last bits make a tie.
        energy_pj = energies.of(order, cuts) + mac_pj
        if best is None or energy_pj < best_pj:
            best_pj = energy_pj
            best = _mapping(model, order, cuts)
    return None if best is None else MappedTile(mapping=best, cost=evaluate(model, best))


def _mapping(model: TileModel, order: tuple[Loop, ...], cuts: Cuts) -> TemporalMapping:
    by_name = {tensor.name: row for tensor, row in zip(model.tensors, cuts, strict=True)}
    return TemporalMapping(loops=order, cuts=by_name)


def _prefixes(order: Sequence[Loop]) -> list[Prefix]:
    """Loop product per dim below each position of an order."""
    product = list(NO_LOOPS)
    prefixes = [NO_LOOPS]
    for dim, factor in order:
        product[DIM_POSITION[dim]] *= factor
        prefixes.append(tuple(product))
    return prefixes


class _Energies:
    """Energy of allocations; each distinct one of a tensor is worked out once."""

    def __init__(self, model: TileModel) -> None:
        self._model = model
        self._known: list[dict[tuple[Prefix, ...], tuple[float, ...]]] = [{} for _ in model.tensors]

    def of(self, order: tuple[Loop, ...], cuts: Cuts) -> float:
        """Memory energy, added up level by level as in the kernel."""
        total = 0.0
        prefixes = _prefixes(order)
        for tensor, row, known in zip(self._model.tensors, cuts, self._known, strict=True):
            key = tuple([prefixes[cut] for cut in row])
            if key not in known:
                known[key] = self._levels_pj(tensor, order, row)
            for level_pj in known[key]:
                total += level_pj
        return total

    def _levels_pj(
        self, tensor: TensorModel, order: tuple[Loop, ...], row: tuple[int, ...]
    ) -> tuple[float, ...]:
        mapping = TemporalMapping(loops=order, cuts={tensor.name: row})
        edges = boundaries(tensor, mapping)
        reads = [0.0] * tensor.levels
        writes = [0.0] * tensor.levels
        for link in links(self._model, tensor, edges):
            for level, direction, words in link_accesses(tensor, link):
                side = reads if direction in ("rl", "rh") else writes
                side[level] += words * access_pj(tensor, level, direction)
        return tuple(map(sum, zip(reads, writes, strict=True)))


@dataclass(frozen=True, kw_only=True)
class _Seat:
    """A tensor's place in a memory: tensor number, level, and whether it is the top one."""

    tensor: int
    level: int
    is_top: bool


class _Allocator:
    """Cuts loop orders by the memories of one layer-tile.

    Extents are multiplied up loop by loop in the order of the allocation: the reference
    rounds such products of fractions up, and so their last bit can tip a choice.
    """

    def __init__(self, model: TileModel) -> None:
        self._model = model
        self._memories = _seats(model)
        self._irrelevant = [tensor.shape.irrelevant for tensor in model.tensors]
        self._elements: dict[tuple[int, Extents], int] = {}
        self._spread = [
            [
                [(DIM_POSITION[loop.loop_dim], loop.energy_factor) for loop in group]
                for group in tensor.spatial
            ]
            for tensor in model.tensors
        ]

    def allocate(self, order: tuple[Loop, ...]) -> Cuts | None:
        """Cuts per tensor and level, or None if the order does not fit."""
        dims = [DIM_POSITION[dim] for dim, _ in order]
        factors = [factor for _, factor in order]
        beyond = [prod(factors[position:]) for position in range(len(order) + 1)]
        taken = [0] * len(self._model.tensors)
        extents = [self._spread_out(NO_LOOPS, spread[0]) for spread in self._spread]
        cuts: list[list[int]] = [[] for _ in self._model.tensors]
        for capacity_bits, seats in self._memories:
            options: list[list[tuple[int, int, int]]] = []
            reached = []
            for seat in seats:
                start = taken[seat.tensor]
                sizes, steps = self._fitting(
                    seat.tensor, extents[seat.tensor], dims[start:], factors[start:], capacity_bits
                )
                if not sizes or (seat.is_top and start + len(sizes) <= len(order)):
                    return None
                if seat.is_top:
                    options.append([(len(sizes) - 1, sizes[-1], 0)])
                else:
                    # Data that the next memory supplies if this one stops after k loops.
                    costs = [size * beyond[start + k] for k, size in enumerate(sizes)]
                    options.append(list(zip(range(len(sizes)), sizes, costs, strict=True)))
                reached.append(steps)
            chosen = _choose(options, capacity_bits)
            for seat, steps, loops in zip(seats, reached, chosen, strict=True):
                number = seat.tensor
                taken[number] += loops
                cuts[number].append(taken[number])
                if seat.is_top and taken[number] < len(order):
                    return None
                extents[number] = self._spread_out(
                    steps[loops], self._spread[number][seat.level + 1]
                )
        return tuple(self._merged(number, row, dims) for number, row in enumerate(cuts))

    def _fitting(
        self,
        number: int,
        extents: Extents,
        dims: Sequence[int],
        factors: Sequence[int],
        capacity_bits: int,
    ) -> tuple[list[int], list[Extents]]:
        """Bits held and extents reached with the next 0, 1, .. loops, as far as they fit."""
        bits = self._element_bits(number, dims)
        sizes: list[int] = []
        steps: list[Extents] = []
        for k in range(len(dims) + 1):
            if k:
                grown = list(extents)
                grown[dims[k - 1]] *= factors[k - 1]
                extents = tuple(grown)
            size = self._size(number, extents) * bits
            if size > capacity_bits:
                break
            sizes.append(size)
            steps.append(extents)
        return sizes, steps

    @staticmethod
    def _spread_out(extents: Extents, group: Sequence[tuple[int, float]]) -> Extents:
        grown = list(extents)
        for position, factor in group:
            grown[position] *= factor
        return tuple(grown)

    def _element_bits(self, number: int, ahead: Sequence[int]) -> int:
        tensor = self._model.tensors[number]
        reduces = tensor.is_output and not self._irrelevant[number].isdisjoint(ahead)
        return tensor.partial_bits if reduces else tensor.final_bits

    def _size(self, number: int, extents: Extents) -> int:
        key = (number, extents)
        if key not in self._elements:
            whole = [ceil(extent) for extent in extents]
            if self._model.rules.integer_unrolling:
                whole = [min(pair) for pair in zip(whole, self._model.sizes, strict=True)]
            shape = self._model.tensors[number].shape
            self._elements[key] = int(tensor_elements(shape, whole))
        return self._elements[key]

    def _merged(self, number: int, row: Sequence[int], dims: Sequence[int]) -> tuple[int, ...]:
        """Pull irrelevant loops on top of a boundary below it, where they cost nothing."""
        irrelevant = self._irrelevant[number]
        result = []
        for cut in row:
            while cut < len(dims) and dims[cut] in irrelevant:
                cut += 1
            result.append(cut)
        return tuple(result)


def _choose(options: Sequence[Sequence[tuple[int, int, int]]], capacity_bits: int) -> list[int]:
    """Loops each tensor takes: the joint choice that fits and costs least, last on ties.

    An option is (loops, bits, cost). If none fits together, nobody takes any.
    """
    if len(options) == 1:
        return [min(reversed(options[0]), key=lambda option: option[2])[0]]
    best: tuple[tuple[int, int, int], ...] | None = None
    best_cost = 0
    for choice in combinations_of(*options):
        if sum(option[1] for option in choice) > capacity_bits:
            continue
        cost = sum(option[2] for option in choice)
        if best is None or cost <= best_cost:
            best, best_cost = choice, cost
    return [0] * len(options) if best is None else [option[0] for option in best]


def _seats(model: TileModel) -> list[tuple[int, tuple[_Seat, ...]]]:
    """Per memory, innermost first, its size and the tensors that it holds.

    Tensors go as the memory lists its operands; the second input of an add comes last.
    """
    result = []
    for index, memory in enumerate(model.hardware.memories):
        listing: dict[Operand, int] = {
            entry.operand: position for position, entry in enumerate(memory.operands)
        }
        seats = [
            (
                tensor.name == "Y",
                listing[memory_operand(tensor.name)],
                _Seat(
                    tensor=number,
                    level=tensor.memory_index.index(index),
                    is_top=index == tensor.memory_index[-1],
                ),
            )
            for number, tensor in enumerate(model.tensors)
            if index in tensor.memory_index
        ]
        seats.sort(key=lambda seat: seat[:2])
        if seats:
            result.append((memory.size_bits, tuple(seat for *_, seat in seats)))
    return result
