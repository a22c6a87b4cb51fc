"""Steps of a certificate that say nothing of schedules beyond limits."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from problems import ProblemError, load_problem
from solver.certificate import AnswerStack, Frame, certificate_faults
from solver.objective import Objective
from solver.proof import Proof
from solver.result import Status
from solver.schedule_file import result_to_dict
from solver.solve import solve
from solver.space import parse_tiles
from solver.verify import verify
from solver.weighted import WeightedOptimum
from tests.solver.conftest import PROBLEM

FIRST, LAST = (0, "dram"), (1, "dram")


def step(weights: tuple[float, float], bound: float, *limits: tuple[float, float, float]) -> Any:
    """A step of a certificate of one stack."""
    energy, latency = weights
    return {
        "energy_weight": energy,
        "latency_weight": latency,
        "bound": bound,
        "potentials": {"0:dram": 0.0, "1:dram": bound},
        "survivors": 0,
        "limits": [
            {"energy_weight": a, "latency_weight": b, "most": most} for a, b, most in limits
        ],
    }


def faults(answer: tuple[float, float], *steps: Any) -> list[str]:
    """What is wrong with a certificate that states no bound."""
    stack = AnswerStack(tail=FIRST, head=LAST, energy_pj=answer[0], latency_cycles=answer[1])
    frame = Frame(first=FIRST, last=LAST, memories=frozenset(["dram"]), answer=(stack,))
    document = {"best_bound": 0.0, "certificate": list(steps)}
    return list(certificate_faults(document, Objective.EDP, frame))


BEFORE = step((1.0, 0.0), 10.0), step((0.0, 1.0), 10.0), step((1.0, 1.0), 30.0)


def test_limits_hold_for_all_that_a_step_cuts_off() -> None:
    """3 E + L >= 52 cuts (10, 20) off E, L >= 10 and E + L >= 30, as far as (11, 19), (10, 22)."""
    for most, is_right in ((11.0, True), (10.9, False)):
        found = faults((16, 16), *BEFORE, step((3.0, 1.0), 52.0, (1.0, 0.0, most)))
        assert (found == []) == is_right
        assert is_right or "may cost less than the bound" in found[0]
    assert faults((16, 16), *BEFORE, step((3.0, 1.0), 52.0, (0.0, 1.0, 22.0))) == []
    assert faults((16, 16), *BEFORE, step((3.0, 1.0), 52.0, (0.0, 1.0, 21.9)))
    # What later steps prove counts for nothing.
    late = faults((16, 16), *BEFORE[:2], step((3.0, 1.0), 52.0, (1.0, 0.0, 11.0)), BEFORE[2])
    assert "may cost less than the bound" in late[0]


def test_potentials_hold_for_stacks_of_an_answer_within_limits_alone() -> None:
    """A stack that costs less than its potentials is a fault if the answer keeps to all limits."""
    too_much = step((3.0, 1.0), 52.0, (1.0, 0.0, 11.0))
    too_much["potentials"] = {"0:dram": 0.0, "1:dram": 70.0}
    assert faults((16, 16), *BEFORE, too_much) == []
    found = faults((11, 19), *BEFORE, too_much)
    assert any("differ by more than the answer's stack" in line for line in found)
    # Nor may the answer cost less than the bound, whatever the limits.
    low = faults((12, 12), *BEFORE[:2], step((1.0, 1.0), 30.0, (1.0, 0.0, 11.0)))
    assert any("the answer itself costs" in line for line in low)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ((-1.0, 0.0, 11.0), "weights below 0"),
        ((1.0, 0.0, float("nan")), "expected a finite number"),
    ],
)
def test_strange_limits_are_refused(limit: tuple[float, float, float], told: str) -> None:
    """Limits with weights below 0, or that are no numbers."""
    try:
        found = "; ".join(faults((16, 16), *BEFORE, step((3.0, 1.0), 52.0, limit)))
    except ProblemError as error:
        found = error.message
    assert told in found


def test_a_step_about_one_cost_has_no_limits() -> None:
    """Below it lies a region without end."""
    found = faults((16, 16), *BEFORE, step((0.0, 1.0), 12.0, (1.0, 0.0, 11.0)))
    assert "one cost alone" in found[0]


def test_what_no_schedule_around_a_corner_takes_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The optimum and its bound are those of a search that leaves nothing out."""
    problem, tiles = load_problem("fsrcnn@meta-proto-df"), parse_tiles("grid:4,60,960x4,72,540")
    result = solve(problem, tiles=tiles, workers=1)
    assert any(step.limits for step in result.proof)
    assert verify(result_to_dict(result), problem).ok
    monkeypatch.setattr(Proof, "left_out", lambda *_: None)
    again = solve(problem, tiles=tiles, workers=1)
    assert not any(step.limits for step in again.proof)
    assert again.edp == pytest.approx(result.edp, rel=1e-9)
    assert result.status is again.status is Status.OPTIMAL


@pytest.mark.parametrize("seed", range(20))
def test_no_option_around_the_corner_is_left_out(seed: int) -> None:
    """Of options that are schedules by themselves those below the half-plane all stay."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(1.0, 1.3, (4000, 2)) * (3e9, 7e6)
    best = tuple(points[(points[:, 0] * points[:, 1]).argsort()[200]].tolist())

    def through(weights: tuple[float, float]) -> np.ndarray:
        return points @ np.array(weights)

    solver: Any = SimpleNamespace(options=SimpleNamespace(energy=points[:, 0]), through=through)
    proof = Proof(load_problem(PROBLEM), Objective.EDP)
    for weights in ((1.0, 0.0), (0.0, 1.0), (7.0, 3000.0)):
        proof.add(
            WeightedOptimum(
                weights=weights,
                bound=float(through(weights).min()),
                cost=np.inf,
                plans=(),
                potentials={},
                survivors=0,
            )
        )
        proof.remember(solver, weights)
    weights = proof.turn(best)
    out = proof.left_out(solver, weights, best)
    assert out is not None and out.mean() > 0.5
    below = through(weights) < min(proof.enough(weights, best), weights @ np.array(best))
    assert below.any() and not (below & out).any()
