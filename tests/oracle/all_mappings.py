"""Every temporal mapping of a small layer-tile, costed one by one by the kernel.

Independent of the search: all distinct orders of all prime factors, all uneven cuts, all
double-buffer flags. The one rule taken over is that loops which do not touch an operand
and lie directly above one of its boundaries belong below it (they cost no space there).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement, permutations, product
from math import inf, prod

from cost.accesses import access_pj, link_accesses
from cost.kernel import evaluate, memory_use_bits
from cost.links import Boundary, boundaries, links
from cost.mapping import LayerTile, TemporalMapping
from cost.rules import RuleSet
from cost.tensor_size import DIM_POSITION
from cost.tile_model import TensorModel, TileModel, build_tile_model
from problems import Hardware, Unroll

Point = tuple[float, int]
"""Energy in pJ and latency in cycles."""


@dataclass(frozen=True)
class Piece:
    """One tensor's share of a mapping: its cuts, flags, energy and bits held by memory."""

    cuts: tuple[int, ...]
    flags: tuple[bool, ...]
    energy_pj: float
    held_bits: dict[int, int]


@dataclass(frozen=True)
class Candidate:
    """A whole mapping: energy without latency, and the bits held by memory index.

    `tensor_bits` splits these by tensor.
    """

    energy_pj: float
    held_bits: dict[int, int]
    tensor_bits: dict[str, dict[int, int]]
    mapping: TemporalMapping


def prime_loops(model: TileModel) -> list[tuple[str, int]]:
    """All prime factors of the temporal steps, as loops."""
    result = []
    for dim, steps in model.temporal:
        divisor = 2
        while steps > 1:
            while steps % divisor == 0:
                result.append((dim, divisor))
                steps //= divisor
            divisor += 1
    return result


class AllMappings:
    """All mappings of one layer-tile; `pareto` filters them by what memories may hold."""

    def __init__(
        self,
        hardware: Hardware,
        unroll: Sequence[Unroll],
        layer_tile: LayerTile,
        rules: RuleSet,
    ) -> None:
        self.model = build_tile_model(hardware, unroll, layer_tile, rules)
        self.sizes = {i: m.size_bits for i, m in enumerate(hardware.memories)}
        self._latency: dict[int, int] = {}
        self._known: dict[object, tuple[Point, ...]] = {}

    @cached_property
    def candidates(self) -> list[Candidate]:
        """All different mappings that fit the bare memories, cheapest energy first."""
        model = self.model
        seen: set[tuple[tuple[int, int], ...]] = set()
        numbers: dict[tuple[str, tuple[Boundary, ...]], int] = {}
        pieces: dict[tuple[str, int, tuple[bool, ...]], Piece] = {}
        found: list[Candidate] = []
        mac_pj = model.hardware.mac_pj * model.layer_tile.macs
        for loops in sorted(set(permutations(prime_loops(model)))):
            choices = []
            for tensor in model.tensors:
                options = []
                for cuts in _canonical_cuts(tensor, loops):
                    bare = TemporalMapping(loops=loops, cuts={tensor.name: cuts})
                    edges = boundaries(tensor, bare)
                    number = numbers.setdefault((tensor.name, edges), len(numbers))
                    for code, flags in enumerate(_flag_choices(tensor, model.rules)):
                        key = (tensor.name, number, flags)
                        if key not in pieces:
                            pieces[key] = _piece(model, tensor, bare, edges, flags)
                        piece = replace(pieces[key], cuts=cuts)
                        options.append((number, code, piece))
                choices.append(options)
            for combination in product(*choices):
                signature = tuple((number, code) for number, code, _ in combination)
                if signature in seen:
                    continue
                seen.add(signature)
                held: dict[int, int] = {}
                for _, _, piece in combination:
                    for memory, bits in piece.held_bits.items():
                        held[memory] = held.get(memory, 0) + bits
                if any(bits > self.sizes[memory] for memory, bits in held.items()):
                    continue
                names = [tensor.name for tensor in model.tensors]
                parts = [piece for _, _, piece in combination]
                flagged = model.rules.explicit_double_buffering
                found.append(
                    Candidate(
                        energy_pj=mac_pj + sum(part.energy_pj for part in parts),
                        held_bits=held,
                        tensor_bits={n: p.held_bits for n, p in zip(names, parts, strict=True)},
                        mapping=TemporalMapping(
                            loops=loops,
                            cuts={n: p.cuts for n, p in zip(names, parts, strict=True)},
                            double_buffered={n: p.flags for n, p in zip(names, parts, strict=True)}
                            if flagged
                            else None,
                        ),
                    )
                )
        found.sort(key=lambda candidate: candidate.energy_pj)
        return found

    def latency_cycles(self, number: int) -> int:
        """Latency of a candidate, from the kernel; its energy is checked on the way."""
        if number not in self._latency:
            candidate = self.candidates[number]
            cost = evaluate(self.model, candidate.mapping)
            assert abs(cost.energy_pj - candidate.energy_pj) <= 1e-9 * cost.energy_pj
            assert dict(cost.held_bits) == candidate.held_bits
            self._latency[number] = cost.latency_cycles
        return self._latency[number]

    def has_loops(self, mapping: TemporalMapping) -> bool:
        """Whether a mapping's loops are as long as those of this layer-tile."""
        dims = {dim for dim, _ in mapping.loops}
        products = {dim: prod(f for d, f in mapping.loops if d == dim) for dim in dims}
        return all(products.get(dim, 1) == steps for dim, steps in self.model.temporal)

    def pareto(
        self,
        budgets_bits: dict[int, int] | None = None,
        in_place: tuple[tuple[str, int, int], ...] = (),
        only: TemporalMapping | None = None,
    ) -> tuple[Point, ...]:
        """Nondominated (pJ, cycles) of the mappings that hold at most `budgets_bits`.

        Budgets are by memory index; a memory that is not named may be filled. `in_place`
        lists (tensor, memory, bits) that lie inside a whole map counted elsewhere. If given,
        `only` this one counts.
        """
        budgets = budgets_bits or {}
        key = (tuple(sorted(budgets.items())), in_place, repr(only))
        if key in self._known:
            return self._known[key]
        points: list[Point] = []
        best: float = inf
        for number, candidate in enumerate(self.candidates):
            if best <= self.model.temporal_cycles:
                break
            if only is not None and candidate.mapping != only:
                continue
            held = dict(candidate.held_bits)
            for name, memory, bits in in_place:
                held[memory] -= min(bits, candidate.tensor_bits[name].get(memory, 0))
            if any(held.get(memory, 0) > bits for memory, bits in budgets.items()):
                continue
            latency = self.latency_cycles(number)
            if latency < best:
                best = latency
                points.append((candidate.energy_pj, latency))
        self._known[key] = clean(points)
        return self._known[key]


