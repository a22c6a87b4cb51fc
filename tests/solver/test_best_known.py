"""Best known values of the catalogue's pairs against the catalogue and new results."""

import pytest

from cost.overlap import OverlapMode
from fuseproof import Objective, load_problem, solve
from problems import catalogue
from problems.best_known import best_known
from solver.space import parse_tiles

KNOWN = [(name, objective) for name, by in best_known().items() for objective in by]


@pytest.mark.parametrize(("name", "objective"), KNOWN)
def test_entries_name_pairs_and_agree_with_themselves(name: str, objective: str) -> None:
    """Tests that an entry belongs to a pair and an objective, its bound at most its value."""
    workloads, hardware = catalogue()
    workload, at = name.split("@")
    assert workload in workloads
    assert at in hardware
    assert objective in [o.value for o in Objective]
    known = best_known()[name][objective]
    assert known.agrees(known)


@pytest.mark.parametrize("objective", [Objective.EDP, Objective.ENERGY])
def test_new_results_are_consistent(objective: Objective) -> None:
    """Tests that a part of the space holds nothing below the known bound of the whole.

    Where the part holds the best known schedule, its proven optimum is the known value.
    """
    name = "fsrcnn@meta-proto-df"
    known = best_known()[name][objective.value]
    result = solve(
        load_problem(name),
        objective=objective,
        tiles=parse_tiles("grid:4x108"),
        modes=(OverlapMode.FULLY_CACHED,),
    )
    assert result.value is not None
    assert known.value is not None
    assert result.value >= known.bound * (1 - 1e-6)
    if objective is Objective.EDP:
        assert result.value == pytest.approx(known.value, rel=1e-6)
