"""A policy's decisions as a schedule written out in full, so that it is costed like any."""

from __future__ import annotations

from dataclasses import replace

from cost.mapping import TemporalMapping
from cost.policy_result import PolicyResult, ScheduledStack, ScheduledTile
from cost.recost_layer import OperandCopies, copies_before, map_layer_tile
from cost.recost_tiles import EdgeStep, StackGeometry, edge_bits, stack_geometry
from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, Schedule, ScheduledMapping, StackPlan, TilePlan
from problems.problem import Problem
from problems.workload import Layer, Operand


def write_policy(problem: Problem, result: PolicyResult, rules: RuleSet) -> Schedule:
    """Write the reference's schedule out, with its costs under `rules`.

    For rule sets that charge weights like the reference: while the first tile computes.
    """
    writer = _Writer(problem, rules)
    return Schedule(stacks=tuple(writer.stack(stack) for stack in result.stacks))


class _Writer:
    """Names for a problem's memories, and the costs of its layer-tiles."""

    def __init__(self, problem: Problem, rules: RuleSet) -> None:
        self.problem, self.rules = problem, rules
        self.hardware = problem.hardware
        self.dram = self.hardware.memories[self.hardware.chains[Operand.O][-1]].name

    def name(self, memory: int | None) -> str | None:
        return None if memory is None else self.hardware.memories[memory].name

    def stack(self, stack: ScheduledStack) -> StackPlan:
        workload = self.problem.workload
        layers = tuple(workload.by_name[name] for name in stack.layers)
        output = layers[-1].sizes
        width, height = min(stack.tile[0], output["OX"]), min(stack.tile[1], output["OY"])
        geometry = stack_geometry(
            workload, stack.layers, (width, height), stack.mode, frozenset(), self.rules
        )
        # Tiles after the first say where the weights stay.
        kept = stack.tiles[-1].places.weights
        return StackPlan(
            layers=stack.layers,
            tile_x=width,
            tile_y=height,
            mode=stack.mode,
            source=self.dram,
            carried=None,
            target=self.dram,
            weights=tuple(self.name(kept) if layer.has_weights else None for layer in layers),
            arrival_energy_pj=0.0,
            arrival_latency_cycles=0,
            tiles=tuple(self._tile(tile, geometry, layers) for tile in stack.tiles),
        )

    def _tile(
        self,
        tile: ScheduledTile,
        geometry: StackGeometry,
        layers: tuple[Layer, ...],
    ) -> TilePlan:
        columns = _span(tile.tile.first_column, tile.tile.last_column, len(geometry.columns))
        rows = _span(tile.tile.first_row, tile.tile.last_row, len(geometry.rows))
        column, row = geometry.columns[columns[0]], geometry.rows[rows[0]]
        memories = self.hardware.memories
        lies_in = {each.name: memories[each.memory].name for each in tile.inputs}
        fetched: set[str] = set()
        plans = []
        for layer, scheduled in zip(layers, tile.layers, strict=True):
            across = [column.edges[source, layer.name] for source in layer.sources]
            down = [row.edges[source, layer.name] for source in layer.sources]
            places = [lies_in[source] for source in layer.sources]
            plan = LayerTilePlan(
                layer=layer.name,
                width=column.outputs[layer.name],
                height=row.outputs[layer.name],
                producer=places[0],
                second=places[1] if len(places) > 1 else None,
                weights=self.name(scheduled.places.weights) if layer.has_weights else None,
                operand=memories[scheduled.places.inputs].name,
                output=memories[scheduled.places.output].name,
                h_use=self.name(tile.caches.read_columns) if _any(across, "reused") else None,
                h_make=self.name(tile.caches.fill_columns) if _any(across, "kept") else None,
                v=self._rows_memory(tile, down),
                mapping=written_mapping(scheduled.mapped.mapping, layer),
                energy_pj=0.0,
                latency_cycles=0,
                copy_energy_pj=0.0,
                copy_latency_cycles=0,
                export_energy_pj=0.0,
                export_latency_cycles=0,
            )
            outside = {each.name for each in tile.inputs}
            operands = [
                OperandCopies(
                    bits=edge_bits(
                        self.problem.workload,
                        tuple(each.name for each in layers),
                        (source, layer.name),
                        column,
                        row,
                        self.rules,
                    ),
                    place=lies_in[source],
                    source=self.dram if source in outside else None,
                    fetches=source in outside and source not in fetched,
                )
                for source in layer.sources
            ]
            plans.append(self._costed(plan, layer, operands))
            fetched.update(layer.sources)
            lies_in[layer.name] = plan.output
        return TilePlan(columns=(columns,), rows=(rows,), layers=tuple(plans))

    def _rows_memory(self, tile: ScheduledTile, down: list[EdgeStep]) -> str | None:
        if not (_any(down, "reused") or _any(down, "kept")):
            return None
        caches = tile.caches
        memory = caches.read_rows if caches.read_rows is not None else caches.fill_rows
        return self.name(memory)

    def _costed(
        self, plan: LayerTilePlan, layer: Layer, operands: list[OperandCopies]
    ) -> LayerTilePlan:
        unroll = self.hardware.unrolling(self.problem.workload.name, layer)
        size = (plan.width, plan.height)
        cost = map_layer_tile(self.hardware, unroll, layer, plan, size, self.rules).cost
        copies = copies_before(self.hardware, plan, operands, self.rules)
        return replace(
            plan,
            energy_pj=cost.energy_pj,
            latency_cycles=cost.latency_cycles,
            copy_energy_pj=copies.energy_pj,
            copy_latency_cycles=copies.latency_cycles,
        )


def _any(steps: list[EdgeStep], what: str) -> bool:
    """Whether one of a layer's edges has any positions of this sort."""
    return any(getattr(step, what) for step in steps)


def _span(first: bool, last: bool, count: int) -> tuple[int, int]:
    """(first, count) of the columns or rows that a class of tiles covers."""
    if first:
        return 0, 1
    if last:
        return count - 1, 1
    return 1, count - 2


def written_mapping(mapping: object, layer: Layer) -> ScheduledMapping:
    """A temporal mapping as a schedule states it."""
    assert isinstance(mapping, TemporalMapping)
    cuts = dict(mapping.cuts)
    if Operand.W.value in cuts and not layer.has_weights:
        # What has no bits rests nowhere: a schedule lists one level for it.
        cuts[Operand.W.value] = (len(mapping.loops),)
    known = mapping.double_buffered or {}
    flags = {name: (False,) * len(own) for name, own in cuts.items()}
    flags |= {name: own for name, own in known.items() if len(own) == len(cuts[name])}
    return ScheduledMapping(loops=mapping.loops, cuts=cuts, double_buffered=flags)
