"""Facts about the catalogue, checked against figures taken from its source."""

import math

import pytest

from problems import Hardware, LayerKind, MemoryLevel, Operand, Padding, Workload, load_problem

SIDES = ("left", "right", "top", "bottom")


def workload(name: str) -> Workload:
    """The catalogue workload called `name`."""
    return load_problem(f"{name}@meta-proto").workload


def hardware(name: str) -> Hardware:
    """The catalogue accelerator called `name`."""
    return load_problem(f"fsrcnn@{name}").hardware


def memory(accelerator: str, name: str) -> MemoryLevel:
    """One memory of a catalogue accelerator."""
    return next(level for level in hardware(accelerator).memories if level.name == name)


@pytest.mark.parametrize(
    ("name", "layers", "macs", "weight_bytes"),
    [
        ("fsrcnn", 8, 8.3626e9, 15992),
        ("dmcnn-vd", 20, 2.7881e11, 667008),
        ("mc-cnn", 4, 5.2279e10, 111168),
        ("mobilenet-v1", 29, 1.8913e9, 4209088),
        ("resnet-18", 28, 9.3531e9, 11506880),
    ],
)
def test_size_of_workload(name: str, layers: int, macs: float, weight_bytes: int) -> None:
    """Layers, operations and weights are those of the network."""
    net = workload(name)
    assert len(net.layers) == layers
    count = sum(math.prod(layer.sizes.values()) for layer in net.layers)
    assert count == pytest.approx(macs, rel=1e-4)
    assert sum(layer.weight_volume_bits for layer in net.layers) == 8 * weight_bytes


@pytest.mark.parametrize(
    ("name", "mebibytes"),
    [
        ("fsrcnn", 28.492),
        ("dmcnn-vd", 27.057),
        ("mc-cnn", 29.098),
        ("mobilenet-v1", 3.845),
        ("resnet-18", 5.903),
    ],
)
def test_largest_feature_map(name: str, mebibytes: float) -> None:
    """The largest output of a layer has the size that the network implies."""
    largest = max(
        layer.channels * layer.sizes["OX"] * layer.sizes["OY"] for layer in workload(name).layers
    )
    assert largest / 2**20 == pytest.approx(mebibytes, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "channels", "width", "height"),
    [
        ("fsrcnn", 1, 974, 554),
        ("dmcnn-vd", 3, 808, 552),
        ("mc-cnn", 1, 384, 1250),
        ("mobilenet-v1", 3, 507, 507),
        ("resnet-18", 3, 627, 627),
    ],
)
def test_network_input(name: str, channels: int, width: int, height: int) -> None:
    """The input is as large as the layers need when nothing is padded."""
    net = workload(name)
    assert (net.input_channels, net.input_width, net.input_height) == (channels, width, height)


