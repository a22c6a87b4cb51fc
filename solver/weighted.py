"""Exact minimum of energy_weight * pJ + latency_weight * cycles over a pool of options.

Bounds order the options, CP-SAT decides among those that bounds cannot separate. Mappings
are searched only for choices that a solution uses: every other choice stands for its
lower bound, so a solution made of searched mappings alone is optimal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from solver.choices import MARGIN, ChoiceBuilder
from solver.model import OptionPlan, ScheduleModel
from solver.prune import SAFETY, Pool
from solver.stack_tables import StackOption

FIRST_SLACK = 1e-2
"""Relative width of the first look into an option above its lower bound."""


class StoppedError(Exception):
    """The time limit was reached inside a weighted solve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """Limits and parameters of CP-SAT; `deadline` in seconds of `time.monotonic`."""

    deadline: float | None
    workers: int
    seed: int

    def left(self) -> float | None:
        """Seconds left, None without a limit; raises StoppedError when none are."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise StoppedError
        return left


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedOptimum:
    """Proven minimum for one weight pair.

    `bound` is a lower bound of the weighted cost of every schedule of the pool (the
    schedules pruned before the pool was made excepted); `plans` attain `cost`, if any
    schedule below the cut-off exists.
    """

    weights: tuple[float, float]
    bound: float
    cost: float
    plans: tuple[OptionPlan, ...]
    potentials: dict[tuple[int, int], float]
    survivors: int


def plan_cost(builder: ChoiceBuilder, plans: tuple[OptionPlan, ...]) -> tuple[float, float]:
    """(pJ, cycles) of a schedule given as plans, from the solver's tables."""
    energy = cycles = 0.0
    for plan in plans:
        kinds = plan.choices.tables
        for (k, _), layer in plan.layers.items():
            energy += kinds[k].kind.count * layer.energy_pj
            cycles += kinds[k].kind.count * layer.latency_cycles
        for (k, _), phase in plan.phases.items():
            energy += kinds[k].kind.count * phase.energy_pj
            cycles += kinds[k].kind.count * phase.latency_cycles
        for e, memory in plan.weights.items():
            arrival = builder.tables.arrival(plan.choices.option.first + e, memory)
            energy += arrival[0]
            cycles += arrival[1]
    return energy, cycles


@dataclass(kw_only=True, eq=False)
class _OptionState:
    """What is known about one stack option: half-planes and solutions per weight pair."""

    option: StackOption
    floor: tuple[float, float]
    planes: list[tuple[float, float, float]] = field(default_factory=list)
    floored: set[tuple[float, float]] = field(default_factory=set)
    solved: dict[tuple[float, float], OptionPlan] = field(default_factory=dict)

    def bound(self, weights: tuple[float, float]) -> float:
        """Least weighted cost over the corners of what the half-planes leave."""
        a, b = weights
        least_e, least_l = self.floor
        best = a * least_e + b * least_l
        for d, e, f in self.planes:
            if d * least_e + e * least_l >= f:
                continue
            corners = []
            if e > 0:
                corners.append(a * least_e + b * (f - d * least_e) / e)
            if d > 0:
                corners.append(a * (f - e * least_l) / d + b * least_l)
            best = max(best, min(corners))
        return best


