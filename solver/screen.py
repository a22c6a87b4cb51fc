"""First bounds on every stack option: what no placement and no mapping can avoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.axis_tiles import AxisKind, axis_kinds, axis_layers
from cost.floor_tables import (
    AS_PLACED,
    FROM_AND_TO_TOP,
    FROM_TOP,
    TO_TOP,
    floor_costs,
)
from cost.overlap import OverlapMode
from problems.hardware import Hardware
from problems.workload import Operand
from solver.space import StackRange
from solver.stack_tables import StackOption, StackTables


@dataclass(frozen=True, kw_only=True, eq=False)
class ScreenedRange:
    """Floors of a stack range, pJ and cycles, [mode, width, height, source, target]."""

    range: StackRange
    energy: np.ndarray
    """Without the ways in and out of DRAM."""
    latency: np.ndarray
    boundary_pj: np.ndarray
    """[mode, width, height, source]: pJ of the stack input's way in."""
    target_pj: np.ndarray
    """[target]: pJ of the stack output's way out."""

    def option(self, index: tuple[int, ...]) -> StackOption:
        """The stack option at (mode, width, height, source, target)."""
        m, w, h, s, t = index
        r = self.range
        return StackOption(
            r.first, r.last, r.widths[w], r.heights[h], r.modes[m], r.sources[s], r.targets[t]
        )

    def energies(self) -> np.ndarray:
        """pJ floors with the ways in and out."""
        return self.energy + self.boundary_pj[..., None] + self.target_pj


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


def input_copy_cycles(tables: StackTables, layer: int, elements: np.ndarray) -> np.ndarray:
    """Cycles that copying so many fresh input elements of `layer` out of DRAM takes at least.

    Only the first hop, from DRAM into the memory below; zero where there is none.
    """
    problem = tables.problem
    chain = problem.hardware.chains[Operand.I]
    if len(chain) == 1:
        return np.zeros_like(elements, dtype=np.float64)
    dram, below = problem.hardware.memories[chain[-1]], problem.hardware.memories[chain[-2]]
    into = below.write_bits_per_cycle
    if below.shared_read_write_port:
        into = max(into, below.read_bits_per_cycle)
    width = min(dram.read_bits_per_cycle, into)
    return np.ceil(elements * input_bits(tables, layer) / width)


def input_bits(tables: StackTables, layer: int) -> int:
    """Bits per element column (all channels) of what arrives from before `layer`."""
    workload = tables.problem.workload
    first = workload.layers[layer]
    producer = workload.by_name.get(first.sources[0])
    bits = producer.precision.output_bits if producer else workload.input_bits
    # A layer that reads DRAM in place moves its own data width.
    return first.input_channels * min(bits, first.precision.input_bits)


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
        lookups.append((w, h, _floors(tables, i, w, h)))
    return tuple(_screen(tables, r, arrays, lookups) for r in ranges)


def _floors(tables: StackTables, layer: int, w: np.ndarray, h: np.ndarray) -> np.ndarray:
    whole = tables.tile_sizes(layer, 1, 1)
    return floor_costs(tables.models[layer], whole, w, h, tables.usable_levels(layer))


def _screen(
    tables: StackTables,
    r: StackRange,
    arrays: dict[tuple[int, int, str, bool], tuple[np.ndarray, np.ndarray, np.ndarray]],
    lookups: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> ScreenedRange:
    workload, hardware = tables.problem.workload, tables.problem.hardware
    dram = tables.domains.dram
    shape = (len(r.modes), len(r.widths), len(r.heights))
    energy = np.zeros((*shape, len(r.sources), len(r.targets)))
    latency = np.zeros_like(energy)
    fresh_elements = np.zeros(shape)
    for m, mode in enumerate(r.modes):
        h_cached = mode is not OverlapMode.FULLY_RECOMPUTE
        cx, sx, fx = arrays[r.first, r.last, "x", h_cached]
        cy, sy, fy = arrays[r.first, r.last, "y", mode is OverlapMode.FULLY_CACHED]
        columns, rows = (cx * fx).sum(axis=1), (cy * fy).sum(axis=1)
        fresh_elements[m] = columns[:, None] * rows[None, :]
        for a, b in np.ndindex(4, 4):
            if not (cx[:, a].any() and cy[:, b].any()):
                continue
            count = cx[:, a][:, None] * cy[:, b][None, :]
            fresh = fx[:, a][:, None] * fy[:, b][None, :]
            for e in range(r.last - r.first + 1):
                widths, heights, floors = lookups[r.first + e]
                ix = np.searchsorted(widths, sx[:, a, e])[:, None]
                iy = np.searchsorted(heights, sy[:, b, e])[None, :]
                for s, t in np.ndindex(len(r.sources), len(r.targets)):
                    to_top = e == r.last - r.first and r.targets[t] == dram
                    pj, cycles = np.moveaxis(floors[TO_TOP if to_top else AS_PLACED, ix, iy], -1, 0)
                    if e == 0 and r.sources[s] == dram:
                        # Either the tile is copied in first, or the layer reads DRAM in place.
                        in_place = floors[FROM_AND_TO_TOP if to_top else FROM_TOP, ix, iy, 1]
                        copied = cycles + input_copy_cycles(tables, r.first, fresh)
                        cycles = np.minimum(in_place, copied)
                    energy[m, :, :, s, t] += count * pj
                    latency[m, :, :, s, t] += count * cycles
    fresh_bits = fresh_elements * input_bits(tables, r.first)
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
        energy=energy,
        latency=latency,
        boundary_pj=fresh_bits[..., None] * into,
        target_pj=np.array([write_pj * out_bits if t == dram else 0.0 for t in r.targets]),
    )
