"""docs/problem-format.md: its example loads, and it names every key that exists."""

from pathlib import Path

import pytest

from problems import Operand, load_problem, schema

PAGE = Path(__file__).parent.parent.parent / "docs" / "problem-format.md"


def test_example_of_the_page_loads(tmp_path: Path) -> None:
    """The worked example is a valid problem and means what the page says."""
    file = tmp_path / "small.yaml"
    file.write_text(PAGE.read_text().split("```yaml\n")[1].split("```")[0])
    problem = load_problem(str(file))
    assert problem.name == "small"
    stem, reduce = problem.workload.layers
    assert (stem.padding.left, stem.padding.bottom) == (1, 1)
    assert (reduce.padding.left, reduce.padding.right, reduce.stride_y) == (1, 0, 2)
    weights, sums, buffer, dram = problem.hardware.memories
    assert (weights.instances, sums.instances, buffer.instances) == (8, 32, 1)
    assert (weights.read_granule_bits, buffer.read_granule_bits) == (8, 64)
    assert sums.ports(Operand.O).read_up != sums.ports(Operand.O).read_down
    assert dram.shared_read_write_port and not buffer.shared_read_write_port
    factors = [unroll.factor for unroll in problem.hardware.unrolling("two-layers", reduce)]
    assert factors == [8, 4]


@pytest.mark.parametrize(
    "entry",
    [
        schema.ProblemEntry,
        schema.WorkloadEntry,
        schema.InputEntry,
        schema.PrecisionEntry,
        schema.LayerEntry,
        schema.HardwareEntry,
        schema.MemoryEntry,
        schema.PortsEntry,
        schema.SpatialEntry,
    ],
)
def test_page_has_a_row_for_every_key(entry: type[schema.Entry]) -> None:
    """No key can be added without the page saying what it means."""
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("|")]
    for name, field in entry.model_fields.items():
        assert any(f"`{field.alias or name}`" in row for row in rows), name
