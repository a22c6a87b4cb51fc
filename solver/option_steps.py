"""One look closer at a stack option: bounds, mappings, and CP-SAT over its placements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from ortools.sat.python import cp_model

from solver.choices import ChoiceBuilder
from solver.limits import SearchLimits, StoppedError, TooHardError
from solver.model import ScheduleModel
from solver.open_options import FIRST_SLACK, OptionState
from solver.option_plan import OptionPlan, entry_cost
from solver.places import Fitting
from solver.prune import SAFETY
from solver.staircase import EQUAL

SLACK_GROWTH, WIDEST_SLACK = 4.0, 4.0
"""Growth of the width of CP-SAT's looks into an option above its bound; a look wider than the
last takes everything in."""
DIVING_SLACK = 0.02
"""Least such width in a dive."""
DIVING_GAP, DIVING_EFFORT = 0.02, 0.5
"""Relative gap at which CP-SAT may stop in a dive, and its limit in deterministic seconds."""
FIT_ROUNDS = 8
"""Times that a placement is found anew by what its mappings cost and hold."""
NARROW = 0.05
"""Relative distance between the bound of an option and its plan, or what is of interest, within
which CP-SAT looks at all of it."""
FEW_TILES = 1
"""Layer-tiles, by kind, beyond which a dive takes the first placement that fits."""
LEAN_EFFORT = 0.2
"""Deterministic seconds that CP-SAT may take over a model with little presolve and one worker
before it starts anew with all it has."""
FIRST_DIVISIONS, LEAST_GAIN = 4, 0.2
"""Divisions by what stays in memories after which there are no more if they close less of what is
missing, in the mean; only speed depends on them."""
PROGRESS = 1e-7
"""Least relative rise of a bound before another option gets its turn."""
BOUNDED, PLACED, SHARPENED, SOLVED = 1, 2, 3, 4
"""How closely an option was looked at for a weight pair: placements of some kinds of tile, the
commonest first; of all; mappings; everything."""


def plan_cost(builder: ChoiceBuilder, plans: tuple[OptionPlan, ...]) -> tuple[float, float]:
    """(pJ, cycles) of a schedule given as plans, from the solver's tables."""
    energy = cycles = 0.0
    for plan in plans:
        kinds = plan.choices.tables
        for (k, _), layer in plan.layers.items():
            cost = entry_cost(layer)
            energy += kinds[k].kind.count * cost[0]
            cycles += kinds[k].kind.count * cost[1]
        for (k, _), phase in plan.phases.items():
            energy += kinds[k].kind.count * phase.energy_pj
            cycles += kinds[k].kind.count * phase.latency_cycles
        for e, memory in plan.weights.items():
            arrival = builder.tables.arrival(plan.choices.option.layers[e], memory)
            energy += arrival[0]
            cycles += arrival[1]
    return energy, cycles


