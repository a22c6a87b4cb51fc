"""The placements of all kinds of tile of a stack option as a linear program.

A column for every entry of the cost tables, which a kind of tile may take in part, and rows that
tie them: a placement is a path over the memories of inputs and outputs, all kinds choose alike
where they share, and what is alive in a memory while a layer runs fits. The dual values of the rows
are prices in the sense of `shared_prices`; those of an optimum prove the closest bound of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cost.shared_prices import PLACE_MADE, SharedKinds

FREE = np.inf
MOST_STEPS = 1 << 16
"""More than there are steps of one entry."""


class Matrix:
    """Coefficients and limits of rows, as they come."""

    def __init__(self) -> None:
        self.rows = 0
        self._lower: list[np.ndarray] = []
        self._upper: list[np.ndarray] = []
        self._terms: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def new(self, shape: tuple[int, ...], lower: ArrayLike, upper: ArrayLike) -> np.ndarray:
        """Numbers [shape] of new rows between `lower` and `upper` (broadcast to the shape)."""
        numbers = self.rows + np.arange(int(np.prod(shape))).reshape(shape)
        self.rows += numbers.size
        for kept, limit in ((self._lower, lower), (self._upper, upper)):
            kept.append(np.broadcast_to(np.asarray(limit, dtype=float), shape).ravel())
        return numbers

    def put(self, rows: np.ndarray, columns: np.ndarray, values: ArrayLike) -> None:
        """Add `values` to the coefficients of columns in rows (all broadcast)."""
        r, c, v = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=float))
        some = v != 0
        self._terms.append((r[some], c[some], v[some]))

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and most of every row."""
        return np.concatenate(self._lower), np.concatenate(self._upper)

    def by_column(self, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients: where each column begins, their rows, and their values."""
        rows, cols, values = (np.concatenate(part) for part in zip(*self._terms, strict=True))
        place = cols * self.rows + rows
        order = np.argsort(place, kind="stable")
        place = place[order]
        first = np.flatnonzero(np.diff(place, prepend=-1))
        place = place[first]
        start = np.searchsorted(place, np.arange(columns + 1) * self.rows)
        return start, place % self.rows, np.add.reduceat(values[order], first)


@dataclass(frozen=True, kw_only=True, eq=False)
class Entries:
    """The entries of f or g that are allowed, one column each, from `first` on.

    `keys`: their places in the flat table, which stay the same when costs change; arrays
    [entry] of kind, layer and, by table, of `places`: (W, I, O) or (producer, second, I, H, V).
    """

    first: int
    keys: np.ndarray
    kind: np.ndarray
    layer: np.ndarray
    places: tuple[np.ndarray, ...]
    cost: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Their columns."""
        return self.first + np.arange(len(self.keys))


class PriceProgram:
    """Costs, limits and matrix of the program, and which rows are which.

    `columns` of f, then g, then `loose` ones, which may be negative, then steps of mappings that
    hold less; `fixed_rows` rows are there whichever steps are known. `weights`, `h`, `v` [kind,
    layer, entry], `room` [kind, layer, memory], `ties` [tie, place]: rows whose duals are prices.
    `places` (W, H, V) [layer, entry]: columns of what all kinds choose. `stays` [kind, memory]:
    columns of the share of a memory that weights and caches take, and `staying` the rows that say
    so.
    """

    def __init__(self, x: SharedKinds) -> None:
        self.x = x
        self.matrix = Matrix()
        self.f = self._f_entries()
        self.g = self._g_entries(len(self.f.keys))
        self.first_loose = self.columns = len(self.f.keys) + len(self.g.keys)
        self._scale = np.maximum(x.room, 1.0)
        self._is_limited = np.isfinite(x.room)
        self._add_paths()
        w = self.f.places[0]
        producer, _, _, h, v = self.g.places
        self.weights, at_w = self._shared(self.f, w, x.f.shape[2])
        self.h, at_h = self._shared(self.g, h, x.g.shape[4])
        self.v, at_v = self._shared(self.g, v, x.g.shape[6])
        self.places = at_w, at_h, at_v
        self.room = self._add_room(w, producer, h, v)
        self.ties = self._add_ties()
        self.first_step, self.fixed_rows = self.columns, self.matrix.rows
        steps, self.step_keys, self.step_rows = self._add_steps()
        loose = np.zeros(self.first_step - self.first_loose)
        self.cost = np.concatenate([self.f.cost, self.g.cost, loose, steps])
        self.lower = np.zeros(self.columns)
        self.lower[self.first_loose : self.first_step] = -FREE

    def _f_entries(self) -> Entries:
        x = self.x
        kind, layer, *places = np.nonzero(np.isfinite(x.f))
        at = kind, layer, *places
        return Entries(
            first=0,
            keys=np.ravel_multi_index(at, x.f.shape),
            kind=kind,
            layer=layer,
            places=tuple(places),
            cost=x.f[at] * x.counts[kind],
        )

    def _g_entries(self, first: int) -> Entries:
        """Entries of g; of layers with two producers, one for each place of the second."""
        x = self.x
        twice = (x.pair_of >= 0) & x.runs
        shape = x.g.shape[:3] + x.pairs.shape[3:4] + x.g.shape[3:]
        at = np.nonzero(np.isfinite(x.g) & ~twice[:, :, None, None, None, None, None])
        found = [np.stack([*at[:3], np.zeros_like(at[0]), *at[3:]])]
        costs = [x.g[at] * x.counts[at[0]]]
        for k, e in np.argwhere(twice).tolist():
            table = x.pairs[k, x.pair_of[e]]
            some = np.nonzero(np.isfinite(table) & np.isfinite(x.g[k, e])[:, None])
            here = np.full((2, len(some[0])), ((k,), (e,)))
            found.append(np.concatenate([here, np.stack(some)]))
            costs.append(table[some] * x.counts[k])
        kind, layer, p, s, i, h, b, v = np.concatenate(found, axis=1)
        return Entries(
            first=first,
            keys=np.ravel_multi_index((kind, layer, p, s, i, h, b, v), shape),
            kind=kind,
            layer=layer,
            places=(p, s, i, h, v),
            cost=np.concatenate(costs),
        )

    def _add_paths(self) -> None:
        """Inputs are brought where they are read, from where the layer before left them."""
        x, put = self.x, self.matrix.put
        n_kinds, n, _, n_i, n_o = x.f.shape
        f, g = self.f, self.g
        (_, read, out), (producer, _, brought, _, _) = f.places, g.places
        rows = self.matrix.new((n_kinds, n, n_i), 0.0, 0.0)
        put(rows[f.kind, f.layer, read], f.columns, 1.0)
        put(rows[g.kind, g.layer, brought], g.columns, -1.0)
        rows = self.matrix.new((n_kinds, n, max(n_o, x.g.shape[2])), 0.0, 0.0)
        linked = x.linked.astype(bool)
        some = linked[g.layer]
        put(rows[g.kind, g.layer, producer][some], g.columns[some], 1.0)
        some = np.append(linked[1:], False)[f.layer]
        put(rows[f.kind[some], f.layer[some] + 1, out[some]], f.columns[some], -1.0)
        # Where no layer before leaves anything a path begins.
        one = np.where(linked, FREE, 1.0)
        rows = self.matrix.new((n_kinds, n), np.where(linked, -FREE, one), one)
        some = ~linked[g.layer]
        put(rows[g.kind, g.layer][some], g.columns[some], 1.0)

    def _loose(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers [shape] of new columns that may be negative."""
        numbers = self.columns + np.arange(int(np.prod(shape))).reshape(shape)
        self.columns += numbers.size
        return numbers

    def _shared(
        self, entries: Entries, places: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows [kind, layer, entry]: all kinds choose alike; columns of what [layer, entry]."""
        n_kinds, n = self.x.f.shape[:2]
        rows = self.matrix.new((n_kinds, n, width), 0.0, 0.0)
        self.matrix.put(rows[entries.kind, entries.layer, places], entries.columns, 1.0)
        chosen = self._loose((n, width))
        self.matrix.put(rows, chosen, -1.0)
        return rows, chosen

    def _add_room(
        self, w: np.ndarray, producer: np.ndarray, h: np.ndarray, v: np.ndarray
    ) -> np.ndarray:
        """Rows [kind, layer, memory]: what is alive while a layer runs takes no more than there is.

        In shares of each memory. Weights and caches, which stay, are added up once per kind.
        """
        x, f, g = self.x, self.f, self.g
        n_kinds, n = x.f.shape[:2]
        n_mem = len(x.room)
        asked = x.runs[:, :, None] & self._is_limited
        limited = np.where(self._is_limited, x.room, 0.0) / self._scale
        rows = self.matrix.new((n_kinds, n, n_mem), -FREE, np.where(asked, limited, FREE))
        self.stays = self._loose((n_kinds, n_mem))
        self.matrix.put(rows, self.stays[:, None], asked)
        self.staying = staying = self.matrix.new((n_kinds, n_mem), 0.0, 0.0)
        self.matrix.put(staying, self.stays, -1.0)
        for entries, memories, bits in (
            (f, x.weight_mem[f.layer, w], x.weight_bits[f.layer]),
            (g, x.h_mem[g.layer, h], x.h_bits[g.layer, h]),
            (g, x.v_mem[g.layer, v], x.v_bits[g.layer, v]),
        ):
            some = (memories >= 0) & self._is_limited[memories]
            m = memories[some]
            self.matrix.put(
                staying[entries.kind[some], m], entries.columns[some], bits[some] / self._scale[m]
            )
        _, read, out = f.places
        self._take(rows, f, f.layer, x.input_mem[read], x.input_bits[f.kind, f.layer, read])
        self._take(rows, f, f.layer, x.output_mem[out], x.output_bits[f.kind, f.layer, out])
        waiting = x.output_waiting_bits[f.kind, f.layer]
        for step in range(n):
            waits = (x.waits[f.layer, 0] <= step) & (step < x.waits[f.layer, 1])
            self._take(rows, f, step, x.output_mem[out], waiting * waits)
            first, end = x.fetch_waits[g.kind, g.layer].T
            waits = (first <= step) & (step < end)
            fetched = x.fetch_bits[g.kind, g.layer] * waits
            self._take(rows, g, step, x.fetch_mem[g.kind, g.layer, producer], fetched)
        return rows

    def _take(
        self,
        rows: np.ndarray,
        entries: Entries,
        step: np.ndarray | int,
        memories: np.ndarray,
        bits: np.ndarray,
    ) -> None:
        """Entries take `bits` of `memories` (-1: none) while the layers `step` run."""
        step = np.broadcast_to(step, memories.shape)
        some = (memories >= 0) & (bits > 0) & self._is_limited[memories]
        some &= self.x.runs[entries.kind, step]
        m = memories[some]
        self.matrix.put(
            rows[entries.kind[some], step[some], m],
            entries.columns[some],
            bits[some] / self._scale[m],
        )

    def _add_ties(self) -> np.ndarray:
        """Rows [tie, place]: a tile is read where it was left."""
        x, f, g = self.x, self.f, self.g
        (_, _, made), (left, second, _, _, _) = f.places, g.places
        width = max(x.g.shape[2], x.pairs.shape[3], x.f.shape[4])
        rows = self.matrix.new((len(x.ties), width), 0.0, 0.0)
        for number, (kind, maker, made_at, reader, read_at) in enumerate(x.ties.tolist()):
            for layer, slot, sign in ((reader, read_at, 1.0), (maker, made_at, -1.0)):
                entries = f if slot == PLACE_MADE else g
                places = (made, left, second)[slot]
                some = (entries.kind == kind) & (entries.layer == layer)
                self.matrix.put(rows[number, places[some]], entries.columns[some], sign)
        return rows

    def _add_steps(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Columns of the steps of mappings, one of an entry's being taken with it.

        Their costs, keys that stay the same, and rows.
        """
        x, put = self.x, self.matrix.put
        column = np.full(x.f.size, -1)
        column[self.f.keys] = self.f.columns
        known = np.arange(x.stairs.shape[1]) < x.n_stairs[:, None]
        kinds = np.nonzero(known)[0]
        e, w, i, o, first, end = x.stairs[known].T
        key = np.ravel_multi_index((kinds, e, w, i, o), x.f.shape)
        at = column[key]
        rows = self.matrix.new((len(at),), 0.0, 0.0)
        put(rows[at >= 0], at[at >= 0], -1.0)
        own = np.repeat(np.arange(len(at)), end - first)
        number = np.arange(len(own)) - (np.cumsum(end - first) - (end - first))[own]
        steps = first[own] + number
        columns = self.columns + np.arange(len(own))
        self.columns += len(own)
        put(rows[own], columns, 1.0)
        kind, layer = kinds[own], e[own]
        for m in np.flatnonzero(self._is_limited).tolist():
            bits = x.step_bits[steps, m] * x.runs[kind, layer]
            put(self.room[kind, layer, m], columns, bits / self._scale[m])
        return x.step_costs[steps] * x.counts[kind], key[own] * MOST_STEPS + number, rows[own]
