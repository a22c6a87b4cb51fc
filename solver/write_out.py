"""From the solver's plans to a schedule written out in full."""

from __future__ import annotations

from cost.schedule import (
    LayerTilePlan,
    Schedule,
    ScheduledMapping,
    StackPlan,
    TilePlan,
)
from solver.option_plan import OptionPlan
from solver.stack_tables import StackTables


def write_out(tables: StackTables, plans: tuple[OptionPlan, ...]) -> Schedule:
    """Every decision of the chosen stacks, by name."""
    return Schedule(stacks=tuple(_stack(tables, plan) for plan in plans))


def _stack(tables: StackTables, plan: OptionPlan) -> StackPlan:
    problem = tables.problem
    names = [m.name for m in problem.hardware.memories]
    option = plan.choices.option
    graph = tables.graph(option.layers)
    layers = graph.layers
    energy, cycles = 0.0, 0
    for e in range(len(layers)):
        memory = plan.weights.get(e)
        if memory is not None:
            more = tables.arrival(option.layers[e], memory)
            energy, cycles = energy + more[0], cycles + more[1]

    def name(memory: int) -> str | None:
        return None if memory < 0 else names[memory]

    tiles = []
    for k, kind_tables in enumerate(plan.choices.tables):
        kind = kind_tables.kind
        entries = []
        for e, layer in enumerate(layers):
            if not kind.runs(e):
                continue
            choice, phase = plan.layers[k, e], plan.phases[k, e]
            assert choice.point is not None
            # Places are told in the order of the layer's sources.
            leads = phase.producer
            first = graph.edges[kind_tables.primary[e]].operand == 0
            point = choice.point
            entries.append(
                LayerTilePlan(
                    layer=layer.name,
                    width=kind.sizes[e][0],
                    height=kind.sizes[e][1],
                    producer=names[leads if first else phase.second],
                    second=name(phase.second if first else leads),
                    weights=names[choice.weight] if layer.has_weights else None,
                    operand=names[choice.operand],
                    output=names[choice.output],
                    h_use=name(phase.h_use),
                    h_make=name(phase.h_make),
                    v=name(phase.v),
                    mapping=ScheduledMapping(
                        loops=point.loops,
                        cuts=point.cuts,
                        double_buffered=point.double_buffered,
                    ),
                    energy_pj=point.energy_pj,
                    latency_cycles=point.latency_cycles,
                    copy_energy_pj=phase.energy_pj,
                    copy_latency_cycles=phase.latency_cycles,
                    export_energy_pj=choice.export_pj,
                    export_latency_cycles=choice.export_cycles,
                )
            )
        tiles.append(
            TilePlan(
                columns=kind.column.runs,
                rows=kind.row.runs,
                layers=tuple(entries),
            )
        )
    return StackPlan(
        layers=tuple(layer.name for layer in layers),
        tile_x=option.tile_x,
        tile_y=option.tile_y,
        mode=option.mode,
        source=names[option.source],
        carried=problem.workload.layers[option.carried].name if option.carried >= 0 else None,
        target=names[option.target],
        weights=tuple(
            names[plan.weights[e]] if layer.has_weights and e in plan.weights else None
            for e, layer in enumerate(layers)
        ),
        arrival_energy_pj=energy,
        arrival_latency_cycles=cycles,
        tiles=tuple(tiles),
    )
