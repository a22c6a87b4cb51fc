"""Stall, loading and offloading cycles of a mapped layer-tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

from cost.links import Boundary, Direction, Link
from cost.mapping import TemporalMapping
from cost.tile_model import TensorModel, TileModel

Port = tuple[int, str]
"""Index of a memory and the name of one of its ports."""
TensorLinks = Mapping[str, Sequence[Link]]
Flags = Mapping[str, Sequence[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortUse:
    """What one transfer asks of its port after the tile's first loading.

    It is busy for `busy_cycles` in windows that add up to `window_sum_cycles`: the first
    `window_cycles` of every `period_cycles`.
    """

    period_cycles: int
    window_cycles: int
    busy_cycles: int
    window_sum_cycles: int


def double_buffer_flags(
    model: TileModel,
    edges: Mapping[str, Sequence[Boundary]],
    held_bits: Mapping[str, Sequence[float]],
    mapping: TemporalMapping,
) -> dict[str, tuple[bool, ...]]:
    """Which levels refill one copy while the other is in use.

    Explicit double buffering takes the mapping's word for it. The reference grants it
    where a memory is at most half full, then to whoever still fits, output first.
    `held_bits[tensor][m]` is what one instance of level m holds.
    """
    if model.rules.explicit_double_buffering:
        return {
            tensor.name: tuple(
                mapping.is_double_buffered(tensor.name, m) for m in range(tensor.levels)
            )
            for tensor in model.tensors
        }
    share = {
        (tensor.name, m): floor(held_bits[tensor.name][m] / edges[tensor.name][m].relevant_run)
        / tensor.memories[m].size_bits
        for tensor in model.tensors
        for m in range(tensor.levels)
    }
    used: dict[int, float] = defaultdict(float)
    for tensor in model.tensors:
        for m, index in enumerate(tensor.memory_index):
            used[index] += share[tensor.name, m]
    flags = {}
    for tensor in model.tensors:
        row = []
        for m, index in enumerate(tensor.memory_index):
            flagged = used[index] <= 0.5
            if not flagged and share[tensor.name, m] <= 1 - used[index]:
                flagged = True
                used[index] += share[tensor.name, m]
            row.append(flagged)
        flags[tensor.name] = tuple(row)
    return flags


def stall_cycles(model: TileModel, tensor_links: TensorLinks, flags: Flags) -> int:
    """Cycles by which the busiest port falls behind the MACs."""
    by_port: dict[Port, list[PortUse]] = defaultdict(list)
    for tensor in model.tensors:
        for link in tensor_links[tensor.name]:
            flagged = link.lower >= 0 and flags[tensor.name][link.lower]
            for port, use in _port_uses(model, tensor, link, flagged):
                by_port[port].append(use)
    total = model.temporal_cycles
    return max(0, *(_lateness(uses, total) for uses in by_port.values()))


def _port_uses(
    model: TileModel, tensor: TensorModel, link: Link, flagged: bool
) -> Iterator[tuple[Port, PortUse]]:
    window = link.period_cycles
    if not flagged:
        window //= link.boundary.irrelevant_run
    for level, direction in _ends(link):
        moves = link.down if direction in ("rl", "wh") else link.up
        # Tensors of no bits (a pool's filter) move nothing and open no window.
        if moves.total == 0 or tensor.final_bits == 0:
            continue
        wide = transfer_cycles(tensor, link, level, direction, tensor.partial_bits)
        final = transfer_cycles(tensor, link, level, direction, tensor.final_bits)
        busy = moves.partial * wide + moves.final * final
        waits = moves.total
        # A read-back under exact partial sums has no first transfer that comes for free.
        if not (model.rules.exact_partial_sums and moves.total < link.periods):
            busy -= wide if moves.partial else final
            waits -= 1
        yield (
            _port(tensor, level, direction),
            PortUse(
                period_cycles=link.period_cycles,
                window_cycles=window,
                busy_cycles=busy,
                window_sum_cycles=window * waits,
            ),
        )


def _ends(link: Link) -> Iterator[tuple[int, Direction]]:
    yield link.lower + 1, "rl"
    yield link.lower + 1, "wl"
    if link.lower >= 0:
        yield link.lower, "rh"
        yield link.lower, "wh"


def transfer_cycles(
    tensor: TensorModel, link: Link, level: int, direction: Direction, bits: int
) -> int:
    """Cycles of one transfer of the link at the port of one of its two ends."""
    memory = tensor.memories[level]
    reads = direction in ("rl", "rh")
    width = memory.read_bits_per_cycle if reads else memory.write_bits_per_cycle
    upper_end = direction in ("rl", "wl")
    amount = link.cycle_moved if upper_end else link.cycle_held
    return ceil(amount * bits / width)


def _port(tensor: TensorModel, level: int, direction: Direction) -> Port:
    ports = tensor.ports[level]
    name = {
        "rl": ports.read_down,
        "wl": ports.write_from_below,
        "rh": ports.read_up,
        "wh": ports.write_from_above,
    }[direction]
    if name is None:
        raise ValueError(
            f"memory {tensor.memories[level].name} has no port for "
            f"direction {direction} of tensor {tensor.name}"
        )
    return tensor.memory_index[level], name


def _lateness(uses: Sequence[PortUse], total_cycles: int) -> int:
    """Cycles by which the transfers of one port overrun their windows."""
    slack = [use.busy_cycles - use.window_sum_cycles for use in uses]
    if len(uses) == 1:
        return slack[0]
    late = sum(cycles for cycles in slack if cycles > 0)
    early = sum(cycles for cycles in slack if cycles <= 0)
    windows = sum(use.window_sum_cycles for use in uses)
    return late + max(0, early + windows - covered_cycles(uses, total_cycles))


def covered_cycles(uses: Sequence[PortUse], total_cycles: int) -> int:
    """Cycles of the layer-tile in which at least one window is open.

    Periods are prefix products of one loop order, so each divides the next longer one.
    """
    if any(use.window_cycles == use.period_cycles for use in uses):
        return total_cycles
    ordered = sorted(uses, key=lambda use: use.period_cycles)
    period = 1
    windows: list[tuple[int, int, int]] = []
    closed = [1]
    for k, use in enumerate(ordered):
        windows.append((use.period_cycles, use.window_cycles, period))
        period = use.period_cycles
        closed.append(_closed_after(windows, closed, k, 0))
    return (period - closed[-1]) * (total_cycles // period)


def _closed_after(
    windows: Sequence[tuple[int, int, int]], closed: Sequence[int], k: int, start: int
) -> int:
    """Cycles from `start` to the end of period k outside of windows 0..k.

    `windows` are (period, window, next shorter period); `closed[k]` the answer for period
    k - 1 from its start.
    """
    if k < 0:
        return 1 - start
    period, window, shorter = windows[k]
    start = max(start, window)
    repetition, offset = divmod(start, shorter)
    if offset == 0:
        return (period // shorter - repetition) * closed[k]
    rest = _closed_after(windows, closed, k - 1, offset)
    return rest + (period // shorter - repetition - 1) * closed[k]


def loading_cycles(model: TileModel, tensor_links: TensorLinks) -> int:
    """Cycles until the first blocks of both inputs have come down to the innermost level.

    Hops of which both ports also serve the other input are done one after the other;
    hops with one or no such port overlap with the other input's.
    """
    inputs = [tensor for tensor in model.tensors if not tensor.is_output]
    served = [
        {
            _port(tensor, m, direction)
            for m in range(tensor.levels)
            for direction in _INPUT_DIRECTIONS
        }
        for tensor in inputs
    ]
    shared, half, own = [0, 0], [0, 0], [0, 0]
    for which, tensor in enumerate(inputs):
        for link in tensor_links[tensor.name][1:]:
            ends: tuple[tuple[int, Direction], ...] = ((link.lower, "wh"), (link.lower + 1, "rl"))
            cycles = max(
                transfer_cycles(tensor, link, level, direction, tensor.final_bits)
                for level, direction in ends
            )
            contended = sum(_port(tensor, *end) in served[1 - which] for end in ends)
            if contended == 2:
                shared[which] += cycles
            elif contended == 0:
                own[which] += cycles
            elif model.rules.accumulate_half_shared_loading:
                half[which] += cycles
            else:
                half[which] = cycles
    return min(
        shared[0] + max(shared[1] + half[1] + own[1], half[0] + own[0]),
        shared[1] + max(shared[0] + half[0] + own[0], half[1] + own[1]),
    )


_INPUT_DIRECTIONS: tuple[Direction, ...] = ("rl", "wh")


def offloading_cycles(model: TileModel, tensor_links: TensorLinks) -> int:
    """Cycles of draining the last block of outputs to its top level.

    The topmost hop counts in full, every hop below it one cycle of memory latency.
    """
    output = model.tensors[0]
    hops = tensor_links[output.name][1:]
    if not hops:
        return 0
    top = hops[-1]
    bits = output.final_bits if top.up.final else output.partial_bits
    last = max(
        transfer_cycles(output, top, top.lower, "rh", bits),
        transfer_cycles(output, top, top.lower + 1, "wl", bits),
    )
    return last + len(hops) - 1
