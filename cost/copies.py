"""Data copies between memories: the path taken, its energy, and the time of a phase.

Between two layer-tiles, tiles and cached halos are copied from the memory where they
lie to the one where they are needed. A copy moves store-and-forward through every
memory on its way; the copies of one phase start together and contend only for ports
(docs/cost-model.md, "Copies"). Everything here is a pure function of the hardware, so
that a table of copy costs needs one path per pair of places and then plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from problems.hardware import Hardware, MemoryLevel
from problems.workload import Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyAction:
    """One block of `bits` moved from one memory to another.

    Memories are indices into `hardware.memories`. The operand at each end says which
    chain the copy follows there: a feature map leaves as `O` and arrives as `I`.
    """

    bits: int
    from_operand: Operand
    from_memory: int
    to_operand: Operand
    to_memory: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a copy: out of a port of one memory into a port of the next."""

    sender: int
    send_port: str
    receiver: int
    receive_port: str


def copy_path(
    hardware: Hardware,
    from_operand: Operand,
    from_memory: int,
    to_operand: Operand,
    to_memory: int,
) -> tuple[Hop, ...]:
    """Find the hops between two places; none if they are the same memory.

    With one operand the copy climbs or descends that operand's chain. With two it
    climbs the first chain to the lowest memory that also holds the second operand, at
    or above its destination, and descends the second chain from there.

    Raises
    ------
    ValueError
        If a memory does not hold the operand, or the two chains never meet.
    """
    for operand, memory in ((from_operand, from_memory), (to_operand, to_memory)):
        if memory not in hardware.chains[operand]:
            name = hardware.memories[memory].name
            raise ValueError(f"{hardware.name}: memory {name} does not hold operand {operand}")
    if from_memory == to_memory:
        return ()
    if from_operand == to_operand:
        return _along_chain(hardware, from_operand, from_memory, to_memory)
    meeting = _meeting_memory(hardware, from_operand, from_memory, to_operand, to_memory)
    return _along_chain(hardware, from_operand, from_memory, meeting) + _along_chain(
        hardware, to_operand, meeting, to_memory
    )


def copy_hops(hardware: Hardware, action: CopyAction) -> tuple[Hop, ...]:
    """Hops of one copy action; see `copy_path`."""
    return copy_path(
        hardware, action.from_operand, action.from_memory, action.to_operand, action.to_memory
    )


def hops_energy_pj(hardware: Hardware, hops: Iterable[Hop], bits: int) -> float:
    """Energy in pJ of moving `bits` bits over `hops`: a read and a write per hop."""
    energy = 0.0
    for hop in hops:
        sender = hardware.memories[hop.sender]
        receiver = hardware.memories[hop.receiver]
        energy += _words(bits, *_read_width(sender)) * sender.read_pj
        energy += _words(bits, *_write_width(receiver)) * receiver.write_pj
    return energy


def copy_energy_by_memory_pj(hardware: Hardware, action: CopyAction) -> dict[int, float]:
    """Energy in pJ of one copy action by the memory (index) that spends it."""
    energy: dict[int, float] = {}
    for hop in copy_hops(hardware, action):
        sender = hardware.memories[hop.sender]
        receiver = hardware.memories[hop.receiver]
        read = _words(action.bits, *_read_width(sender)) * sender.read_pj
        write = _words(action.bits, *_write_width(receiver)) * receiver.write_pj
        energy[hop.sender] = energy.get(hop.sender, 0.0) + read
        energy[hop.receiver] = energy.get(hop.receiver, 0.0) + write
    return energy


