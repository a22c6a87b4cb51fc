"""What the choice builder takes over from one option to another."""

from cost.overlap import OverlapMode
from cost.rules import EXACT
from fuseproof import load_problem
from solver.choices import ChoiceBuilder
from solver.prepare import cost_tables
from solver.stack_option import StackOption


def test_last_output_stays_where_the_stack_leaves_it() -> None:
    """Tests that a rough cost of a like tile inside a stack opens no place to a last output."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    dram, weights = tables.domains.dram, (1.0, 0.0)
    alone = StackOption((2,), 60, 60, OverlapMode.FULLY_RECOMPUTE, dram, dram, -1)
    builder = ChoiceBuilder(tables, patience=0)
    floor = builder.floor(alone, weights)
    inside = (names.index("sram_32KB"), names.index("sram_64KB"), names.index("sram_64KB"))
    for kind in tables.tiling(alone).kinds:
        key = tables.tile_key(2, *kind.sizes[0])
        builder._rough.setdefault((*key.like, weights), {})[inside] = 1.0
    assert builder.floor(alone, weights) == floor
