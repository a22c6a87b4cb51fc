"""The mapping of least energy as the mapper of the reference's policy."""

import json
from pathlib import Path

import pytest

from cost.exact_mapper import exact_mapper
from cost.loop_order_search import LoopOrderSearch
from cost.overlap import OverlapMode
from cost.reference_mapper import loop_order_mapper
from cost.reference_policy import reference_schedule
from cost.rules import DEFINES
from problems import Operand, load_problem

SWEEP = json.loads(
    (
        Path(__file__).parent.parent / "data" / "golden" / "sweep_fsrcnn__meta-proto-df.json"
    ).read_text()
)


def test_no_row_of_the_recorded_sweep_takes_less_energy() -> None:
    """Tests all recorded tiles and modes of FSRCNN against the reference's own mapper."""
    problem = load_problem("fsrcnn@meta-proto-df")
    for mode, x, y, recorded_pj, _ in SWEEP:
        mapper = exact_mapper(problem.hardware, problem.workload.name, DEFINES)
        found = reference_schedule(
            problem.hardware,
            problem.workload,
            mode=OverlapMode(mode),
            tile=(x, y),
            mapper=mapper,
        )
        assert found.energy_pj <= recorded_pj * (1 + 1e-9), (mode, x, y)


def test_layers_that_are_alike_are_mapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that equal layers under other names share one mapping."""
    problem = load_problem("fsrcnn@meta-proto-df")
    mapper = exact_mapper(problem.hardware, problem.workload.name, DEFINES)
    layers = {layer.name: layer for layer in problem.workload.layers}
    levels = {Operand.W: 4, Operand.I: 3, Operand.O: 3}
    sizes = layers["3"].sizes | {"OX": 20, "OY": 18}
    first = mapper(layers["3"], sizes, levels)
    assert first is not None
    monkeypatch.setattr("cost.exact_mapper.least_energy_mapping", lambda *_: pytest.fail("again"))
    assert mapper(layers["4"], sizes, levels) is first


def test_where_nothing_fits_a_shared_lowest_memory_it_is_overfilled_as_in_the_reference() -> None:
    """Tests an add whose two inputs share 1 KB: the reference's mapping costs no less (Q12)."""
    problem = load_problem("resnet-18@tesla-npu-like-df")
    hardware, workload = problem.hardware, problem.workload.name
    layer = problem.workload.by_name["4"]
    sizes = layer.sizes | {"OX": 39, "OY": 39}
    levels = {Operand.W: 4, Operand.I: 3, Operand.O: 3}
    assert exact_mapper(hardware, workload, DEFINES)(layer, sizes, levels) is None
    ours = exact_mapper(hardware, workload, DEFINES, overfill=True)(layer, sizes, levels)
    search = LoopOrderSearch(hardware=hardware, limit=6)
    theirs = loop_order_mapper(search, workload)(layer, sizes, levels)
    assert ours is not None and theirs is not None
    assert ours.energy_pj <= theirs.energy_pj * (1 + 1e-9)
