"""A hardware small enough to count accesses by hand."""

from dataclasses import replace

from problems import (
    Hardware,
    Layer,
    LayerKind,
    MemoryLevel,
    Operand,
    OperandPorts,
    Precision,
    Unroll,
)

UNROLL_K = (Unroll(array_dim="D1", loop_dim="K", factor=2),)
BITS = Precision(partial_bits=16, output_bits=8, weight_bits=8, input_bits=8)


def ports(operand: Operand, read: str, write: str, below: str = "", up: str = "") -> OperandPorts:
    """Ports of an operand; `below` and `up` only for outputs."""
    return OperandPorts(
        operand=operand,
        read_down=read,
        write_from_above=write,
        write_from_below=below or None,
        read_up=up or None,
    )


def memory(
    name: str, width_bits: int, *operands: OperandPorts, size_bits: int = 4096
) -> MemoryLevel:
    """A memory over the whole array with words of `width_bits`: 1 pJ a read, 2 pJ a write."""
    return MemoryLevel(
        name=name,
        size_bits=size_bits,
        read_bits_per_cycle=width_bits,
        write_bits_per_cycle=width_bits,
        read_pj=1.0,
        write_pj=2.0,
        read_granule_bits=width_bits,
        write_granule_bits=width_bits,
        served_dims=("D1",),
        instances=1,
        shared_read_write_port=False,
        operands=operands,
    )


ACCUMULATOR = replace(
    memory("acc", 16, ports(Operand.O, "r1", "w1", "w2", "r2"), size_bits=16),
    served_dims=(),
    instances=2,
)
WEIGHTS = memory("weights", 16, ports(Operand.W, "r", "w"))
BUFFER = memory(
    "buffer", 8, ports(Operand.I, "r_i", "w_i"), ports(Operand.O, "r_o", "w_a", "w_b", "r_a")
)
DRAM = memory(
    "dram",
    2,
    ports(Operand.I, "rw", "rw"),
    ports(Operand.W, "rw", "rw"),
    ports(Operand.O, "rw", "rw", "rw", "rw"),
    size_bits=1 << 20,
)


def hardware(*memories: MemoryLevel) -> Hardware:
    """An array of two MACs at 1 pJ and the given memories."""
    return Hardware(
        name="small",
        array_dims=(("D1", 2),),
        mac_pj=1.0,
        memories=memories,
        spatial_rules=(),
    )


SMALL = hardware(ACCUMULATOR, WEIGHTS, BUFFER, DRAM)


def layer(kind: LayerKind, stride: int = 1, **loops: int) -> Layer:
    """A layer with the given loops in declaration order."""
    return Layer(
        name="layer",
        kind=kind,
        sources=("input",),
        loops=tuple(loops.items()),
        stride_x=stride,
        stride_y=stride,
        precision=BITS,
    )
