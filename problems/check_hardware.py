"""What the parts of an accelerator must mean together: chains, ports, unrolling."""

from __future__ import annotations

from problems.errors import ProblemError, nearest
from problems.hardware import Hardware
from problems.schema import HardwareEntry, MemoryEntry, PortsEntry
from problems.workload import Operand, Workload


def memory_key(index: int, name: str) -> str:
    """Key path of a memory, as in messages about single values."""
    return f'memories[{index}] ("{name}")'


def check_hardware(entry: HardwareEntry, file: str, prefix: str) -> None:
    """Check names, port maps, operand chains and spatial rules of one accelerator."""
    names: list[str] = []
    for index, memory in enumerate(entry.memories):
        key = prefix + memory_key(index, memory.name)
        if memory.name in names:
            message = f"the name '{memory.name}' is taken by another memory"
            raise ProblemError(message, file=file, key=key)
        names.append(memory.name)
        for dim in memory.serves or ():
            _check_array_dim(entry, dim, file, f"{key}.serves")
        if memory.port_map is not None:
            _check_port_map(memory, memory.port_map, file, key)
    _check_chains(entry, file, prefix)
    for index, _ in enumerate(entry.spatial):
        _check_spatial(entry, index, file, f"{prefix}spatial[{index}]")


def _check_array_dim(entry: HardwareEntry, dim: str, file: str, key: str) -> None:
    if dim not in entry.array:
        names = ", ".join(entry.array)
        message = f"unknown array dim '{dim}'; allowed: {names}{nearest(dim, entry.array)}"
        raise ProblemError(message, file=file, key=key)


def _check_port_map(
    memory: MemoryEntry, ports: dict[Operand, PortsEntry], file: str, key: str
) -> None:
    """Check that every held operand has its ports, in every direction that it moves."""
    for operand in memory.holds:
        if operand not in ports:
            message = f"the ports of operand {operand} are missing"
            raise ProblemError(message, file=file, key=f"{key}.port_map")
    reading: set[str] = set()
    writing: set[str] = set()
    for operand, entry in ports.items():
        here = f"{key}.port_map.{operand}"
        if operand not in memory.holds:
            message = f"the memory does not hold operand {operand}"
            raise ProblemError(message, file=file, key=here)
        upward = {"write_from_below": entry.write_from_below, "read_up": entry.read_up}
        for direction, port in upward.items():
            if operand is Operand.O and port is None:
                message = f"port direction {direction} is missing: outputs move both ways"
                raise ProblemError(message, file=file, key=here)
            if operand is not Operand.O and port is not None:
                message = f"operand {operand} never moves outwards: leave out {direction}"
                raise ProblemError(message, file=file, key=here)
        reading |= {entry.read_down, entry.read_up or entry.read_down}
        writing |= {entry.write_from_above, entry.write_from_below or entry.write_from_above}
    both = reading & writing
    if both and reading != writing:
        single = sorted((reading | writing) - both)[0]
        message = f"port '{sorted(both)[0]}' reads and writes while '{single}' does one only"
        raise ProblemError(message, file=file, key=f"{key}.port_map")


def _check_chains(entry: HardwareEntry, file: str, prefix: str) -> None:
    """Check that each operand has a chain, widening outwards, to one last memory."""
    key = f"{prefix}memories"
    tops: dict[Operand, str] = {}
    for operand in Operand:
        chain = [memory for memory in entry.memories if operand in memory.holds]
        if not chain:
            message = f"no memory holds operand {operand}"
            raise ProblemError(message, file=file, key=key)
        tops[operand] = chain[-1].name
        for below, above in zip(chain, chain[1:], strict=False):
            lost = _served(entry, below) - _served(entry, above)
            if lost:
                message = f"'{above.name}' is above '{below.name}' for {operand} and must serve "
                message += f"all that it serves, also {', '.join(sorted(lost))}"
                raise ProblemError(message, file=file, key=key)
    if len(set(tops.values())) > 1:
        ends = ", ".join(f"{operand} in '{name}'" for operand, name in tops.items())
        message = f"all operands must end in one memory (DRAM), but they end: {ends}"
        raise ProblemError(message, file=file, key=key)


def _served(entry: HardwareEntry, memory: MemoryEntry) -> set[str]:
    return set(entry.array if memory.serves is None else memory.serves)


def _check_spatial(entry: HardwareEntry, index: int, file: str, key: str) -> None:
    rule = entry.spatial[index]
    if rule.layers and rule.workload is None:
        message = "layers are named without their workload"
        raise ProblemError(message, file=file, key=f"{key}.layers")
    if not (rule.kinds or rule.workload) and index + 1 < len(entry.spatial):
        message = "this rule matches every layer, so the rules after it never apply"
        raise ProblemError(message, file=file, key=key)
    used: dict[str, str] = {}
    for dim, unroll in rule.unroll.items():
        here = f"{key}.unroll.{dim}"
        _check_array_dim(entry, dim, file, here)
        if unroll.factor > entry.array[dim]:
            message = f"factor {unroll.factor} is larger than the array dim of {entry.array[dim]}"
            raise ProblemError(message, file=file, key=here)
        if unroll.loop_dim in used:
            message = f"loop dim {unroll.loop_dim} is already unrolled on {used[unroll.loop_dim]}"
            raise ProblemError(message, file=file, key=here)
        used[unroll.loop_dim] = dim


def check_rules_against(hardware: Hardware, workload: Workload, file: str) -> None:
    """Check that spatial rules for this workload name layers that it has."""
    for index, rule in enumerate(hardware.spatial_rules):
        if rule.workload != workload.name:
            continue
        for name in rule.layers:
            if name not in workload.by_name:
                message = f"workload '{workload.name}' has no layer '{name}'"
                message += nearest(name, workload.by_name)
                raise ProblemError(message, file=file, key=f"spatial[{index}].layers")
