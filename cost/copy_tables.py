"""Energy and time of data copies between memories, flattened for compiled code.

A copy follows the operand chains hop by hop (DeFiNES, data copy actions): store and
forward through every level in between. A phase starts all its copies at once; a port
used by several is busy for their sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from problems.hardware import Hardware
from problems.workload import Operand

MAX_HOPS = 6
SEND_PORT, RECEIVE_PORT, SEND_WIDTH, RECEIVE_WIDTH = range(4)
SEND_GRANULE, RECEIVE_GRANULE, SEND_PJ, RECEIVE_PJ = range(4)


@dataclass(frozen=True, kw_only=True, eq=False)
class CopyTables:
    """Hops of every copy: arrays over [path, from memory, to memory, hop].

    Path 0: within the chain of I; 1: within the chain of O; 2: from O's chain to I's;
    3: within the chain of W.
    """

    hops: np.ndarray
    """[path, from, to]: number of hops, -1 if there is no such path."""
    ports: np.ndarray
    """[path, from, to, hop, 4]: sending and receiving port, their widths in bits."""
    costs: np.ndarray
    """[path, from, to, hop, 4]: granules in bits and pJ per word of either end."""
    input_levels: np.ndarray
    """[memory]: level in the chain of I, -1 outside of it."""
    n_ports: int


WITHIN_I, WITHIN_O, O_TO_I, WITHIN_W = range(4)


def _steps(
    hardware: Hardware, operand: Operand, start: int, end: int
) -> list[tuple[int, int, Operand]]:
    chain = hardware.chains[operand]
    a, b = chain.index(start), chain.index(end)
    step = 1 if b > a else -1
    return [(chain[m], chain[m + step], operand) for m in range(a, b, step)]


def _route(
    hardware: Hardware, path: int, start: int, end: int
) -> list[tuple[int, int, Operand]] | None:
    """Hops (from memory, to memory, operand whose ports are used) or None."""
    if path != O_TO_I:
        operand = {WITHIN_I: Operand.I, WITHIN_O: Operand.O, WITHIN_W: Operand.W}[path]
        chain = hardware.chains[operand]
        if start not in chain or end not in chain:
            return None
        if path == WITHIN_W and chain.index(end) > chain.index(start):
            return None  # weights only ever arrive
        return _steps(hardware, operand, start, end)
    outputs, inputs = hardware.chains[Operand.O], hardware.chains[Operand.I]
    if start not in outputs or end not in inputs:
        return None
    if start == end:
        return []
    for meeting in outputs[outputs.index(start) :]:
        if meeting in inputs and inputs.index(meeting) >= inputs.index(end):
            break
    else:
        return None
    if meeting == start:
        return _steps(hardware, Operand.I, start, end)
    if meeting == end:
        return _steps(hardware, Operand.O, start, end)
    return _steps(hardware, Operand.O, start, meeting) + _steps(hardware, Operand.I, meeting, end)


def build_copy_tables(hardware: Hardware) -> CopyTables:
    """Tabulate every copy path of `hardware`."""
    n = len(hardware.memories)
    hops = np.full((4, n, n), -1, dtype=np.int64)
    ports = np.full((4, n, n, MAX_HOPS, 4), -1, dtype=np.int64)
    costs = np.zeros((4, n, n, MAX_HOPS, 4))
    numbers: dict[tuple[int, str], int] = {}

    def number(memory: int, port: str | None) -> int:
        assert port is not None
        return numbers.setdefault((memory, port), len(numbers))

    for path in range(4):
        for start in range(n):
            for end in range(n):
                route = _route(hardware, path, start, end)
                if route is None:
                    continue
                hops[path, start, end] = len(route)
                for k, (low, high, operand) in enumerate(route):
                    chain = hardware.chains[operand]
                    up = chain.index(high) > chain.index(low)
                    sender, receiver = hardware.memories[low], hardware.memories[high]
                    out, into = sender.ports(operand), receiver.ports(operand)
                    # Inputs have no ports of their own for the way up: they use those for down.
                    leave = (out.read_up or out.read_down) if up else out.read_down
                    enter = into.write_from_below if up else None
                    # A shared read-write port moves both ways at its read width.
                    wide = receiver.shared_read_write_port
                    ports[path, start, end, k] = (
                        number(low, leave),
                        number(high, enter or into.write_from_above),
                        sender.read_bits_per_cycle,
                        receiver.read_bits_per_cycle if wide else receiver.write_bits_per_cycle,
                    )
                    costs[path, start, end, k] = (
                        sender.read_granule_bits,
                        receiver.read_granule_bits if wide else receiver.write_granule_bits,
                        sender.read_pj,
                        receiver.write_pj,
                    )
    levels = np.full(n, -1, dtype=np.int64)
    levels[list(hardware.chains[Operand.I])] = np.arange(len(hardware.chains[Operand.I]))
    return CopyTables(
        hops=hops, ports=ports, costs=costs, input_levels=levels, n_ports=len(numbers)
    )


@njit(cache=True)
def copy_energy(hops, ports, costs, path, start, end, bits):
    """pJ of copying `bits` from memory `start` to memory `end` along `path`."""
    energy = 0.0
    if bits <= 0:
        return energy
    for k in range(hops[path, start, end]):
        granule = costs[path, start, end, k, SEND_GRANULE]
        width = ports[path, start, end, k, SEND_WIDTH]
        energy += np.ceil(bits / granule) * (granule / width) * costs[path, start, end, k, SEND_PJ]
        granule = costs[path, start, end, k, RECEIVE_GRANULE]
        width = ports[path, start, end, k, RECEIVE_WIDTH]
        energy += (
            np.ceil(bits / granule) * (granule / width) * costs[path, start, end, k, RECEIVE_PJ]
        )
    return energy


@njit(cache=True)
def phase_latency(hops, ports, n_ports, actions, n):
    """Cycles of a phase of n copies [(path, start, end, bits)], all starting together."""
    first = np.full(n_ports, -1, dtype=np.int64)
    latest = np.zeros(n_ports, dtype=np.int64)
    busy = np.zeros(n_ports, dtype=np.int64)
    uses = np.zeros(n_ports, dtype=np.int64)
    for i in range(n):
        path, start, end, bits = actions[i]
        if bits <= 0:
            continue
        clock = 0
        for k in range(hops[path, start, end]):
            send, receive, send_width, receive_width = ports[path, start, end, k]
            cycles = max(-(-bits // send_width), -(-bits // receive_width))
            again = False
            for earlier in range(k):
                if (
                    ports[path, start, end, earlier, RECEIVE_PORT] == receive
                    or ports[path, start, end, earlier, SEND_PORT] == receive
                ):
                    again = True
            for port in (send, receive):
                if first[port] < 0 or clock < first[port]:
                    first[port] = clock
                latest[port] = max(latest[port], clock + cycles)
                busy[port] += cycles
                uses[port] += 1
            if not again:
                clock += cycles
    result = 0
    for port in range(n_ports):
        if uses[port] > 0:
            end_cycle = latest[port]
            if uses[port] > 1:
                end_cycle = max(end_cycle, first[port] + busy[port])
            result = max(result, end_cycle)
    return result
