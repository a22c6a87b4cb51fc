"""The kernel under the reference's rules, against layer-tiles recorded from it."""

from pathlib import Path

import pytest

from cost.kernel import evaluate_layer_tile
from cost.rules import DEFINES
from tests.cost.golden_tiles import FILES, layer_tile, mapping, problem_of, records, unrolling


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_layer_tiles_cost_the_same(path: Path) -> None:
    """Tests that words, energies and cycles of every recorded layer-tile come out equal."""
    problem = problem_of(path)
    for record in records(path):
        cost = evaluate_layer_tile(
            problem.hardware,
            unrolling(problem, record),
            layer_tile(problem, record),
            mapping(record),
            DEFINES,
        )
        for name, levels in record["words"].items():
            for level, row in enumerate(levels):
                found = [cost.words.get((name, level, d), 0.0) for d in ("rl", "wl", "rh", "wh")]
                assert found == pytest.approx(row, rel=1e-9, abs=0)
            found = [cost.level_pj[name, level] for level in range(len(levels))]
            assert found == pytest.approx(record["pj"][name], rel=1e-9, abs=0)
        assert cost.mac_pj == pytest.approx(record["mac_pj"], rel=1e-9)
        assert cost.energy_pj == pytest.approx(record["energy_pj"], rel=1e-9)
        assert [
            cost.ideal_cycles,
            cost.temporal_cycles,
            cost.stall_cycles,
            cost.loading_cycles,
            cost.offloading_cycles,
            cost.latency_cycles,
        ] == record["cycles"]
