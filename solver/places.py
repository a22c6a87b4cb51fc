"""Where everything in a stack option lies, and a placement that fits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Places(NamedTuple):
    """Memories of everything in a stack option.

    `weights[layer]`, `h[(layer, key)]`, `v[layer]`; per (kind, layer) `layers` (W, I, O) and
    `phases` (producer, second, operand, h_use, h_make, v), -1: none.
    """

    weights: dict[int, int]
    h: dict[tuple[int, tuple[int, bool]], int]
    v: dict[int, int]
    layers: dict[tuple[int, int], tuple[int, int, int]]
    phases: dict[tuple[int, int], tuple[int, ...]]


class Fitting(NamedTuple):
    """A placement that fits, its weighted cost by what was known, and room for mappings.

    `budgets` [(kind, layer)]: bits [memory] that the layer-tile's mapping may take.
    """

    places: Places
    cost: float
    budgets: dict[tuple[int, int], np.ndarray]
