"""What an option costs at least through each choice of memories, for those that are hopeless."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cost.capacity_bound import capacity_prices, priced, step_rises
from cost.kind_paths import kind_through
from cost.shared_prices import add_shifts, add_ties, occupancy_of, tied_charges
from solver.known_placement import KnownPlacement
from solver.shared_kinds import through_entries, tied
from solver.stack_option import StackOption
from solver.stack_tables import PRICE_ROUNDS


class Through(NamedTuple):
    """Bounds on a kind of tile through every entry of f and g, and the `least` of all.

    `rises`: what mappings add to the cost of each entry of f at least; `charges`: what bounds were
    charged for the places of tiles, see `tied_charges`.
    """

    f: np.ndarray
    g: np.ndarray
    least: float
    rises: np.ndarray
    charges: np.ndarray | None


class ThroughCosts(KnownPlacement):
    """Bounds stack options through every entry of their tables; see `KnownCosts`."""

    def _through(self, option: StackOption, weights: tuple[float, float]) -> list[Through]:
        """Per kind, bounds on the cost of a tile through every entry.

        Under prices for shared memories fewer entries come close, and fewer still under prices
        for what kinds share, and for where tiles wait.
        """
        _, kinds = self._kinds(option)
        costs = self._costs(option, weights)
        shared = self._shared(option, costs) if self.parts else None
        if shared is not None:
            prices = self._prices(option, weights, shared, renew=False)[1]
        out = []
        for k, (kind, cost) in enumerate(zip(kinds, costs, strict=True)):
            cost_f, cost_g, x, _ = cost
            fixed, rises, charges = 0.0, np.zeros(cost_f.shape), None
            if shared is not None:
                paid = prices.room[k] / (kind.kind.count * np.maximum(shared.room, 1.0))
                one = occupancy_of(shared, k)
                charges = tied_charges(shared, prices.tie, k)
                base_f, base_g = shared.f[k].copy(), shared.g[k].copy()
                add_ties(shared, base_f, base_g, charges, k)
                cost_f, cost_g, fixed = priced(base_f, base_g, paid, one)
                rises[tuple(one.stairs[:, :4].T)] = step_rises(paid, one)
                add_shifts(cost_f, cost_g, prices.choice, k, float(kind.kind.count))
            elif x is not None:
                _, paid, _, _ = capacity_prices(cost_f, cost_g, x, PRICE_ROUNDS)
                cost_f, cost_g, fixed = priced(cost_f, cost_g, paid, x)
                rises[tuple(x.stairs[:, :4].T)] = step_rises(paid, x)
            through_f, through_g = kind_through(cost_f, cost_g, kind.linked)
            least = float(through_f[0].min()) - fixed
            if charges is not None:
                through_g = through_entries(base_g, kind, tied(kind, cost, charges), through_g)
            out.append(Through(through_f - fixed, through_g - fixed, least, rises, charges))
        return out
