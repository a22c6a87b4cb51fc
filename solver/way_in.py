"""What tensors cost at least on their way between DRAM and the chip."""

from __future__ import annotations

import numpy as np

from problems.hardware import Hardware, MemoryLevel
from problems.workload import Operand
from solver.placed_tables import PlacedTables


def link_pj_per_bit(hardware: Hardware, operand: Operand, *, inward: bool) -> float:
    """Least pJ per bit over the link between DRAM and the level below it."""
    chain = hardware.chains[operand]
    if len(chain) == 1:
        return 0.0  # the MACs work on DRAM itself, and their traffic is in the floors
    dram, below = hardware.memories[chain[-1]], hardware.memories[chain[-2]]
    sender, receiver = (dram, below) if inward else (below, dram)
    return sender.read_pj / sender.read_bits_per_cycle + receiver.write_pj / _widest_write(receiver)


def _widest_write(memory: MemoryLevel) -> int:
    """Bits that a word written takes along; copies write at a shared port's read width."""
    if memory.shared_read_write_port:
        return max(memory.write_bits_per_cycle, memory.read_bits_per_cycle)
    return memory.write_bits_per_cycle


def input_bits(tables: PlacedTables, layer: int, operand: int = 0) -> int:
    """Bits per position (all channels) of what arrives from before `layer`."""
    workload = tables.problem.workload
    first = workload.layers[layer]
    producer = workload.by_name.get(first.sources[operand])
    bits = producer.precision.output_bits if producer else workload.input_bits
    made = producer.channels if producer else workload.input_channels
    # A layer that reads DRAM in place moves its own data width.
    return min(made, first.input_channels) * min(bits, first.precision.input_bits)


def input_pj_per_bit(tables: PlacedTables) -> float:
    """Least pJ per bit of inputs that come from DRAM."""
    link = link_pj_per_bit(tables.problem.hardware, Operand.I, inward=True)
    # The reference rounds fractions of elements: a tied axis can lose half of what it moves.
    return link if tables.rules.integer_unrolling else link / 4


def output_pj_per_bit(tables: PlacedTables) -> float:
    """Least pJ per bit of outputs that go to DRAM."""
    link = link_pj_per_bit(tables.problem.hardware, Operand.O, inward=False)
    # Of a rounded amount the reference can lose a third.
    return link if tables.rules.integer_unrolling else link * 2 / 3


def least_arrival(tables: PlacedTables, layer: int) -> tuple[float, float]:
    """(pJ, cycles) of the cheapest arrival of weights that stay on chip; zero if none can or do."""
    workload_layer, dram = tables.problem.workload.layers[layer], tables.domains.dram
    if not workload_layer.has_weights:
        return 0.0, 0.0
    places = tables.weight_places[layer]
    costs = [tables.arrival(layer, m) for m in places if m != dram]
    return min((c[0] for c in costs), default=0.0), float(min((c[1] for c in costs), default=0))


def input_copy_cycles(
    tables: PlacedTables, layer: int, elements: np.ndarray, operand: int = 0
) -> np.ndarray:
    """Cycles that copying so many fresh elements of an operand out of DRAM takes at least.

    Only the first hop, from DRAM into the memory below; zero where there is none.
    """
    problem = tables.problem
    chain = problem.hardware.chains[Operand.I]
    if len(chain) == 1:
        return np.zeros_like(elements, dtype=np.float64)
    dram, below = problem.hardware.memories[chain[-1]], problem.hardware.memories[chain[-2]]
    width = min(dram.read_bits_per_cycle, _widest_write(below))
    return np.ceil(elements * input_bits(tables, layer, operand) / width)


def output_copy_cycles(tables: PlacedTables, layer: int, positions: np.ndarray) -> np.ndarray:
    """Cycles that copying so many positions of the output of `layer` to DRAM takes at least.

    Only the last hop, from the memory below; zero where there is none.
    """
    problem = tables.problem
    chain = problem.hardware.chains[Operand.O]
    if len(chain) == 1:
        return np.zeros_like(positions, dtype=np.float64)
    dram, below = problem.hardware.memories[chain[-1]], problem.hardware.memories[chain[-2]]
    made = problem.workload.layers[layer]
    bits = made.sizes["B"] * made.channels * made.precision.output_bits
    width = min(below.read_bits_per_cycle, _widest_write(dram))
    return np.ceil(positions * bits / width)
