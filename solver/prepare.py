"""What every search starts from: tables of the problem, limits, and the space in words."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from cost.known_workloads import check_known
from cost.overlap import OverlapMode
from cost.rules import RuleSet
from problems.problem import Problem
from solver.limits import SearchLimits
from solver.pins import LayerOfStack
from solver.result import Space
from solver.space import StackRange, TileSpace
from solver.stack_tables import StackTables


def cost_tables(
    problem: Problem,
    rules: RuleSet,
    *,
    timed: bool = True,
    inside: Iterable[LayerOfStack] = (),
) -> StackTables:
    """Tables of a problem; ProblemError for what the rules do not know.

    Where latency is of no interest they need not be `timed`; see `LayerTables`. `inside`: what
    is fixed by hand of the layers of stacks.
    """
    check_known(problem, rules)
    return StackTables(problem, rules, timed=timed, inside=inside)


def search_limits(time_limit_s: float | None, workers: int | None, seed: int) -> SearchLimits:
    """Limits of a search that starts now."""
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    return SearchLimits(
        deadline=deadline, workers=workers or max(3, os.cpu_count() or 1), seed=seed
    )


def stated_space(
    problem: Problem,
    ranges: tuple[StackRange, ...],
    tiles: TileSpace,
    modes: tuple[OverlapMode, ...],
    max_depth: int | None,
    rules: RuleSet,
) -> Space:
    """The space as it is printed with an answer, assumptions included."""
    notes = []
    if any(not r.is_chain for r in ranges):
        notes.append("a map that another stack than the next reads, too, is kept in DRAM")
        notes.append("each stack has one last layer; both operands of a join rest in one memory")
        if not rules.true_branches:
            notes.append(
                "a map that a later stack reads is the last of its stack (the reference writes "
                "out no other)"
            )
    if any(layer.weight_source is not None for layer in problem.workload.layers):
        notes.append(
            "a map that a matmul reads as its matrix lies in DRAM before the stack starts, and "
            "stays through the stack where its layer keeps it"
        )
    if not all(layer.computes for layer in problem.workload.layers):
        notes.append(
            "a concat is one map in one memory: its parts are copied there if they lie elsewhere, "
            "and a part that others read later, too, has room of its own beside it"
        )
    if not rules.joint_capacity:
        notes.append("feature maps between stacks live in DRAM (the reference knows no other)")
    if len(modes) < len(OverlapMode):
        notes.append("overlap modes limited to " + ", ".join(modes))
    if max_depth is not None:
        notes.append(f"stacks limited to {max_depth} layers")
    return Space(
        tiles=tiles.text,
        modes=tuple(m.value for m in modes),
        max_depth=max_depth,
        stack_ranges=len(ranges),
        options=sum(r.options for r in ranges),
        notes=tuple(notes),
    )