def hop_cycles(hardware: Hardware, hop: Hop, bits: int) -> int:
    """Cycles of one hop: the slower of its two ports."""
    send_width, _ = _read_width(hardware.memories[hop.sender])
    receive_width, _ = _write_width(hardware.memories[hop.receiver])
    return max(-(-bits // send_width), -(-bits // receive_width))


def copy_energy_pj(hardware: Hardware, action: CopyAction) -> float:
    """Energy in pJ of one copy action, every memory on its way included."""
    return hops_energy_pj(hardware, copy_hops(hardware, action), action.bits)


def copy_cycles(hardware: Hardware, action: CopyAction) -> tuple[int, ...]:
    """Cycles of each hop of one copy action, in order."""
    return tuple(hop_cycles(hardware, hop, action.bits) for hop in copy_hops(hardware, action))


def group_latency_cycles(hardware: Hardware, actions: Iterable[CopyAction]) -> int:
    """Cycles of a copy phase whose actions all start at once.

    A port with one busy interval is done at its end. A port with several is done no
    earlier than the last of them, nor before all of them fit one after the other from
    the first start. The phase takes as long as its slowest port; 0 if nothing moves.
    """
    first_start: dict[tuple[int, str], int] = {}
    busy: dict[tuple[int, str], int] = {}
    last_end: dict[tuple[int, str], int] = {}
    for action in actions:
        clock = 0
        # Chains run one way, so no memory, hence no port, comes twice on one path.
        for hop in copy_hops(hardware, action):
            cycles = hop_cycles(hardware, hop, action.bits)
            for port in ((hop.sender, hop.send_port), (hop.receiver, hop.receive_port)):
                first_start[port] = min(first_start.get(port, clock), clock)
                busy[port] = busy.get(port, 0) + cycles
                last_end[port] = max(last_end.get(port, 0), clock + cycles)
            clock += cycles
    return max(
        (max(last_end[port], first_start[port] + busy[port]) for port in busy),
        default=0,
    )


def _meeting_memory(
    hardware: Hardware,
    from_operand: Operand,
    from_memory: int,
    to_operand: Operand,
    to_memory: int,
) -> int:
    """Lowest memory of the first chain that holds `to_operand` at or above `to_memory`."""
    climb = hardware.chains[from_operand]
    target_level = hardware.level_of(to_operand, to_memory)
    for memory in climb[climb.index(from_memory) :]:
        holds = hardware.memories[memory].holds(to_operand)
        if holds and hardware.level_of(to_operand, memory) >= target_level:
            return memory
    raise ValueError(
        f"{hardware.name}: no memory above {hardware.memories[from_memory].name} holds both "
        f"{from_operand} and {to_operand}, so nothing can be copied between them"
    )


def _along_chain(
    hardware: Hardware, operand: Operand, from_memory: int, to_memory: int
) -> tuple[Hop, ...]:
    """Hops up or down the chain of one operand."""
    chain = hardware.chains[operand]
    start, end = chain.index(from_memory), chain.index(to_memory)
    step = 1 if end > start else -1
    hops = []
    for level in range(start, end, step):
        sender, receiver = chain[level], chain[level + step]
        sending = hardware.memories[sender].ports(operand)
        receiving = hardware.memories[receiver].ports(operand)
        if step > 0:
            # Inputs have no ports of their own for the way up: they use those for down.
            send_port = sending.read_up or sending.read_down
            receive_port = receiving.write_from_below or receiving.write_from_above
        else:
            send_port, receive_port = sending.read_down, receiving.write_from_above
        hops.append(Hop(sender, send_port, receiver, receive_port))
    return tuple(hops)


def _read_width(memory: MemoryLevel) -> tuple[int, int]:
    """Width and granule in bits of a memory's read port."""
    return memory.read_bits_per_cycle, memory.read_granule_bits


def _write_width(memory: MemoryLevel) -> tuple[int, int]:
    """Width and granule in bits of a memory's write port; a read-write port has one of each."""
    if memory.shared_read_write_port:
        return _read_width(memory)
    return memory.write_bits_per_cycle, memory.write_granule_bits


def _words(bits: int, width: int, granule: int) -> float:
    """Words of `width` bits charged for `bits` bits, in whole granules."""
    return -(-bits // granule) * (granule / width)
