"""Each layer kind: its operands, which loops touch them, and what it must be given."""

import pytest

from problems import Layer, LayerKind, TensorIndex, load_problem

NETWORK = """\
name: kinds
input: {channels: 4, width: 12, height: 12}
layers:
  - {name: conv, kind: conv, from: input, loops: {K: 8, C: 4, OY: 10, OX: 10, FY: 3, FX: 3}}
  - {name: grouped, kind: grouped_conv, from: conv,
     loops: {G: 2, K: 3, C: 4, OY: 10, OX: 10, FY: 3, FX: 3}, padding: 1}
  - {name: depthwise, kind: depthwise, from: grouped, loops: {G: 6, OY: 8, OX: 8, FY: 3, FX: 3}}
  - {name: max, kind: max_pool, from: depthwise, loops: {G: 6, OY: 4, OX: 4, FY: 2, FX: 2},
     stride: 2}
  - {name: average, kind: average_pool, from: max, loops: {G: 6, OY: 4, OX: 4, FY: 3, FX: 3},
     padding: 1}
  - {name: add, kind: add, from: [max, average], loops: {G: 6, OY: 4, OX: 4}}
  - {name: concat, kind: concat, from: [add, max, average], loops: {G: 18, OY: 4, OX: 4}}
  - {name: pointwise, kind: pointwise, from: concat, loops: {K: 5, C: 18, OY: 4, OX: 4}}
  - {name: matmul, kind: matmul, from: pointwise, loops: {K: 7, C: 5, OY: 4, OX: 4}}
  - {name: narrow, kind: pointwise, from: pointwise, loops: {K: 16, C: 5, OY: 4, OX: 4}}
  - {name: product, kind: matmul, from: [narrow, matmul], loops: {K: 7, C: 16, OY: 4, OX: 4}}
  - {name: global, kind: global_pool, from: product, loops: {G: 7, FY: 4, FX: 4}}
  - {name: fc, kind: fully_connected, from: global, loops: {K: 9, C: 7}}
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Layer]:
    """One layer of every kind, by name."""
    file = tmp_path_factory.mktemp("kinds") / "kinds.yaml"
    file.write_text(NETWORK)
    return load_problem(f"{file}@meta-proto").workload.by_name


def test_network_has_every_kind(layers: dict[str, Layer]) -> None:
    """No kind can be added without a layer here; `pool` stands for any pool."""
    assert {layer.kind for layer in layers.values()} == set(LayerKind) - {LayerKind.POOL}


@pytest.mark.parametrize(
    ("name", "weights", "inputs", "tied", "outputs"),
    [
        ("conv", "K C FY FX", "B C", True, "B K OY OX"),
        ("grouped", "K C G FY FX", "B C G", True, "B K G OY OX"),
        ("depthwise", "G FY FX", "B G", True, "B G OY OX"),
        ("max", "FY FX", "B G", True, "B G OY OX"),
        ("average", "FY FX", "B G", True, "B G OY OX"),
        ("global", "FY FX", "B G", True, "B G OY OX"),
        ("add", None, "B G OY OX", False, "B G OY OX"),
        ("concat", None, "B G OY OX", False, "B G OY OX"),
        ("pointwise", "K C", "B C OY OX", False, "B K OY OX"),
        ("matmul", "K C", "B C OY OX", False, "B K OY OX"),
        ("fc", "K C", "B C OY OX", False, "B K OY OX"),
    ],
)
def test_loops_that_touch_each_operand(
    layers: dict[str, Layer],
    name: str,
    weights: str | None,
    inputs: str,
    tied: bool,
    outputs: str,
) -> None:
    """Relevance of the loop dims per operand; a window ties output and filter loops."""
    layer = layers[name]
    expected = None if weights is None else TensorIndex(direct=tuple(weights.split()))
    assert layer.weight_index == expected
    found = layer.input_index
    assert found == TensorIndex(direct=tuple(inputs.split()), tied_x=tied, tied_y=tied)
    assert layer.output_index == TensorIndex(direct=tuple(outputs.split()))


@pytest.mark.parametrize(
    ("name", "read", "written", "weight_bits"),
    [
        ("conv", 4, 8, 8 * 4 * 9 * 8),
        ("grouped", 8, 6, 2 * 3 * 4 * 9 * 8),  # a third of what the dense layer would have
        ("depthwise", 6, 6, 6 * 9 * 8),
        ("max", 6, 6, 0),
        ("average", 6, 6, 0),
        ("add", 6, 6, 0),
        ("concat.1", 12, 12, 0),
        ("concat", 18, 18, 0),
        ("pointwise", 18, 5, 90 * 8),
        ("matmul", 5, 7, 35 * 8),
        ("product", 16, 7, 16 * 7 * 8),
        ("global", 7, 7, 0),
        ("fc", 7, 9, 63 * 8),
    ],
)
def test_channels_and_weights(
    layers: dict[str, Layer], name: str, read: int, written: int, weight_bits: int
) -> None:
    """Channels read and written, over all groups, and bits of all weights."""
    layer = layers[name]
    assert (layer.input_channels, layer.channels) == (read, written)
    assert layer.weight_volume_bits == weight_bits
    assert layer.has_weights == (weight_bits > 0)


def test_rules_for_pools_hold_for_every_pool(layers: dict[str, Layer]) -> None:
    """Hardware that unrolls groups of a pool does so whatever the pool computes."""
    hardware = load_problem("fsrcnn@meta-proto").hardware
    for name in ("max", "average", "global", "add", "depthwise"):
        assert [unroll.loop_dim for unroll in hardware.unrolling("kinds", layers[name])][0] == "G"
    assert hardware.unrolling("kinds", layers["matmul"])[0].loop_dim == "K"


def test_concat_of_many_is_joined_two_at_a_time(layers: dict[str, Layer]) -> None:
    """A concat of three maps is one of two, with the third beside it."""
    assert layers["concat.1"].sources == ("add", "max")
    assert layers["concat"].sources == ("concat.1", "average")
    assert [layers[name].computes for name in ("concat.1", "concat", "add")] == [False, False, True]


def test_second_map_of_a_matmul_is_its_matrix(layers: dict[str, Layer]) -> None:
    """The matrix is no activation operand, and the layer reads it all the same."""
    layer = layers["product"]
    assert (layer.sources, layer.weight_source) == (("narrow",), "matmul")
    assert layer.all_sources == ("narrow", "matmul")
    assert layer.weight_volume_bits == 7 * 16 * 8
