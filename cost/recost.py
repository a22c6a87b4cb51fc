"""Re-cost a schedule from what it says, and name everything that is wrong with it.

This is the second opinion on a solver's answer: it walks the written decisions column by
column, row by row and loop by loop, and shares only the cost kernel, not the tables in
which the solver looks costs up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cost.known_workloads import check_known
from cost.recost_capacity import (
    StackView,
    fetching_layer,
    joint_overflows,
    separate_overflows,
    tile_place,
)
from cost.recost_layer import (
    MappedLayerTile,
    OperandCopies,
    copies_before,
    join_parts,
    map_layer_tile,
    memory_index,
    top_memory,
    weight_arrival,
    writing_out,
)
from cost.recost_rules import (
    boundary_faults,
    grid_faults,
    hand_over_faults,
    order_faults,
    placement_faults,
    shape_faults,
    unknown_memories,
)
from cost.recost_tiles import (
    edge_bits,
    element_bits,
    map_channels,
    stack_geometry,
)
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, Schedule, StackPlan, TilePlan
from problems.hardware import Hardware
from problems.problem import Problem
from problems.workload import Operand

RELATIVE_TOLERANCE = 1e-9
MAC, COPIES = "MAC", "copies"
CAUSES = ("compute", "stalls", "loading", "drain", COPIES, "weight arrival")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Where energy (pJ) and latency (cycles) go.

    `energy_by_memory` leaves out the MACs; `energy_by_operand` has the entries W, I, O,
    MAC and copies. `latency_by_cause`: see `CAUSES`. Layers by name; a layer's share
    includes the copies before it and the arrival of its weights.
    """

    energy_by_memory: Mapping[str, float]
    energy_by_operand: Mapping[str, float]
    latency_by_cause: Mapping[str, int]
    energy_by_layer: Mapping[str, float]
    latency_by_layer: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recosted:
    """A schedule's true cost, and one sentence for everything that is wrong with it.

    With violations the figures cover only what can be costed.
    """

    energy_pj: float
    latency_cycles: int
    breakdown: Breakdown
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the schedule is legal and its stated costs are right."""
        return not self.violations


@dataclass
class _Ledger:
    """Running sums over a schedule."""

    hardware: Hardware
    by_memory: dict[str, float] = field(default_factory=dict)
    by_operand: dict[str, float] = field(default_factory=dict)
    by_cause: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    layer_pj: dict[str, float] = field(default_factory=dict)
    layer_cycles: dict[str, int] = field(default_factory=dict)

    def spend(self, layer: str, operand: str, memory: int | None, energy_pj: float) -> None:
        self.by_operand[operand] = self.by_operand.get(operand, 0.0) + energy_pj
        self.layer_pj[layer] = self.layer_pj.get(layer, 0.0) + energy_pj
        if memory is not None:
            name = self.hardware.memories[memory].name
            self.by_memory[name] = self.by_memory.get(name, 0.0) + energy_pj

    def wait(self, layer: str, cause: str, cycles: int) -> None:
        self.by_cause[cause] += cycles
        self.layer_cycles[layer] = self.layer_cycles.get(layer, 0) + cycles

    def copy(
        self, layer: str, cause: str, energy: Mapping[int, float], cycles: int, count: int
    ) -> None:
        for memory, energy_pj in energy.items():
            self.spend(layer, COPIES, memory, energy_pj * count)
        self.wait(layer, cause, cycles * count)


def recost(problem: Problem, schedule: Schedule, rules: RuleSet) -> Recosted:
    """Cost `schedule` anew under `rules` and check it against the problem.

    Raises ProblemError for a workload that the rules do not know.
    """
    check_known(problem, rules)
    faults = [*unknown_memories(problem.hardware, schedule)]
    faults += order_faults(problem, schedule)
    ledger = _Ledger(problem.hardware)
    if not faults:
        for number, stack in enumerate(schedule.stacks):
            wrong = list(shape_faults(number, stack))
            if not wrong:
                found = _recost_stack(problem, stack, rules, ledger)
                wrong = [f"stack {number}: {text}" for text in found]
            faults += wrong
    energy_pj = sum(ledger.by_operand.values())
    latency_cycles = sum(ledger.by_cause.values())
    if not faults:
        faults += _differs("schedule: energy", schedule.energy_pj, energy_pj)
        faults += _differs("schedule: latency", schedule.latency_cycles, latency_cycles)
    return Recosted(
        energy_pj=energy_pj,
        latency_cycles=latency_cycles,
        breakdown=Breakdown(
            energy_by_memory=ledger.by_memory,
            energy_by_operand=ledger.by_operand,
            latency_by_cause=ledger.by_cause,
            energy_by_layer=ledger.layer_pj,
            latency_by_layer=ledger.layer_cycles,
        ),
        violations=tuple(faults),
    )


def _recost_stack(problem: Problem, stack: StackPlan, rules: RuleSet, ledger: _Ledger) -> list[str]:
    workload = problem.workload
    layers = tuple(workload.by_name[name] for name in stack.layers)
    readers = {name: set(workload.graph.successors(name)) for name in stack.layers}
    exports = frozenset(n for n in stack.layers[:-1] if readers[n] - set(stack.layers))
    geometry = stack_geometry(
        workload, stack.layers, (stack.tile_x, stack.tile_y), stack.mode, exports, rules
    )
    view = StackView(
        workload=workload,
        hardware=problem.hardware,
        rules=rules,
        plan=stack,
        layers=layers,
        exports=exports,
        geometry=geometry,
    )
    faults = [*grid_faults(view)]
    if faults:
        return faults
    faults += boundary_faults(view)
    faults += placement_faults(view)
    faults += hand_over_faults(view)
    faults += _recost_arrival(view, ledger)
    mapped: dict[tuple[int, str], MappedLayerTile] = {}
    for kind, tile in enumerate(stack.tiles):
        for step in tile.layers:
            try:
                layer_tile, wrong = _recost_layer(view, tile, step, ledger)
            except ValueError as error:
                faults.append(
                    f"layer {step.layer} in columns {tile.columns}, rows {tile.rows} cannot be "
                    f"costed: {error}"
                )
                continue
            mapped[kind, step.layer] = layer_tile
            faults += wrong
    overflows = joint_overflows if rules.joint_capacity else separate_overflows
    return faults + list(overflows(view, mapped))


def _recost_arrival(view: StackView, ledger: _Ledger) -> list[str]:
    plan = view.plan
    energy_pj, cycles = 0.0, 0
    if view.rules.charge_weight_arrival:
        for layer, memory in zip(view.layers, plan.weights, strict=True):
            if memory is None or not layer.has_weights:
                continue
            if memory_index(view.hardware, memory) == top_memory(view.hardware, Operand.W):
                continue
            try:
                cost = weight_arrival(view.hardware, layer, memory)
            except ValueError as error:
                return [f"weights of layer {layer.name} cannot arrive: {error}"]
            ledger.copy(
                layer.name, "weight arrival", cost.energy_by_memory_pj, cost.latency_cycles, 1
            )
            energy_pj += cost.energy_pj
            cycles += cost.latency_cycles
    return _differs("weight arrival energy", plan.arrival_energy_pj, energy_pj) + _differs(
        "weight arrival latency", plan.arrival_latency_cycles, cycles
    )


def _recost_layer(
    view: StackView, tile: TilePlan, step: LayerTilePlan, ledger: _Ledger
) -> tuple[MappedLayerTile, list[str]]:
    layer, rules = view.workload.by_name[step.layer], view.rules
    x, y = view.axes(tile)
    operands = [
        OperandCopies(
            bits=edge_bits(view.workload, view.plan.layers, (source, layer.name), x, y, rules),
            place=tile_place(step, layer, source),
            source=view.whole_map(source),
            fetches=fetching_layer(view, tile.by_layer, source) == layer.name,
        )
        for source in layer.sources
    ]
    if layer.computes:
        unroll = view.hardware.unrolling(view.workload.name, layer)
        size = (x.outputs[layer.name], y.outputs[layer.name])
        layer_tile = map_layer_tile(view.hardware, unroll, layer, step, size, rules)
    else:
        one, two = (operand.bits.operand_bits for operand in operands)
        layer_tile = join_parts(view.hardware, step, (one, two))
    copies = copies_before(view.hardware, step, operands, rules)
    bits = 0
    if layer.name in view.exports:
        bits = map_channels(view.workload, layer.name) * element_bits(view.workload, layer.name)
        bits *= x.new[layer.name] * y.new[layer.name]
    export = writing_out(view.hardware, bits, step.output)
    _book(ledger, layer.name, layer_tile, tile.count)
    for cost in (copies, export):
        ledger.copy(layer.name, COPIES, cost.energy_by_memory_pj, cost.latency_cycles, tile.count)
    where = f"layer {layer.name} in columns {tile.columns}, rows {tile.rows}:"
    own = layer_tile.cost
    return layer_tile, [
        *_differs(f"{where} energy", step.energy_pj, own.energy_pj),
        *_differs(f"{where} latency", step.latency_cycles, own.latency_cycles),
        *_differs(f"{where} copy energy", step.copy_energy_pj, copies.energy_pj),
        *_differs(f"{where} copy latency", step.copy_latency_cycles, copies.latency_cycles),
        *_differs(f"{where} export energy", step.export_energy_pj, export.energy_pj),
        *_differs(f"{where} export latency", step.export_latency_cycles, export.latency_cycles),
    ]


def _book(ledger: _Ledger, layer: str, layer_tile: MappedLayerTile, count: int) -> None:
    cost = layer_tile.cost
    if layer_tile.model is None:
        return
    ledger.spend(layer, MAC, None, cost.mac_pj * count)
    for tensor in layer_tile.model.tensors:
        for level, memory in enumerate(tensor.memory_index):
            ledger.spend(layer, tensor.name, memory, cost.level_pj[tensor.name, level] * count)
    ledger.wait(layer, "compute", cost.temporal_cycles * count)
    ledger.wait(layer, "stalls", cost.stall_cycles * count)
    ledger.wait(layer, "loading", cost.loading_cycles * count)
    if layer_tile.model.rules.charge_last_drain:
        ledger.wait(layer, "drain", cost.offloading_cycles * count)


def _differs(what: str, stated: float, found: float) -> list[str]:
    if abs(stated - found) <= RELATIVE_TOLERANCE * max(abs(stated), abs(found)):
        return []
    return [f"{what} is stated as {stated!r}, it is {found!r}"]
