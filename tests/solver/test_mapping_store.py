"""Best mappings, with and without a search over loop orders, one by one and on all cores."""

import pytest

from cost.least_energy import TooManyChainsError
from cost.rules import EXACT
from problems import load_problem
from solver.layer_tables import TileKey
from solver.mapping_searches import MappedTile
from solver.mapping_store import MappingStore
from solver.prepare import cost_tables

WEIGHTS, SIZES = (22.5, 2900.0), ((24, 60), (48, 30), (6, 10))


def test_the_search_by_steps_takes_over_where_chains_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    memories = (names.index("sram_32KB"), names.index("sram_1MB_A"), names.index("sram_64KB"))
    tile = MappedTile(TileKey((4, 16, 18)), memories, (1.0, 0.0))
    store = MappingStore(tables)
    store.find_all({tile: 0.0})

    def give_up(*_: object, **__: object) -> None:
        raise TooManyChainsError

    monkeypatch.setattr("solver.mapping_searches.least_energy_mapping", give_up)
    stepwise = MappingStore(tables)
    stepwise.find_all({tile: 0.0})
    (chain,), (searched,) = store.best(tile) or (), stepwise.best(tile) or ()
    assert chain.energy_pj == pytest.approx(searched.energy_pj, rel=1e-12)
    assert store.costs(tile.key, tile.weights) == pytest.approx(
        stepwise.costs(tile.key, tile.weights), rel=1e-12
    )


def test_searches_on_all_cores_find_what_one_after_another_finds() -> None:
    """The same bounds after every round, and the same mappings in the end."""
    problem = load_problem("fsrcnn@meta-proto-df")
    tables = cost_tables(problem, EXACT)
    names = [memory.name for memory in problem.hardware.memories]
    memories = (names.index("sram_32KB"), names.index("sram_1MB_A"), names.index("sram_64KB"))
    tiles = [
        MappedTile(TileKey((layer, 16, 18)), memories, (2e7, 2e9)) for layer in (3, 4, 5, 6, 7)
    ]
    together, apart = MappingStore(tables), MappingStore(tables)
    while True:
        more = together.step_all(dict.fromkeys(tiles, 0.0))
        assert more == any([apart.step(tile, 0.0) for tile in tiles])
        for tile in tiles:
            assert together.costs(tile.key, tile.weights) == apart.costs(tile.key, tile.weights)
        if not more:
            break
    assert all(together.best(tile) == apart.best(tile) != () for tile in tiles)


def test_searches_that_rest_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that giving up tables between steps changes no bound, no mapping and no effort."""
    problem = load_problem("mc-cnn@ascend-like-df")
    tables = cost_tables(problem, EXACT)
    dram = tables.domains.dram
    tiles = [MappedTile(TileKey((2, *size)), (dram, dram, dram), WEIGHTS) for size in SIZES]
    awake, resting = MappingStore(tables), MappingStore(tables)
    monkeypatch.setattr("cost.best_mapping.NODES_A_STEP", 200)
    rested = kept = 0
    for _ in range(16):
        monkeypatch.setattr("solver.mapping_searches.MOST_BYTES", 1 << 40)
        more = awake.step_all(dict.fromkeys(tiles, 0.0))
        monkeypatch.setattr("solver.mapping_searches.MOST_BYTES", 0)
        assert resting.step_all(dict.fromkeys(tiles, 0.0)) == more
        kept += sum(search.held_bytes for search in awake._searches.values())
        held = [search.held_bytes for search in resting._searches.values()]
        assert not any(held)
        rested += len(held)
        for tile in tiles:
            assert awake.costs(tile.key, tile.weights) == resting.costs(tile.key, tile.weights)
            assert awake.is_hard(tile, 1e3) == resting.is_hard(tile, 1e3)
            assert awake.best(tile) == resting.best(tile)
    assert rested > len(tiles) and kept > 0
    assert all(awake.best(tile) for tile in tiles)


def test_searches_that_take_turns_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that bounds of a search that stops after some effort rise to what it finds."""
    tables = cost_tables(load_problem("mc-cnn@ascend-like-df"), EXACT)
    dram = tables.domains.dram
    tile = MappedTile(TileKey((2, *SIZES[1])), (dram, dram, dram), WEIGHTS)
    at_once, in_turns = MappingStore(tables), MappingStore(tables)
    at_once.find_all({tile: 0.0})
    monkeypatch.setattr("cost.best_mapping.NODES_A_STEP", 200)
    bounds = [0.0]
    while in_turns.best(tile) is None:
        in_turns.find_all({tile: 0.0}, effort=1.0)
        bounds.append(in_turns.costs(tile.key, WEIGHTS)[tile.memories])
    assert bounds == sorted(bounds)
    assert len(bounds) > 2
    assert in_turns.best(tile) == at_once.best(tile)
