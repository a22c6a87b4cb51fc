"""A stack of ResNet-18 with a shortcut, whose tiles fit its memories only just."""

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import load_problem
from solver.prepare import cost_tables
from solver.stack_option import StackOption
from solver.stack_tables import StackTables


def resnet_tables() -> StackTables:
    """Tables of ResNet-18 on Meta-proto-like DF."""
    return cost_tables(load_problem("resnet-18@meta-proto-df"), EXACT)


def block_on_chip(tables: StackTables) -> StackOption:
    """Six layers, cut to 12 x 16 tiles, between two maps in the larger activation memory."""
    names = [memory.name for memory in tables.problem.hardware.memories]
    memory = names.index("sram_1MB_A")
    return StackOption(
        layers=tuple(range(11, 17)),
        tile_x=12,
        tile_y=16,
        mode=OverlapMode.FULLY_CACHED,
        source=memory,
        target=memory,
        carried=10,
    )