def clean(points: Sequence[Point]) -> tuple[Point, ...]:
    """Nondominated points; energies that agree to 1e-12 count as equal."""
    result: list[Point] = []
    for energy, latency in sorted(points):
        if result and latency >= result[-1][1]:
            continue
        while result and result[-1][0] >= energy * (1 - 1e-12):
            result.pop()
        result.append((energy, latency))
    return tuple(result)


def _flag_choices(tensor: TensorModel, rules: RuleSet) -> Iterator[tuple[bool, ...]]:
    lower = tensor.levels - 1 if rules.explicit_double_buffering else 0
    for flags in product((False, True), repeat=lower):
        yield (*flags, *(False,) * (tensor.levels - lower))


def _canonical_cuts(
    tensor: TensorModel, loops: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, ...]]:
    """All cuts of a tensor below which no loop can be taken in for free."""
    total = len(loops)
    allowed = [
        cut
        for cut in range(total + 1)
        if cut == total or DIM_POSITION[loops[cut][0]] not in tensor.shape.irrelevant
    ]
    for cuts in combinations_with_replacement(allowed, tensor.levels - 1):
        yield (*cuts, total)


def _piece(
    model: TileModel,
    tensor: TensorModel,
    bare: TemporalMapping,
    edges: tuple[Boundary, ...],
    flags: tuple[bool, ...],
) -> Piece:
    energy_pj = 0.0
    for link in links(model, tensor, edges):
        for level, direction, count in link_accesses(tensor, link):
            energy_pj += count * access_pj(tensor, level, direction)
    alone = replace(model, tensors=(tensor,))
    mapping = replace(bare, double_buffered={tensor.name: flags})
    held = memory_use_bits(alone, {tensor.name: edges}, mapping)
    return Piece(cuts=bare.cuts[tensor.name], flags=flags, energy_pj=energy_pj, held_bits=held)
