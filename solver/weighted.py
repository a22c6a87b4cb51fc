"""Exact minimum of energy_weight * pJ + latency_weight * cycles over a pool of options.

Bounds order the options, CP-SAT decides among those that bounds cannot separate. Mappings
are searched only for choices that a solution uses: every other choice stands for its
lower bound, so a solution made of searched mappings alone is optimal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from ortools.sat.python import cp_model

from solver.choices import MARGIN, ChoiceBuilder
from solver.fitting import Fitting
from solver.limits import SearchLimits, StoppedError, TooHardError
from solver.model import OptionPlan, ScheduleModel, entry_cost
from solver.open_options import OpenOptions, OptionState
from solver.prune import SAFETY, Pool, Ways

SLACK_GROWTH, WIDEST_SLACK = 4.0, 4.0
"""Growth of the width of CP-SAT's looks into an option above its bound; a look wider than the
last takes everything in."""
DIVING_SLACK = 0.02
"""Least such width in a dive."""
DIVING_GAP, DIVING_EFFORT = 0.02, 0.5
"""Relative gap at which CP-SAT may stop in a dive, and its limit in deterministic seconds."""
FEW_TILES = 1
"""Layer-tiles, by kind, beyond which a dive takes the first placement that fits."""
LEAN_EFFORT = 0.2
"""Deterministic seconds that CP-SAT may take over a model with little presolve and one worker
before it starts anew with all it has."""
DIVING_PATIENCE = 2e4
"""Nodes of mapping searches after which a dive leaves an option."""
WARY_RISE = 1.1
"""How much dearer a dive takes stacks to be after one of less depth was too hard."""
PROGRESS = 1e-7
"""Least relative rise of a bound before another option gets its turn."""
BOUNDED, PLACED, SHARPENED, SOLVED = 1, 2, 3, 4
"""How closely an option was looked at for a weight pair: its commonest tile; placements of all
tiles; mappings; everything."""
FIRST_RISES, STUBBORN_RISES = (1.3, 1.05, 1.04, 1.02, 1.0), (4.0, 2.0, 2.0, 1.02, 1.0)
EAGER_RISES = (1.1, 1.02, 1.02, 1.01, 1.0)
"""By stage: first guess how much dearer an option is than its bound, one that makes a dive stay
with the options it took first, and one that makes it look at others. Only speed depends on them."""


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
    potentials: Ways
    survivors: int


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


_Hard = Literal["mappings", "placements"]


class WeightedSolver:
    """Solves weighted problems over one pool, remembering what it learnt.

    A lazy shortest path: the cheapest path by bounds is taken, its options are looked at
    more closely (at last by CP-SAT over their placements), and so on until a path made of
    solved options is the cheapest. Options of one path do not touch each other: what joins
    them, the memory of the feature map between, is part of the option.
    """

    def __init__(
        self,
        pool: Pool,
        builder: ChoiceBuilder,
        limits: SearchLimits,
        found: Callable[[tuple[OptionPlan, ...]], object] | None = None,
        bound: Callable[[WeightedOptimum], None] | None = None,
        *,
        hasty: bool = False,
    ) -> None:
        self.hasty = hasty
        self._plans: dict[tuple[int, ...], OptionPlan] = {}
        """The last placements found by the layers of the stack: a hint for the next ones."""
        self.found = found
        self.bound = bound
        self.pool = pool
        self.builder = builder
        self.limits = limits
        self.options = OpenOptions(pool)
        self.steps = {"bounded": 0, "placed": 0, "sharpened": 0, "CP-SAT": 0}

    def minimise(self, weights: tuple[float, float], cutoff: float) -> WeightedOptimum:
        """Least weighted cost below `cutoff` (a known schedule's cost, or infinite)."""
        options = self.options
        bounds = options.bounds(weights)
        least = [float(bounds[arc.start : arc.end].min()) for arc in options.arcs]
        end = self.pool.end
        while True:
            self.limits.left()
            ahead = self._ways(least)
            floor = ahead.get(end, np.inf)
            if self.bound is not None:
                self.bound(
                    WeightedOptimum(
                        weights=weights,
                        bound=min(floor, cutoff),
                        cost=np.inf,
                        plans=(),
                        potentials=ahead,
                        survivors=len(options.states),
                    )
                )
            found: tuple[OptionPlan, ...] = ()
            cost = np.inf
            if floor < cutoff * (1 - SAFETY):
                path = self._path(bounds, least, ahead)
                open_places = [
                    (arc, i) for arc, i in path if weights not in options.state(arc, i).solved
                ]
                for arc, i in open_places:
                    # Beyond this cost the option cannot be part of anything below the cut-off.
                    state = options.state(arc, i)
                    known = float(bounds[i])
                    bounds[i] = np.inf
                    rivals = bounds[options.arcs[arc].start : options.arcs[arc].end]
                    self._tighten(state, weights, known + cutoff - floor, float(rivals.min()))
                    bounds[i] = state.bound(weights)
                    least[arc] = float(
                        bounds[options.arcs[arc].start : options.arcs[arc].end].min()
                    )
                    if weights in state.solved:
                        cutoff = min(cutoff, self._attained(weights))
                if open_places:
                    continue
                found = tuple(options.state(arc, i).solved[weights] for arc, i in path)
                cost = floor
            return WeightedOptimum(
                weights=weights,
                bound=min(floor, cutoff),
                cost=cost,
                plans=found,
                potentials=ahead,
                survivors=len(options.states),
            )

    def dive(
        self,
        weights: tuple[float, float],
        rises: tuple[float, ...] = FIRST_RISES,
        failures: float = np.inf,
    ) -> WeightedOptimum | None:
        """A good schedule, soon: like `minimise`, but with guesses in place of bounds.

        What is not solved yet counts as dearer than its bound, at first by `rises` (by
        stage) and then by what others at its stage turned out to cost, so the path settles
        quickly. Proves nothing. None if no schedule is left, or more than `failures` options
        turned out too hard.
        """
        options = self.options
        bounds = options.bounds(weights)
        stages = np.zeros(len(bounds), dtype=np.int64)
        for i, state in options.states.items():
            stages[i] = SOLVED if weights in state.solved else state.stage.get(weights, 0)
        rise = np.array(rises)
        wary = np.ones(len(bounds))
        while True:
            self.limits.left()
            guess = bounds * rise[stages] * wary
            least = [float(guess[arc.start : arc.end].min()) for arc in options.arcs]
            ahead = self._ways(least)
            end = self.pool.end
            if not np.isfinite(ahead.get(end, np.inf)):
                return None
            path = self._path(guess, least, ahead)
            open_places = [(arc, i) for arc, i in path if stages[i] != SOLVED]
            if not open_places:
                plans = tuple(options.state(arc, i).solved[weights] for arc, i in path)
                cost = sum(float(bounds[i]) for _, i in path)
                return WeightedOptimum(
                    weights=weights, bound=0.0, cost=cost, plans=plans, potentials={}, survivors=0
                )
            for arc, i in open_places:
                state = options.state(arc, i)
                stage, known = int(stages[i]), float(bounds[i])
                state.slack = max(state.slack, DIVING_SLACK)
                hard = self._try(state, weights)
                if hard:
                    failures -= 1
                    if failures < 0:
                        return None
                    bounds[i] = np.inf
                    wary *= self._rivals(arc, i, hard)
                    continue
                bounds[i] = state.bound(weights)
                stages[i] = state.stage.get(weights, 0)
                if weights in state.solved:
                    stages[i] = SOLVED
                if known > 0 and np.isfinite(bounds[i]) and stages[i] != stage:
                    rise[stage] += (float(bounds[i]) / known * rise[stages[i]] - rise[stage]) / 8

    def _try(self, state: OptionState, weights: tuple[float, float]) -> _Hard | None:
        """Look at an option one stage closer; what about it takes more than a dive may spend."""
        mappings = self.builder.mappings
        mappings.budget = DIVING_PATIENCE
        try:
            self._tighten(state, weights, np.inf, np.inf)
        except TooHardError:
            return "mappings" if mappings.budget < 0 else "placements"
        finally:
            mappings.budget = np.inf
        return None

    def _rivals(self, arc: int, index: int, hard: _Hard) -> np.ndarray:
        """How much dearer a dive takes all options to be once one was too hard."""
        options = self.options
        wary = np.ones(len(options.energy))
        if hard == "mappings":
            # Those of tiles like it may be hard to find, too.
            wary[options.alike(arc, index)] = WARY_RISE**3
            return wary
        for rival in options.arcs:
            # So may be the placements of stacks as deep.
            if rival.depth >= options.arcs[arc].depth:
                wary[rival.start : rival.end] = WARY_RISE
        return wary

    def _attained(self, weights: tuple[float, float]) -> float:
        """Least cost of a schedule made of solved options alone; it is taken at once."""
        solved: dict[int, tuple[float, int]] = {}
        for i, state in self.options.states.items():
            if weights in state.solved:
                arc = self.options.arc_of(i)
                solved[arc] = min(solved.get(arc, (np.inf, -1)), (state.bound(weights), i))
        least = [solved.get(k, (np.inf, -1))[0] for k in range(len(self.options.arcs))]
        ahead = self._ways(least)
        end = self.pool.end
        cost = ahead.get(end, np.inf)
        if np.isfinite(cost) and self.found is not None:
            self.found(
                tuple(
                    self.options.states[solved[arc][1]].solved[weights]
                    for arc in self._arcs_of_path(least, ahead)
                )
            )
        return cost

    def _ways(self, least: list[float]) -> Ways:
        """Cheapest way from the input to every node."""
        ahead: Ways = {self.pool.start: 0.0}
        for arc, cost in zip(self.options.arcs, least, strict=True):
            if arc.tail in ahead and np.isfinite(cost):
                ahead[arc.head] = min(ahead.get(arc.head, np.inf), ahead[arc.tail] + cost)
        return ahead

    def _arcs_of_path(self, least: list[float], ahead: Ways) -> list[int]:
        """Arc numbers of the cheapest path, first to last."""
        node = self.pool.end
        path: list[int] = []
        while node != self.pool.start:
            arcs = self.options.into[node]
            best = min(arcs, key=lambda k: ahead.get(self.options.arcs[k].tail, np.inf) + least[k])
            path.append(best)
            node = self.options.arcs[best].tail
        return path[::-1]

    def _path(self, bounds: np.ndarray, least: list[float], ahead: Ways) -> list[tuple[int, int]]:
        """(arc, option) numbers of the cheapest path, first to last."""
        path = []
        for k in self._arcs_of_path(least, ahead):
            arc = self.options.arcs[k]
            path.append((k, arc.start + int(bounds[arc.start : arc.end].argmin())))
        return path

    def _tighten(
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
            self.steps["bounded"] += 1
            state.stage[weights] = BOUNDED
            pair = np.array([weights])
            state.planes.append(
                (*weights, float(self.builder.tables.main_bound(state.option, pair)[0]))
            )
            return
        if stage < PLACED:
            self.steps["placed"] += 1
            state.stage[weights] = PLACED
            pair = np.array([weights])
            bound = float(self.builder.tables.option_bounds(state.option, pair)[0])
            state.planes.append((*weights, bound))
            return
        if stage < SHARPENED:
            self.steps["sharpened"] += 1
            known = state.bound(weights)
            enough = max(min(most, rival), known * (1 + PROGRESS))
            floor = self.builder.sharpen(state.option, weights, enough)
            state.planes.append((*weights, floor))
            if floor < enough or floor <= 0.0:
                state.stage[weights] = SHARPENED
            return
        self._decide(state, weights, most)

    def _decide(
        self,
        state: OptionState,
        weights: tuple[float, float],
        most: float,
    ) -> None:
        """One CP-SAT step."""
        self.steps["CP-SAT"] += 1
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
                if self._fitted(state, weights, fitting):
                    return
                # Wide enough for it: something is found, then.
                places = fitting.places
                state.slack = max(state.slack, (fitting.cost / known - 1) * (1 + DIVING_SLACK))
        reach = known * (1 + state.slack) if state.slack < WIDEST_SLACK else np.inf
        limit = max(known, min(most, reach))
        choices = self.builder.build(state.option, weights, limit)
        model = ScheduleModel(self.builder.tables, choices, weights, floor)
        if places is not None:
            model.suggest(places)
        plan, bound = self._solve(model)
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
        unsearched = [layer for layer in plan.layers.values() if layer.point is None]
        for layer in unsearched:
            self.limits.left()
            count = choices.tables[layer.kind].kind.count
            cost = weights[0] * layer.energy_pj + weights[1] * layer.latency_cycles
            # Wider than what a rebuild may ask for, or it would not count as searched.
            reach = (choices.slack + 4 * MARGIN * floor) / count
            self.builder.search(layer, choices, weights, cost + reach)
        if unsearched and self.hasty:
            plan = self._settled(state, weights, limit, plan)
            unsearched = [layer for layer in plan.layers.values() if layer.point is None]
        if not unsearched:
            energy, cycles = plan_cost(self.builder, (plan,))
            cost = weights[0] * energy + weights[1] * cycles
            if cost <= limit * (1 + SAFETY) or self.hasty:
                state.planes[-1] = (*weights, cost)
                state.solved[weights] = plan
            else:
                state.slack *= SLACK_GROWTH

    def _fitted(self, state: OptionState, weights: tuple[float, float], fitting: Fitting) -> bool:
        """Whether a placement ends a dive into an option: CP-SAT has the last word on what fits."""
        choices = self.builder.fitted(state.option, weights, fitting)
        if choices is None:
            return False
        plan, _ = self._solve(ScheduleModel(self.builder.tables, choices, weights, choices.floor))
        if plan is None:
            return False
        energy, cycles = plan_cost(self.builder, (plan,))
        state.planes.append((*weights, weights[0] * energy + weights[1] * cycles))
        state.solved[weights] = plan
        self._plans[state.option.layers] = plan
        return True

    def _settled(
        self, state: OptionState, weights: tuple[float, float], limit: float, plan: OptionPlan
    ) -> OptionPlan:
        """The placements of `plan` with the mappings found for them, if they still fit."""
        choices = self.builder.build(state.option, weights, limit * (1 + DIVING_SLACK))
        same = replace(
            choices,
            layers=tuple(
                c
                for c in choices.layers
                if c.memories == plan.layers[c.kind, c.layer].memories and c.point is not None
            ),
            phases=tuple(
                p for p in choices.phases if p.memories == plan.phases[p.kind, p.layer].memories
            ),
        )
        if {(c.kind, c.layer) for c in same.layers} != plan.layers.keys():
            return plan
        found, _ = self._solve(ScheduleModel(self.builder.tables, same, weights, choices.floor))
        return found or plan

    def _solve(self, model: ScheduleModel) -> tuple[OptionPlan | None, float]:
        """Run CP-SAT to the end: (plan, bound in weighted cost); no plan: infeasible.

        In a dive there may be neither plan nor bound: nothing was soon found.
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
        if lean:
            parameters.num_workers = 1
            parameters.linearization_level = 2
            parameters.cp_model_probing_level = 0
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
