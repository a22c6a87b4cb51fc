"""Bounds on a stack option by how much of each memory stays taken for all tiles.

A linear program may have a layer-tile's tensors in a memory in part, and elsewhere in part, where
what stays there, weights and caches, leaves room for a part alone. What stays is the same for all
tiles: it takes at most what leaves room for such an entry, or more, and then the entry is closed.
No placement is lost, each half has a closer bound, and the half of least bound is divided further.
Where no entry is torn so any more, weights or a cache that lie in two memories are put into one of
them, and kept away from there.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import highspy
import numpy as np

from cost.best_prices import (
    Basis,
    basis_status,
    bound_by,
    no_prices,
    prices_of,
    solver_of,
    unit_of,
)
from cost.price_program import PriceProgram
from cost.shared_prices import SharedKinds

OVERFULL = 10.0
"""What it costs to overfill a memory by all of it, as a multiple of what is enough: every part has
prices, whether anything fits or not."""
TAKEN = 1e-7
"""Least share of an entry that counts as taken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DividedRoom:
    """A bound, and the entries of f [:, (kind, layer, W, I, O)] that open parts take."""

    bound: float
    taken: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """Placements where from `least` to `most` bits [memory] stay taken.

    `barred` (W, H, V) [layer, entry]: where weights and caches are not. What the program does:
    `stays` [memory] bits, `taken` [entry] shares, `chosen` (W, H, V) [layer, entry] shares; `basis`
    of its optimum.
    """

    bound: float
    number: int
    least: np.ndarray
    most: np.ndarray
    barred: tuple[np.ndarray, ...]
    stays: np.ndarray
    taken: np.ndarray
    chosen: tuple[np.ndarray, ...]
    basis: highspy.HighsBasis

    def __lt__(self, other: _Part) -> bool:
        return (self.bound, self.number) < (other.bound, other.number)


def divided_room(
    x: SharedKinds, begin: Basis | None, enough: float, most_parts: int
) -> DividedRoom:
    """Lower bound of an option's cost that knows how entries and what stays share memories.

    Ends where it reaches `enough` (finite), where no part can be divided, or where `most_parts`
    were looked at. `begin`: a basis of the undivided program.
    """
    division = _Division(x, begin, enough)
    whole = division.whole()
    parts = [] if whole is None else [whole]
    undivided: list[_Part] = []
    while parts:
        part = heapq.heappop(parts)
        halves = division.halves(part)
        if part.bound >= enough or division.parts > most_parts or not halves:
            undivided.append(part)
            break  # the bound can rise no further
        found = [division.part(*half, part) for half in halves]
        # Where the solver does not end well what is known of both halves stands for them.
        undivided += [part] if None in found else []
        for half in found:
            if half is not None:
                heapq.heappush(parts, half)
    left = [*undivided, *parts]
    bound = min((part.bound for part in left), default=0.0)
    f = division.program.f
    taken = np.zeros(len(f.keys), dtype=bool)
    for part in left:
        if part.bound < enough:
            taken |= part.taken > 0
    entries = np.column_stack([f.kind, f.layer, *f.places])
    return DividedRoom(bound=bound, taken=entries[taken])


