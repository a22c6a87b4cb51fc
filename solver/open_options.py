"""Options that a weighted solve may still take, and what it has learnt about each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from solver.option_plan import OptionPlan
from solver.prune import Pool, PoolRange
from solver.space import Node
from solver.stack_classes import StackClasses
from solver.stack_option import StackOption

FIRST_SLACK = 2e-4
"""Relative width of CP-SAT's first look into an option above its bound."""


@dataclass(kw_only=True, eq=False)
class OptionState:
    """What is known about a stack option and its twins: half-planes and solutions per weight pair.

    `option` stands for all of them (`OpenOptions.twins`), and plans are its.
    """

    option: StackOption
    floor: tuple[float, float]
    planes: list[tuple[float, float, float]] = field(default_factory=list)
    stage: dict[tuple[float, float], int] = field(default_factory=dict)
    partial: dict[tuple[float, float], tuple[int, float, np.ndarray]] = field(default_factory=dict)
    """Kinds of tile whose placements were looked at, the bound with floors for the others, and the
    floors [kind] that it began with."""
    slack: float = FIRST_SLACK
    is_careful: bool = False
    """Whether looks by CP-SAT are to be narrow: a wide one found nothing soon, or something that
    mappings proved too dear."""
    divided: set[tuple[float, float]] = field(default_factory=set)
    """Weights for which placements were divided by what stays in memories."""
    solved: dict[tuple[float, float], OptionPlan] = field(default_factory=dict)
    fitted: dict[tuple[float, float], tuple[float, OptionPlan] | None] = field(default_factory=dict)
    """Weighted cost and plan of a placement that fits, as soon as one was looked for."""

    def bound(self, weights: tuple[float, float]) -> float:
        """Least weighted cost over the corners of what the half-planes leave."""
        a, b = weights
        least_e, least_l = self.floor
        best = a * least_e + b * least_l
        for d, e, f in self.planes:
            if (d, e) == weights:
                best = max(best, f)
                continue
            if d * least_e + e * least_l >= f:
                continue
            corners = []
            if e > 0:
                corners.append(a * least_e + b * (f - d * least_e) / e)
            if d > 0:
                corners.append(a * (f - e * least_l) / d + b * least_l)
            best = max(best, min(corners))
        return best


@dataclass(frozen=True, kw_only=True, eq=False)
class Arc:
    """Options [start, end) of the flattened pool that lead from node `tail` to node `head`.

    All take `depth` layers.
    """

    tail: Node
    head: Node
    start: int
    end: int
    depth: int


