"""Consistency of a written schedule: its tiles, memories and hand-overs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cost.recost_capacity import StackView, fetching_layer, made_bits, tile_place
from cost.recost_layer import memory_index, top_memory
from cost.recost_tiles import map_bits
from cost.schedule import LayerTilePlan, Runs, Schedule, StackPlan, TilePlan
from problems.hardware import Hardware
from problems.problem import Problem
from problems.workload import Operand


def unknown_memories(hardware: Hardware, schedule: Schedule) -> Iterator[str]:
    """Names in a schedule that are no memories of the hardware."""
    known = {memory.name for memory in hardware.memories}
    for number, stack in enumerate(schedule.stacks):
        used = {stack.source, stack.target, *stack.weights}
        for tile in stack.tiles:
            for step in tile.layers:
                used |= {step.producer, step.second, step.weights, step.operand, step.output}
                used |= {step.h_use, step.h_make, step.v}
        for name in sorted(used - known - {None}, key=str):
            yield f"stack {number}: {hardware.name} has no memory {name}"


def order_faults(problem: Problem, schedule: Schedule) -> Iterator[str]:
    """Stacks must hold every layer once, after its producers, and agree on maps on chip."""
    workload, hardware = problem.workload, problem.hardware
    planned = [name for stack in schedule.stacks for name in stack.layers]
    layers = [layer.name for layer in workload.layers]
    if sorted(planned) != sorted(layers):
        yield f"the stacks hold layers {planned}, the workload has {layers}"
        return
    known = {workload.input_name}
    for number, stack in enumerate(schedule.stacks):
        if [name for name in layers if name in stack.layers] != list(stack.layers):
            yield f"stack {number}: layers {list(stack.layers)} are not in the workload's order"
        inside = known | set(stack.layers)
        for name in stack.layers:
            for source in workload.by_name[name].sources:
                if source not in inside:
                    yield f"stack {number}: layer {name} reads {source}, which comes later"
            matrix = workload.by_name[name].weight_source
            if matrix is not None and matrix not in known:
                yield (
                    f"stack {number}: layer {name} takes {matrix} as its matrix, which no stack "
                    "before has made"
                )
        read = {s for name in stack.layers for s in workload.by_name[name].sources}
        for name in stack.layers[:-1]:
            if name not in read:
                yield f"stack {number}: nothing in it reads layer {name}, it cannot be tiled"
        known |= set(stack.layers)
    dram = hardware.memories[top_memory(hardware, Operand.I)].name
    bottom = hardware.memories[top_memory(hardware, Operand.O)].name
    for number, stack in enumerate(schedule.stacks):
        before = schedule.stacks[number - 1] if number else None
        if stack.carried is None:
            if stack.source != dram:
                yield f"stack {number}: all that it reads lies in {dram}, not in {stack.source}"
        elif before is None or stack.carried != before.layers[-1]:
            yield f"stack {number}: the stack before it does not end in {stack.carried}"
        elif stack.source != before.target:
            yield (
                f"stack {number - 1} leaves its map in {before.target}, stack {number} reads "
                f"it from {stack.source}"
            )
        last = stack.layers[-1]
        readers = set(workload.graph.successors(last))
        as_matrix = [name for name in layers if workload.by_name[name].weight_source == last]
        if as_matrix and stack.target != bottom:
            yield (
                f"stack {number} leaves its map in {stack.target}, yet {as_matrix[0]} takes it "
                f"as its matrix from {bottom}"
            )
        after = schedule.stacks[number + 1] if number + 1 < len(schedule.stacks) else None
        if not readers and stack.target != bottom:
            yield f"the network output goes to {bottom}, not to {stack.target}"
        alone = after is not None and after.carried == last and readers <= set(after.layers)
        if readers and stack.target != bottom and not alone:
            yield (
                f"stack {number} leaves its map in {stack.target}, yet not all its readers "
                "are in the next stack"
            )


def shape_faults(number: int, stack: StackPlan) -> Iterator[str]:
    """What would keep a stack from being walked at all."""
    if not stack.layers:
        yield f"stack {number}: has no layers"
    if stack.tile_x < 1 or stack.tile_y < 1:
        yield f"stack {number}: tile {stack.tile_x}x{stack.tile_y} has no size"
    if len(stack.weights) != len(stack.layers):
        yield f"stack {number}: {len(stack.weights)} weight memories for its layers"
    if not stack.tiles:
        yield f"stack {number}: has no tiles"
    for tile in stack.tiles:
        names = [step.layer for step in tile.layers]
        if [name for name in stack.layers if name in names] != names:
            yield f"stack {number}: tiles of columns {tile.columns} list other layers"
        if not tile.columns or not tile.rows:
            yield f"stack {number}: a kind of tiles has no columns or no rows"


def grid_faults(view: StackView) -> Iterator[str]:
    """Kinds of tiles must cover the grid once, and be of one geometry each."""
    columns, rows = view.geometry.columns, view.geometry.rows
    covered = np.zeros((len(columns), len(rows)), dtype=np.int32)
    for tile in view.plan.tiles:
        places = []
        for runs, steps in ((tile.columns, columns), (tile.rows, rows)):
            inside = all(first >= 0 and n >= 1 and first + n <= len(steps) for first, n in runs)
            spots = [i for first, n in runs for i in range(first, first + n)] if inside else []
            places.append(spots)
        if not all(places):
            yield (
                f"columns {tile.columns} and rows {tile.rows} pass the grid of "
                f"{len(columns)} x {len(rows)} tiles"
            )
            continue
        np.add.at(covered, np.ix_(*places), 1)
        for axis, spots, steps in (("columns", places[0], columns), ("rows", places[1], rows)):
            if any(steps[i] != steps[spots[0]] for i in spots):
                yield f"{axis} {tile.columns if axis == 'columns' else tile.rows} differ"
        x, y = view.axes(tile)
        sizes = {name: (x.outputs[name], y.outputs[name]) for name in view.plan.layers}
        steps_by_layer = tile.by_layer
        for name, size in sizes.items():
            step = steps_by_layer.get(name)
            stated = (step.width, step.height) if step is not None else None
            where = f"layer {name} in columns {tile.columns}, rows {tile.rows}"
            if min(size) == 0:
                if step is not None:
                    yield f"{where} is planned, yet it has nothing to compute there"
            elif stated is None:
                yield f"{where} is missing"
            elif stated != size:
                yield f"{where} is stated as {stated[0]}x{stated[1]}, it is {size[0]}x{size[1]}"
    if not np.all(covered == 1):
        yield f"{int(np.sum(covered != 1))} tiles of the grid are not covered exactly once"


def boundary_faults(view: StackView) -> Iterator[str]:
    """Whole maps lie in DRAM or, under joint capacity, in a memory that holds them."""
    hardware, plan = view.hardware, view.plan
    for name in sorted(view.exports if not view.rules.true_branches else ()):
        yield f"layer {name} is read by later stacks, yet only a stack's last map leaves it"
    ends = [(plan.target, plan.layers[-1])]
    if plan.carried is not None:
        ends.append((plan.source, plan.carried))
    for memory, name in ends:
        index = memory_index(hardware, memory)
        if index == top_memory(hardware, Operand.O):
            continue
        if not view.rules.joint_capacity:
            yield f"maps between stacks lie in DRAM, not in {memory}"
        elif not _shareable(hardware, index):
            yield f"{memory} cannot hold a map between stacks"
        elif map_bits(view.workload, name) > hardware.memories[index].size_bits:
            yield f"the map of layer {name} does not fit {memory}"


def placement_faults(view: StackView) -> Iterator[str]:
    """Every tensor and cache must rest in a memory of its domain, weights in one."""
    hardware, plan, rules = view.hardware, view.plan, view.rules
    dram = hardware.memories[top_memory(hardware, Operand.W)].name
    # Under the reference's rules a lone tile reads its weights from DRAM: none stay.
    none_stay = not rules.charge_weight_arrival and len(plan.tiles) == plan.tiles[0].count == 1
    for layer, memory in zip(view.layers, plan.weights, strict=True):
        if (memory is None) == layer.has_weights and not (memory is None and none_stay):
            yield f"layer {layer.name}: weights are stated in {memory}"
        elif memory is not None and not _single(hardware, memory, Operand.W, rules.joint_capacity):
            yield f"layer {layer.name}: weights cannot stay in {memory}"
    for tile in plan.tiles:
        where = f"columns {tile.columns}, rows {tile.rows}"
        starts = tile.columns[0][0] == 0 and tile.rows[0][0] == 0
        if starts and tile.count > 1 and not rules.charge_weight_arrival:
            moved = [name for name in plan.weights if name not in (None, dram)]
            if moved:
                yield f"{where}: the first tile brings the weights, it is a kind of its own"
        for step in tile.layers:
            n = plan.layers.index(step.layer)
            first_tile = starts and not rules.charge_weight_arrival
            weights = dram if first_tile and view.layers[n].has_weights else plan.weights[n]
            if step.weights != weights:
                yield f"layer {step.layer} in {where}: weights are in {step.weights}, not {weights}"
            if not _single(hardware, step.operand, Operand.I, True):
                yield f"layer {step.layer} in {where}: no input tile can rest in {step.operand}"
            if not _single(hardware, step.output, Operand.O, True):
                yield f"layer {step.layer} in {where}: no output tile can rest in {step.output}"
            if (step.second is None) != (len(view.layers[n].sources) == 1):
                yield f"layer {step.layer} in {where}: a second producer is stated as {step.second}"
                continue
            yield from _producer_faults(view, tile, n, step, where)
            yield from _missing_caches(view, tile, n, step, where)
        last = tile.by_layer[plan.layers[-1]].output
        if last != plan.target:
            yield f"{where}: the last output is in {last}, not in {plan.target}"


def _producer_faults(
    view: StackView, tile: TilePlan, n: int, step: LayerTilePlan, where: str
) -> Iterator[str]:
    """A tile is fetched from where its maker, or who fetched it first, left it."""
    steps = tile.by_layer
    for source in view.layers[n].sources:
        if made_bits(view, tile, source) == 0:
            continue
        place = tile_place(step, view.layers[n], source)
        if source in view.plan.layers:
            found = steps[source].output
        else:
            if not _single(view.hardware, place, Operand.I, True):
                yield f"layer {step.layer} in {where}: no input tile can land in {place}"
            fetcher = fetching_layer(view, steps, source)
            assert fetcher is not None
            found = tile_place(steps[fetcher], view.workload.by_name[fetcher], source)
        if place != found:
            yield (
                f"layer {step.layer} in {where}: its producer's tile is in {found}, not in {place}"
            )


def _missing_caches(
    view: StackView, tile: TilePlan, n: int, step: LayerTilePlan, where: str
) -> Iterator[str]:
    x, y = view.axes(tile)
    name = view.layers[n].name
    across = [x.edges[source, name] for source in view.layers[n].sources]
    down = [y.edges[source, name] for source in view.layers[n].sources]
    charged = [
        view.whole_map(source) is None or view.rules.charge_stack_input_cache
        for source in view.layers[n].sources
    ]
    fills_h = any(s.kept and pays for s, pays in zip(across, charged, strict=True))
    fills_v = any(s.kept and pays for s, pays in zip(down, charged, strict=True))
    needs = (
        ("columns from the left", step.h_use, any(s.reused for s in across)),
        ("columns for the right", step.h_make, fills_h),
        ("rows", step.v, any(s.reused for s in down) or fills_v),
    )
    for what, memory, needed in needs:
        if needed and memory is None:
            yield f"layer {step.layer} in {where}: no cache is named for {what}"
        if memory is not None and not _shareable(
            view.hardware, memory_index(view.hardware, memory)
        ):
            yield f"layer {step.layer} in {where}: {memory} cannot be a cache"


def hand_over_faults(view: StackView) -> Iterator[str]:
    """What a tile puts into a cache is where its neighbour looks for it."""
    plan, joint = view.plan, view.rules.joint_capacity
    for layer in plan.layers:
        steps = [(tile, tile.by_layer[layer]) for tile in plan.tiles if layer in tile.by_layer]
        if joint:
            for what, found in (
                ("H", {m for _, step in steps for m in (step.h_use, step.h_make)}),
                ("V", {step.v for _, step in steps}),
            ):
                if len(found - {None}) > 1:
                    names = ", ".join(sorted(str(name) for name in found - {None}))
                    yield f"layer {layer}: its {what} cache lies in {names} at once"
            continue
        for one, giver in steps:
            for two, taker in steps:
                yield from _hand_over(layer, (one, giver), (two, taker))


def _hand_over(
    name: str, one: tuple[TilePlan, LayerTilePlan], two: tuple[TilePlan, LayerTilePlan]
) -> Iterator[str]:
    (first, giver), (second, taker) = one, two
    right = _meet(first.columns, second.columns, 1) and _meet(first.rows, second.rows, 0)
    if right and giver.h_make != taker.h_use and None not in (giver.h_make, taker.h_use):
        yield (
            f"layer {name}: columns {first.columns} hand over in {giver.h_make}, columns "
            f"{second.columns} read from {taker.h_use}"
        )
    below = _meet(first.columns, second.columns, 0) and _meet(first.rows, second.rows, 1)
    if below and giver.v != taker.v and None not in (giver.v, taker.v):
        yield (
            f"layer {name}: rows {first.rows} hand over in {giver.v}, rows {second.rows} read "
            f"from {taker.v}"
        )


def _meet(one: Runs, two: Runs, shift: int) -> bool:
    """Whether a position of `one`, moved by `shift`, lies in `two`."""
    return any(
        max(start + shift, first) < min(start + n + shift, first + m)
        for start, n in one
        for first, m in two
    )


def _single(hardware: Hardware, name: str, operand: Operand, single: bool) -> bool:
    index = memory_index(hardware, name)
    holds = index in hardware.chains[operand]
    at_top = index == hardware.chains[operand][-1]
    return holds and (not single or at_top or hardware.memories[index].instances == 1)


def _shareable(hardware: Hardware, index: int) -> bool:
    memory = hardware.memories[index]
    return memory.instances == 1 and memory.holds(Operand.I) and memory.holds(Operand.O)
