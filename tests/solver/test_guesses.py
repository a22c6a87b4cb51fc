"""What dives guess about options, against the same worked out over the whole pool."""

import numpy as np
import pytest

from cost.overlap import OverlapMode
from cost.rules import EXACT
from problems import load_problem
from solver.guesses import Guesses
from solver.open_options import OpenOptions
from solver.option_steps import SOLVED
from solver.prepare import cost_tables
from solver.prune import make_pool
from solver.screen import Screen
from solver.space import TileSpace, stack_ranges

WEIGHTS, RISES = (19.8, 1823.5), (1.3, 1.05, 1.04, 1.02, 1.0)


@pytest.fixture(scope="module")
def options() -> OpenOptions:
    """Options of FSRCNN with a few tile sizes."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tiles = TileSpace(text="some", widths=(4, 60, 960), heights=(1, 72, 540))
    ranges = stack_ranges(problem, EXACT, tiles, tuple(OverlapMode), None)
    return OpenOptions(make_pool(Screen(cost_tables(problem, EXACT), ranges)))


def guesses_in_full(guesses: Guesses, wary: np.ndarray) -> np.ndarray:
    """Guess of every option, without groups."""
    return guesses.bounds * guesses.rise[guesses.octaves, guesses.stages] * wary


def test_least_guesses_follow_what_is_seen(options: OpenOptions) -> None:
    """Tests least and cheapest of every arc after looks, dead ends and reluctance."""
    rng = np.random.default_rng(0)
    guesses = Guesses(options, WEIGHTS, RISES)
    wary = np.ones(len(guesses.bounds))
    for step in range(60):
        arc = int(rng.integers(len(guesses.arcs)))
        i = guesses.cheapest(arc)
        if step % 9 == 8:
            more = np.where(rng.random(len(wary)) < 0.3, 1.1, 1.0)
            guesses.be_wary(more)
            wary *= more
        elif step % 13 == 12:
            guesses.be_reluctant(1.25)
        elif step % 7 == 6:
            guesses.take(i, np.inf, int(guesses.stages[i]))
        else:
            stage = min(int(guesses.stages[i]) + 1, SOLVED)
            guesses.take(i, float(guesses.bounds[i]) * 1.02, stage)
        full = guesses_in_full(guesses, wary)
        for number, (span, least) in enumerate(zip(guesses.arcs, guesses.least(), strict=True)):
            assert least == pytest.approx(full[span.start : span.end].min(), rel=1e-12)
            assert full[guesses.cheapest(number)] == full[span.start : span.end].min()


def test_rises_are_learnt_from_options_alike(options: OpenOptions) -> None:
    """Tests that one look moves the rise of its stage and octave towards what was seen."""
    guesses = Guesses(options, WEIGHTS, RISES)
    i = guesses.cheapest(0)
    octave, before = int(guesses.octaves[i]), guesses.rise.copy()
    guesses.take(i, float(guesses.bounds[i]) * 2.0, 1)
    assert before[octave, 0] < guesses.rise[octave, 0] < 2.0 * before[octave, 1]
    others = np.arange(len(before)) != octave
    assert (guesses.rise[others] == before[others]).all()
