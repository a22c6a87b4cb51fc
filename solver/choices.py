"""What is left to choose inside one stack option once hopeless placements are gone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cost.mapping_search import MappingPoint, weigh_point
from cost.shared_prices import PLACE_SECOND
from cost.stack_tiles import StackTiling
from solver.kind_tables import KindTables
from solver.mapping_searches import MappedTile
from solver.option_choices import NOTHING, LayerChoice, OptionChoices, PhaseChoice
from solver.option_plan import OptionPlan
from solver.places import Fitting
from solver.sharpen import EFFORT
from solver.stack_option import StackOption
from solver.staircase import EQUAL
from solver.through_costs import ThroughCosts

FIT_EFFORT = 2e4
"""The same for a mapping that fits a placement which need not be the best."""
MARGIN = 1e-9
"""Relative slack added before an entry is dropped: float sums in another order differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    """One placement of one layer-tile while its choices are made."""

    kind: int
    layer: int
    index: int
    mapped: MappedTile
    floor: tuple[float, float]
    spare: float
    tensors: dict[int, int]
    export: tuple[float, int]


class ChoiceBuilder(ThroughCosts):
    """Builds `OptionChoices` from the mappings of layer-tiles found so far; see `KnownCosts`."""

    def fitted(
        self, option: StackOption, weights: tuple[float, float], fitting: Fitting
    ) -> OptionChoices | None:
        """The one choice of everything that a placement leaves, with some mappings that fit.

        None where no such mapping is soon found.
        """
        tiling, kinds = self._kinds(option)
        layers, phases = [], []
        tiles = {
            (k, e): self._tile(option, kinds[k], e, memories, weights)
            for (k, e), memories in fitting.places.layers.items()
            if tiling.graph.layers[e].computes
        }
        if np.isinf(self.patience):
            # What else would do costs as much to find, and says nothing of other placements.
            self.mappings.find_within(
                [(t, fitting.budgets[at]) for at, t in tiles.items() if self.mappings.best(t)],
                FIT_EFFORT,
            )
        for (k, e), memories in fitting.places.layers.items():
            kind = kinds[k]
            point, held = NOTHING, np.zeros(len(self.tables.domains.sizes_bits), dtype=np.int64)
            if tiling.graph.layers[e].computes:
                found = self.mappings.cheapest_within(tiles[k, e], fitting.budgets[k, e])
                if not found:
                    return None
                point = found[0]
                held = np.array(point.held_bits)
            else:
                for memory, bits in self._tensor_bits(option.layers[e], kind, e, memories).items():
                    held[memory] = bits
            export = self._export(kind, e, memories)
            layers.append(
                LayerChoice(
                    kind=k,
                    layer=e,
                    weight=memories[0],
                    operand=memories[1],
                    output=memories[2],
                    energy_pj=point.energy_pj,
                    latency_cycles=point.latency_cycles,
                    held_bits=tuple(held.tolist()),
                    point=point,
                    export_pj=export[0],
                    export_cycles=export[1],
                )
            )
            moves = fitting.places.phases[k, e]
            at = self._phase_entry(kind, e, moves)
            likely = self._phase_choices(kind, k, at, weights, np.inf)
            phases += [phase for phase in likely if phase.memories == moves]
        return OptionChoices(
            option=option,
            tables=kinds,
            layers=tuple(layers),
            phases=tuple(phases),
            floor=fitting.cost,
            slack=0.0,
        )

    @staticmethod
    def _phase_entry(kind: KindTables, e: int, memories: tuple[int, ...]) -> list[int]:
        """Indices of the memories of a copy phase on the axes of g."""
        producer, _, operand, h_use, h_make, v = memories
        return [
            e,
            kind.producers[e].index(producer),
            kind.inputs.index(operand),
            kind.h_use[e].index(h_use),
            kind.h_make[e].index(h_make),
            kind.v[e].index(v),
        ]

    def build(
        self, option: StackOption, weights: tuple[float, float], reach: float
    ) -> OptionChoices:
        """All choices through which the option costs at most `reach`."""
        tiling, kinds = self._kinds(option)
        reduced = self._through(option, weights)
        floor = sum(
            kind.kind.count * through.least for kind, through in zip(kinds, reduced, strict=True)
        )
        slack = reach - floor
        phase_choices: list[PhaseChoice] = []
        layer_entries = []
        for k, (kind, (through_f, through_g, least, rises, charges)) in enumerate(
            zip(kinds, reduced, strict=True)
        ):
            limit = least + (slack + MARGIN * floor) / kind.kind.count
            near_g = (through_g <= limit) & np.isfinite(through_g)
            near_f = (through_f <= limit) & np.isfinite(through_f)
            for at in np.argwhere(near_g).tolist():
                if kind.runs[at[0]]:
                    spare = limit - float(through_g[tuple(at)])
                    seconds = None if charges is None else charges[PLACE_SECOND, at[0]]
                    phase_choices += self._phase_choices(kind, k, at, weights, spare, seconds)
            for e, w, i, o in np.argwhere(near_f).tolist():
                if not kind.runs[e]:
                    continue
                memories = (kind.weights[e][w], kind.inputs[i], kind.outputs[o])
                # What a mapping costs above the best is not part of what is spent yet.
                spare = limit - through_f[e, w, i, o] + rises[e, w, i, o]
                layer_entries.append((k, e, memories, spare))
        others = self._most_held(option, tiling, phase_choices, layer_entries)
        layer_choices = []
        for k, e, memories, spare in layer_entries:
            tile = _Tile(
                kind=k,
                layer=e,
                index=option.layers[e],
                mapped=self._tile(option, kinds[k], e, memories, weights),
                floor=self._entry_floor(kinds[k], e, memories),
                spare=spare,
                tensors=self._tensor_bits(option.layers[e], kinds[k], e, memories),
                export=self._export(kinds[k], e, memories),
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
        entries: list[tuple[int, int, tuple[int, int, int], float]],
    ) -> np.ndarray:
        """Bits per memory that caches, weights and whole maps may take beside a layer-tile."""
        held = np.zeros(len(self.tables.domains.sizes_bits))
        if not self.tables.rules.joint_capacity:
            return held
        h_places = {(p.layer, m) for p in phases for m in (p.h_use, p.h_make) if m >= 0}
        v_places = {(p.layer, p.v) for p in phases if p.v >= 0}
        graph = tiling.graph
        for e, memory in h_places:
            held[memory] += sum(tiling.h_cache_bits[i] for i in graph.edges_into[e])
        for e, memory in v_places:
            held[memory] += sum(tiling.v_cache_bits[i] for i in graph.edges_into[e])
        for e, memory in {(e, memories[0]) for _, e, memories, _ in entries}:
            if memory >= 0:
                held[memory] += graph.layers[e].weight_volume_bits
        for memory, bits in self.tables.map_bits(option).items():
            held[memory] += bits
        waiting = [t for t, span in enumerate(graph.waits) if span]
        if waiting:
            outputs = {(e, memories[2]) for _, e, memories, _ in entries}
            places = {(p.layer, m) for p in phases for m in (p.producer, p.second) if m >= 0}
            for t in waiting:
                most = max(kind.tensor_bits[t] for kind in tiling.kinds)
                if t < len(graph.layers):
                    found = {m for e, m in outputs if e == t}
                else:
                    readers = {graph.edges[i].layer for i in graph.readers[t]}
                    found = {m for e, m in places if e in readers}
                for memory in found:
                    held[memory] += most
        return held

    def _export(
        self, kind: KindTables, e: int, memories: tuple[int, int, int]
    ) -> tuple[float, int]:
        """(pJ, cycles) of writing the output of a layer-tile out beside."""
        energy, cycles = kind.exports[e, kind.outputs.index(memories[2])].tolist()
        return energy, int(cycles)

    def _phase_choices(
        self,
        kind: KindTables,
        k: int,
        at: list[int],
        weights: tuple[float, float],
        spare: float,
        charges: np.ndarray | None = None,
    ) -> list[PhaseChoice]:
        """The copy phases behind an entry of g that cost at most `spare` more than it.

        `charges` [second]: what each second producer's place is charged beside.
        """
        e, p, i, a, b, c = at
        pair = kind.pairs[e]
        own = kind.g[e, p, i, a, b, c].tolist()
        costs = [own] if pair is None else pair[p, :, i, a, b, c].tolist()
        extras = [0.0] * len(costs) if charges is None or pair is None else charges.tolist()
        paid = [
            weights[0] * energy + weights[1] * cycles + extra if energy < np.inf else np.inf
            for (energy, cycles), extra in zip(costs, extras, strict=False)
        ]
        least = weights[0] * own[0] + weights[1] * own[1] if charges is None else min(paid)
        found = []
        for second, (energy, cycles), cost in zip(kind.seconds[e], costs, paid, strict=True):
            if energy == np.inf:
                continue
            if cost - least > spare + MARGIN * abs(cost):
                continue
            found.append(
                PhaseChoice(
                    kind=k,
                    layer=e,
                    producer=kind.producers[e][p],
                    second=second,
                    operand=kind.inputs[i],
                    h_use=kind.h_use[e][a],
                    h_make=kind.h_make[e][b],
                    v=kind.v[e][c],
                    energy_pj=energy,
                    latency_cycles=int(cycles),
                )
            )
        return found

    def search(
        self, plan: OptionPlan, weights: tuple[float, float]
    ) -> dict[tuple[int, int], MappingPoint]:
        """Search mappings of a plan's choices that have none yet; later builds will know them.

        Those that are best beside all else in the plan, by (kind, layer); not all may be known.
        """
        choices = plan.choices
        open_ = {at: layer for at, layer in plan.layers.items() if layer.point is None}

        def tile_of(at: tuple[int, int]) -> MappedTile:
            layer = open_[at]
            kind = choices.tables[layer.kind]
            return self._tile(choices.option, kind, layer.layer, layer.memories, weights)

        while bounds := {
            tile: weights[0] * layer.energy_pj + weights[1] * layer.latency_cycles
            for at, layer in open_.items()
            if self.mappings.best(tile := tile_of(at)) is None
        }:
            self.mappings.find_all(bounds, self.patience, EFFORT)
            hard = [tile for tile in bounds if self.mappings.is_hard(tile, self.patience)]
            for tile in hard:
                self._makes_do(tile)
            if hard or any(self.mappings.best(tile) is None for tile in bounds):
                break
        known = {at: tile for at in open_ if self.mappings.best(tile := tile_of(at))}
        self.mappings.find_within([(t, plan.free_bits[at]) for at, t in known.items()], EFFORT)
        found = {}
        for at, tile in known.items():
            point = self.mappings.staircase(tile).within(plan.free_bits[at])[1]
            if point is not None:
                found[at] = point
        return found

    def _mappings(self, tile: _Tile, others: np.ndarray) -> list[LayerChoice]:
        """Choices for one placement of one layer-tile that may be part of an optimum.

        Its mapping of least weighted cost, searched or still a bound; and where memory
        may run short beside it, those that hold less.
        """
        mapped = tile.mapped
        weights, memories = mapped.weights, mapped.memories
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
                export_pj=tile.export[0],
                export_cycles=tile.export[1],
            )

        def known(point: MappingPoint) -> LayerChoice:
            return choice(point.energy_pj, point.latency_cycles, point.held_bits, point)

        if not self.tables.problem.workload.layers[tile.index].computes:
            return [choice(0.0, 0, least, replace(NOTHING, held_bits=least))]
        best = self.mappings.best(mapped)
        if best is None:
            if memories in self._rough.get((*mapped.key.like, weights), {}):
                return [*map(known, self.mappings.some(mapped, soon=self.in_place))]
            energy, cycles = tile.floor
            if mapped.budget is not None:
                # Without the budget it costs no more.
                first = (self.mappings.best(replace(mapped, budget=None)) or (NOTHING,))[0]
                energy, cycles = first.energy_pj, first.latency_cycles
            floor = weights[0] * energy + weights[1] * cycles
            sought = self.mappings.costs(mapped.key, weights, mapped.budget).get(memories, 0.0)
            if 0 < floor < sought:
                # What a search found out, though it has not ended.
                energy, cycles = energy * sought / floor, cycles * sought / floor
            return [choice(energy, cycles, least, None)]
        if not best:
            return []
        # The spare cost counts from the best mapping, once that is known.
        first = best[0]
        cost = weigh_point(weights, first)
        cutoff = cost + tile.spare
        room = self.tables.domains.sizes_bits
        if not self.tables.rules.joint_capacity:
            return [known(first)]
        stairs = self.mappings.staircase(mapped)
        for point in stairs.points:
            if weigh_point(weights, point) > cost * (1 + EQUAL):
                continue
            if all(point.held_bits[m] + others[m] <= room[m] for m in stairs.shared):
                return [known(point)]
            if all(point.held_bits[m] <= least[m] for m in stairs.shared):
                return [known(point)]
        most = cutoff * (1 + MARGIN)
        kept = [known(p) for p in stairs.points if weigh_point(weights, p) <= most]
        for corner in stairs.corners:
            # What is not known yet may hold less: a bound stands for it.
            if corner.cost <= most:
                scale = corner.cost / cost
                held = tuple(max(bits) for bits in zip(least, corner.least_bits, strict=True))
                kept.append(
                    choice(first.energy_pj * scale, first.latency_cycles * scale, held, None)
                )
        return kept