class OptionSteps:
    """Looks at options, remembering what it learnt; `hasty`: for dives, which prove nothing."""

    def __init__(self, builder: ChoiceBuilder, limits: SearchLimits, *, hasty: bool) -> None:
        self.builder, self.limits, self.hasty = builder, limits, hasty
        self._plans: dict[tuple[int, ...], OptionPlan] = {}
        """The last placements found by the layers of the stack: a hint for the next ones."""
        self._gains: list[float] = []
        """What share of the way to what was enough each division of an option has come."""
        self.counts = {"bounded": 0, "placed": 0, "sharpened": 0, "CP-SAT": 0}

    def bound(
        self, states: Sequence[OptionState], weights: tuple[float, float], enough: np.ndarray
    ) -> None:
        """Bound many options, each until it reaches `enough` [option] or nothing is left to do.

        Kind of tile by kind of tile: so the layer-tiles of all can be bounded at once.
        """
        tables = self.builder.tables
        waiting = list(range(len(states)))
        while waiting:
            self.limits.left()
            tables.bound_tiles(
                (tile for n in waiting for tile in self._next_tiles(states[n], weights)),
                self.limits.left,
            )
            left = []
            for n in waiting:
                self.limits.left()
                self._bound_next(states[n], weights)
                if states[n].stage[weights] < PLACED and states[n].bound(weights) < enough[n]:
                    left.append(n)
            waiting = left

    def _next(self, state: OptionState, weights: tuple[float, float]) -> int:
        """Number of the kind of tile that is to be looked at next, commonest first."""
        counts = [-kind.count for kind in self.builder.tables.tiling(state.option).kinds]
        done = state.partial[weights][0] if weights in state.partial else 0
        return int(np.argsort(counts, kind="stable")[done])

    def _next_tiles(
        self, state: OptionState, weights: tuple[float, float]
    ) -> Iterator[tuple[int, int, int]]:
        """Layer-tiles of that kind."""
        tables = self.builder.tables
        kind = tables.tiling(state.option).kinds[self._next(state, weights)]
        return tables.tiles_of(state.option, [kind])

    def _bound_next(self, state: OptionState, weights: tuple[float, float]) -> None:
        """Look at the placements of one more kind of tile."""
        tables, option, pair = self.builder.tables, state.option, np.array(weights)
        if weights not in state.partial:
            self.counts["bounded"] += 1
            floors = tables.kind_floors(option) @ pair
            state.partial[weights] = 0, float(floors.sum()), floors
        # What is known of layer-tiles may change meanwhile: out comes what went in.
        done, total, floors = state.partial[weights]
        n_kinds = len(floors)
        number = self._next(state, weights)
        if np.isfinite(total):
            total -= float(floors[number])
            total += float(tables.kind_bound(option, number, pair[None])[0])
        state.partial[weights] = done + 1, total, floors
        state.stage[weights] = PLACED if done + 1 == n_kinds else BOUNDED
        self.counts["placed"] += done + 1 == n_kinds
        state.planes.append((*weights, total))

    def tighten(
        self,
        state: OptionState,
        weights: tuple[float, float],
        most: float,
        rival: float,
    ) -> None:
        """Look at an option one stage closer; costs above `most` are of no interest.

        Above `rival` another option of the same arc is more promising.

        First its commonest kind of tile, then all of it, then its likeliest mappings, then
        CP-SAT over its placements, unsearched mappings at their bounds: infeasible within
        the slack, or a better bound and mappings to search, or solved.
        """
        stage = state.stage.get(weights, 0)
        if stage < BOUNDED:
            self._bound_next(state, weights)
            return
        if stage < PLACED:
            self.bound([state], weights, np.array([np.inf]))
            return
        if stage < SHARPENED:
            known = state.bound(weights)
            enough = max(min(most, rival), known * (1 + PROGRESS))
            self.sharpen([(state, enough)], weights)
            return
        self._decide(state, weights, most)

    def sharpen(
        self, asked: Sequence[tuple[OptionState, float]], weights: tuple[float, float]
    ) -> None:
        """Search the likeliest mappings of placed options, each until its bound is enough."""
        self.counts["sharpened"] += len(asked)
        # Without rivals a good schedule is sought, which takes no close bounds.
        to_the_end = all(np.isfinite(enough) for _, enough in asked)
        floors = self.builder.sharpen_all(
            [(state.option, enough) for state, enough in asked], weights, to_the_end=to_the_end
        )
        for (state, enough), floor in zip(asked, floors, strict=True):
            state.planes.append((*weights, floor))
            if floor < enough or floor <= 0.0:
                state.stage[weights] = SHARPENED

    def divide(
        self, asked: Sequence[tuple[OptionState, float]], weights: tuple[float, float]
    ) -> None:
        """Divide the placements of sharpened options, once, each until its bound is enough."""
        before = [state.bound(weights) for state, _ in asked]
        floors = self.builder.divide_all(
            [(state.option, enough) for state, enough in asked], weights
        )
        for (state, enough), floor, known in zip(asked, floors, before, strict=True):
            state.divided.add(weights)
            state.planes.append((*weights, floor))
            if floor > 0 and known < enough < np.inf:
                self._gains.append(min(max(floor - known, 0.0) / (enough - known), 1.0))

    @property
    def divides(self) -> bool:
        """Whether divisions so far have closed enough of what was to be closed to go on with."""
        return len(self._gains) < FIRST_DIVISIONS or float(np.mean(self._gains)) >= LEAST_GAIN

    def _decide(
        self,
        state: OptionState,
        weights: tuple[float, float],
        most: float,
    ) -> None:
        """One CP-SAT step."""
        self.counts["CP-SAT"] += 1
        floor = self.builder.floor(state.option, weights)
        known = max(floor, state.bound(weights))
        if not np.isfinite(known):
            state.planes.append((*weights, np.inf))
            return
        neighbour = self._plans.get(state.option.layers)
        places = None if neighbour is None else neighbour.places
        # CP-SAT places few layer-tiles better, and as soon.
        if self.builder.patience < 0 and self.builder.tiles(state.option) > FEW_TILES:
            fitting = self.builder.fitting(state.option, weights)
            if fitting is not None:
                found = self._fitted(state, weights, fitting)
                if found is not None:
                    state.planes.append((*weights, found[0]))
                    state.solved[weights] = found[1]
                    return
                # Wide enough for it: something is found, then.
                places = fitting.places
                state.slack = max(state.slack, (fitting.cost / known - 1) * (1 + DIVING_SLACK))
        reach = known * (1 + state.slack) if state.slack < WIDEST_SLACK else np.inf
        attained = state.fitted.get(weights)
        near = known * (1 + NARROW)
        is_wide = not self.hasty and not state.is_careful
        if is_wide and most <= near:
            # One wide look settles it, or many short ones do.
            reach = most
        if attained is not None and attained[0] <= near:
            places = attained[1].places
            reach = attained[0] if is_wide else min(reach, attained[0])  # it costs no more
        limit = max(known, min(most, reach))
        choices = self.builder.build(state.option, weights, limit)
        model = ScheduleModel(self.builder.tables, choices, weights, floor)
        if not self.hasty and np.isfinite(limit):
            model.keep_below(limit)
        if places is not None:
            model.suggest(places)
        plan, bound = self._solve(model, soon=is_wide)
        if plan is None and bound == 0.0 and is_wide:
            state.is_careful = True  # nothing was soon found out
            return
        if plan is None and attained is not None and limit == attained[0] <= bound:
            state.planes.append((*weights, limit))
            state.solved[weights] = attained[1]
            return
        if plan is None:
            if bound < limit and state.slack >= WIDEST_SLACK:
                raise TooHardError
            # Where too little fits to find it soon there may be more a little wider.
            state.planes.append((*weights, min(bound, limit)))
            state.slack *= SLACK_GROWTH
            return
        # Choices were kept for costs up to `limit`: beyond it others may exist.
        state.planes.append((*weights, min(bound, limit)))
        if bound >= limit:
            state.slack *= SLACK_GROWTH
        self._plans[state.option.layers] = plan
        if any(layer.point is None for layer in plan.layers.values()):
            mapped = self._mapped(state, weights, plan)
            if mapped is None:
                return
            cost = self._cost(weights, mapped)
            if not self.hasty and cost > self._cost(weights, plan) * (1 + EQUAL):
                if attained is None or cost < attained[0]:
                    state.fitted[weights] = cost, mapped
                # That nothing is so cheap is told far sooner than what is cheapest.
                state.slack = max(FIRST_SLACK, state.slack / SLACK_GROWTH**2)
                state.is_careful = True
                return
            # Nothing less was there to choose.
            plan = mapped
        cost = self._cost(weights, plan)
        if cost <= limit * (1 + SAFETY) or self.hasty:
            state.planes[-1] = (*weights, cost)
            state.solved[weights] = plan
        else:
            state.slack *= SLACK_GROWTH

    def _cost(self, weights: tuple[float, float], plan: OptionPlan) -> float:
        """Weighted cost of a plan."""
        energy, cycles = plan_cost(self.builder, (plan,))
        return weights[0] * energy + weights[1] * cycles

    def _mapped(
        self, state: OptionState, weights: tuple[float, float], plan: OptionPlan
    ) -> OptionPlan | None:
        """The placements of a plan with the best mappings that fit there, if all are known.

        What a mapping takes matters while its layer runs alone, so all of them fit together.
        """
        found = self.builder.search(plan, weights)
        layers = dict(plan.layers)
        for at, layer in plan.layers.items():
            if layer.point is None:
                if at not in found:
                    return None
                point = found[at]
                layers[at] = replace(
                    layer,
                    energy_pj=point.energy_pj,
                    latency_cycles=point.latency_cycles,
                    held_bits=point.held_bits,
                    point=point,
                )
        return replace(plan, layers=layers)

    def fit(self, state: OptionState, weights: tuple[float, float]) -> None:
        """Look, once, for a plan of an option that is near the best of it."""
        if weights in state.fitted or weights in state.solved:
            return
        state.fitted[weights] = None
        fitting = self.builder.fitting(state.option, weights, FIT_ROUNDS)
        if fitting is not None:
            state.fitted[weights] = self._fitted(state, weights, fitting)

    def _fitted(
        self, state: OptionState, weights: tuple[float, float], fitting: Fitting
    ) -> tuple[float, OptionPlan] | None:
        """Weighted cost and plan of a placement: CP-SAT has the last word on what fits."""
        choices = self.builder.fitted(state.option, weights, fitting)
        if choices is None:
            return None
        plan, _ = self._solve(ScheduleModel(self.builder.tables, choices, weights, choices.floor))
        if plan is None:
            return None
        self._plans[state.option.layers] = plan
        return self._cost(weights, plan), plan

    def _solve(
        self, model: ScheduleModel, *, soon: bool = False
    ) -> tuple[OptionPlan | None, float]:
        """Run CP-SAT to the end: (plan, bound in weighted cost); no plan: infeasible.

        In a dive, or if it is to end `soon`, there may be neither plan nor bound: nothing was
        soon found.
        """
        fault = model.model.validate()
        if fault:
            raise RuntimeError(f"invalid CP-SAT model: {fault}")
        for lean in (True, False):
            solver = self._cp_sat(lean=lean)
            status = solver.solve(model.model)
            if status == cp_model.OPTIMAL or (
                self.hasty and not lean and status == cp_model.FEASIBLE
            ):
                return model.plan(solver), solver.best_objective_bound / model.scale
            if status == cp_model.INFEASIBLE:
                return None, np.inf
            if status == cp_model.MODEL_INVALID:
                raise RuntimeError("invalid CP-SAT model")
            self.limits.left()
            if soon:
                return None, 0.0
        if not self.hasty:
            raise StoppedError
        if model.hinted:
            # What was suggested may be all right as it is.
            solver = self._cp_sat(lean=True)
            solver.parameters.fix_variables_to_their_hinted_value = True
            if solver.solve(model.model) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                return model.plan(solver), 0.0
        return None, 0.0

    def _cp_sat(self, *, lean: bool) -> cp_model.CpSolver:
        """A solver with its limits; a lean one is quick on the many small models or gives up."""
        solver = cp_model.CpSolver()
        parameters = solver.parameters
        parameters.random_seed = self.limits.seed
        parameters.relative_gap_limit = DIVING_GAP if self.hasty else 0.0
        # CP-SAT would leave SIGINT's default action behind, which ends the process.
        parameters.catch_sigint_signal = False
        # Takes longer than it saves: five large models of resnet-18 take 19 s without, 33 s with.
        parameters.cp_model_probing_level = 0
        if lean:
            parameters.num_workers = 1
            parameters.linearization_level = 2
            parameters.max_presolve_iterations = 1
            parameters.max_deterministic_time = LEAN_EFFORT
        else:
            parameters.num_workers = self.limits.workers
            if self.limits.workers == 1:
                parameters.linearization_level = 2
            else:
                parameters.extra_subsolvers.append("max_lp")
            if self.hasty:
                parameters.max_deterministic_time = DIVING_EFFORT
        left = self.limits.left()
        if left is not None:
            parameters.max_time_in_seconds = left
        return solver