class _Division:
    """The program of an option, of which only limits change from part to part."""

    def __init__(self, x: SharedKinds, begin: Basis | None, enough: float) -> None:
        self.x = x
        self.program = program = PriceProgram(x)
        f = program.f
        _, i, o = f.places
        at, runs = np.arange(len(f.keys)), x.runs[f.kind, f.layer]
        self.bits = np.zeros((len(f.keys), len(x.room)))
        """[entry, memory]: what its tensors take beside what stays while the layer runs."""
        np.add.at(self.bits, (at, x.input_mem[i]), x.input_bits[f.kind, f.layer, i] * runs)
        np.add.at(self.bits, (at, x.output_mem[o]), x.output_bits[f.kind, f.layer, o] * runs)
        self.is_limited = np.isfinite(x.room)
        self.bits[:, ~self.is_limited] = 0.0
        self.room = np.where(self.is_limited, x.room, 0.0)
        self.scale = np.maximum(self.room, 1.0)
        self.staying = (
            (x.weight_mem, np.tile(x.weight_bits[:, None], x.weight_mem.shape[1])),
            (x.h_mem, x.h_bits),
            (x.v_mem, x.v_bits),
        )
        """(W, H, V): memories and bits [layer, entry] of what stays."""
        self.parts = 0
        self.unit = unit_of(program)
        self.solver = solver_of(program, self.unit)
        if begin is not None:  # of this very option
            self.solver.setBasis(basis_status(program, begin))
        self._add_overfull(OVERFULL * enough / self.unit)

    def _add_overfull(self, cost: float) -> None:
        """Let every memory of every kind of tile hold more than there is, at a cost."""
        for rows, sign in (
            *((self.program.room[k, :, m], -1.0) for k, m in np.ndindex(self.program.stays.shape)),
            *((np.array([row]), 1.0) for row in self.program.staying.ravel()),
            *((np.array([row]), -1.0) for row in self.program.staying.ravel()),
        ):
            values = np.full(len(rows), sign)
            self.solver.addCol(cost, 0.0, np.inf, len(rows), rows.astype(np.int32), values)

    def whole(self) -> _Part | None:
        """All placements."""
        widths = [columns.shape for columns in self.program.places]
        barred = tuple(np.zeros(shape, dtype=bool) for shape in widths)
        return self.part(np.zeros(len(self.room)), self.room, barred, None)

    def part(
        self,
        least: np.ndarray,
        most: np.ndarray,
        barred: tuple[np.ndarray, ...],
        whole: _Part | None,
    ) -> _Part | None:
        """A part of what is bounded already; None if the solver does not end well."""
        program, solver = self.program, self.solver
        f = program.f
        closed = (self.bits > self.room - least).any(axis=1)
        self._limit(f.columns, np.zeros(len(closed)), np.where(closed, 0.0, np.inf))
        lower = np.where(self.is_limited, least / self.scale, -np.inf)
        upper = np.where(self.is_limited, most / self.scale, np.inf)
        self._limit(program.stays, *np.broadcast_arrays(lower, upper, program.stays)[:2])
        for columns, away in zip(program.places, barred, strict=True):
            self._limit(columns, np.full(away.shape, -np.inf), np.where(away, 0.0, np.inf))
        if whole is not None:
            solver.setBasis(whole.basis)
        solver.run()
        self.parts += 1
        open_ = self._open(closed, barred)
        found = solver.getSolution()
        values = np.array(found.col_value)
        if solver.getModelStatus() == highspy.HighsModelStatus.kOptimal:
            duals = np.array(found.row_dual), np.array(found.col_dual)
            bound = self._bound(open_, *duals, least, most)
        elif np.isinf(bound_by(open_, no_prices(open_))):
            bound, values = np.inf, np.zeros(program.columns)
        else:
            return None
        return _Part(
            bound=bound if whole is None else max(whole.bound, bound),
            number=self.parts,
            least=least,
            most=most,
            barred=barred,
            stays=values[program.stays[0]] * self.scale,
            taken=np.where(values[f.columns] > TAKEN, values[f.columns], 0.0),
            chosen=tuple(values[columns] for columns in program.places),
            basis=solver.getBasis(),
        )

    def _limit(self, columns: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        """Bound columns from below and above (all of one shape)."""
        self.solver.changeColsBounds(
            columns.size, columns.ravel().astype(np.int32), lower.ravel(), upper.ravel()
        )

    def _open(self, closed: np.ndarray, barred: tuple[np.ndarray, ...]) -> SharedKinds:
        """The option without `closed` entries of f, and without barred places."""
        costs = self.x.f.copy()
        costs.ravel()[self.program.f.keys[closed]] = np.inf
        w, h, v = barred
        costs[:, w] = np.inf
        if not (h.any() or v.any()):
            return self.x._replace(f=costs)
        moves = self.x.g.copy()
        for e, entry in np.argwhere(h).tolist():
            moves[:, e, :, :, entry] = np.inf
        for e, entry in np.argwhere(v).tolist():
            moves[:, e, ..., entry] = np.inf
        return self.x._replace(f=costs, g=moves)

    def _bound(
        self,
        open_: SharedKinds,
        row_duals: np.ndarray,
        column_duals: np.ndarray,
        least: np.ndarray,
        most: np.ndarray,
    ) -> float:
        """What the duals prove of the placements of a part.

        That what stays keeps to its limits has a price, too: it is paid by what stays.
        """
        program = self.program
        prices = prices_of(program, row_duals * self.unit)
        paid = -column_duals[program.stays] * self.unit  # [kind, memory], of all of a memory
        paid[:, ~self.is_limited] = 0.0
        rate = paid / self.scale
        for what, (memories, bits) in enumerate(self.staying):
            own = np.where(memories >= 0, bits, 0.0)
            prices.choice[what, :, :, : own.shape[1]] += rate[:, memories] * own
        bound = bound_by(open_, prices)
        limits = np.where(paid > 0, most / self.scale, least / self.scale)
        return bound - float((paid * limits).sum())

    def halves(self, part: _Part) -> list[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]]:
        """(least, most, barred) of the two parts that make up a part; none if nothing is torn."""
        room = self._torn_room(part)
        if room is not None:
            memory, bits = room
            high, low = part.most.copy(), part.least.copy()
            high[memory], low[memory] = bits, bits + 1
            return [(part.least, high, part.barred), (low, part.most, part.barred)]
        place = self._torn_place(part)
        if place is None:
            return []
        what, e, entry = place
        away, there = (tuple(places.copy() for places in part.barred) for _ in range(2))
        away[what][e, entry] = True
        there[what][e] = True
        there[what][e, entry] = part.barred[what][e, entry]
        return [(part.least, part.most, barred) for barred in (away, there)]

    def _torn_room(self, part: _Part) -> tuple[int, float] | None:
        """The memory to divide a part by, and how many bits may stay there in its lower half.

        By what the program has in a memory where, beside all that stays, there is no room for it.
        """
        f, x = self.program.f, self.x
        left = np.floor(self.room - self.bits)  # bits are whole
        excess = part.stays - left
        inside = (left >= part.least) & (left < part.most) & self.is_limited
        excess = np.where(inside & (excess > 1.0), excess / self.scale, 0.0)
        excess *= (part.taken * x.counts[f.kind])[:, None]
        total = excess.sum(axis=0)
        memory = int(total.argmax())
        if total[memory] <= 0:
            return None
        order = np.argsort(left[:, memory], kind="stable")
        reached = np.cumsum(excess[order, memory])
        middle = order[np.searchsorted(reached, reached[-1] / 2)]
        return memory, float(left[middle, memory])

    def _torn_place(self, part: _Part) -> tuple[int, int, int] | None:
        """(W/H/V, layer, entry) of what is most torn between a memory on chip and others."""
        best, found = 0.0, None
        for what, (memories, bits) in enumerate(self.staying):
            torn = np.minimum(part.chosen[what], 1.0 - part.chosen[what])
            torn = np.where(torn > TAKEN, torn * bits / self.scale[memories], 0.0)
            torn[(memories < 0) | ~self.is_limited[memories]] = 0.0
            e, entry = np.unravel_index(int(torn.argmax()), torn.shape)
            if torn[e, entry] > best:
                best, found = float(torn[e, entry]), (what, int(e), int(entry))
        return found
