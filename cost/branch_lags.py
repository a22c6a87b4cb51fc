"""How much of each feature map the reference keeps for the next tile, along one axis.

Layers run ahead of the stack's output by a *lag*. Where readers of a map lag differently,
the reference keeps everything from the oldest position that one of them still reads.
"""

from __future__ import annotations

from collections.abc import Sequence

Read = tuple[int, int, int, int]
"""Layer, tensor that it reads, stride and window of the read in positions."""
MOST_VISITS = 50_000
_Lags = dict[int, dict[int, tuple[int, int]]]
"""[tensor][layer that reads it]: (lag of the tensor, overlap of two windows)."""


def kept_positions(reads: Sequence[Read], n_layers: int, n_tensors: int) -> tuple[int, ...]:
    """Positions of each tensor that are kept; tensors 0 .. n_layers - 1 are made by layers.

    The reference walks back from the last layer once per path, depth first, and the last
    visit counts (Q3). Past `MOST_VISITS`, where it has no answer, layers are settled once, in
    reverse order. Windows must not be smaller than strides if tensors have several readers.
    """
    into: list[list[Read]] = [[r for r in reads if r[0] == layer] for layer in range(n_layers)]
    found = _as_visited(into)
    if found is None:
        found = _in_one_pass(into)
    kept = []
    for tensor in range(n_tensors):
        of = found.get(tensor, {}).values()
        newest = max((lag for lag, _ in of), default=0)
        kept.append(newest - min((lag - overlap for lag, overlap in of), default=0))
    return tuple(kept)


def _as_visited(into: list[list[Read]]) -> _Lags | None:
    lags: _Lags = {}
    pending = [(len(into) - 1, 0)]
    for _ in range(MOST_VISITS):
        if not pending:
            return lags
        node, lag = pending.pop()
        if node >= len(into):
            continue
        for layer, tensor, stride, window in into[node]:
            known = lags.setdefault(tensor, {})
            known[layer] = _lag(lag, stride, window)
            pending.append((tensor, max(of for of, _ in known.values())))
    return None


def _in_one_pass(into: list[list[Read]]) -> _Lags:
    lags: _Lags = {}
    for node in reversed(range(len(into))):
        lag = max((of for of, _ in lags.get(node, {}).values()), default=0)
        for layer, tensor, stride, window in into[node]:
            lags.setdefault(tensor, {})[layer] = _lag(lag, stride, window)
    return lags


def _lag(lag: int, stride: int, window: int) -> tuple[int, int]:
    """Lag of what a layer reads, its own being `lag`, and how far its windows overlap."""
    beyond = window - stride
    overlap = max(0, beyond)
    return stride * lag - (beyond + stride - 1) // 2 + overlap, overlap
