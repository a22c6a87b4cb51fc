"""Figures of `evaluate`."""

import pytest

from cost.overlap import OverlapMode
from problems import PolicyError, load_problem
from solver.evaluate import policy_figures


def test_evaluate_names_the_memories_that_the_policy_overfills() -> None:
    """Tests the note of an evaluated policy, and that the exact rules overfill nothing."""
    problem = load_problem("resnet-18@tesla-npu-like-df")
    figures = policy_figures(problem, OverlapMode.FULLY_CACHED, (28, 28), None, None)
    assert list(figures["overfilled"]) == ["sram_1KB_I"]
    with pytest.raises(PolicyError, match="sram_1KB_I"):
        policy_figures(problem, OverlapMode.FULLY_CACHED, (28, 28), "exact", None)
