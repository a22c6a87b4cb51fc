"""The CP-SAT model of stack options: the memory of every operand of every layer-tile.

Numbers C1.. are those of docs/formulation.md.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ortools.sat.python import cp_model

from cost.rules import RuleSet
from solver.choices import LayerChoice, OptionChoices, PhaseChoice
from solver.placements import MemoryDomains
from solver.stack_tables import KindTables, StackTables, fetching_edge

OBJECTIVE_SCALE = 1 << 46
"""Weighted totals are scaled to about this many units, floors taken term by term."""
MOST_UNITS = 1 << 60
"""All coefficients together stay below this, or CP-SAT would find the model invalid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionPlan:
    """A stack option with every placement decided.

    `weights[layer]`, `h[(layer, key)]`, `v[layer]`: memory indices; `layers` and
    `phases`: the choice per (kind, layer).
    """

    choices: OptionChoices
    weights: dict[int, int]
    h: dict[tuple[int, tuple[int, bool]], int]
    v: dict[int, int]
    layers: dict[tuple[int, int], LayerChoice]
    phases: dict[tuple[int, int], PhaseChoice]


def entry_cost(entry: LayerChoice | PhaseChoice) -> tuple[float, float]:
    """(pJ, cycles) of a choice for one tile, writing out beside included."""
    if isinstance(entry, LayerChoice):
        return entry.energy_pj + entry.export_pj, entry.latency_cycles + entry.export_cycles
    return entry.energy_pj, entry.latency_cycles


