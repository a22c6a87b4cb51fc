"""What is left to choose inside one stack option once hopeless placements are gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.mapping_search import MappingPoint, pareto_set
from cost.phase_tables import kind_bounds, kind_through
from problems.workload import Operand
from solver.stack_tables import KindTables, StackOption, StackTables

MARGIN = 1e-9
"""Relative slack added before an entry is dropped: float sums in another order differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChoice:
    """One layer-tile of one kind: memories of W, I and O, and a temporal mapping."""

    kind: int
    layer: int
    weight: int
    operand: int
    output: int
    point: MappingPoint


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


class ChoiceBuilder:
    """Builds `OptionChoices`, remembering the Pareto sets of layer-tiles."""

    def __init__(self, tables: StackTables) -> None:
        self.tables = tables
        self._points: dict[tuple[object, ...], tuple[float, tuple[MappingPoint, ...]]] = {}

    def floor(self, option: StackOption, weights: tuple[float, float]) -> float:
        """Weighted lower bound of `option`."""
        return float(self.tables.option_bounds(option, np.array([weights]))[0])

    def build(
        self, option: StackOption, weights: tuple[float, float], slack: float
    ) -> OptionChoices:
        """All choices through which the option costs at most its floor plus `slack`."""
        tables = self.tables
        tiling = tables.tiling(option)
        kinds = tables.kind_tables(option, tiling)
        busiest = max(range(len(kinds)), key=lambda i: kinds[i].kind.count)
        floor = 0.0
        reduced = []
        for k, kind in enumerate(kinds):
            f = tables.with_arrival(option, kind) if k == busiest else kind.f
            least = float(kind_bounds(f, kind.g, np.array([weights]))[0])
            floor += kind.kind.count * least
            reduced.append((f, least))
        layer_choices: list[LayerChoice] = []
        phase_choices: list[PhaseChoice] = []
        for k, (kind, (f, least)) in enumerate(zip(kinds, reduced, strict=True)):
            through_f, through_g = kind_through(f, kind.g, *weights)
            limit = least + (slack + MARGIN * floor) / kind.kind.count
            for e, w, i, o in np.argwhere(through_f <= limit).tolist():
                spare = limit - through_f[e, w, i, o]
                memories = (kind.weights[e][w], kind.inputs[i], kind.outputs[o])
                bound = weights[0] * kind.f[e, w, i, o, 0] + weights[1] * kind.f[e, w, i, o, 1]
                for point in self._mappings(
                    option.first + e, kind.kind.sizes[e], memories, weights, bound + spare
                ):
                    layer_choices.append(
                        LayerChoice(
                            kind=k, layer=e, weight=memories[0], operand=memories[1],
                            output=memories[2], point=point,
                        )
                    )
            for e, p, i, a, b, c in np.argwhere(through_g <= limit).tolist():
                energy, cycles = kind.g[e, p, i, a, b, c].tolist()
                phase_choices.append(
                    PhaseChoice(
                        kind=k, layer=e, producer=kind.producers[e][p], operand=kind.inputs[i],
                        h_use=kind.h_use[e][a], h_make=kind.h_make[e][b], v=kind.v[e][c],
                        energy_pj=energy, latency_cycles=int(cycles),
                    )
                )
        return OptionChoices(
            option=option, tables=kinds, layers=tuple(layer_choices),
            phases=tuple(phase_choices), floor=floor, slack=slack,
        )

    def _mappings(
        self,
        layer: int,
        size: tuple[int, int],
        memories: tuple[int, int, int],
        weights: tuple[float, float],
        cutoff: float,
    ) -> tuple[MappingPoint, ...]:
        """Nondominated mappings of weighted cost at most `cutoff`."""
        key = (layer, size, memories, weights)
        known = self._points.get(key)
        if known is None or known[0] < cutoff:
            model = self.tables.models[layer]
            chains = self.tables.problem.hardware.chains
            levels = tuple(
                chains[op].index(m) + 1
                for op, m in zip((Operand.W, Operand.I, Operand.O), memories, strict=True)
            )
            weigh = None
            if self.tables.rules.joint_capacity:
                weigh = np.array([m in self._shared(levels, model) for m in range(
                    len(self.tables.problem.hardware.memories))])
            points = pareto_set(
                model, self.tables.tile_sizes(layer, *size), levels, weigh_memory=weigh,
                weights=weights, weighted_cutoff=cutoff * (1 + MARGIN),
            )
            known = (cutoff, points)
            self._points[key] = known
        return tuple(
            p
            for p in known[1]
            if weights[0] * p.energy_pj + weights[1] * p.latency_cycles <= cutoff * (1 + MARGIN)
        )

    def _shared(self, levels: tuple[int, ...], model: object) -> set[int]:
        """Shared on-chip memories in which a mapping decides how much it holds."""
        hardware = self.tables.problem.hardware
        chosen = set()
        for op, count in zip((Operand.W, Operand.I, Operand.O), levels, strict=True):
            for m in hardware.chains[op][: count - 1]:
                if hardware.memories[m].instances == 1:
                    chosen.add(m)
        return chosen
