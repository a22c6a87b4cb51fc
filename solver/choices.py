"""What is left to choose inside one stack option once hopeless placements are gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.mapping_search import MappingPoint, best_mapping, pareto_set
from cost.phase_tables import kind_bounds, kind_through
from cost.stack_tiles import StackTiling
from problems.workload import Operand
from solver.stack_tables import KindTables, StackOption, StackTables

MARGIN = 1e-9
"""Relative slack added before an entry is dropped: float sums in another order differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChoice:
    """One layer-tile of one kind: memories of W, I and O, and a temporal mapping.

    Without a `point` the mapping is not searched yet: cost and `held_bits` are lower
    bounds, and a solution that uses the choice has to be solved again with the truth.
    """

    kind: int
    layer: int
    weight: int
    operand: int
    output: int
    energy_pj: float
    latency_cycles: float
    held_bits: tuple[int, ...]
    point: MappingPoint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChoice:
    """One copy phase of one kind: memories of producer, operand and caches (-1: none)."""

    kind: int
    layer: int
    producer: int
    operand: int
    h_use: int
    h_make: int
    v: int
    energy_pj: float
    latency_cycles: int


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionChoices:
    """Everything that may still be part of an optimal schedule of one stack option.

    `floor` is the weighted lower bound of the option; nothing that costs at most
    `floor + slack` was dropped.
    """

    option: StackOption
    tables: tuple[KindTables, ...]
    layers: tuple[LayerChoice, ...]
    phases: tuple[PhaseChoice, ...]
    floor: float
    slack: float


