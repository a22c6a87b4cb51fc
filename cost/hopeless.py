"""Entries of an option's tables through which every placement costs too much."""

from __future__ import annotations

import numpy as np

from cost.best_prices import Prices
from cost.capacity_bound import priced
from cost.kind_paths import kind_through
from cost.shared_prices import SharedKinds, add_shifts, add_ties, occupancy_of, tied_charges

ROUNDING = 1e-9
"""Relative margin: what comes so near to `enough` is kept."""


def without_hopeless(x: SharedKinds, prices: Prices, enough: float) -> SharedKinds:
    """The option without the entries of f and g through which it costs `enough` and more.

    Under prices the bound through an entry is that of the cheapest path of its kind of tile through
    it, with the cheapest of all other kinds. Placements that cost less than `enough` are all kept.
    """
    scale = np.maximum(x.room, 1.0)
    through = []
    for k, count in enumerate(x.counts.tolist()):
        f, g = x.f[k].copy(), x.g[k].copy()
        add_ties(x, f, g, tied_charges(x, prices.tie, k), k)
        f, g, fixed = priced(f, g, prices.room[k] / (count * scale), occupancy_of(x, k))
        add_shifts(f, g, prices.choice, k, count)
        by_f, by_g = kind_through(f, g, x.linked)
        through.append((by_f - fixed, by_g - fixed, float(by_f[0].min()) - fixed))
    bound = sum(
        count * least for count, (_, _, least) in zip(x.counts.tolist(), through, strict=True)
    )
    if not bound < enough < np.inf:
        return x
    f, g = x.f.copy(), x.g.copy()
    for k, (by_f, by_g, least) in enumerate(through):
        most = least + (enough * (1 + ROUNDING) - bound) / x.counts[k]
        f[k][by_f > most] = np.inf
        g[k][by_g > most] = np.inf
    return x._replace(f=f, g=g)
