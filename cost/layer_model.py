"""A layer on a hardware, flattened to arrays for the exact mapping search.

Everything that does not depend on the size of a layer-tile: operands, memory chains,
ports, relevance of loop dimensions, requested unrolling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cost.rules import RuleSet
from problems.hardware import Hardware, Unroll
from problems.workload import LOOP_DIMS, Layer, Operand, TensorIndex

DIM = {dim: i for i, dim in enumerate(LOOP_DIMS)}
IRRELEVANT, RELEVANT, TIED = 0, 1, 2
MAX_LEVELS = 6
RL, WL, RH, WH = 0, 1, 2, 3
"""Directions of a level's traffic: read down, write from below, read up, write from above."""


class LayerArrays(NamedTuple):
    """What compiled code reads of a `LayerModel` and its rules; fields as there."""

    unroll_dim: np.ndarray
    unroll_factor: np.ndarray
    unroll_level: np.ndarray
    rel: np.ndarray
    stride: np.ndarray
    precision: np.ndarray
    mem_index: np.ndarray
    ports: np.ndarray
    memory: np.ndarray
    n_levels: np.ndarray
    """[o]: levels in each operand's whole chain."""
    mac_pj: float
    n_ports: int
    is_add: bool
    exact: bool
    """Integer unrolling factors, clipped to the layer, and true spans."""
    psums: bool
    explicit: bool
    add_half: bool
    drain: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerModel:
    """Arrays of one layer on one hardware under one rule set.

    Axis o runs over the operands: two inputs (W and I, or X and Y of an add), then O.
    Axis m runs over memory levels, innermost first; axis d over `LOOP_DIMS`.
    """

    layer: Layer
    rules: RuleSet
    operands: tuple[str, ...]
    chain: tuple[tuple[int, ...], ...]
    """[o][m]: index into `hardware.memories`."""
    precision_bits: np.ndarray
    """[o, 2]: wide (partial sum) and final bits."""
    relevance: np.ndarray
    """[o, d]: IRRELEVANT, RELEVANT or TIED."""
    stride: np.ndarray
    """[x stride, y stride, x dilation, y dilation]."""
    unroll_dim: np.ndarray
    unroll_factor: np.ndarray
    """[k]: loop dim and requested factor of the k-th array dim, clipped to the array."""
    unroll_level: np.ndarray
    """[o, k]: number of memories of the operand's chain inside which dim k sits."""
    mem_index: np.ndarray
    """[o, m]: memory index or -1."""
    ports: np.ndarray
    """[o, m, direction]: port number or -1."""
    memory: np.ndarray
    """[memory, 7]: size, read bw, write bw, read granule, write granule, read pJ, write pJ."""
    mac_pj: float
    instances: np.ndarray
    """[memory]"""

    @cached_property
    def arrays(self) -> LayerArrays:
        """The model flattened for compiled code."""
        rules = self.rules
        return LayerArrays(
            unroll_dim=self.unroll_dim,
            unroll_factor=self.unroll_factor,
            unroll_level=self.unroll_level,
            rel=self.relevance,
            stride=self.stride,
            precision=self.precision_bits,
            mem_index=self.mem_index,
            ports=self.ports,
            memory=self.memory,
            n_levels=np.array([len(chain) for chain in self.chain], dtype=np.int64),
            mac_pj=float(self.mac_pj),
            n_ports=int(self.ports.max()) + 1,
            is_add=self.operands[0] == "X",
            exact=rules.integer_unrolling,
            psums=rules.exact_partial_sums,
            explicit=rules.explicit_double_buffering,
            add_half=rules.accumulate_half_shared_loading,
            drain=rules.charge_last_drain,
        )


def _relevance(index: TensorIndex) -> list[int]:
    row = [IRRELEVANT] * len(LOOP_DIMS)
    for dim in index.direct:
        row[DIM[dim]] = RELEVANT
    if index.tied_x:
        row[DIM["OX"]] = row[DIM["FX"]] = TIED
    if index.tied_y:
        row[DIM["OY"]] = row[DIM["FY"]] = TIED
    return row


def build_layer_model(
    hardware: Hardware, unroll: tuple[Unroll, ...], layer: Layer, rules: RuleSet
) -> LayerModel:
    """Flatten `layer` on `hardware` with the requested unrolling."""
    is_add = layer.kind.joins
    names = ("X", "Y", "O") if is_add else ("W", "I", "O")
    kinds = (Operand.I, Operand.I, Operand.O) if is_add else (Operand.W, Operand.I, Operand.O)
    chains = tuple(hardware.chains[kind] for kind in kinds)
    weight_index = layer.weight_index
    indices = (
        (layer.input_index, layer.input_index, layer.output_index)
        if weight_index is None
        else (weight_index, layer.input_index, layer.output_index)
    )
    bits = layer.precision
    first = bits.input_bits if is_add else bits.weight_bits
    precision = [[first] * 2, [bits.input_bits] * 2, [bits.partial_bits, bits.output_bits]]

    array = dict(hardware.array_dims)
    level = np.zeros((3, len(unroll)), dtype=np.int64)
    for o in range(3):
        for k, entry in enumerate(unroll):
            served = [
                m
                for m, i in enumerate(chains[o])
                if entry.array_dim in hardware.memories[i].served_dims
            ]
            level[o, k] = served[0] if served else len(chains[o])

    port_numbers: dict[tuple[int, str], int] = {}
    ports = np.full((3, MAX_LEVELS, 4), -1, dtype=np.int64)
    mem_index = np.full((3, MAX_LEVELS), -1, dtype=np.int64)
    for o in range(3):
        for m, i in enumerate(chains[o]):
            mem_index[o, m] = i
            entry_ports = hardware.memories[i].ports(kinds[o])
            for direction, port in (
                (RL, entry_ports.read_down),
                (WL, entry_ports.write_from_below),
                (RH, entry_ports.read_up),
                (WH, entry_ports.write_from_above),
            ):
                if port is not None:
                    key = (i, port)
                    ports[o, m, direction] = port_numbers.setdefault(key, len(port_numbers))
    memory = np.array(
        [
            [
                m.size_bits,
                m.read_bits_per_cycle,
                m.write_bits_per_cycle,
                m.read_granule_bits,
                m.write_granule_bits,
                m.read_pj,
                m.write_pj,
            ]
            for m in hardware.memories
        ],
        dtype=np.float64,
    )
    return LayerModel(
        layer=layer,
        rules=rules,
        operands=names,
        chain=chains,
        precision_bits=np.array(precision, dtype=np.int64),
        relevance=np.array([_relevance(index) for index in indices], dtype=np.int64),
        stride=np.array(
            [layer.stride_x, layer.stride_y, layer.dilation_x, layer.dilation_y], dtype=np.int64
        ),
        unroll_dim=np.array([DIM[u.loop_dim] for u in unroll], dtype=np.int64),
        unroll_factor=np.array([min(u.factor, array[u.array_dim]) for u in unroll], dtype=np.int64),
        unroll_level=level,
        mem_index=mem_index,
        ports=ports,
        memory=memory,
        mac_pj=hardware.mac_pj,
        instances=np.array([m.instances for m in hardware.memories], dtype=np.int64),
    )