def _weigh(weights: tuple[float, float], point: MappingPoint) -> float:
    return weights[0] * point.energy_pj + weights[1] * point.latency_cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One placement of one layer-tile while its choices are made."""

    kind: int
    layer: int
    index: int
    size: tuple[int, int]
    memories: tuple[int, int, int]
    weights: tuple[float, float]
    floor: tuple[float, float]
    spare: float
    tensors: dict[int, int]


class ChoiceBuilder:
    """Builds `OptionChoices`, remembering the Pareto sets of layer-tiles."""

    def __init__(self, tables: StackTables) -> None:
        self.tables = tables
        self._options: dict[StackOption, tuple[StackTiling, tuple[KindTables, ...]]] = {}
        self._floors: dict[tuple[StackOption, tuple[float, float]], float] = {}
        self._fresh: set[tuple[object, ...]] = set()
        self._best: dict[tuple[object, ...], tuple[MappingPoint, ...]] = {}
        self._fronts: dict[tuple[object, ...], tuple[float, tuple[MappingPoint, ...]]] = {}

    def _kinds(self, option: StackOption) -> tuple[StackTiling, tuple[KindTables, ...]]:
        """Tiling and tables of an option, remembered."""
        if option not in self._options:
            tiling = self.tables.tiling(option)
            self._options[option] = (tiling, self.tables.kind_tables(option, tiling))
        return self._options[option]

    def floor(self, option: StackOption, weights: tuple[float, float]) -> float:
        """Weighted lower bound of `option`."""
        key = (option, weights)
        if key not in self._floors:
            _, kinds = self._kinds(option)
            self._floors[key] = float(
                self.tables.kinds_bounds(option, kinds, np.array([weights]))[0]
            )
        return self._floors[key]

    def build(
        self, option: StackOption, weights: tuple[float, float], reach: float
    ) -> OptionChoices:
        """All choices through which the option costs at most `reach`."""
        tables = self.tables
        self._fresh.clear()
        tiling, kinds = self._kinds(option)
        busiest = max(range(len(kinds)), key=lambda i: kinds[i].kind.count)
        floor = 0.0
        reduced = []
        for k, kind in enumerate(kinds):
            f = tables.with_arrival(option, kind) if k == busiest else kind.f
            least = float(kind_bounds(f, kind.g, np.array([weights]))[0])
            floor += kind.kind.count * least
            reduced.append((f, least))
        # Slack counts from this floor, which ignores shared memories as the entries do.
        slack = reach - floor
        phase_choices: list[PhaseChoice] = []
        layer_entries = []
        for k, (kind, (f, least)) in enumerate(zip(kinds, reduced, strict=True)):
            through_f, through_g = kind_through(f, kind.g, *weights)
            limit = least + (slack + MARGIN * floor) / kind.kind.count
            for e, p, i, a, b, c in np.argwhere(through_g <= limit).tolist():
                energy, cycles = kind.g[e, p, i, a, b, c].tolist()
                phase_choices.append(
                    PhaseChoice(
                        kind=k,
                        layer=e,
                        producer=kind.producers[e][p],
                        operand=kind.inputs[i],
                        h_use=kind.h_use[e][a],
                        h_make=kind.h_make[e][b],
                        v=kind.v[e][c],
                        energy_pj=energy,
                        latency_cycles=int(cycles),
                    )
                )
            for e, w, i, o in np.argwhere(through_f <= limit).tolist():
                memories = (kind.weights[e][w], kind.inputs[i], kind.outputs[o])
                bound = weights[0] * kind.f[e, w, i, o, 0] + weights[1] * kind.f[e, w, i, o, 1]
                spare = limit - through_f[e, w, i, o]
                layer_entries.append((k, e, memories, bound, spare))
        others = self._most_held(option, tiling, phase_choices, layer_entries)
        layer_choices = []
        for k, e, memories, _, spare in layer_entries:
            tile = _Tile(
                kind=k,
                layer=e,
                index=option.first + e,
                size=kinds[k].kind.sizes[e],
                memories=memories,
                weights=weights,
                floor=self._entry_floor(kinds[k], e, memories),
                spare=spare,
                tensors=self._tensor_bits(option.first + e, kinds[k], e, memories),
            )
            layer_choices += self._mappings(tile, others)
        return OptionChoices(
            option=option,
            tables=kinds,
            layers=tuple(layer_choices),
            phases=tuple(phase_choices),
            floor=floor,
            slack=slack,
        )

    def _most_held(
        self,
        option: StackOption,
        tiling: StackTiling,
        phases: list[PhaseChoice],
        entries: list[tuple[int, int, tuple[int, int, int], float, float]],
    ) -> np.ndarray:
        """Bits per memory that caches, weights and whole maps may take beside a layer-tile."""
        held = np.zeros(len(self.tables.domains.sizes_bits))
        if not self.tables.rules.joint_capacity:
            return held
        h_places = {(p.layer, m) for p in phases for m in (p.h_use, p.h_make) if m >= 0}
        v_places = {(p.layer, p.v) for p in phases if p.v >= 0}
        for e, memory in h_places:
            held[memory] += tiling.h_cache_bits[e]
        for e, memory in v_places:
            held[memory] += tiling.v_cache_bits[e]
        layers = self.tables.problem.workload.layers
        for e, memory in {(e, memories[0]) for _, e, memories, _, _ in entries}:
            held[memory] += layers[option.first + e].weight_volume_bits
        for layer, memory in ((option.first - 1, option.source), (option.last, option.target)):
            if memory != self.tables.domains.dram:
                made = layers[layer]
                elements = made.channels * made.sizes["OX"] * made.sizes["OY"]
                held[memory] += elements * made.precision.output_bits
        return held

    def _entry_floor(
        self, kind: KindTables, e: int, memories: tuple[int, int, int]
    ) -> tuple[float, float]:
        """(pJ, cycles) lower bound of a layer-tile with its tensors in `memories`."""
        w = kind.weights[e].index(memories[0])
        i, o = kind.inputs.index(memories[1]), kind.outputs.index(memories[2])
        energy, cycles = kind.f[e, w, i, o].tolist()
        return energy, cycles

    def _tensor_bits(
        self, index: int, kind: KindTables, e: int, memories: tuple[int, int, int]
    ) -> dict[int, int]:
        """Bits per memory that the whole tensors of a layer-tile take at least."""
        bits: dict[int, int] = {}
        layer = self.tables.problem.workload.layers[index]
        demand = (layer.weight_volume_bits, kind.kind.edges[e].input_bits, kind.kind.output_bits[e])
        for memory, amount in zip(memories, demand, strict=True):
            bits[memory] = bits.get(memory, 0) + amount
        return bits

    def search(
        self,
        choice: LayerChoice,
        choices: OptionChoices,
        weights: tuple[float, float],
        cutoff: float,
    ) -> None:
        """Search the mappings of a choice that has none yet; later builds will know them."""
        option = choices.option
        size = choices.tables[choice.kind].kind.sizes[choice.layer]
        memories = (choice.weight, choice.operand, choice.output)
        index = option.first + choice.layer
        key = (index, size, memories, weights)
        model = self.tables.models[index]
        sizes = self.tables.tile_sizes(index, *size)
        levels = self._levels(memories)
        if key in self._fresh:
            return  # another kind of tile of the same size asked already
        self._fresh.add(key)
        if key not in self._best:
            bound = weights[0] * choice.energy_pj + weights[1] * choice.latency_cycles
            best = best_mapping(model, sizes, levels, weights, bound, choice.energy_pj)
            self._best[key] = () if best is None else (best,)
            if best is not None and self.tables.rules.joint_capacity and weights[0] > 0:
                # Among mappings of equal cost those that hold least matter.
                self._best[key] = pareto_set(
                    model,
                    sizes,
                    levels,
                    weigh_memory=self._weighed(levels),
                    weights=weights,
                    weighted_cutoff=_weigh(weights, best) * (1 + 1e-12),
                    weighted_only=True,
                ) or (best,)
            return
        # The best is known but holds too much for what else lives there: find the others.
        front = pareto_set(
            model,
            sizes,
            levels,
            weigh_memory=self._weighed(levels),
            weights=weights,
            weighted_cutoff=cutoff * (1 + MARGIN),
            weighted_only=True,
        )
        self._fronts[key] = (cutoff, front)

    def _weighed(self, levels: tuple[int, int, int]) -> np.ndarray:
        """[memory]: whether holding less there makes a mapping worth keeping."""
        shared = self._shared(levels) - {self.tables.domains.dram}
        return np.array([m in shared for m in range(len(self.tables.domains.sizes_bits))])

    def _levels(self, memories: tuple[int, int, int]) -> tuple[int, int, int]:
        chains = self.tables.problem.hardware.chains
        w, i, o = (
            chains[op].index(m) + 1
            for op, m in zip((Operand.W, Operand.I, Operand.O), memories, strict=True)
        )
        return w, i, o

    def _mappings(self, tile: _Tile, others: np.ndarray) -> list[LayerChoice]:
        """Choices for one placement of one layer-tile that may be part of an optimum.

        Its mapping of least weighted cost, searched or still a bound; and where memory
        may run short beside it, those that hold less.
        """
        weights, memories = tile.weights, tile.memories
        floor = weights[0] * tile.floor[0] + weights[1] * tile.floor[1]
        cutoff = floor + tile.spare
        key = (tile.index, tile.size, memories, weights)
        n_memories = len(self.tables.domains.sizes_bits)
        least = tuple(tile.tensors.get(m, 0) for m in range(n_memories))

        def choice(
            energy: float, cycles: float, held: tuple[int, ...], point: MappingPoint | None
        ) -> LayerChoice:
            return LayerChoice(
                kind=tile.kind,
                layer=tile.layer,
                weight=memories[0],
                operand=memories[1],
                output=memories[2],
                energy_pj=energy,
                latency_cycles=cycles,
                held_bits=held,
                point=point,
            )

        def known(point: MappingPoint) -> LayerChoice:
            return choice(point.energy_pj, point.latency_cycles, point.held_bits, point)

        if key not in self._best:
            return [choice(*tile.floor, least, None)]
        best = self._best[key]
        if not best or _weigh(weights, best[0]) > cutoff * (1 + MARGIN):
            return []
        room = self.tables.domains.sizes_bits
        shared = self._shared(self._levels(memories)) - {self.tables.domains.dram}
        if not self.tables.rules.joint_capacity:
            return [known(best[0])]
        for point in best:
            if all(point.held_bits[m] + others[m] <= room[m] for m in shared):
                return [known(point)]
            if all(point.held_bits[m] <= least[m] for m in shared):
                return [known(point)]
        front = self._fronts.get(key)
        if front is None or front[0] < cutoff * (1 - MARGIN):
            first = best[0]
            return [
                *(known(p) for p in best),
                choice(first.energy_pj, first.latency_cycles, least, None),
            ]
        return [known(p) for p in front[1] if _weigh(weights, p) <= cutoff * (1 + MARGIN)]

    def _shared(self, levels: tuple[int, ...]) -> set[int]:
        """Shared on-chip memories in which a mapping decides how much it holds."""
        hardware = self.tables.problem.hardware
        chosen = set()
        for op, count in zip((Operand.W, Operand.I, Operand.O), levels, strict=True):
            for m in hardware.chains[op][: count - 1]:
                if hardware.memories[m].instances == 1:
                    chosen.add(m)
        return chosen
