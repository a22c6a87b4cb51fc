"""What whole maps on chip leave to the mappings of a stack's tiles."""

import numpy as np
import pytest

from cost.mapping_search import pareto_set
from cost.overlap import OverlapMode
from cost.rules import EXACT
from cost.search_input import Aim
from problems import load_problem
from solver.choices import ChoiceBuilder
from solver.prepare import cost_tables
from solver.stack_option import StackOption

WEIGHTS = (0.0, 1.0)


def test_a_mapping_too_large_beside_a_map_is_searched_anew() -> None:
    """The best one that fits is found, as an exhaustive search finds it, and bounds know it."""
    problem = load_problem("mobilenet-v1@tesla-npu-like")
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    dram, chip = tables.domains.dram, names.index("sram_1MB_A")
    # Its output map fills most of the memory in which its tiles rest, too.
    option = StackOption((10,), 59, 32, OverlapMode.FULLY_RECOMPUTE, dram, chip, -1)
    builder = ChoiceBuilder(tables)
    kind = tables.kind_tables(option)[0]
    memories = (dram, dram, chip)
    roomy = builder._tile(option, kind, 0, memories, WEIGHTS)
    assert roomy.budget is None
    before = builder.floor(option, WEIGHTS)
    builder.mappings.find_all({roomy: 0.0})
    tight = builder._tile(option, kind, 0, memories, WEIGHTS)
    assert tight.budget is not None
    (free,), (most,) = builder.mappings.best(roomy) or (), tight.budget[chip : chip + 1]
    assert free.held_bits[chip] > most
    assert most < tables.domains.sizes_bits[chip]
    builder.mappings.find_all({tight: float(free.latency_cycles)})
    (found,) = builder.mappings.best(tight) or ()
    assert all(h <= b for h, b in zip(found.held_bits, tight.budget, strict=True))
    subject = builder.mappings._subject(tight)
    aim = Aim(weights=WEIGHTS, weighted_only=True, budget_bits=np.array(tight.budget))
    assert found.latency_cycles == pareto_set(*subject, aim)[0].latency_cycles
    assert found.latency_cycles > free.latency_cycles
    cost_f = builder._costs(option, WEIGHTS)[0].f
    entry = (0, *builder._entry(kind, 0, memories))
    assert cost_f[entry] == pytest.approx(found.latency_cycles)
    assert builder.floor(option, WEIGHTS) >= before
