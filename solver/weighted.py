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

from solver.choices import ChoiceBuilder
from solver.frontier import Frontier
from solver.guesses import Guesses
from solver.learn import Joint, Lessons, learn, learn_jointly
from solver.limits import SearchLimits, TooHardError
from solver.open_options import OpenOptions, OptionState
from solver.option_plan import OptionPlan
from solver.option_steps import DIVING_SLACK, PLACED, SHARPENED, SOLVED, OptionSteps
from solver.paths import Paths
from solver.prune import SAFETY, Pool, Ways
from solver.whole_maps import WholeMaps

DIVING_PATIENCE = 2e4
"""Nodes of mapping searches after which a dive leaves an option."""
WARY_RISE = 1.1
"""How much dearer a dive takes stacks to be after one of less depth was too hard."""
MANY_LOOKS, RELUCTANT = 512, 1.25
"""Looks at options after which a dive takes all that is not solved to be so much dearer, again and
again."""
LOOKS_A_LESSON, OPTIONS_A_LOOK = 128, 10_000
"""Looks at the mappings of options after which all are bounded anew by what was learnt, and the
options that are bounded anew in the time that such a look takes; only speed depends on them."""
MANY_WHOLE = 2_000
"""Options that compute whole maps at once from which on all of them are bounded together; only
speed depends on it."""
DIVISIBLE = 0.02
"""Relative gap up to which placements are divided by what stays in memories, which raises bounds by
less than that; only speed depends on it."""
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
        bound: Callable[[WeightedOptimum], float | None] | None = None,
        *,
        hasty: bool = False,
    ) -> None:
        self.found = found
        self.bound = bound
        """Hears of rising bounds; may answer with the weighted cost of a schedule known by now."""
        self.pool = pool
        self.builder = builder
        self.limits = limits
        self.options = OpenOptions(pool)
        arcs = self.options.arcs
        self.paths = Paths([a.tail for a in arcs], [a.head for a in arcs], pool.start, pool.end)
        self.steps = OptionSteps(builder, limits, hasty=hasty)
        self.looks = 0
        """Looks at options in dives so far."""
        self._lesson = 0
        """Options that had mappings searched when something was last learnt of it."""
        self._joint: tuple[tuple[float, float], Joint] = ((1.0, 0.0), {})
        """What is known of layer-tiles under weights of both costs."""

    def over(self, pool: Pool) -> WeightedSolver:
        """One over another pool: it knows the mappings, but what was learnt of options is gone."""
        return WeightedSolver(pool, self.builder, self.limits, self.found, self.bound)

    def minimise(
        self, weights: tuple[float, float], cutoff: float, left_out: np.ndarray | None = None
    ) -> WeightedOptimum:
        """Least weighted cost below `cutoff` (a known schedule's cost, or infinite).

        Without the options [option] `left_out`, if any.
        """
        options, paths = self.options, self.paths
        self._bound_whole_maps(weights)
        bounds = options.bounds(weights)
        if left_out is not None:
            bounds[left_out] = np.inf
        least = options.least(bounds)
        frontier = Frontier(options, self.steps, weights)
        lessons = Lessons(max(LOOKS_A_LESSON, len(bounds) // OPTIONS_A_LOOK))
        floor = 0.0
        while True:
            self.limits.left()
            learnt = self.learns(weights, lessons.looks)
            if learnt:
                np.maximum(bounds, options.floors(weights), out=bounds)
                least = options.least(bounds)
            ahead = paths.ahead(least)
            before, floor = floor, float(ahead[paths.end])
            if learnt:
                lessons.judge(before, floor)
            if self.bound is not None:
                so_far = self._optimum(weights, ahead, cutoff)
                known = self.bound(so_far)
                cutoff = cutoff if known is None else min(cutoff, known)
            found: tuple[OptionPlan, ...] = ()
            cost = np.inf
            if floor < cutoff * (1 - SAFETY):
                path = self.path(bounds, least, ahead)
                rough = [
                    i for arc, i in path if options.state(arc, i).stage.get(weights, 0) < PLACED
                ]
                if rough:
                    others = paths.through(least, ahead)
                    frontier.bound(bounds, others, cutoff, rough)
                    least = options.least(bounds)
                    continue
                dull = [i for arc, i in path if options.state(arc, i).stage[weights] < SHARPENED]
                if dull:
                    others = paths.through(least, ahead)
                    frontier.sharpen(bounds, others, cutoff, dull)
                    least = options.least(bounds)
                    continue
                open_places = options.first_of_twins(
                    (arc, i) for arc, i in path if weights not in options.state(arc, i).solved
                )
                unfitted = [
                    state
                    for state in (options.state(arc, i) for arc, i in open_places)
                    if state.stage[weights] >= SHARPENED and weights not in state.fitted
                ]
                if unfitted:
                    for state in unfitted:
                        self.steps.fit(state, weights)
                    cutoff = min(cutoff, self.attained(weights))
                    continue
                torn = [i for arc, i in open_places if weights not in options.state(arc, i).divided]
                if torn and self.steps.divides and cutoff <= floor * (1 + DIVISIBLE):
                    frontier.divide(bounds, paths.through(least, ahead), cutoff, torn)
                    least = options.least(bounds)
                    continue
                for arc, i in open_places:
                    # Beyond this cost the option cannot be part of anything below the cut-off.
                    state = options.state(arc, i)
                    known, fitted = float(bounds[i]), state.fitted.get(weights)
                    bounds[i] = np.inf
                    rivals = bounds[options.arcs[arc].start : options.arcs[arc].end]
                    self.steps.tighten(state, weights, known + cutoff - floor, float(rivals.min()))
                    bounds[i] = known
                    options.take_bound(bounds, i, weights)
                    if weights in state.solved or state.fitted.get(weights) is not fitted:
                        cutoff = min(cutoff, self.attained(weights))
                if open_places:
                    least = options.least(bounds)
                    continue
                found = self._plans(path, weights)
                cost = floor
            return replace(self._optimum(weights, ahead, cutoff), cost=cost, plans=found)

    def _optimum(
        self, weights: tuple[float, float], ahead: np.ndarray, cutoff: float
    ) -> WeightedOptimum:
        """What the least costs `ahead` of nodes prove, of schedules below `cutoff`."""
        bound = min(float(ahead[self.paths.end]), cutoff)
        # Even if no option is left that leads to the end.
        potentials = {**self.paths.named(ahead), self.pool.end: bound}
        return WeightedOptimum(
            weights=weights,
            bound=bound,
            cost=np.inf,
            plans=(),
            potentials=potentials,
            survivors=len(self.options.states),
        )

    def through(self, weights: tuple[float, float]) -> np.ndarray:
        """Weighted bounds [option] of all schedules through each option, by all that is known."""
        bounds = self.options.bounds(weights)
        least = self.options.least(bounds)
        others = self.paths.through(least, self.paths.ahead(least))
        found: np.ndarray = bounds + np.repeat(others, self.options.sizes)
        return found

    def _bound_whole_maps(self, weights: tuple[float, float]) -> None:
        """Bound all options together that compute whole maps at once, if there are many."""
        maps = WholeMaps(self.pool.tables)
        found = [(i, o) for i, o in self.options.with_largest_tiles() if maps.holds(o)]
        if found and len(found) >= MANY_WHOLE:
            bounds = maps.bounds(self.builder, weights)
            at = np.array([(o.first, o.source, o.last, o.target) for _, o in found]).T
            self.options.raise_bounds(weights, np.array([i for i, _ in found]), bounds[tuple(at)])

    def learns(self, weights: tuple[float, float], most_looks: int = 0) -> bool:
        """Have what looks found out about layer-tiles raise the bounds of all options.

        False if it is no news, or was done at most so many looks ago.
        """
        looks = self.steps.counts["sharpened"]
        is_new = min(weights) > 0 and self._joint[0] != weights
        if looks - self._lesson <= most_looks and not is_new:
            return False
        self._lesson = looks
        if min(weights) > 0:
            if is_new:
                self._joint = weights, {}
            if learn_jointly(self.pool, self.builder.mappings, *self._joint):
                self.options.weigh_jointly(weights)
                return True
            return False
        if not learn(self.pool, self.builder.mappings, weights, self.limits.left):
            return False
        self.options.refresh()
        return True

    def _plans(
        self, path: list[tuple[int, int]], weights: tuple[float, float]
    ) -> tuple[OptionPlan, ...]:
        """Plans of a path of (arc, option) numbers that are all solved."""
        options = self.options
        return tuple(options.plan(arc, i, options.state(arc, i).solved[weights]) for arc, i in path)

    def dive(
        self,
        weights: tuple[float, float],
        rises: tuple[float, ...] = FIRST_RISES,
        most_looks: float = np.inf,
    ) -> WeightedOptimum | None:
        """A good schedule, soon: like `minimise`, but with guesses in place of bounds.

        What is not solved yet counts as dearer than its bound, at first by `rises` (by
        stage) and then by what others at its stage, with tiles about as large, turned out to
        cost, so the path settles quickly. Proves nothing. None if no schedule is left, or none was
        found in so many looks.
        """
        options = self.options
        guesses = Guesses(options, weights, rises)
        before = self.looks
        while True:
            self.limits.left()
            least = guesses.least()
            ahead = self.paths.ahead(least)
            if not np.isfinite(ahead[self.paths.end]):
                return None
            path = [(k, guesses.cheapest(k)) for k in self.paths.cheapest(least, ahead)]
            open_places = options.first_of_twins(
                (arc, i) for arc, i in path if guesses.stages[i] != SOLVED
            )
            if not open_places:
                plans = self._plans(path, weights)
                cost = sum(float(guesses.bounds[i]) for _, i in path)
                return WeightedOptimum(
                    weights=weights, bound=0.0, cost=cost, plans=plans, potentials={}, survivors=0
                )
            if self.looks - before > most_looks:
                return None
            for arc, i in open_places:
                self.looks += 1
                if (self.looks - before) % MANY_LOOKS == 0:
                    # The more was seen, the likelier is what is solved to do.
                    guesses.be_reluctant(RELUCTANT)
                state = options.state(arc, i)
                state.slack = max(state.slack, DIVING_SLACK)
                hard = self._try(state, weights)
                if hard:
                    guesses.take(i, np.inf, int(guesses.stages[i]))
                    guesses.be_wary(self._rivals(arc, i, hard))
                    continue
                stage = SOLVED if weights in state.solved else state.stage.get(weights, 0)
                guesses.take(i, state.bound(weights), stage)

    def _try(self, state: OptionState, weights: tuple[float, float]) -> _Hard | None:
        """Look at an option one stage closer; what about it takes more than a dive may spend."""
        mappings = self.builder.mappings
        mappings.budget = DIVING_PATIENCE
        try:
            self.steps.tighten(state, weights, np.inf, np.inf)
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

    def attained(self, weights: tuple[float, float]) -> float:
        """Least cost of a schedule made of options with plans alone; it is taken at once."""
        options = self.options
        least = np.full(len(options.arcs), np.inf)
        plans: dict[int, tuple[int, OptionPlan]] = {}
        for first, state in options.states.items():
            some = state.fitted.get(weights)
            if weights in state.solved:
                some = state.bound(weights), state.solved[weights]
            if some is None:
                continue
            for i in options.twins(first).tolist():
                arc = options.arc_of(i)
                if some[0] < least[arc]:
                    least[arc], plans[arc] = some[0], (i, some[1])
        ahead = self.paths.ahead(least)
        total = float(ahead[self.paths.end])
        if np.isfinite(total) and self.found is not None:
            path = self.paths.cheapest(least, ahead)
            self.found(tuple(options.plan(arc, *plans[arc]) for arc in path))
        return total

    def path(
        self, bounds: np.ndarray, least: np.ndarray, ahead: np.ndarray
    ) -> list[tuple[int, int]]:
        """(arc, option) numbers of the cheapest path, first to last."""
        path = []
        for k in self.paths.cheapest(least, ahead):
            arc = self.options.arcs[k]
            path.append((k, arc.start + int(bounds[arc.start : arc.end].argmin())))
        return path
