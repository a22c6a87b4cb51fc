"""Tiles of a scheduled stack as the reference has them, by size alone, for the re-coster.

A map is as large as the largest of its readers asks for. What neighbours read again of it is
kept once, by the layer that runs next. Shares nothing with the tables that the solver
searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from problems.workload import Layer

MOST_VISITS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedColumn:
    """One column (or row): positions made of each map, and kept of it for the next one.

    `windows` [layer]: what the layer reads of each of its maps, and how far two windows
    overlap; `from_cache`: whether that overlap comes from a cache.
    """

    made: Mapping[str, int]
    kept: Mapping[str, int]
    windows: Mapping[str, tuple[int, int]]
    from_cache: bool


def sized_columns(
    layers: Sequence[Layer], axis: Literal["X", "Y"], tiles: Sequence[int], cached: bool
) -> tuple[SizedColumn, ...]:
    """Columns (`axis` X) or rows (Y) of a stack whose output is cut into `tiles`."""
    most = _kept_at_most(layers, axis)
    columns = []
    for number, tile in enumerate(tiles):
        from_cache = cached and number > 0
        made = {layers[-1].name: tile}
        windows = {}
        for layer in reversed(layers):
            extent, overlap = windows[layer.name] = _window(layer, axis, made[layer.name])
            for source in layer.sources:
                asked = extent - overlap if from_cache else extent
                made[source] = max(asked, made.get(source, 0))
        kept = {}
        for name, size in made.items():
            hands_on = cached and number + 1 < len(tiles)
            own = size if number > 0 else most.get(name, 0)
            kept[name] = min(most.get(name, 0), own) if hands_on else 0
        columns.append(SizedColumn(made=made, kept=kept, windows=windows, from_cache=from_cache))
    return tuple(columns)


def _window(layer: Layer, axis: str, outputs: int) -> tuple[int, int]:
    """Distinct positions that `outputs` of a layer read, and those that the next read again."""
    if not _tied(layer, axis):
        return outputs, 0
    taps, stride = _taps_and_stride(layer, axis)
    extent = outputs * taps - max(0, taps - stride) * (outputs - 1)
    return extent, max(0, extent - stride * outputs)


def _tied(layer: Layer, axis: str) -> bool:
    return layer.input_index.tied_x if axis == "X" else layer.input_index.tied_y


def _taps_and_stride(layer: Layer, axis: str) -> tuple[int, int]:
    return layer.sizes["F" + axis], layer.stride_x if axis == "X" else layer.stride_y


def _kept_at_most(layers: Sequence[Layer], axis: str) -> dict[str, int]:
    """Positions from the oldest one that a reader of a map needs to the newest one made.

    How far a map runs ahead of the output is what the reference says after its visits: from
    each layer to all its maps, the last named map first, the last visit counting (Q3).
    """
    by_name = {layer.name: layer for layer in layers}
    ahead: dict[str, dict[str, int]] = {}
    visits = 0

    def visit(name: str, lag: int) -> None:
        nonlocal visits
        visits += 1
        if visits > MOST_VISITS:
            raise _TooManyVisitsError
        if name not in by_name:
            return
        lags = []
        for source in by_name[name].sources:
            ahead.setdefault(source, {})[name] = _lag(by_name[name], axis, lag)
            lags.append(max(ahead[source].values()))
        for source, next_lag in reversed([*zip(by_name[name].sources, lags, strict=True)]):
            visit(source, next_lag)

    try:
        visit(layers[-1].name, 0)
    except _TooManyVisitsError:
        # The reference has no answer: every layer is settled before what it reads.
        ahead.clear()
        for layer in reversed(layers):
            lag = max(ahead.get(layer.name, {}).values(), default=0)
            for source in layer.sources:
                ahead.setdefault(source, {})[layer.name] = _lag(layer, axis, lag)
    return {
        name: max(lags.values())
        - min(lag - _window(by_name[reader], axis, 1)[1] for reader, lag in lags.items())
        for name, lags in ahead.items()
    }


class _TooManyVisitsError(Exception):
    """The paths through nested branches are too many to walk."""


def _lag(layer: Layer, axis: str, lag: int) -> int:
    """How far what `layer` reads runs ahead of the output, if the layer itself does by `lag`."""
    if not _tied(layer, axis):
        return lag
    taps, stride = _taps_and_stride(layer, axis)
    if stride > taps:
        stride = taps  # positions between windows do not exist
    return stride * lag + (taps - stride) - (taps - 1) // 2