@pytest.mark.parametrize(
    ("name", "layers", "macs", "weights", "maps"),
    [
        # conv and fc: 1 814 073 344, pools and adds on top; parameters without biases and norms
        ("resnet-18-padded", 31, 1_816_657_408, 11_678_912, [112, 56, 28, 14, 7, 1]),
        ("mobilenet-v1-padded", 29, 568_790_528, 4_209_088, [112, 56, 28, 14, 7, 1]),
    ],
)
def test_padded_networks_have_the_well_known_shapes(
    name: str, layers: int, macs: int, weights: int, maps: list[int]
) -> None:
    """Padded, the image networks halve 224 pixels five times and cost what is published."""
    net = workload(name)
    assert (net.input_channels, net.input_width, net.input_height) == (3, 224, 224)
    assert len(net.layers) == layers
    assert sum(math.prod(layer.sizes.values()) for layer in net.layers) == macs
    assert sum(layer.weight_volume_bits for layer in net.layers) == 8 * weights
    assert sorted({layer.sizes["OX"] for layer in net.layers}, reverse=True) == maps
    assert all(layer.sizes["OX"] == layer.sizes["OY"] for layer in net.layers)
    for layer in net.layers:
        wide = layer.sizes["FX"] if layer.kind is not LayerKind.GLOBAL_POOL else 1
        assert layer.padding == Padding(**dict.fromkeys(SIDES, (wide - 1) // 2)), layer.name


def test_padded_shortcuts_are_projected() -> None:
    """All eight adds join equal maps; three of them through a strided 1x1 convolution."""
    net = workload("resnet-18-padded")
    adds = [layer for layer in net.layers if layer.kind is LayerKind.ADD]
    assert len(adds) == 8
    for add in adds:
        left, right = (net.by_name[source] for source in add.sources)
        assert left.channels == right.channels == add.channels
        assert left.sizes["OX"] == right.sizes["OX"] == add.sizes["OX"]
    projections = [net.by_name[add.sources[0]] for add in adds]
    strided = [layer for layer in projections if layer.kind is LayerKind.CONV]
    assert [(layer.stride_x, layer.sizes["FX"]) for layer in strided] == [(2, 1)] * 3


def test_residual_graph() -> None:
    """Only ResNet-18 branches, and its eight adds read two layers each."""
    assert [name for name in ("fsrcnn", "mobilenet-v1") if not workload(name).is_chain] == []
    net = workload("resnet-18")
    assert not net.is_chain
    joins = {layer.name: layer.sources for layer in net.layers if len(layer.sources) == 2}
    assert len(joins) == 8
    assert joins["10"] == ("7", "9")


def test_pools_and_adds_have_no_weights() -> None:
    """Pool and add layers carry zero weight bits, all others eight."""
    for layer in workload("resnet-18").layers:
        assert layer.precision.weight_bits == (0 if layer.kind in ("pool", "add") else 8)


@pytest.mark.parametrize(
    ("accelerator", "name", "expected"),
    # size in bits, bits per cycle, read pJ, write pJ, granule in bits, instances
    [
        ("meta-proto", "rf_1B", (8, 8, 0.01, 0.01, 8, 64)),
        ("meta-proto", "sram_32KB", (262144, 256, 13.28, 15.4, 64, 1)),
        ("meta-proto-df", "rf_2B", (16, 16, 0.02, 0.02, 16, 512)),
        ("meta-proto-df", "sram_32KB", (262144, 512, 17.2, 28.4, 64, 1)),
        ("tpu-like", "rf_128B", (1024, 8, 0.095, 0.095, 8, 1024)),
        ("tpu-like", "rf_1KB", (16, 16, 0.54, 0.6, 16, 32)),
        ("tpu-like-df", "rf_64B", (512, 8, 0.053, 0.053, 8, 1024)),
        ("tpu-like-df", "sram_64KB_A", (524288, 2048, 36.96, 94.88, 64, 1)),
        ("edge-tpu-like", "sram_32KB", (262144, 512, 22.9, 52.01, 64, 1)),
        ("edge-tpu-like", "rf_2B", (16, 16, 0.02, 0.02, 16, 128)),
        ("edge-tpu-like-df", "sram_16KB_A", (131072, 2048, 27.2, 40.32, 64, 1)),
        ("ascend-like", "sram_256KB_O", (2097152, 2048, 123.2, 212.8, 64, 1)),
        ("ascend-like", "rf_1B", (8, 8, 0.01, 0.01, 8, 256)),
        ("ascend-like-df", "sram_64KB_I", (65536, 512, 26.56, 30.72, 64, 1)),
        ("tesla-npu-like", "rf_4B", (32, 16, 0.022, 0.022, 16, 1024)),
        ("tesla-npu-like-df", "sram_64KB_A", (1048576, 1024, 34.4, 56.56, 64, 1)),
        ("tesla-npu-like-df", "sram_896KB_A", (7340032, 896, 182.07, 189.2, 64, 1)),
        ("tesla-npu-like-df", "dram", (10_000_000_000, 64, 700, 750, 64, 1)),
    ],
)
def test_memory_figures(accelerator: str, name: str, expected: tuple[float, ...]) -> None:
    """Size, width, energies, granule and count of a memory are carried over exactly."""
    level = memory(accelerator, name)
    assert expected == (
        level.size_bits,
        level.read_bits_per_cycle,
        level.read_pj,
        level.write_pj,
        level.read_granule_bits,
        level.instances,
    )
    assert level.write_bits_per_cycle == level.read_bits_per_cycle
    assert level.write_granule_bits == level.read_granule_bits


@pytest.mark.parametrize(
    ("accelerator", "chains"),
    [
        ("meta-proto", {"W": "0 2 3 6", "I": "4 5 6", "O": "1 5 6"}),
        ("meta-proto-df", {"W": "0 2 3 6", "I": "4 5 6", "O": "1 4 5 6"}),
        ("tpu-like", {"W": "0 3", "I": "2 3", "O": "1 2 3"}),
        ("tpu-like-df", {"W": "0 3 5", "I": "2 4 5", "O": "1 2 4 5"}),
        ("edge-tpu-like", {"W": "0 2 4", "I": "3 4", "O": "1 3 4"}),
        ("edge-tpu-like-df", {"W": "0 2 3 6", "I": "4 5 6", "O": "1 4 5 6"}),
        ("ascend-like", {"W": "0 2 5 7", "I": "3 6 7", "O": "1 4 6 7"}),
        ("ascend-like-df", {"W": "0 2 5 7", "I": "3 4 6 7", "O": "1 3 4 6 7"}),
        ("tesla-npu-like", {"W": "0 3 4 6", "I": "2 5 6", "O": "1 5 6"}),
        ("tesla-npu-like-df", {"W": "0 3 4 6 8", "I": "2 5 7 8", "O": "1 5 7 8"}),
    ],
)
def test_operand_chains(accelerator: str, chains: dict[str, str]) -> None:
    """Each operand passes through the memories of its chain; every array has 1024 MACs."""
    machine = hardware(accelerator)
    assert machine.total_macs == 1024
    assert machine.mac_pj == 0.04
    for operand, expected in chains.items():
        levels = machine.chains[Operand(operand)]
        assert " ".join(map(str, levels)) == expected


def test_ports() -> None:
    """DRAM has one port for everything, buffers one each way, output registers two."""
    dram, buffer = memory("meta-proto-df", "dram"), memory("meta-proto-df", "sram_64KB")
    registers = memory("meta-proto-df", "rf_2B")
    assert dram.shared_read_write_port
    assert not buffer.shared_read_write_port
    output = dram.ports(Operand.O)
    assert output.read_down == output.write_from_above == output.write_from_below
    assert dram.ports(Operand.W).read_down == output.read_up
    output, inputs = buffer.ports(Operand.O), buffer.ports(Operand.I)
    assert output.read_down == output.read_up == inputs.read_down
    assert output.write_from_above == output.write_from_below == inputs.write_from_above
    assert inputs.read_up is None
    output = registers.ports(Operand.O)
    assert output.read_down != output.read_up
    assert output.write_from_above != output.write_from_below


@pytest.mark.parametrize(
    ("accelerator", "network", "layer", "expected"),
    [
        # an output register that fits the layer exactly
        ("meta-proto-df", "fsrcnn", "1", "D1:K12 D2:C2 D3:OX4 D4:OY4"),
        # a single input channel leaves D2 idle
        ("meta-proto-df", "fsrcnn", "0", "D1:K32 D3:OX4 D4:OY4"),
        # layers whose channels do not mix unroll groups
        ("meta-proto", "mobilenet-v1", "1", "D1:G32 D3:OX4 D4:OY4"),
        # 1x1 feature maps cannot be unrolled in space
        ("tpu-like", "resnet-18", "27", "D1:K32 D2:C32"),
        ("edge-tpu-like", "mobilenet-v1", "27", "D1:G8"),
        # exceptions of the source: a factor below what the array and the layer allow
        ("ascend-like", "resnet-18", "0", "D1:K16 D2:C2 D3:OX2 D4:OY2"),
        ("ascend-like-df", "mobilenet-v1", "27", "D1:G8"),
        ("tesla-npu-like", "resnet-18", "19", "D1:G32 D2:OX8 D3:OY4"),
        ("tesla-npu-like", "resnet-18", "20", "D1:K32 D2:OX7 D3:OY4"),
        ("tesla-npu-like-df", "resnet-18", "25", "D1:G32 D2:OX7 D3:OY4"),
    ],
)
def test_spatial_unrolling(accelerator: str, network: str, layer: str, expected: str) -> None:
    """Clipped by the layer's loops, the rules give the unrolling of the source."""
    problem = load_problem(f"{network}@{accelerator}")
    wanted = problem.workload.by_name[layer]
    found = [
        f"{unroll.array_dim}:{unroll.loop_dim}{min(unroll.factor, wanted.sizes[unroll.loop_dim])}"
        for unroll in problem.hardware.unrolling(network, wanted)
        if wanted.sizes[unroll.loop_dim] > 1
    ]
    assert " ".join(found) == expected
