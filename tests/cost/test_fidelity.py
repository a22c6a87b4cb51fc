"""The fidelity benchmark: what it reads, what it calls different, and what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import PAGE, compare, main, page, report
from benchmarks.recorded import read

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
SCHEDULE = GOLDEN / "schedule_fsrcnn__meta-proto-df__m1_960x540_lpf6.json"
TILES = GOLDEN / "layer_tiles_mc-cnn__tpu-like.jsonl"
TWICE = GOLDEN / "schedule_mc-cnn__tpu-like__m3_32x32_lpf6.json"


def written(path: Path, data: Any) -> Path:
    """Write JSON to a file and return its path."""
    path.write_text(json.dumps(data))
    return path


def test_recorded_files_are_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    """Tests a schedule and layer-tiles: equal, and one line per comparison."""
    assert main([str(SCHEDULE), str(TILES)]) == 0
    text = capsys.readouterr().out
    assert f"{SCHEDULE.name}: fsrcnn@meta-proto-df" in text
    assert "9 copy phases equal" in text
    assert "fully-recompute 960x540, limit 6: equal" in text
    assert "reference 20,265,261,895.015 pJ, ours 20,265,261,895.015 pJ" in text
    assert "layer-tiles and copy phases chosen otherwise: 0" in text
    assert "2 of 2 files within the limits" in text


def test_layers_counted_twice_are_marked() -> None:
    """Tests that a cut after layer 0 makes totals incomparable, but not the phases."""
    comparison = compare(read(TWICE))
    assert comparison.within
    assert comparison.phases.count > 0 and comparison.phases.worst <= 1e-9
    assert comparison.totals[0].worst > 0.1
    assert "not comparable, the reference counts layers twice (Q2)" in report(comparison)
    assert "| Q2 |" in page([comparison])


@pytest.mark.parametrize(
    "change",
    [{"energy_pj": 20265261895.015 * (1 + 2e-6)}, {"latency_cycles": 29008303 + 30}],
    ids=lambda change: next(iter(change)),
)
def test_totals_beyond_the_limit(change: dict[str, float], tmp_path: Path) -> None:
    """Tests that totals may deviate by 1e-6 and no more, with exit code 1."""
    data = json.loads(SCHEDULE.read_text())
    assert main([str(written(tmp_path / "off.json", data | change))]) == 1
    near = {"energy_pj": 20265261895.015 * (1 + 1e-7)}
    assert main([str(written(tmp_path / "near.json", data | near))]) == 0


def test_a_phase_beyond_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tests that one cycle more in one copy phase is found."""
    data = json.loads(SCHEDULE.read_text())
    next(phase for phase in data["copies"] if phase[2])[2] += 1
    assert main([str(written(tmp_path / "off.json", data))]) == 1
    assert "9 copy phases DIFFERENT" in capsys.readouterr().out


def test_a_layer_tile_beyond_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tests that a word access that deviates by 1e-8 is found."""
    rows = [json.loads(line) for line in TILES.read_text().splitlines()][:3]
    rows[1]["words"]["O"][0][0] *= 1 + 1e-8
    file = tmp_path / TILES.name
    file.write_text("\n".join(map(json.dumps, rows)))
    assert main([str(file)]) == 1
    assert "3 layer-tiles DIFFERENT: words 1.0e-08" in capsys.readouterr().out


def full_layout() -> dict[str, Any]:
    """A recorded layer-tile in the reference's own file layout (docs/cost-model.md)."""
    words = {
        "O": [[2799360, 2799360, 51840, 0], [0, 810, 810, 0], [0, 405, 0, 0]],
        "W": [[349920, 0, 0, 349920], [5467.5, 0, 0, 0]],
        "I": [[7290, 0, 0, 0]],
    }
    keys = ("rd_out_to_low", "wr_in_by_low", "rd_out_to_high", "wr_in_by_high")
    inner, rows, columns = [["C", 6], ["FY", 3], ["FX", 3]], [["OY", 18]], [["OX", 5], ["OX", 3]]
    everything = inner + rows + columns
    layer = {
        "layer": "3",
        "loop_dim_size": {"B": 1, "K": 12, "C": 12, "OY": 72, "OX": 60, "FY": 3, "FX": 3},
        "levels": {
            "O": ["rf_2B", "sram_64KB", "sram_1MB_A"],
            "W": ["rf_1B", "sram_32KB"],
            "I": ["sram_64KB"],
        },
        "temporal_mapping": {"O": [inner, rows, columns], "W": [[], everything], "I": [everything]},
        "memory_word_access": {
            name: [dict(zip(keys, level, strict=True)) for level in levels]
            for name, levels in words.items()
        },
        "energy_breakdown": {
            "O": [113011.2, 46461.6, 76626],
            "W": [6998.4, 94041],
            "I": [193622.4],
        },
        "mac_energy": 223948.8,
        "energy_total": 754709.4,
        "ideal_cycle": 5468,
        "ideal_temporal_cycle": 14580,
        "stall_cycles": 755.0,
        "data_loading_cycle": 1,
        "data_offloading_cycle": 55,
        "latency_total1": 15336.0,
        "count": 84,
    }
    arrival = {
        "id": "datamovement_b4_InputLayerNode_-1",
        "energy_total": 393487.2,
        "latency": 608.0,
        "count": 105,
        "actions": [{"bits": 34560, "from": ["I1", "dram"], "to": ["I1", "sram_64KB"]}],
    }
    return {
        "workload": "fsrcnn",
        "hardware": "Meta_prototype_DF",
        "mode": "fully-cached",
        "tile_x": 60,
        "tile_y": 72,
        "lpf_limit": 6,
        "stack_cuts": ["0"],  # makes the one layer-tile here a complete file
        "energy_total": 1.0,
        "latency_total1": 1.0,
        "layers": [layer],
        "copies": [arrival],
    }