class WeightedSolver:
    """Solves weighted problems over one pool, remembering what it learnt.

    A lazy shortest path: the cheapest path by bounds is taken, its options are tightened
    (each by CP-SAT over its own placements), and so on until a path made of solved
    options is the cheapest. Options of one path do not touch each other: what joins them,
    the memory of the feature map between, is part of the option.
    """

    def __init__(
        self,
        pool: Pool,
        builder: ChoiceBuilder,
        limits: SearchLimits,
        found: Callable[[tuple[OptionPlan, ...]], None] | None = None,
    ) -> None:
        self.found = found
        self.pool = pool
        self.builder = builder
        self.limits = limits
        self.steps = 0
        self.states = [
            _OptionState(
                option=option,
                floor=(float(r.energy[index]), float(r.latency[index])),
            )
            for r in pool.ranges
            for index, option in r.options()
        ]

    def minimise(self, weights: tuple[float, float], cutoff: float) -> WeightedOptimum:
        """Least weighted cost below `cutoff` (a known schedule's cost, or infinite)."""
        while True:
            self.limits.left()
            bounds = [state.bound(weights) for state in self.states]
            ahead = self._ways(bounds)
            end = (self.pool.n_layers, self.pool.tables.domains.dram)
            floor = ahead.get(end, np.inf)
            survivors = sum(1 for s in self.states if s.planes)
            if floor >= cutoff * (1 - SAFETY):
                return WeightedOptimum(
                    weights=weights,
                    bound=min(floor, cutoff),
                    cost=np.inf,
                    plans=(),
                    potentials=ahead,
                    survivors=survivors,
                )
            path = self._path(bounds, ahead)
            open_states = [s for s in path if weights not in s.solved]
            if not open_states:
                return WeightedOptimum(
                    weights=weights,
                    bound=floor,
                    cost=floor,
                    plans=tuple(s.solved[weights] for s in path),
                    potentials=ahead,
                    survivors=survivors,
                )
            for state in open_states:
                # Beyond this cost the option cannot be part of anything below the cut-off.
                spare = cutoff - floor
                self._tighten(state, weights, spare)
                plan = state.solved.get(weights)
                o = state.option
                if plan is not None and (o.first, o.last) == (0, self.pool.n_layers - 1):
                    # A stack of all layers is a schedule by itself.
                    energy, cycles = plan_cost(self.builder, (plan,))
                    cutoff = min(cutoff, weights[0] * energy + weights[1] * cycles)
                    if self.found is not None:
                        self.found((plan,))

    def _ways(self, bounds: list[float]) -> dict[tuple[int, int], float]:
        dram = self.pool.tables.domains.dram
        ahead: dict[tuple[int, int], float] = {(0, dram): 0.0}
        arcs = sorted(zip(self.states, bounds, strict=True), key=lambda a: a[0].option.first)
        for state, bound in arcs:
            o = state.option
            tail, head = (o.first, o.source), (o.last + 1, o.target)
            if tail in ahead:
                ahead[head] = min(ahead.get(head, np.inf), ahead[tail] + bound)
        return ahead

    def _path(self, bounds: list[float], ahead: dict[tuple[int, int], float]) -> list[_OptionState]:
        """Options of the cheapest path, first to last."""
        node = (self.pool.n_layers, self.pool.tables.domains.dram)
        start = (0, self.pool.tables.domains.dram)
        path: list[_OptionState] = []
        while node != start:
            best: tuple[float, _OptionState] | None = None
            for state, bound in zip(self.states, bounds, strict=True):
                o = state.option
                if (o.last + 1, o.target) != node:
                    continue
                total = ahead.get((o.first, o.source), np.inf) + bound
                if best is None or total < best[0]:
                    best = (total, state)
            assert best is not None
            path.append(best[1])
            node = (best[1].option.first, best[1].option.source)
        return path[::-1]

    def _tighten(self, state: _OptionState, weights: tuple[float, float], spare: float) -> None:
        """One step towards the least weighted cost of an option.

        CP-SAT over its placements, unsearched mappings at their bounds: infeasible within
        the slack, or a better bound and mappings to search, or solved.
        """
        self.steps += 1
        floor = self.builder.floor(state.option, weights)
        if weights not in state.floored:
            state.floored.add(weights)
            state.planes.append((*weights, floor))
            return
        known = max(floor, state.bound(weights))
        if not np.isfinite(known):
            state.planes.append((*weights, np.inf))
            return
        limit = known + min(spare, known * FIRST_SLACK)
        choices = self.builder.build(state.option, weights, limit)
        model = ScheduleModel(self.builder.tables, (choices,), weights, floor)
        plans, bound = self._solve(model)
        if not plans:
            state.planes.append((*weights, limit))
            return
        # Choices were kept for costs up to `limit`: beyond it others may exist.
        state.planes.append((*weights, min(bound, limit)))
        (plan,) = plans
        unsearched = [layer for layer in plan.layers.values() if layer.point is None]
        for layer in unsearched:
            self.limits.left()
            count = choices.tables[layer.kind].kind.count
            cost = weights[0] * layer.energy_pj + weights[1] * layer.latency_cycles
            # Wider than what a rebuild may ask for, or it would not count as searched.
            reach = (choices.slack + 4 * MARGIN * floor) / count
            self.builder.search(layer, choices, weights, cost + reach)
        if not unsearched:
            energy, cycles = plan_cost(self.builder, plans)
            cost = weights[0] * energy + weights[1] * cycles
            if cost <= limit * (1 + SAFETY):
                state.planes[-1] = (*weights, cost)
                state.solved[weights] = plan

    def _solve(self, model: ScheduleModel) -> tuple[tuple[OptionPlan, ...], float]:
        """Run CP-SAT to the end: (plans, bound in weighted cost); no plans: infeasible."""
        fault = model.model.validate()
        if fault:
            raise RuntimeError(f"invalid CP-SAT model: {fault}")
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = self.limits.workers
        solver.parameters.random_seed = self.limits.seed
        solver.parameters.relative_gap_limit = 0.0
        if self.limits.workers == 1:
            solver.parameters.linearization_level = 2
        else:
            solver.parameters.extra_subsolvers.append("max_lp")
        left = self.limits.left()
        if left is not None:
            solver.parameters.max_time_in_seconds = left
        status = solver.solve(model.model)
        if status == cp_model.OPTIMAL:
            return model.plans(solver), solver.best_objective_bound / model.scale
        if status == cp_model.INFEASIBLE:
            return (), np.inf
        if status == cp_model.MODEL_INVALID:
            raise RuntimeError("invalid CP-SAT model")
        raise StoppedError
