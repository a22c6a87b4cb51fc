"""Whether a space holds any schedule at all: cheap answers first, the exact search last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits
from solver.objective import Objective
from solver.one_step import can_step, step_demands
from solver.option_plan import OptionPlan
from solver.prune import Pool, make_pool
from solver.scout import OPENING_SIZES, Scout, floor_of, opening_ranges, tangent
from solver.screen import Screen
from solver.space import StackRange, has_path
from solver.stack_tables import StackTables
from solver.weighted import WeightedSolver


class _FoundError(Exception):
    """A schedule was found: nothing else matters."""


def _found(_: tuple[OptionPlan, ...]) -> tuple[float, float]:
    raise _FoundError


def has_schedule(
    tables: StackTables, ranges: tuple[StackRange, ...], end: int, limits: SearchLimits
) -> bool:
    """Whether any schedule takes its stacks from `ranges`, which lead to cut `end`.

    Exact: yes is a schedule, no a proof. What one step takes and the stacks' ends say no soon;
    layers that work on DRAM alone say yes soon; else the search decides, which may take as long
    as solving. Raises StoppedError when time is up.
    """
    if not has_path(ranges, end):
        return False
    sizes = tables.domains.sizes_bits
    if not all(can_step(step_demands(tables, layer), sizes) for layer in range(len(tables.models))):
        return False
    builder = ChoiceBuilder(tables, limits.left)
    try:
        _open(tables, ranges, end, builder, limits)
        pool = make_pool(Screen(tables, ranges))
        energy, latency = floor_of(pool)
        if not np.isfinite(energy):
            return False
        _scout(pool, builder, limits).open()
        weights = tangent(Objective.EDP, energy, latency)
        solver = WeightedSolver(pool, builder, limits, _found)
        return bool(solver.minimise(weights, np.inf).plans)
    except _FoundError:
        return True


def _scout(pool: Pool, builder: ChoiceBuilder, limits: SearchLimits) -> Scout:
    return Scout(pool, builder, limits, Objective.EDP, _found)


def _open(
    tables: StackTables,
    ranges: tuple[StackRange, ...],
    end: int,
    builder: ChoiceBuilder,
    limits: SearchLimits,
) -> None:
    """Look for a schedule in small parts of the space."""
    for count in OPENING_SIZES:
        small = opening_ranges(ranges, count)
        if not has_path(small, end):
            small = tuple(_thinned(r) for r in ranges)
        if has_path(small, end):
            _scout(make_pool(Screen(tables, small)), builder, limits).open()


def _thinned(r: StackRange) -> StackRange:
    """The same stack with one tile, its largest, and one mode; in DRAM where it may be."""

    def ends(memories: tuple[int, ...]) -> tuple[int, ...]:
        return (r.dram,) if r.dram in memories else memories

    return replace(
        r,
        widths=r.widths[-1:],
        heights=r.heights[-1:],
        modes=r.modes[:1],
        sources=ends(r.sources),
        targets=ends(r.targets),
    )
