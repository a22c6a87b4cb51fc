"""First bounds on every stack option: what no placement and no mapping can avoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.axis_tiles import AxisKind, axis_kinds, axis_layers
from cost.floor_tables import floor_costs
from cost.overlap import OverlapMode
from problems.hardware import Hardware
from problems.workload import Operand
from solver.space import StackRange
from solver.stack_tables import StackOption, StackTables


@dataclass(frozen=True, kw_only=True, eq=False)
class ScreenedRange:
    """Floors of a stack range: arrays [width, height] per mode, pJ and cycles.

    `energy` and `latency` are indexed [mode, width, height]; source and target memories
    only add to them (`source_pj`, `target_pj` per choice).
    """

    range: StackRange
    energy: np.ndarray
    latency: np.ndarray
    boundary_pj: np.ndarray
    """[mode, width, height, source]: pJ of the stack input's way in."""
    target_pj: np.ndarray
    """[target]"""

    def option(self, index: tuple[int, ...]) -> StackOption:
        """The stack option at (mode, width, height, source, target)."""
        m, w, h, s, t = index
        r = self.range
        return StackOption(
            r.first, r.last, r.widths[w], r.heights[h], r.modes[m], r.sources[s], r.targets[t]
        )

    def energies(self) -> np.ndarray:
        """pJ floors [mode, width, height, source, target]."""
        return (
            self.energy[..., None, None]
            + self.boundary_pj[..., None]
            + self.target_pj[None, None, None, None, :]
        )

    def latencies(self) -> np.ndarray:
        """Cycle floors, same axes."""
        shape = (*self.latency.shape, len(self.range.sources), len(self.range.targets))
        return np.broadcast_to(self.latency[..., None, None], shape)


def _axis_arrays(
    kinds: list[tuple[AxisKind, ...]], n_layers: int, taps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(count [tile, spot], outputs [tile, spot, layer], stack input needed [tile, spot]).

    Where strides pass the kernel (of `taps`) a mapping may skip the gaps in what it reads.
    """
    count = np.zeros((len(kinds), 4), dtype=np.int64)
    outputs = np.ones((len(kinds), 4, n_layers), dtype=np.int64)
    fresh = np.zeros((len(kinds), 4), dtype=np.int64)
    for i, row in enumerate(kinds):
        for j, kind in enumerate(row):
            count[i, j] = kind.count
            outputs[i, j] = kind.outputs
            fresh[i, j] = min(kind.fresh[0], kind.outputs[0] * taps)
    return count, outputs, fresh


def _link_pj_per_bit(hardware: Hardware, operand: Operand, inward: bool) -> float:
    """pJ per bit over the link between DRAM and the level below it."""
    chain = hardware.chains[operand]
    if len(chain) == 1:
        return 0.0  # the MACs work on DRAM itself, and their traffic is in the floors
    dram, below = hardware.memories[chain[-1]], hardware.memories[chain[-2]]
    if inward:
        return dram.read_pj / dram.read_bits_per_cycle + below.write_pj / below.write_bits_per_cycle
    return below.read_pj / below.read_bits_per_cycle + dram.write_pj / dram.write_bits_per_cycle


def screen_ranges(tables: StackTables, ranges: tuple[StackRange, ...]) -> tuple[ScreenedRange, ...]:
    """Floors of every option of every range."""
    problem, rules = tables.problem, tables.rules
    layers = problem.workload.layers
    arrays = {}
    needed: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in layers]
    for r in ranges:
        stack = layers[r.first : r.last + 1]
        for axis, sizes in (("x", r.widths), ("y", r.heights)):
            chain = axis_layers(stack, axis)
            for caches in (False, True):
                kinds = [axis_kinds(chain, t, caches, rules.true_spans) for t in sizes]
                data = _axis_arrays(kinds, len(stack), chain[0].taps)
                arrays[r.first, r.last, axis, caches] = data
                for e in range(len(stack)):
                    found = data[1][:, :, e][data[0] > 0]
                    needed[r.first + e][0 if axis == "x" else 1].update(np.unique(found).tolist())
    lookups = []
    for i, (widths, heights) in enumerate(needed):
        w, h = np.array(sorted(widths | {1})), np.array(sorted(heights | {1}))
        lookups.append((w, h, floor_costs(tables.models[i], tables.tile_sizes(i, 1, 1), w, h)))
    return tuple(_screen(tables, r, arrays, lookups) for r in ranges)


def _screen(
    tables: StackTables,
    r: StackRange,
    arrays: dict[tuple[int, int, str, bool], tuple[np.ndarray, np.ndarray, np.ndarray]],
    lookups: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> ScreenedRange:
    problem = tables.problem
    workload, hardware = problem.workload, problem.hardware
    dram = tables.domains.dram
    shape = (len(r.modes), len(r.widths), len(r.heights))
    totals = np.zeros((*shape, 2))
    fresh_elements = np.zeros(shape)
    for m, mode in enumerate(r.modes):
        h_cached = mode is not OverlapMode.FULLY_RECOMPUTE
        cx, sx, fx = arrays[r.first, r.last, "x", h_cached]
        cy, sy, fy = arrays[r.first, r.last, "y", mode is OverlapMode.FULLY_CACHED]
        columns, rows = (cx * fx).sum(axis=1), (cy * fy).sum(axis=1)
        fresh_elements[m] = columns[:, None] * rows[None, :]
        for e in range(r.last - r.first + 1):
            widths, heights, floors = lookups[r.first + e]
            ix = np.searchsorted(widths, sx[:, :, e])
            iy = np.searchsorted(heights, sy[:, :, e])
            for a in range(4):
                if not cx[:, a].any():
                    continue
                for b in range(4):
                    if not cy[:, b].any():
                        continue
                    count = cx[:, a][:, None] * cy[:, b][None, :]
                    totals[m] += count[..., None] * floors[ix[:, a][:, None], iy[:, b][None, :]]
    first = workload.layers[r.first]
    producer = workload.by_name.get(first.sources[0])
    bits = producer.precision.output_bits if producer else workload.input_bits
    # A layer that reads DRAM in place moves its own data width.
    bits = min(bits, first.precision.input_bits)
    fresh_bits = fresh_elements * first.input_channels * bits
    read_pj = _link_pj_per_bit(hardware, Operand.I, inward=True)
    write_pj = _link_pj_per_bit(hardware, Operand.O, inward=False)
    if not tables.rules.integer_unrolling:
        # The reference rounds fractions of elements: a tied axis can lose half of what it
        # moves, a rounded amount a third.
        read_pj, write_pj = read_pj / 4, write_pj * 2 / 3
    last = workload.layers[r.last]
    out_bits = last.channels * last.sizes["OX"] * last.sizes["OY"] * last.precision.output_bits
    into = np.array([read_pj if s == dram else 0.0 for s in r.sources])
    return ScreenedRange(
        range=r,
        energy=totals[..., 0],
        latency=totals[..., 1],
        boundary_pj=fresh_bits[..., None] * into,
        target_pj=np.array([write_pj * out_bits if t == dram else 0.0 for t in r.targets]),
    )
