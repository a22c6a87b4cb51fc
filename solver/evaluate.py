"""Figures of a saved schedule or of the reference's policy at one tile and mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cost.exact_mapper import exact_mapper
from cost.loop_order_search import LoopOrderSearch
from cost.loop_orders import TooFewLoopFactorsError
from cost.overlap import OverlapMode
from cost.recost import recost
from cost.reference_mapper import loop_order_mapper
from cost.reference_policy import NoMappingError, overfilled_memories, reference_schedule
from cost.rules import DEFINES, RULE_SETS
from problems.errors import PolicyError, ProblemError
from problems.problem import Problem
from solver.schedule_file import read_result, rules_of, schedule_from_dict


def schedule_figures(problem: Problem, path: Path, asked: str | None) -> dict[str, Any]:
    """Cost of a saved schedule, under its own rules unless others are `asked` for.

    Raises ProblemError if the file does not hold a schedule of the problem.
    """
    document = read_result(path)
    try:
        rules = rules_of(document) if asked is None else RULE_SETS[asked]
        schedule = schedule_from_dict(document)
    except ProblemError as error:
        raise error.in_file(str(path)) from None
    found = recost(problem, schedule, rules)
    return {
        "rules": rules.name,
        "energy_pj": found.energy_pj,
        "latency_cycles": found.latency_cycles,
        "edp": found.energy_pj * found.latency_cycles,
        "violations": list(found.violations),
    }


def policy_figures(
    problem: Problem,
    mode: OverlapMode,
    tile: tuple[int, int],
    asked: str | None,
    lpf_limit: int | None,
) -> dict[str, Any]:
    """Cost of the policy: with `lpf_limit` by its own search, else with the best mappings.

    Memories that its rules let it overfill (Q12) are named, each with the layers.

    Raises PolicyError if nothing fits, ProblemError if the limit is too low.
    """
    rules = DEFINES if asked is None else RULE_SETS[asked]
    hardware, workload = problem.hardware, problem.workload
    if lpf_limit is not None:
        search = LoopOrderSearch(hardware=hardware, limit=lpf_limit)
        mapper = loop_order_mapper(search, workload.name)
    else:
        # By other rules no memory holds more than its size.
        mapper = exact_mapper(hardware, workload.name, rules, overfill=rules is DEFINES)
    try:
        found = reference_schedule(
            hardware, workload, mode=mode, tile=tile, mapper=mapper, rules=rules
        )
    except TooFewLoopFactorsError as error:
        raise ProblemError(f"--lpf-limit {lpf_limit}: {error}") from None
    except (NoMappingError, ValueError) as error:
        raise PolicyError(f"the policy finds no schedule: {error}") from None
    over = overfilled_memories(hardware, workload, found, rules)
    note = {"overfilled": {memory: list(layers) for memory, layers in over.items()}}
    return (note if over else {}) | {
        "rules": rules.name,
        "mode": mode.value,
        "tile": list(tile),
        "energy_pj": found.energy_pj,
        "latency_cycles": found.latency_cycles,
        "edp": found.energy_pj * found.latency_cycles,
        "stacks": [[layer for layer in stack.layers] for stack in found.stacks],
    }