def test_the_reference_s_own_layout(tmp_path: Path) -> None:
    """Tests names, loop nests and phases as the reference writes them."""
    comparison = compare(read(written(tmp_path / "full.json", full_layout())))
    assert comparison.recording.problem.name == "fsrcnn@meta-proto-df"
    assert (comparison.tiles.count, comparison.phases.count) == (1, 1)
    assert comparison.tiles.worst <= 1e-9
    assert comparison.phases.worst <= 1e-9
    assert comparison.within


def test_sweep_names_its_pair(tmp_path: Path) -> None:
    """Tests that a sweep's pair comes from its name, the longest that fits."""
    rows = [{"mode": "fully-cached", "tile_x": 60, "tile_y": 72, "energy_pj": 1.0}]
    rows[0]["latency_cycles"] = 1
    recording = read(written(tmp_path / "fsrcnn_meta_proto_df_sweep.json", rows))
    assert recording.problem.name == "fsrcnn@meta-proto-df"
    assert (recording.points[0].tile, recording.points[0].limit) == ((60, 72), 6)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.json", None, "cannot be read: No such file or directory"),
        ("cut.json", "{", "not JSON: "),
        ("number.json", "5", "not a file of recorded figures"),
        ("other.json", '{"a": 1}', "not a file of recorded figures"),
        ("rows.json", "[]", "its name names no known workload and hardware"),
        ("net.json", json.dumps(full_layout() | {"workload": "alexnet"}), "unknown workload"),
        ("hw.json", json.dumps(full_layout() | {"hardware": "TPU_v9"}), "unknown hardware"),
        ("mode.json", json.dumps(full_layout() | {"mode": "sideways"}), "sideways"),
        ("limit.json", json.dumps(full_layout() | {"lpf_limit": 3}), "a limit of 3 loop factors"),
    ],
)
def test_bad_file_is_one_line(
    name: str,
    text: str | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tests that a file that cannot be used ends with code 2 and one line that names it."""
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    assert main([str(file)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error and message in error


def test_page_is_written(tmp_path: Path) -> None:
    """Tests the generated tables for one schedule."""
    target = tmp_path / "validation.md"
    assert main([str(SCHEDULE), "--markdown", str(target)]) == 0
    text = target.read_text()
    assert "| fsrcnn@meta-proto-df | fully-recompute 960x540, limit 6 |" in text
    assert main([str(SCHEDULE), "--markdown", str(tmp_path / "no" / "folder.md")]) == 2


def test_published_page_covers_every_recorded_file() -> None:
    """Tests that docs/validation.md lists all recorded files and finds nothing different."""
    text = PAGE.read_text()
    for path in GOLDEN.glob("layer_tiles_*.jsonl"):
        count = len(path.read_text().splitlines())
        assert f"`{path.name}` | {count} |" in text
    for path in GOLDEN.glob("schedule_*.json"):
        phases = len(json.loads(path.read_text())["copies"])
        assert f"| `{path.name}` |  |  | {phases} |" in text
