"""Random mappings that hold less for bounds of placements, and what they add, step by step."""

import numpy as np

from cost.capacity_bound import Occupancy

NO_STAIRS = {
    "stairs": np.zeros((0, 6), dtype=np.int64),
    "step_costs": np.zeros(0),
    "step_bits": np.zeros((0, 3)),
}
"""Fields of an occupancy of three memories that knows of no mappings that hold less."""


def random_stairs(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The same fields with up to four steps for half of the entries of f, of `shape`."""
    stairs, costs, bits = [], [], []
    for at in np.argwhere(rng.random(shape) < 0.5).tolist():
        n = int(rng.integers(1, 5))
        stairs.append([*at, len(costs), len(costs) + n])
        costs += [0.0, *np.sort(rng.uniform(0, 6, n - 1)).tolist()]
        held = np.sort(rng.integers(0, 25, (n, 2)), axis=0)[::-1]
        bits += np.column_stack([held, np.zeros(n)]).tolist()
    return {
        "stairs": np.array(stairs, dtype=np.int64),
        "step_costs": np.array(costs),
        "step_bits": np.array(bits, dtype=np.float64),
    }


def rise_within(x: Occupancy, pick_f: np.ndarray, use: np.ndarray) -> float:
    """What the cheapest mappings add to some picks that fit beside `use` [layer, memory]."""
    if (use > x.room).any():
        return np.inf
    total = 0.0
    for stair in x.stairs.tolist():
        e, first, end = stair[0], *stair[4:]
        if tuple(pick_f[e].tolist()) == tuple(stair[1:4]):
            fits = (use[e] + x.step_bits[first:end] <= x.room).all(axis=1)
            total += min(x.step_costs[first:end][fits].tolist(), default=np.inf)
    return total
