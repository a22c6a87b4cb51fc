"""docs/cost-model.md: its layer-tile worked by hand, recomputed, and its list of switches."""

from dataclasses import fields
from pathlib import Path

import pytest

from cost.kernel import LayerTileCost, evaluate_layer_tile
from cost.mapping import LayerTile, TemporalMapping
from cost.rules import DEFINES, EXACT, RuleSet
from problems import load_problem

PAGE = (Path(__file__).parents[2] / "docs" / "cost-model.md").read_text()


def worked(rules: RuleSet) -> LayerTileCost:
    """The page's layer-tile under `rules`."""
    problem = load_problem("fsrcnn@meta-proto-df")
    layer = problem.workload.by_name["3"]
    sizes = (("B", 1), ("K", 12), ("C", 12), ("OY", 72), ("OX", 60), ("FY", 3), ("FX", 3))
    return evaluate_layer_tile(
        problem.hardware,
        problem.hardware.unrolling("fsrcnn", layer),
        LayerTile(layer=layer, sizes=sizes, levels={"O": 3, "W": 2, "I": 1}),
        TemporalMapping(
            loops=(("C", 6), ("FY", 3), ("FX", 3), ("OY", 18), ("OX", 5), ("OX", 3)),
            cuts={"O": (3, 4, 6), "W": (0, 6), "I": (6,)},
        ),
        rules,
    )


def test_table_of_the_worked_layer_tile() -> None:
    """Tests every row of the table under both rule sets."""
    columns = [worked(rules) for rules in (DEFINES, EXACT)]
    levels = {
        "I, sram_64KB": ("I", 0),
        "W, rf_1B": ("W", 0),
        "W, sram_32KB": ("W", 1),
        "O, rf_2B": ("O", 0),
        "O, sram_64KB": ("O", 1),
        "O, sram_1MB_A": ("O", 2),
    }
    for name, key in levels.items():
        cells = " | ".join(f"{cost.level_pj[key]:,.1f}" for cost in columns)
        assert f"| {name} (pJ) | {cells} |" in PAGE
    for name, attribute in (("MACs", "mac_pj"), ("energy", "energy_pj")):
        cells = " | ".join(f"{getattr(cost, attribute):,.1f}" for cost in columns)
        assert f"| {name} (pJ) | {cells} |" in PAGE
    for name, attribute in (
        ("steps", "temporal_cycles"),
        ("stall", "stall_cycles"),
        ("loading", "loading_cycles"),
        ("last drain", "offloading_cycles"),
        ("latency", "latency_cycles"),
    ):
        cells = " | ".join(f"{getattr(cost, attribute):,}" for cost in columns)
        assert f"| {name} (cycles) | {cells} |" in PAGE


def test_numbers_in_the_text() -> None:
    """Tests the word accesses and cycles that the text derives."""
    cost = worked(DEFINES)
    expected = {
        ("I", 0, "rl"): 7290,
        ("W", 1, "rl"): 5467.5,
        ("W", 0, "wh"): 349920,
        ("W", 0, "rl"): 349920,
        ("O", 0, "wl"): 2799360,
        ("O", 0, "rl"): 2799360,
        ("O", 0, "rh"): 51840,
        ("O", 1, "wl"): 810,
        ("O", 1, "rh"): 810,
        ("O", 2, "wl"): 405,
    }
    assert {key: words for key, words in cost.words.items() if words} == expected
    assert worked(EXACT).words["O", 0, "rl"] == 2799360 - 51840
    assert cost.ideal_cycles == 5468
    for number in {*expected.values(), cost.ideal_cycles, cost.temporal_cycles}:
        assert f"{number:,}".replace(",", " ") in PAGE


@pytest.mark.parametrize("name", [f.name for f in fields(RuleSet) if f.name != "name"])
def test_page_explains_every_switch(name: str) -> None:
    """Tests that no switch can be added without a row that says why."""
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}`")]
    assert len(rows) == 1
    assert all(cell.strip() for cell in rows[0].strip("|").split("|"))
