"""Everything that a schedule says, as pins."""

from cost.schedule import LayerTilePlan, ScheduledMapping, StackPlan
from problems import Problem
from solver.pins import PinnedLayer, PinnedStack, Pins
from solver.result import Result


def everything(problem: Problem, result: Result) -> Pins:
    """Stacks, tiles, modes, ends, mappings, and memories that are the same in all kinds of tile."""
    assert result.schedule is not None
    return Pins(stacks=tuple(_stack(problem, stack) for stack in result.schedule.stacks))


def _stack(problem: Problem, stack: StackPlan) -> PinnedStack:
    names = [memory.name for memory in problem.hardware.memories]
    order = [layer.name for layer in problem.workload.layers]
    layers = tuple(sorted(order.index(name) for name in stack.layers))
    inside = []
    for position in layers:
        steps = [s for tile in stack.tiles for s in tile.layers if s.layer == order[position]]
        weights = stack.weights[stack.layers.index(order[position])]
        places: dict[str, set[str | None]] = {
            "W": {weights},
            "I": {step.operand for step in steps},
            # The last layer's is that of the map after the stack.
            "O": {step.output for step in steps if position != layers[-1]},
            "H": {m for step in steps for m in (step.h_use, step.h_make)} - {None},
            "V": {step.v for step in steps} - {None},
            "F": {step.producer for step in steps if _fetches(problem, layers, position)},
        }
        memories = tuple(
            (what, names.index(memory))
            for what, found in places.items()
            for memory in found
            if len(found) == 1 and memory is not None
        )
        computes = problem.workload.layers[position].computes
        mappings = _distinct(steps) if computes else ()
        inside.append(PinnedLayer(position=position, memories=memories, mappings=mappings))
    return PinnedStack(
        layers=layers,
        tile=(stack.tile_x, stack.tile_y),
        mode=stack.mode,
        source=names.index(stack.source),
        target=names.index(stack.target),
        inside=tuple(inside),
    )


def _fetches(problem: Problem, layers: tuple[int, ...], position: int) -> bool:
    """Whether a layer reads one map, from outside of its stack, and is alone in that."""
    sources = problem.workload.layers[position].sources
    names = {problem.workload.layers[p].name for p in layers}
    others = {s for p in layers if p != position for s in problem.workload.layers[p].sources}
    return len(sources) == 1 and not {*names, *others} & set(sources)


def _distinct(steps: list[LayerTilePlan]) -> tuple[ScheduledMapping, ...]:
    found: list[ScheduledMapping] = []
    for step in steps:
        if step.mapping not in found:
            found.append(step.mapping)
    return tuple(found)