class ScheduleModel:
    """A CP-SAT model over stack options and their choices.

    `weights` weigh energy (per pJ) and latency (per cycle); `scale` turns the weighted
    total into objective units, each term rounded down, so that objective / scale is a
    lower bound of the true weighted total.
    """

    def __init__(
        self,
        tables: StackTables,
        options: tuple[OptionChoices, ...],
        weights: tuple[float, float],
        expected: float,
    ) -> None:
        self.tables = tables
        self.options = options
        self.weights = weights
        # A stack of concats may cost nothing at all.
        self.scale = (
            min(OBJECTIVE_SCALE / expected, MOST_UNITS / self._everything()) if expected else 1.0
        )
        self.model = cp_model.CpModel()
        self.terms = 0
        self._objective: list[tuple[cp_model.IntVar, int]] = []
        self._chosen: list[cp_model.IntVar] = []
        self._shared: list[dict[tuple[object, ...], dict[int, cp_model.IntVar]]] = []
        self._layers: list[list[tuple[LayerChoice, cp_model.IntVar]]] = []
        self._phases: list[list[tuple[PhaseChoice, cp_model.IntVar]]] = []
        for number, choices in enumerate(options):
            self._add_option(number, choices)
        # C1: one of the options is taken.
        self.model.add_exactly_one(self._chosen)
        variables = [v for v, _ in self._objective]
        coefficients = [c for _, c in self._objective]
        self.model.minimize(cp_model.LinearExpr.weighted_sum(variables, coefficients))

    def _everything(self) -> float:
        """Weighted cost of all choices together."""
        total = 0.0
        for choices in self.options:
            counts = [table.kind.count for table in choices.tables]
            for entry in (*choices.layers, *choices.phases):
                energy, cycles = entry_cost(entry)
                weighted = self.weights[0] * energy + self.weights[1] * cycles
                total += counts[entry.kind] * weighted
            for e in range(len(choices.tables[0].weights)):
                for memory in {m for table in choices.tables for m in table.weights[e]}:
                    energy, cycles = self.tables.arrival(choices.option.layers[e], memory)
                    total += self.weights[0] * energy + self.weights[1] * cycles
        return max(total, 1e-300)

    @property
    def rules(self) -> RuleSet:
        """Rule set of the tables."""
        return self.tables.rules

    @property
    def domains(self) -> MemoryDomains:
        """Memory domains of the tables."""
        return self.tables.domains

    def _cost(self, literal: cp_model.IntVar, energy_pj: float, cycles: float) -> None:
        weighted = self.weights[0] * energy_pj + self.weights[1] * cycles
        units = int(weighted * self.scale)
        if units:
            self._objective.append((literal, units))
        self.terms += 1

    def _add_option(self, number: int, choices: OptionChoices) -> None:
        model = self.model
        chosen = model.new_bool_var(f"stack[{number}]")
        self._chosen.append(chosen)
        shared: dict[tuple[object, ...], dict[int, cp_model.IntVar]] = {}
        self._shared.append(shared)

        def choice(kind: str, layer: int, key: object, memory: int) -> cp_model.IntVar:
            options = shared.setdefault((kind, layer, key), {})
            if memory not in options:
                options[memory] = model.new_bool_var(f"{kind}[{number},{layer},{memory}]")
            return options[memory]

        by_tile: dict[tuple[int, int], list[tuple[LayerChoice, cp_model.IntVar]]]
        by_tile = defaultdict(list)
        layer_literals = []
        for index, entry in enumerate(choices.layers):
            literal = model.new_bool_var(f"map[{number},{index}]")
            layer_literals.append((entry, literal))
            by_tile[entry.kind, entry.layer].append((entry, literal))
            count = choices.tables[entry.kind].kind.count
            energy, cycles = entry_cost(entry)
            self._cost(literal, count * energy, count * cycles)
        self._layers.append(layer_literals)
        by_edge: dict[tuple[int, int], list[tuple[PhaseChoice, cp_model.IntVar]]]
        by_edge = defaultdict(list)
        phase_literals = []
        for index, phase in enumerate(choices.phases):
            literal = model.new_bool_var(f"copy[{number},{index}]")
            phase_literals.append((phase, literal))
            by_edge[phase.kind, phase.layer].append((phase, literal))
            count = choices.tables[phase.kind].kind.count
            self._cost(literal, count * phase.energy_pj, count * phase.latency_cycles)
        self._phases.append(phase_literals)

        graph = self.tables.graph(choices.option.layers)
        depth = len(choices.tables[0].weights)
        for k, tables in enumerate(choices.tables):
            follows_weights = not self._maps_weights_itself(tables)
            for e in range(depth):
                if not tables.runs[e]:
                    continue
                mine, edge = by_tile[k, e], by_edge[k, e]
                # C2, C3: one mapping and one copy phase per layer-tile of a chosen stack.
                model.add(sum(lit for _, lit in mine) == chosen)
                model.add(sum(lit for _, lit in edge) == chosen)
                # C4: the phase brings the operand where the mapping reads it.
                self._match([(c.operand, x) for c, x in mine], [(c.operand, x) for c, x in edge])
                # C5: the phase fetches from where the producer, or the first reader of a
                # tensor from outside, left its tile.
                for i in graph.edges_into[e]:
                    t = graph.edges[i].tensor
                    if tables.kind.tensor_bits[t] == 0:
                        continue
                    here = [(self._place(tables, c, i), x) for c, x in edge]
                    if t < depth:
                        there = [(c.output, x) for c, x in by_tile[k, t]]
                    else:
                        fetch = fetching_edge(graph, tables.kind, t)
                        if fetch == i:
                            continue
                        first = by_edge[k, graph.edges[fetch].layer]
                        there = [(self._place(tables, c, fetch), x) for c, x in first]
                    self._match(there, here)
                # C6: weights stay where the whole stack keeps them.
                if follows_weights:
                    for memory in tables.weights[e]:
                        users = [x for c, x in mine if c.weight == memory]
                        model.add(sum(users) == choice("weight", e, None, memory))
                # C7: caches are where all tiles that share them look.
                if tables.h_use[e] != (-1,):
                    for memory in tables.h_use[e]:
                        users = [x for c, x in edge if c.h_use == memory]
                        model.add(sum(users) == choice("h", e, tables.h_use_key, memory))
                if tables.h_make[e] != (-1,):
                    for memory in tables.h_make[e]:
                        users = [x for c, x in edge if c.h_make == memory]
                        model.add(sum(users) == choice("h", e, tables.h_make_key, memory))
                if tables.v[e] != (-1,):
                    for memory in tables.v[e]:
                        users = [x for c, x in edge if c.v == memory]
                        model.add(sum(users) == choice("v", e, None, memory))
        for literals in shared.values():
            model.add(sum(literals.values()) == chosen)
        for (kind, layer, _), literals in shared.items():
            if kind == "weight":
                for memory, literal in literals.items():
                    energy, cycles = self.tables.arrival(choices.option.layers[layer], memory)
                    self._cost(literal, energy, cycles)
        self._add_capacity(choices, shared, by_tile, by_edge)

    @staticmethod
    def _place(tables: KindTables, phase: PhaseChoice, edge: int) -> int:
        """Memory of the producer's tile on an edge of a phase."""
        return phase.producer if tables.primary[phase.layer] == edge else phase.second

    def _match(
        self,
        left: list[tuple[int, cp_model.IntVar]],
        right: list[tuple[int, cp_model.IntVar]],
    ) -> None:
        """Two families agree on a memory."""
        for memory in {m for m, _ in left} | {m for m, _ in right}:
            self.model.add(
                sum(x for m, x in left if m == memory) == sum(x for m, x in right if m == memory)
            )

    def _maps_weights_itself(self, tables: object) -> bool:
        """Whether this kind is the reference's first tile, which reads weights from DRAM."""
        kind = tables.kind  # type: ignore[attr-defined]
        return not self.rules.charge_weight_arrival and kind.loads_weights

    def _add_capacity(
        self,
        choices: OptionChoices,
        shared: dict[tuple[object, ...], dict[int, cp_model.IntVar]],
        by_tile: dict[tuple[int, int], list[tuple[LayerChoice, cp_model.IntVar]]],
        by_edge: dict[tuple[int, int], list[tuple[PhaseChoice, cp_model.IntVar]]],
    ) -> None:
        """C8: what is alive in a memory at any step of any tile fits it."""
        sizes = self.domains.sizes_bits
        option = choices.option
        tiling = self.tables.tiling(option)
        graph = tiling.graph
        joint = self.rules.joint_capacity
        resident: dict[int, list[tuple[int, cp_model.IntVar, int]]] = defaultdict(list)
        for (kind, layer, _), literals in shared.items():
            for memory, literal in literals.items():
                if memory in (self.domains.dram, -1):
                    continue
                if kind == "weight":
                    bits = graph.layers[layer].weight_volume_bits
                    resident[memory].append((layer, literal, bits))
                elif joint:
                    caches = tiling.h_cache_bits if kind == "h" else tiling.v_cache_bits
                    bits = sum(
                        caches[i]
                        for i in graph.edges_into[layer]
                        if self.tables.source_of(option, graph, graph.edges[i].tensor) != memory
                    )
                    resident[memory].append((-1, literal, bits))
        whole_maps = self.tables.map_bits(option) if joint else {}
        for memory in range(len(sizes)):
            if memory == self.domains.dram:
                continue
            stay = resident[memory]
            room = sizes[memory] - whole_maps.get(memory, 0)
            if not joint:
                if sum(bits for _, _, bits in stay) > room:
                    self.model.add(sum(bits * x for _, x, bits in stay) <= room)
                continue
            for (k, e), entries in by_tile.items():
                uses = [(x, self._held(c, memory, choices, k, e)) for c, x in entries]
                others = [(x, bits) for layer, x, bits in stay if layer != e]
                others += self._waiting(choices, (k, e), memory, by_tile, by_edge, landing=False)
                self._fit(uses, others, room)
            for (k, e), phases in by_edge.items():
                # Tiles from outside on their way in, before the layer runs.
                tables = choices.tables[k]
                landing = []
                for i in graph.edges_into[e]:
                    t = graph.edges[i].tensor
                    if fetching_edge(graph, tables.kind, t) != i:
                        continue
                    source = self.tables.source_of(option, graph, t)
                    fresh = tables.kind.tensor_bits[t]
                    landing += [
                        (x, fresh)
                        for c, x in phases
                        if self._place(tables, c, i) == memory and memory != source
                    ]
                if landing:
                    landing += [(x, bits) for _, x, bits in stay]
                    landing += self._waiting(
                        choices, (k, e), memory, by_tile, by_edge, landing=True
                    )
                    self._fit([], landing, room)

    def _fit(
        self,
        uses: list[tuple[cp_model.IntVar, int]],
        others: list[tuple[cp_model.IntVar, int]],
        room: int,
    ) -> None:
        """What a step uses (one of `uses`) and what stays beside it fit, or always do."""
        if max((bits for _, bits in uses), default=0) + sum(b for _, b in others) > room:
            self.model.add(sum(bits * x for x, bits in [*uses, *others]) <= room)

    def _waiting(
        self,
        choices: OptionChoices,
        step: tuple[int, int],
        memory: int,
        by_tile: dict[tuple[int, int], list[tuple[LayerChoice, cp_model.IntVar]]],
        by_edge: dict[tuple[int, int], list[tuple[PhaseChoice, cp_model.IntVar]]],
        *,
        landing: bool,
    ) -> list[tuple[cp_model.IntVar, int]]:
        """Tiles of branch tensors in `memory` that wait for later readers during a step.

        `landing`: before it, when what it fetches itself is not there yet.
        """
        k, e = step
        tables = choices.tables[k]
        graph = self.tables.graph(choices.option.layers)
        found = []
        for t, span in enumerate(graph.waits):
            bits = tables.kind.tensor_bits[t]
            if e not in span or bits == 0:
                continue
            if t < len(graph.layers):
                found += [(x, bits) for c, x in by_tile[k, t] if c.output == memory]
            elif memory != self.tables.source_of(choices.option, graph, t):
                i = fetching_edge(graph, tables.kind, t)
                if graph.edges[i].layer <= (e - 1 if landing else e):
                    phases = by_edge[k, graph.edges[i].layer]
                    found += [(x, bits) for c, x in phases if self._place(tables, c, i) == memory]
        return found

    def _held(self, c: LayerChoice, memory: int, choices: OptionChoices, k: int, e: int) -> int:
        """Bits that a layer-tile's mapping holds in `memory`, whole maps there excluded."""
        bits = c.held_bits[memory]
        option = choices.option
        graph, kind = self.tables.graph(option.layers), choices.tables[k].kind
        if c.operand == memory:
            for i in graph.edges_into[e]:
                if self.tables.source_of(option, graph, graph.edges[i].tensor) == memory:
                    bits -= kind.edges[i].operand_bits
        if e == len(graph.layers) - 1 and c.output == memory == option.target:
            if not graph.layers[e].computes:
                return 0
            bits -= kind.output_bits[e]
        return bits

    def suggest(self, plan: OptionPlan) -> None:
        """Hint at the memories of a plan for the first option, or for one much like it."""
        hints: dict[int, bool] = {}
        for (kind, layer, key), literals in self._shared[0].items():
            places = {"weight": plan.weights.get(layer), "v": plan.v.get(layer)}
            place = plan.h.get((layer, key)) if kind == "h" else places[kind]  # type: ignore[arg-type]
            if place in literals:
                hints |= {x.index: memory == place for memory, x in literals.items()}
        taken: dict[tuple[int, int], tuple[float, int]] = {}
        for c, x in self._layers[0]:
            old = plan.layers.get((c.kind, c.layer))
            if old is None or c.memories != old.memories:
                continue
            energy, cycles = entry_cost(c)
            found = self.weights[0] * energy + self.weights[1] * cycles, x.index
            taken[c.kind, c.layer] = min(taken.get((c.kind, c.layer), found), found)
        for c, x in self._layers[0]:
            if (c.kind, c.layer) in taken:
                hints[x.index] = taken[c.kind, c.layer][1] == x.index
        kept = {(c.kind, c.layer) for c, _ in self._phases[0] if self._same_phase(c, plan)}
        for p, x in self._phases[0]:
            if (p.kind, p.layer) in kept:
                hints[x.index] = self._same_phase(p, plan)
        for index, value in hints.items():
            self.model.add_hint(self.model.get_bool_var_from_proto_index(index), value)

    @staticmethod
    def _same_phase(phase: PhaseChoice, plan: OptionPlan) -> bool:
        old = plan.phases.get((phase.kind, phase.layer))
        return old is not None and phase.memories == old.memories

    def plans(self, solver: cp_model.CpSolver) -> tuple[OptionPlan, ...]:
        """The chosen stacks, in order, read from a solver that holds a solution."""
        found = []
        for number, literal in enumerate(self._chosen):
            if not solver.boolean_value(literal):
                continue
            weights, h, v = {}, {}, {}
            for (kind, layer, key), literals in self._shared[number].items():
                memory = next(m for m, x in literals.items() if solver.boolean_value(x))
                if kind == "weight":
                    weights[layer] = memory
                elif kind == "h":
                    h[layer, key] = memory
                else:
                    v[layer] = memory
            found.append(
                OptionPlan(
                    choices=self.options[number],
                    weights=weights,
                    h=h,
                    v=v,
                    layers={
                        (c.kind, c.layer): c
                        for c, x in self._layers[number]
                        if solver.boolean_value(x)
                    },
                    phases={
                        (c.kind, c.layer): c
                        for c, x in self._phases[number]
                        if solver.boolean_value(x)
                    },
                )
            )
        return tuple(found)
