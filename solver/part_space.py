"""A large space of options: a part of it to begin with, and what bounds leave of it.

Where options are millions it takes long to list them, and longer to go through them again and
again. A good schedule of a small part of the space is soon found, and against it the bounds of
most options outside are too dear at first sight; what is left makes a space of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from problems.problem import Problem
from solver.prune import Pool, PoolRange
from solver.screen import Screen, ScreenedRange
from solver.space import StackRange, efficient_tile_sizes

MANY_OPTIONS = 2_000_000
"""Options from which on a search begins in a part of the space, and goes on with what is left;
only speed depends on it."""
THINNED = 2.0, 4.0
"""How much smaller each size is than the next in a part with few sizes: the more the less options
the part then has to have."""
SMALL_PART = 4
"""How many times smaller such a part, or what is left, has to be."""
SPARSE_FROM = 300_000
"""Options from which on it pays to go on with a pool of what is left; only speed depends on it."""


def efficient_part(problem: Problem, ranges: tuple[StackRange, ...]) -> tuple[StackRange, ...]:
    """Those options of a large space whose tiles have efficient sizes; empty if it has few.

    A range whose sizes along an axis are all others, fixed by hand, say, keeps them.
    """
    layers = problem.workload.layers
    part = []
    for r in ranges:
        widths, heights = (set(s) for s in efficient_tile_sizes(problem, layers[r.last]))
        part.append(
            replace(
                r,
                widths=tuple(w for w in r.widths if w in widths) or r.widths,
                heights=tuple(h for h in r.heights if h in heights) or r.heights,
            )
        )
    return tuple(part) if _is_small(part, ranges) else ()


def thinned_part(ranges: tuple[StackRange, ...]) -> tuple[StackRange, ...]:
    """Those options of a large space whose tiles differ much in size; empty if it has few."""

    def some(sizes: tuple[int, ...], thinned: float) -> tuple[int, ...]:
        kept = [max(sizes)]
        for size in sorted(sizes, reverse=True):
            if size * thinned <= kept[-1]:
                kept.append(size)
        return tuple(sorted(kept))

    for thinned in THINNED:
        part = [
            replace(r, widths=some(r.widths, thinned), heights=some(r.heights, thinned))
            for r in ranges
        ]
        if sum(r.options for r in part) <= MANY_OPTIONS:
            break
    return tuple(part) if _is_small(part, ranges) else ()


def _is_small(part: list[StackRange], ranges: tuple[StackRange, ...]) -> bool:
    options = sum(r.options for r in ranges)
    return options >= max(MANY_OPTIONS, SMALL_PART * sum(r.options for r in part))


def is_sparse(pool: Pool) -> bool:
    """Whether a pool is large and little of it is left."""
    return pool.size >= SPARSE_FROM and 0 < pool.alive() * SMALL_PART < pool.size


def survivors(pool: Pool) -> Pool:
    """A pool of the options that are alive in a large one, over as few ranges and sizes as hold
    them.

    Ranges with the same last layer keep the same sizes: what their layers cost is worked out
    for all of them together.
    """
    left: dict[tuple[int, tuple[int, ...]], list[np.ndarray]] = {}
    for r in pool.ranges:
        spec = r.screened.range
        key = spec.last, spec.exports
        here = [r.alive.any(axis=tuple(a for a in range(5) if a != axis)) for axis in range(3)]
        if key in left:
            here = [one | other for one, other in zip(here, left[key], strict=True)]
        left[key] = here
    ranges = []
    for r in pool.ranges:
        if not r.alive.any():
            continue
        spec = r.screened.range
        modes, widths, heights = left[spec.last, spec.exports]
        narrow = replace(
            spec,
            modes=tuple(spec.modes[i] for i in np.flatnonzero(modes)),
            widths=tuple(spec.widths[i] for i in np.flatnonzero(widths)),
            heights=tuple(spec.heights[i] for i in np.flatnonzero(heights)),
        )
        at = np.ix_(modes, widths, heights, *(np.arange(n) for n in r.alive.shape[3:]))
        energy, latency = r.energy[at], r.latency[at]
        ranges.append(
            PoolRange(
                screened=ScreenedRange(range=narrow, energy=energy, latency=latency),
                energy=energy,
                latency=latency,
                alive=r.alive[at],
            )
        )
    screen = Screen(pool.tables, tuple(r.screened.range for r in ranges), pool.screen)
    return Pool(tables=pool.tables, ranges=ranges, screen=screen)