class OpenOptions:
    """The options of a pool, flattened arc by arc, with their bounds for one weight pair."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.arcs: list[Arc] = []
        classes = StackClasses(pool.tables)
        alike: dict[tuple[Hashable, int], list[int]] = {}
        self._like: list[list[int]] = []
        """Arcs of stacks that are the same but for their place, by arc."""
        self._places: list[tuple[PoolRange, np.ndarray]] = []
        energies, latencies, areas = [], [], []
        start = 0
        for r in sorted(pool.ranges, key=lambda r: r.screened.range.tail):
            spec = r.screened.range
            for s, source in enumerate(spec.sources):
                of_class = classes.class_of(spec, source)
                for t, target in enumerate(spec.targets):
                    places = np.argwhere(r.alive[..., s, t])
                    if not len(places):
                        continue
                    places = np.column_stack([places, np.tile([s, t], (len(places), 1))])
                    at = tuple(places.T)
                    energies.append(r.energy[at])
                    latencies.append(r.latency[at])
                    areas.append(np.array(spec.widths)[at[1]] * np.array(spec.heights)[at[2]])
                    self._places.append((r, places))
                    tail, head = spec.tail_node(source), spec.head_node(target)
                    end = start + len(places)
                    depth = len(spec.layers)
                    like = alike.setdefault((of_class, target), [])
                    like.append(len(self.arcs))
                    self._like.append(like)
                    self.arcs.append(Arc(tail=tail, head=head, start=start, end=end, depth=depth))
                    start = end
        self.energy = np.concatenate(energies) if energies else np.zeros(0)
        self.latency = np.concatenate(latencies) if latencies else np.zeros(0)
        self.octaves = np.log2(np.concatenate(areas)).astype(int) if areas else np.zeros(0, int)
        """Of tile areas: options that differ much in it have bounds of different quality."""
        self._joint: dict[tuple[float, float], np.ndarray] = {}
        """Bounds of weighted costs that are above what those of pJ and of cycles say."""
        self.states: dict[int, OptionState] = {}
        """By the first of twins."""
        self._twins: dict[int, np.ndarray] = {}
        self._codes: dict[int, np.ndarray] = {}
        """One number for each option's mode and tile, by arc."""
        self._starts = np.array([arc.start for arc in self.arcs], dtype=np.int64)
        self._ends = [arc.end for arc in self.arcs]
        self.sizes = np.array([arc.end - arc.start for arc in self.arcs], dtype=np.int64)
        """Options of every arc."""

    def refresh(self) -> None:
        """Take over bounds of the pool that have risen since."""
        energies = [r.energy[tuple(places.T)] for r, places in self._places]
        latencies = [r.latency[tuple(places.T)] for r, places in self._places]
        if energies:
            self.energy, self.latency = np.concatenate(energies), np.concatenate(latencies)
        for i, state in self.states.items():
            state.floor = float(self.energy[i]), float(self.latency[i])

    def arc_of(self, index: int) -> int:
        """Number of the arc on which option `index` lies."""
        return bisect_right(self._ends, index)

    def least(self, bounds: np.ndarray) -> np.ndarray:
        """Least of [option] `bounds` of every arc."""
        if not self.arcs:
            return np.zeros(0)
        found: np.ndarray = np.minimum.reduceat(bounds, self._starts)
        return found

    def bounds(self, weights: tuple[float, float]) -> np.ndarray:
        """Weighted bounds of all options."""
        out = self.floors(weights)
        for i in self.states:
            self.take_bound(out, i, weights)
        return out

    def floors(self, weights: tuple[float, float]) -> np.ndarray:
        """The same by the pool's bounds alone, without what looks at options found out."""
        never = np.isinf(self.energy) | np.isinf(self.latency)
        energy, latency = np.where(never, 0.0, self.energy), np.where(never, 0.0, self.latency)
        out = np.where(never, np.inf, weights[0] * energy + weights[1] * latency)
        if weights in self._joint:
            np.maximum(out, self._joint[weights], out=out)
        return out

    def take_bound(self, bounds: np.ndarray, index: int, weights: tuple[float, float]) -> None:
        """Raise the [option] `bounds` of an option and its twins to what was learnt of them."""
        twins = self.twins(index)
        bounds[twins] = np.maximum(bounds[twins], self.states[int(twins[0])].bound(weights))

    def raise_bounds(
        self, weights: tuple[float, float], numbers: np.ndarray, found: np.ndarray
    ) -> None:
        """Take over bounds of weighted costs of some options."""
        known = self._joint.setdefault(weights, np.zeros(len(self.energy)))
        known[numbers] = np.maximum(known[numbers], found)

    def weigh_jointly(self, weights: tuple[float, float]) -> None:
        """Take over the pool's bounds of both costs together."""
        floors = {
            id(r): found
            for r, found in zip(self._pool.ranges, self._pool.screen.floors(weights), strict=True)
        }
        found = [floors[id(r)][tuple(places.T)] for r, places in self._places]
        self._joint = {w: known for w, known in self._joint.items() if w == weights}
        if found:
            self.raise_bounds(weights, np.arange(len(self.energy)), np.concatenate(found))

    def twins(self, index: int) -> np.ndarray:
        """Numbers of the options that cost what option `index` does, itself among them."""
        found = self._twins.get(index)
        if found is None:
            arc = self.arc_of(index)
            like = self._like[arc]
            if len(like) == 1:
                return np.array([index])
            mine = self.option(arc, index)
            found = np.array([i for k in like for i in self._find(k, mine)], dtype=np.int64)
            self._twins.update(dict.fromkeys(found.tolist(), found))
        return found

    def first_of_twins(self, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Of (arc, option) numbers on a path those that are not twins of one before."""
        found: dict[int, tuple[int, int]] = {}
        for arc, i in places:
            found.setdefault(int(self.twins(i)[0]), (arc, i))
        return list(found.values())

    def _find(self, arc: int, like: StackOption) -> list[int]:
        """Number of the option of an arc with the mode and the tile of another, if it is left."""
        r, places = self._places[arc]
        spec = r.screened.range
        try:
            at = (
                spec.modes.index(like.mode),
                spec.widths.index(like.tile_x),
                spec.heights.index(like.tile_y),
            )
        except ValueError:
            return []
        codes = self._codes.get(arc)
        if codes is None:
            codes = self._codes[arc] = np.ravel_multi_index(
                tuple(places[:, :3].T), r.alive.shape[:3]
            )
        # Places are in order, so their codes are.
        n = int(np.searchsorted(codes, np.ravel_multi_index(at, r.alive.shape[:3])))
        return [self.arcs[arc].start + n] if n < len(codes) and (places[n, :3] == at).all() else []

    def option(self, arc: int, index: int) -> StackOption:
        """The option of number `index`, which lies on arc number `arc`."""
        r, places = self._places[arc]
        place = tuple(int(n) for n in places[index - self.arcs[arc].start])
        return r.screened.option(place)

    def with_largest_tiles(self) -> Iterator[tuple[int, StackOption]]:
        """Numbers and options of every arc with the widest and highest tiles of its range."""
        for k, (arc, (r, places)) in enumerate(zip(self.arcs, self._places, strict=True)):
            spec = r.screened.range
            largest = places[:, 1:3] == (len(spec.widths) - 1, len(spec.heights) - 1)
            for n in np.flatnonzero(largest.all(axis=1)).tolist():
                yield arc.start + n, self.option(k, arc.start + n)

    def alike(self, arc: int, index: int) -> np.ndarray:
        """Numbers of the options on the same arc with tiles as wide, or as high."""
        _, places = self._places[arc]
        start = self.arcs[arc].start
        mine = places[index - start]
        found: np.ndarray = start + np.flatnonzero(
            (places[:, 1] == mine[1]) | (places[:, 2] == mine[2])
        )
        return found

    def state(self, arc: int, index: int) -> OptionState:
        """What is known about option `index`, which lies on arc number `arc`, and its twins."""
        first = int(self.twins(index)[0])
        if first not in self.states:
            self.states[first] = OptionState(
                option=self.option(self.arc_of(first), first),
                floor=(float(self.energy[first]), float(self.latency[first])),
            )
        return self.states[first]

    def plan(self, arc: int, index: int, plan: OptionPlan) -> OptionPlan:
        """The plan of an option's twin as its own."""
        option = self.option(arc, index)
        if plan.choices.option == option:
            return plan
        return replace(plan, choices=replace(plan.choices, option=option))
