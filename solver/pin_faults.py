"""Whether a schedule keeps what was fixed by hand inside of its stacks, decision by decision.

It looks at the schedule as it is written, and at none of the tables of the search.
"""

from __future__ import annotations

from collections.abc import Iterator

from cost.rules import RuleSet
from cost.schedule import LayerTilePlan, Schedule, ScheduledMapping, TilePlan
from problems.problem import Problem
from solver.pinned_mappings import matches
from solver.pins import FETCHED, PinnedLayer, Pins


def pin_faults(problem: Problem, rules: RuleSet, schedule: Schedule, pins: Pins) -> Iterator[str]:
    """One sentence for every layer-tile that breaks a pin; stacks themselves are not looked at."""
    position = {layer.name: i for i, layer in enumerate(problem.workload.layers)}
    for number, stack in enumerate(schedule.stacks):
        layers = tuple(sorted(position.get(name, -1) for name in stack.layers))
        pinned = [layer for pin in pins.stacks if pin.layers == layers for layer in pin.inside]
        for tile in stack.tiles:
            for step in tile.layers:
                for pin in pinned:
                    if position.get(step.layer, -1) != pin.position:
                        continue
                    fetched = _fetched(problem, layers, tile, step)
                    for text in _broken(problem, rules, pin, tile, step, fetched):
                        yield (
                            f"stack {number}: layer {step.layer} in columns {tile.columns}, rows "
                            f"{tile.rows} {text}"
                        )


def _fetched(
    problem: Problem, layers: tuple[int, ...], tile: TilePlan, step: LayerTilePlan
) -> tuple[str, ...]:
    """Memories in which a layer puts the tiles that it is the first to read from outside."""
    known = {problem.workload.layers[p].name for p in layers}
    for before in tile.layers:
        sources = problem.workload.by_name[before.layer].sources
        if before is not step:
            known.update(sources)
            continue
        found = []
        for source, memory in zip(sources, (step.producer, step.second), strict=False):
            if source not in known and memory is not None:
                found.append(memory)
            known.add(source)
        return tuple(found)
    return ()


def _broken(
    problem: Problem,
    rules: RuleSet,
    pin: PinnedLayer,
    tile: TilePlan,
    step: LayerTilePlan,
    fetched: tuple[str, ...],
) -> Iterator[str]:
    own_weights = (
        not rules.charge_weight_arrival
        and problem.workload.layers[pin.position].has_weights
        and any(first == 0 for first, _ in tile.columns)
        and any(first == 0 for first, _ in tile.rows)
    )
    places = {
        # The reference reads the first tile's weights from DRAM, wherever they stay.
        "W": () if own_weights else (step.weights,),
        "I": (step.operand,),
        "O": (step.output,),
        "H": tuple(m for m in (step.h_use, step.h_make) if m is not None),
        "V": () if step.v is None else (step.v,),
        FETCHED: fetched,
    }
    for what, memory in pin.memories:
        name = problem.hardware.memories[memory].name
        for place in places[what]:
            if place != name:
                yield f"has {what} in {place}, fixed by hand is {name}"
    size = step.width, step.height
    allowed = [
        mapping
        for mapping in pin.mappings
        if matches(problem, pin.position, mapping, *size, own_weights=own_weights)
    ]
    if allowed and not any(_same(rules, step.mapping, mapping) for mapping in allowed):
        yield "has another mapping than is fixed by hand"


def _same(rules: RuleSet, one: ScheduledMapping, other: ScheduledMapping) -> bool:
    """Double buffers are a decision only where the rules do not grant them."""
    if rules.explicit_double_buffering and one.double_buffered != other.double_buffered:
        return False
    return one.loops == other.loops and one.cuts == other.cuts
