"""Copies between memories: paths, energies and phase times against recorded ones."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cost.copies import (
    CopyAction,
    copy_cycles,
    copy_energy_by_memory_pj,
    copy_energy_pj,
    copy_hops,
    group_latency_cycles,
)
from problems import Hardware, Operand, load_problem

GOLDEN = sorted((Path(__file__).parents[1] / "data" / "golden").glob("schedule_*.json"))


def memory(hardware: Hardware, name: str) -> int:
    return [each.name for each in hardware.memories].index(name)


def action(hardware: Hardware, bits: int, start: str, end: str) -> CopyAction:
    """Read e.g. `O dram` as operand and memory."""
    (from_operand, from_name), (to_operand, to_name) = start.split(), end.split()
    return CopyAction(
        bits=bits,
        from_operand=Operand(from_operand),
        from_memory=memory(hardware, from_name),
        to_operand=Operand(to_operand),
        to_memory=memory(hardware, to_name),
    )


def recorded_phases(path: Path) -> Iterator[tuple[Hardware, list[CopyAction], list, list]]:
    """Hardware, actions, the record of each action, and the record of the phase."""
    golden = json.loads(path.read_text())
    hardware = load_problem(golden["problem"]).hardware
    for phase in golden["copies"]:
        records = phase[4]
        actions = [action(hardware, r[0], f"{r[1]} {r[2]}", f"{r[3]} {r[4]}") for r in records]
        yield hardware, actions, records, phase


@pytest.fixture(scope="module")
def meta() -> Hardware:
    return load_problem("fsrcnn@meta-proto-df").hardware


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_recorded_phases_are_reproduced(path: Path) -> None:
    """Tests that every recorded copy phase comes out: energies, cycles per hop, phase time."""
    for hardware, actions, records, (_, _, cycles, energy, _) in recorded_phases(path):
        for copy, record in zip(actions, records, strict=True):
            assert copy_energy_pj(hardware, copy) == pytest.approx(record[5], rel=1e-9)
            assert list(copy_cycles(hardware, copy)) == record[6]
        total = sum(copy_energy_pj(hardware, copy) for copy in actions)
        assert total == pytest.approx(energy, rel=1e-9)
        assert group_latency_cycles(hardware, actions) == cycles


def test_all_recordings_are_there() -> None:
    """Tests that the recordings are found: an empty parametrisation would pass silently."""
    assert len(GOLDEN) == 15


def test_copy_in_place_costs_nothing(meta: Hardware) -> None:
    """Tests that a copy between two operands of one memory has no hops."""
    copy = action(meta, 1000, "O sram_64KB", "I sram_64KB")
    assert copy_hops(meta, copy) == ()
    assert copy_energy_pj(meta, copy) == 0
    assert group_latency_cycles(meta, [copy]) == 0


def test_input_descends_from_dram(meta: Hardware) -> None:
    """Tests the input copy of one tile, worked by hand: two hops, stored in between."""
    copy = action(meta, 34560, "I dram", "I sram_64KB")
    dram, middle, low = (memory(meta, name) for name in ("dram", "sram_1MB_A", "sram_64KB"))
    assert [(hop.sender, hop.receiver) for hop in copy_hops(meta, copy)] == [
        (dram, middle),
        (middle, low),
    ]
    by_hand = 540 * 700 + 540 * (64 / 1024) * (189.2 + 208.08) + 540 * (64 / 512) * 30.8
    assert copy_energy_pj(meta, copy) == pytest.approx(by_hand, rel=1e-12)
    assert group_latency_cycles(meta, [copy]) == 540 + 68


def test_copies_of_a_phase_contend_for_ports(meta: Hardware) -> None:
    """Tests that three copies out of one memory take the sum of their times."""
    copies = [
        action(meta, 414720, "O sram_1MB_A", "I sram_64KB"),
        action(meta, 14208, "I sram_1MB_A", "I sram_64KB"),
        action(meta, 11520, "I sram_1MB_A", "I sram_64KB"),
    ]
    assert [copy_cycles(meta, copy) for copy in copies] == [(810,), (28,), (23,)]
    assert group_latency_cycles(meta, copies) == 861
    assert sum(copy_energy_pj(meta, copy) for copy in copies) == pytest.approx(115996.11)


def test_copies_over_different_ports_run_together(meta: Hardware) -> None:
    """Tests that a copy down and a copy up, sharing no port, take as long as the longer."""
    down = action(meta, 51200, "I sram_1MB_A", "I sram_64KB")
    up = action(meta, 5120, "O sram_64KB", "O sram_1MB_A")
    assert group_latency_cycles(meta, [down, up]) == group_latency_cycles(meta, [down]) == 100


def test_path_climbs_no_higher_than_the_operands_meet(meta: Hardware) -> None:
    """Tests that an output reaches the input buffer through the lowest common memory."""
    copy = action(meta, 64, "O rf_2B", "I sram_1MB_A")
    names = [meta.memories[hop.receiver].name for hop in copy_hops(meta, copy)]
    assert names == ["sram_64KB", "sram_1MB_A"]
    copy = action(meta, 64, "O sram_1MB_A", "I sram_64KB")
    assert [meta.memories[hop.receiver].name for hop in copy_hops(meta, copy)] == ["sram_64KB"]


def test_energy_by_memory_adds_up(meta: Hardware) -> None:
    """Tests that the split by memory is the same energy."""
    copy = action(meta, 12345, "I dram", "I sram_64KB")
    parts = copy_energy_by_memory_pj(meta, copy)
    assert {meta.memories[index].name for index in parts} == {"dram", "sram_1MB_A", "sram_64KB"}
    assert sum(parts.values()) == pytest.approx(copy_energy_pj(meta, copy), rel=1e-12)


def test_memory_must_hold_the_operand(meta: Hardware) -> None:
    """Tests that a copy of inputs from a weight memory is refused by name."""
    with pytest.raises(ValueError, match="sram_32KB does not hold operand I"):
        copy_hops(meta, action(meta, 8, "I sram_32KB", "I dram"))
