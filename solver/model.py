"""The CP-SAT model of a stack option: the memory of every operand of every layer-tile.

Numbers C1.. are those of docs/formulation.md.
"""

from __future__ import annotations

import math
from collections import defaultdict

from ortools.sat.python import cp_model

from cost.rules import RuleSet
from solver.binary_program import BinaryProgram, Literal
from solver.kind_tables import KindTables, fetching_edge
from solver.option_choices import LayerChoice, OptionChoices, PhaseChoice
from solver.option_plan import OptionPlan, entry_cost
from solver.placements import MemoryDomains
from solver.places import Places
from solver.stack_tables import StackTables

OBJECTIVE_SCALE = 1 << 46
"""Weighted totals are scaled to about this many units, floors taken term by term."""
NO_LIMIT = -(1 << 62)
"""Less than any sum of bits."""
MOST_UNITS = 1 << 60
"""All coefficients together stay below this, or CP-SAT would find the model invalid."""


class ScheduleModel:
    """A CP-SAT model over the choices of one stack option (C1: the option is taken).

    `weights` weigh energy (per pJ) and latency (per cycle); `scale` turns the weighted
    total into objective units, each term rounded down, so that objective / scale is a
    lower bound of the true weighted total.
    """

    def __init__(
        self,
        tables: StackTables,
        choices: OptionChoices,
        weights: tuple[float, float],
        expected: float,
    ) -> None:
        self.tables, self.choices, self.weights = tables, choices, weights
        # A stack of concats may cost nothing at all.
        self.scale = (
            min(OBJECTIVE_SCALE / expected, MOST_UNITS / self._everything()) if expected else 1.0
        )
        self._program = BinaryProgram()
        self._shared: dict[tuple[str, int, object], dict[int, Literal]] = {}
        self._layers: list[tuple[LayerChoice, Literal]] = []
        self._phases: list[tuple[PhaseChoice, Literal]] = []
        self._by_tile: dict[tuple[int, int], list[tuple[LayerChoice, Literal]]] = defaultdict(list)
        self._by_edge: dict[tuple[int, int], list[tuple[PhaseChoice, Literal]]] = defaultdict(list)
        self._beside: dict[tuple[int, int], dict[int, tuple[int, list[tuple[Literal, int]]]]]
        self._beside = defaultdict(dict)
        """[kind, layer][memory]: room, and what may take of it beside the layer-tile's mapping."""
        for entry in choices.layers:
            self._layers.append((entry, self._literal(entry)))
            self._by_tile[entry.kind, entry.layer].append(self._layers[-1])
        for phase in choices.phases:
            self._phases.append((phase, self._literal(phase)))
            self._by_edge[phase.kind, phase.layer].append(self._phases[-1])
        for k, kind in enumerate(choices.tables):
            for e in range(len(kind.weights)):
                if kind.runs[e]:
                    self._add_layer_tile(k, e)
        for literals in self._shared.values():
            self._program.exactly_one(list(literals.values()))
        self._add_arrival()
        self._add_capacity()
        self._program.close()

    @property
    def model(self) -> cp_model.CpModel:
        """What CP-SAT solves."""
        return self._program.model

    def keep_below(self, limit: float) -> None:
        """Let only placements of at most this weighted cost count.

        They need not be the best ones to be told from dearer ones: that is soon known.
        """
        self._program.keep_below(math.ceil(limit * self.scale))

    def _everything(self) -> float:
        """Weighted cost of all choices together."""
        choices = self.choices
        total = 0.0
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

    def _literal(self, entry: LayerChoice | PhaseChoice) -> Literal:
        """Whether a choice is taken, in all tiles of its kind."""
        count = self.choices.tables[entry.kind].kind.count
        energy, cycles = entry_cost(entry)
        return self._program.new(self._units(count * energy, count * cycles))

    def _units(self, energy_pj: float, cycles: float) -> int:
        return int((self.weights[0] * energy_pj + self.weights[1] * cycles) * self.scale)

    def _choice(self, kind: str, layer: int, key: object, memory: int) -> Literal:
        """Whether what all tiles share, weights or a cache, is in a memory."""
        literals = self._shared.setdefault((kind, layer, key), {})
        if memory not in literals:
            literals[memory] = self._program.new()
        return literals[memory]

    def _add_layer_tile(self, k: int, e: int) -> None:
        """C2 to C7 for layer e of tiles of kind k."""
        tables = self.choices.tables[k]
        graph = self.tables.graph(self.choices.option.layers)
        mine, edge = self._by_tile[k, e], self._by_edge[k, e]
        # C2, C3: one mapping and one copy phase per layer-tile.
        self._program.exactly_one([x for _, x in mine])
        self._program.exactly_one([x for _, x in edge])
        # C4: the phase brings the operand where the mapping reads it.
        self._match([(c.operand, x) for c, x in mine], [(c.operand, x) for c, x in edge])
        # C5: the phase fetches from where the producer, or the first reader of a tensor
        # from outside, left its tile.
        for i in graph.edges_into[e]:
            t = graph.edges[i].tensor
            if tables.kind.tensor_bits[t] == 0:
                continue
            here = [(self._place(tables, c, i), x) for c, x in edge]
            if t < len(graph.layers):
                there = [(c.output, x) for c, x in self._by_tile[k, t]]
            else:
                fetch = fetching_edge(graph, tables.kind, t)
                if fetch == i:
                    continue
                first = self._by_edge[k, graph.edges[fetch].layer]
                there = [(self._place(tables, c, fetch), x) for c, x in first]
            self._match(there, here)
        # C6: weights stay where the whole stack keeps them.
        if not self._maps_weights_itself(tables):
            self._share("weight", e, None, tables.weights[e], [(c.weight, x) for c, x in mine])
        # C7: caches are where all tiles that share them look.
        if tables.h_use[e] != (-1,):
            users = [(c.h_use, x) for c, x in edge]
            self._share("h", e, tables.h_use_key, tables.h_use[e], users)
        if tables.h_make[e] != (-1,):
            users = [(c.h_make, x) for c, x in edge]
            self._share("h", e, tables.h_make_key, tables.h_make[e], users)
        if tables.v[e] != (-1,):
            self._share("v", e, None, tables.v[e], [(c.v, x) for c, x in edge])

    def _share(
        self,
        kind: str,
        layer: int,
        key: object,
        memories: tuple[int, ...],
        users: list[tuple[int, Literal]],
    ) -> None:
        """What all tiles share is in the memory that a layer-tile uses."""
        self._match(users, [(m, self._choice(kind, layer, key, m)) for m in memories])

    def _add_arrival(self) -> None:
        """What bringing the weights costs where they stay."""
        for (kind, layer, _), literals in self._shared.items():
            if kind == "weight":
                for memory, literal in literals.items():
                    index = self.choices.option.layers[layer]
                    self._program.add_cost(
                        literal, self._units(*self.tables.arrival(index, memory))
                    )

    @staticmethod
    def _place(tables: KindTables, phase: PhaseChoice, edge: int) -> int:
        """Memory of the producer's tile on an edge of a phase."""
        return phase.producer if tables.primary[phase.layer] == edge else phase.second

    def _match(self, left: list[tuple[int, Literal]], right: list[tuple[int, Literal]]) -> None:
        """Two families agree on a memory."""
        terms: dict[int, tuple[list[Literal], list[int]]] = {}
        for family, sign in ((left, 1), (right, -1)):
            for memory, x in family:
                literals, signs = terms.setdefault(memory, ([], []))
                literals.append(x)
                signs.append(sign)
        for literals, signs in terms.values():
            self._program.linear(literals, signs, 0, 0)

    def _maps_weights_itself(self, tables: KindTables) -> bool:
        """Whether this kind is the reference's first tile, which reads weights from DRAM."""
        return not self.rules.charge_weight_arrival and tables.kind.loads_weights

    def _add_capacity(self) -> None:
        """C8: what is alive in a memory at any step of any tile fits it."""
        choices = self.choices
        option, joint = choices.option, self.rules.joint_capacity
        graph = self.tables.graph(option.layers)
        resident = self._residents()
        whole_maps = self.tables.map_bits(option) if joint else {}
        for memory, size in enumerate(self.domains.sizes_bits):
            if memory == self.domains.dram:
                continue
            stay = resident[memory]
            room = size - whole_maps.get(memory, 0)
            if not joint:
                self._fit([], [(x, bits) for _, x, bits in stay], room)
                continue
            for (k, e), entries in self._by_tile.items():
                uses = [(x, self._held(c, memory, k, e)) for c, x in entries]
                others = [(x, bits) for layer, x, bits in stay if layer != e]
                others += self._waiting((k, e), memory, landing=False)
                self._beside[k, e][memory] = room, others
                self._fit(uses, others, room)
            for (k, e), phases in self._by_edge.items():
                # Tiles from outside on their way in, before the layer runs.
                tables = choices.tables[k]
                landing = []
                for i in graph.edges_into[e]:
                    t = graph.edges[i].tensor
                    if t < len(graph.layers) or fetching_edge(graph, tables.kind, t) != i:
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
                    landing += self._waiting((k, e), memory, landing=True)
                    self._fit([], landing, room)

    def _residents(self) -> dict[int, list[tuple[int, Literal, int]]]:
        """(layer whose mapping counts it itself or -1, literal, bits) of what stays, by memory."""
        option = self.choices.option
        tiling = self.tables.tiling(option)
        graph = tiling.graph
        resident: dict[int, list[tuple[int, Literal, int]]] = defaultdict(list)
        for (kind, layer, _), literals in self._shared.items():
            for memory, literal in literals.items():
                if memory in (self.domains.dram, -1):
                    continue
                if kind == "weight":
                    bits = graph.layers[layer].weight_volume_bits
                    resident[memory].append((layer, literal, bits))
                elif self.rules.joint_capacity:
                    caches = tiling.h_cache_bits if kind == "h" else tiling.v_cache_bits
                    bits = sum(
                        caches[i]
                        for i in graph.edges_into[layer]
                        if self.tables.source_of(option, graph, graph.edges[i].tensor) != memory
                    )
                    resident[memory].append((-1, literal, bits))
        return resident

    def _fit(
        self, uses: list[tuple[Literal, int]], others: list[tuple[Literal, int]], room: int
    ) -> None:
        """What a step uses (one of `uses`) and what stays beside it fit, or always do."""
        if max((bits for _, bits in uses), default=0) + sum(b for _, b in others) > room:
            terms = [*uses, *others]
            self._program.linear([x for x, _ in terms], [bits for _, bits in terms], NO_LIMIT, room)

    def _waiting(
        self, step: tuple[int, int], memory: int, *, landing: bool
    ) -> list[tuple[Literal, int]]:
        """Tiles of branch tensors in `memory` that wait for later readers during a step.

        `landing`: before it, when what it fetches itself is not there yet.
        """
        k, e = step
        option, tables = self.choices.option, self.choices.tables[k]
        graph = self.tables.graph(option.layers)
        found = []
        for t, span in enumerate(graph.waits):
            bits = tables.kind.tensor_bits[t]
            if e not in span or bits == 0:
                continue
            if t < len(graph.layers):
                found += [(x, bits) for c, x in self._by_tile[k, t] if c.output == memory]
            elif memory != self.tables.source_of(option, graph, t):
                i = fetching_edge(graph, tables.kind, t)
                if graph.edges[i].layer <= (e - 1 if landing else e):
                    phases = self._by_edge[k, graph.edges[i].layer]
                    found += [(x, bits) for c, x in phases if self._place(tables, c, i) == memory]
        return found

    def _held(self, c: LayerChoice, memory: int, k: int, e: int) -> int:
        """Bits that a layer-tile's mapping holds in `memory`, whole maps there excluded."""
        bits = c.held_bits[memory]
        option = self.choices.option
        graph, kind = self.tables.graph(option.layers), self.choices.tables[k].kind
        if c.operand == memory:
            for i in graph.edges_into[e]:
                if self.tables.source_of(option, graph, graph.edges[i].tensor) == memory:
                    bits -= kind.edges[i].operand_bits
        if e == len(graph.layers) - 1 and c.output == memory == option.target:
            if not graph.layers[e].computes:
                return 0
            bits -= kind.output_bits[e]
        return bits

    @property
    def hinted(self) -> bool:
        """Whether anything was suggested."""
        return self._program.hinted

    def suggest(self, places: Places) -> None:
        """Hint at memories for this option, found for it or for one much like it."""
        hints: dict[int, bool] = {}
        for (kind, layer, key), literals in self._shared.items():
            found = {"weight": places.weights.get(layer), "v": places.v.get(layer)}
            place = places.h.get((layer, key)) if kind == "h" else found[kind]  # type: ignore[arg-type]
            if place in literals:
                hints |= {x: memory == place for memory, x in literals.items()}
        taken: dict[tuple[int, int], tuple[float, int]] = {}
        for c, x in self._layers:
            if places.layers.get((c.kind, c.layer)) != c.memories:
                continue
            energy, cycles = entry_cost(c)
            dear = self.weights[0] * energy + self.weights[1] * cycles, x
            taken[c.kind, c.layer] = min(taken.get((c.kind, c.layer), dear), dear)
        for c, x in self._layers:
            if (c.kind, c.layer) in taken:
                hints[x] = taken[c.kind, c.layer][1] == x
        same = {x: places.phases.get((p.kind, p.layer)) == p.memories for p, x in self._phases}
        kept = {(p.kind, p.layer) for p, x in self._phases if same[x]}
        for p, x in self._phases:
            if (p.kind, p.layer) in kept:
                hints[x] = same[x]
        self._program.hint(hints)

    def plan(self, solver: cp_model.CpSolver) -> OptionPlan:
        """What a solver that holds a solution chose."""
        taken = list(solver.response_proto.solution)
        weights, h, v = {}, {}, {}
        for (kind, layer, key), literals in self._shared.items():
            memory = next(m for m, x in literals.items() if taken[x])
            if kind == "weight":
                weights[layer] = memory
            elif kind == "h":
                h[layer, key] = memory
            else:
                v[layer] = memory
        layers = {(c.kind, c.layer): c for c, x in self._layers if taken[x]}
        return OptionPlan(
            choices=self.choices,
            weights=weights,
            h=h,  # type: ignore[arg-type]
            v=v,
            layers=layers,
            phases={(c.kind, c.layer): c for c, x in self._phases if taken[x]},
            free_bits={at: self._free_bits(taken, at, c) for at, c in layers.items()},
        )

    def _free_bits(
        self, taken: list[int], at: tuple[int, int], choice: LayerChoice
    ) -> tuple[float, ...]:
        """Bits [memory] that the mapping of a layer-tile may take beside all that is `taken`."""
        free = [float(size) for size in self.domains.sizes_bits]
        for memory, (room, others) in self._beside[at].items():
            left = room - sum(bits for x, bits in others if taken[x])
            # A map that is read or made in place takes none of the room.
            left += choice.held_bits[memory] - self._held(choice, memory, *at)
            free[memory] = min(free[memory], left)
        return tuple(free)
