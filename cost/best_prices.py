"""The prices that bound a stack option closest, by a linear program (HiGHS).

Its floating-point arithmetic proves nothing: dual values are taken as prices, and any prices are
valid (`shared_prices.bound_under`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from cost.price_program import PriceProgram
from cost.shared_prices import SharedKinds, bound_under

LARGEST_COST = 1e3
"""What the largest cost of an entry is scaled to."""
SOLVER: Any = highspy.Highs.__base__
"""HiGHS's compiled class: the one made from it writes to standard output, which belongs to the
commands."""
MANY_COLUMNS = 20_000
"""From so many columns on it pays to simplify the program first; only speed depends on it."""
_AT_LOWER, _BASIC, _AT_UPPER, _FREE = (
    highspy.HighsBasisStatus.kLower,
    highspy.HighsBasisStatus.kBasic,
    highspy.HighsBasisStatus.kUpper,
    highspy.HighsBasisStatus.kZero,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """Prices that `shared_prices.bound_under` bounds an option by.

    `room` [kind, layer, memory] >= 0: of all there is of a memory while a layer runs, in all tiles
    of a kind; `choice` [W/H/V, kind, layer, entry], adding up to zero over kinds; `tie` [tie,
    place], paid by who reads a tile there and to who makes it.
    """

    room: np.ndarray
    choice: np.ndarray
    tie: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """Which columns and rows are basic: a beginning for the same option at other costs.

    Shapes of its tables, keys of entries of f and g and of steps of mappings, numbers of loose
    columns and of rows.
    """

    shapes: tuple[tuple[int, ...], ...]
    f: np.ndarray
    g: np.ndarray
    steps: np.ndarray
    loose: np.ndarray
    rows: np.ndarray


def no_prices(x: SharedKinds) -> Prices:
    """Nothing is paid."""
    n_kinds, n = x.f.shape[:2]
    entries = max(x.f.shape[2], x.g.shape[4], x.g.shape[6])
    places = max(x.g.shape[2], x.pairs.shape[3], x.f.shape[4])
    return Prices(
        room=np.zeros((n_kinds, n, len(x.room))),
        choice=np.zeros((3, n_kinds, n, entries)),
        tie=np.zeros((len(x.ties), places)),
    )


def bound_by(x: SharedKinds, prices: Prices) -> float:
    """The lower bound of an option's cost that prices prove."""
    return float(bound_under(x, prices.room, prices.choice, prices.tie))


def best_prices(x: SharedKinds, begin: Basis | None = None) -> tuple[Prices, Basis | None]:
    """Prices under which the bound is highest, and a basis to begin with when costs have changed.

    No prices, which are valid, too, where the program has no solution or none is found.
    """
    program = PriceProgram(x)
    unit = unit_of(program)
    if not unit > 0:
        return no_prices(x), None
    solver = solver_of(program, unit)
    if begin is not None and begin.shapes == _shapes(x):
        solver.setBasis(basis_status(program, begin))
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return no_prices(x), None
    prices = prices_of(program, np.array(solver.getSolution().row_dual) * unit)
    return prices, _basis(program, solver.getBasis())


def unit_of(program: PriceProgram) -> float:
    """What costs are divided by for the solver."""
    return float(program.cost.max(initial=0.0)) / LARGEST_COST


def solver_of(program: PriceProgram, unit: float) -> Any:
    """A solver that holds the program, costs divided by `unit`."""
    solver = SOLVER()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    if program.columns < MANY_COLUMNS:
        solver.setOptionValue("presolve", "off")
    solver.passModel(_model(program, unit))
    return solver


def prices_of(program: PriceProgram, duals: np.ndarray) -> Prices:
    """The prices that duals [row] of the program are."""
    prices = no_prices(program.x)
    np.maximum(-duals[program.room], 0.0, out=prices.room)
    for what, rows in enumerate((program.weights, program.h, program.v)):
        charged = -duals[rows]
        prices.choice[what, :, :, : rows.shape[2]] = charged - charged.mean(axis=0)
    prices.tie[:, : program.ties.shape[1]] = -duals[program.ties]
    return prices


def _model(program: PriceProgram, unit: float) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.columns, program.matrix.rows
    lp.col_cost_ = program.cost / unit
    lp.col_lower_, lp.col_upper_ = program.lower, np.full(program.columns, np.inf)
    lp.row_lower_, lp.row_upper_ = program.matrix.limits()
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    start, index, value = program.matrix.by_column(program.columns)
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = start, index, value
    return lp


def _shapes(x: SharedKinds) -> tuple[tuple[int, ...], ...]:
    """By which entries and rows are numbered."""
    return x.f.shape, x.g.shape, x.pairs.shape, x.ties.shape


def _basis(program: PriceProgram, found: highspy.HighsBasis) -> Basis:
    columns = np.array([status == _BASIC for status in found.col_status])
    rows = np.array([status == _BASIC for status in found.row_status])
    f, g = program.f, program.g
    return Basis(
        shapes=_shapes(program.x),
        f=f.keys[columns[f.columns]],
        g=g.keys[columns[g.columns]],
        steps=program.step_keys[columns[program.first_step :]],
        loose=np.flatnonzero(columns[program.first_loose : program.first_step]),
        rows=np.flatnonzero(rows[: program.fixed_rows]),
    )


def basis_status(program: PriceProgram, begin: Basis) -> highspy.HighsBasis:
    """A basis where entries may be gone, and steps known that were not.

    Rows without a step that was basic have one of their own; others make up for what is gone.
    """
    columns = np.full(program.columns, _AT_LOWER)
    columns[program.first_loose : program.first_step] = _FREE
    for entries, keys in ((program.f, begin.f), (program.g, begin.g)):
        columns[entries.columns[np.isin(entries.keys, keys, assume_unique=True)]] = _BASIC
    columns[program.first_loose + begin.loose] = _BASIC
    rows = np.full(program.matrix.rows, _AT_UPPER)
    rows[begin.rows] = _BASIC
    rows[program.fixed_rows :] = _BASIC
    kept = np.isin(program.step_keys, begin.steps, assume_unique=True)
    columns[program.first_step :][kept] = _BASIC
    rows[program.step_rows[kept]] = _AT_UPPER
    spare = len(rows) - int((columns == _BASIC).sum()) - int((rows == _BASIC).sum())
    rows[np.flatnonzero(rows == _AT_UPPER)[: max(spare, 0)]] = _BASIC
    rows[np.flatnonzero(rows == _BASIC)[: max(-spare, 0)]] = _AT_UPPER
    basis = highspy.HighsBasis()
    basis.col_status, basis.row_status = columns.tolist(), rows.tolist()
    basis.valid, basis.alien = True, False
    return basis
