"""Consistency of a written schedule: its tiles, memories and hand-overs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cost.recost_capacity import StackView
from cost.recost_layer import memory_index, top_memory
from cost.recost_tiles import map_bits
from cost.schedule import LayerTilePlan, Schedule, StackPlan, TilePlan
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
                used |= {step.producer, step.weights, step.operand, step.output}
                used |= {step.h_use, step.h_make, step.v}
        for name in sorted(used - known - {None}, key=str):
            yield f"stack {number}: {hardware.name} has no memory {name}"


def chain_faults(problem: Problem, schedule: Schedule) -> Iterator[str]:
    """Stacks must cover all layers in order and agree on the maps between them."""
    planned = [name for stack in schedule.stacks for name in stack.layers]
    layers = [layer.name for layer in problem.workload.layers]
    if planned != layers:
        yield f"the stacks hold layers {planned}, the workload has {layers}"
    hardware = problem.hardware
    if not schedule.stacks:
        return
    bottom = hardware.memories[top_memory(hardware, Operand.I)].name
    if schedule.stacks[0].source != bottom:
        yield f"the network input lies in {bottom}, not in {schedule.stacks[0].source}"
    bottom = hardware.memories[top_memory(hardware, Operand.O)].name
    if schedule.stacks[-1].target != bottom:
        yield f"the network output goes to {bottom}, not to {schedule.stacks[-1].target}"
    for number in range(1, len(schedule.stacks)):
        before, after = schedule.stacks[number - 1], schedule.stacks[number]
        if before.target != after.source:
            yield (
                f"stack {number - 1} leaves its map in {before.target}, stack {number} reads "
                f"it from {after.source}"
            )


def shape_faults(hardware: Hardware, number: int, stack: StackPlan) -> Iterator[str]:
    """What would keep a stack from being walked at all."""
    if not stack.layers:
        yield f"stack {number}: has no layers"
    if stack.tile_x < 1 or stack.tile_y < 1:
        yield f"stack {number}: tile {stack.tile_x}x{stack.tile_y} has no size"
    if len(stack.weights) != len(stack.layers):
        yield f"stack {number}: {len(stack.weights)} weight memories for its layers"
    for tile in stack.tiles:
        if tuple(step.layer for step in tile.layers) != stack.layers:
            yield f"stack {number}: tiles of columns {tile.columns} list other layers"


def grid_faults(view: StackView) -> Iterator[str]:
    """Kinds of tiles must cover the grid once, and be of one geometry each."""
    columns, rows = view.geometry.columns, view.geometry.rows
    covered = np.zeros((len(columns), len(rows)), dtype=np.int32)
    for tile in view.plan.tiles:
        (x0, nx), (y0, ny) = tile.columns, tile.rows
        if min(x0, y0) < 0 or min(nx, ny) < 1 or x0 + nx > len(columns) or y0 + ny > len(rows):
            yield (
                f"columns {tile.columns} and rows {tile.rows} pass the grid of "
                f"{len(columns)} x {len(rows)} tiles"
            )
            continue
        covered[x0 : x0 + nx, y0 : y0 + ny] += 1
        for axis, first, count, steps in (("columns", x0, nx, columns), ("rows", y0, ny, rows)):
            if any(steps[i] != steps[first] for i in range(first, first + count)):
                yield f"{axis} {first} to {first + count - 1} are one kind but differ"
        for n, step in enumerate(tile.layers):
            walked = (columns[x0][n].outputs, rows[y0][n].outputs)
            if (step.width, step.height) != walked:
                yield (
                    f"layer {step.layer} in columns {tile.columns}, rows {tile.rows} is stated "
                    f"as {step.width}x{step.height}, it is {walked[0]}x{walked[1]}"
                )
    if not np.all(covered == 1):
        yield f"{int(np.sum(covered != 1))} tiles of the grid are not covered exactly once"


def boundary_faults(view: StackView) -> Iterator[str]:
    """Whole maps lie in DRAM or, under joint capacity, in a memory that holds them."""
    hardware, plan = view.hardware, view.plan
    ends = [(plan.target, view.start + len(view.layers) - 1)]
    if view.start:
        ends.append((plan.source, view.start - 1))
    for memory, position in ends:
        index = memory_index(hardware, memory)
        if index == top_memory(hardware, Operand.O):
            continue
        if not view.rules.joint_capacity:
            yield f"maps between stacks lie in DRAM, not in {memory}"
        elif not _shareable(hardware, index):
            yield f"{memory} cannot hold a map between stacks"
        elif map_bits(view.workload, position) > hardware.memories[index].size_bits:
            yield f"the map after layer {position} does not fit {memory}"


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
        starts = tile.columns[0] == 0 and tile.rows[0] == 0
        if starts and tile.count > 1 and not rules.charge_weight_arrival:
            moved = [name for name in plan.weights if name not in (None, dram)]
            if moved:
                yield f"{where}: the first tile brings the weights, it is a kind of its own"
        before = None
        for n, step in enumerate(tile.layers):
            first_tile = starts and not rules.charge_weight_arrival
            weights = dram if first_tile and view.layers[n].has_weights else plan.weights[n]
            if step.weights != weights:
                yield f"layer {step.layer} in {where}: weights are in {step.weights}, not {weights}"
            if not _single(hardware, step.operand, Operand.I, True):
                yield f"layer {step.layer} in {where}: no input tile can rest in {step.operand}"
            if not _single(hardware, step.output, Operand.O, True):
                yield f"layer {step.layer} in {where}: no output tile can rest in {step.output}"
            if before is not None and step.producer != before:
                yield (
                    f"layer {step.layer} in {where}: its producer's tile is in {before}, not in "
                    f"{step.producer}"
                )
            if before is None and not _single(hardware, step.producer, Operand.I, True):
                yield f"layer {step.layer} in {where}: no input tile can land in {step.producer}"
            before = step.output
            yield from _missing_caches(view, tile, n, step, where)
        if before != plan.target:
            yield f"{where}: the last output is in {before}, not in {plan.target}"


def _missing_caches(
    view: StackView, tile: TilePlan, n: int, step: LayerTilePlan, where: str
) -> Iterator[str]:
    x = view.geometry.columns[tile.columns[0]][n]
    y = view.geometry.rows[tile.rows[0]][n]
    free = n == 0 and not view.rules.charge_stack_input_cache
    needs = (
        ("columns from the left", step.h_use, x.reused > 0),
        ("columns for the right", step.h_make, x.kept > 0 and not free),
        ("rows", step.v, y.reused > 0 or (y.kept > 0 and not free)),
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
    for n, layer in enumerate(view.layers):
        if joint:
            for what, found in (
                ("H", {m for t in plan.tiles for m in (t.layers[n].h_use, t.layers[n].h_make)}),
                ("V", {tile.layers[n].v for tile in plan.tiles}),
            ):
                if len(found - {None}) > 1:
                    names = ", ".join(sorted(str(name) for name in found - {None}))
                    yield f"layer {layer.name}: its {what} cache lies in {names} at once"
        for one in plan.tiles:
            for two in plan.tiles:
                yield from _hand_over(view, n, one, two)


def _hand_over(view: StackView, n: int, one: TilePlan, two: TilePlan) -> Iterator[str]:
    name = view.layers[n].name
    giver, taker = one.layers[n], two.layers[n]
    right = _meet(one.columns, two.columns, 1) and _meet(one.rows, two.rows, 0)
    if right and giver.h_make != taker.h_use and None not in (giver.h_make, taker.h_use):
        yield (
            f"layer {name}: columns {one.columns} hand over in {giver.h_make}, columns "
            f"{two.columns} read from {taker.h_use}"
        )
    below = _meet(one.columns, two.columns, 0) and _meet(one.rows, two.rows, 1)
    if below and giver.v != taker.v and None not in (giver.v, taker.v):
        yield (
            f"layer {name}: rows {one.rows} hand over in {giver.v}, rows {two.rows} read from "
            f"{taker.v}"
        )


def _meet(one: tuple[int, int], two: tuple[int, int], shift: int) -> bool:
    """Whether a position of `one`, moved by `shift`, lies in `two`."""
    start, end = one[0] + shift, one[0] + one[1] + shift
    return max(start, two[0]) < min(end, two[0] + two[1])


def _single(hardware: Hardware, name: str, operand: Operand, single: bool) -> bool:
    index = memory_index(hardware, name)
    holds = index in hardware.chains[operand]
    at_top = index == hardware.chains[operand][-1]
    return holds and (not single or at_top or hardware.memories[index].instances == 1)


def _shareable(hardware: Hardware, index: int) -> bool:
    memory = hardware.memories[index]
    return memory.instances == 1 and memory.holds(Operand.I) and memory.holds(Operand.O)
