"""Large networks made in memory: chains of convolutions, and the graph of ResNet-152."""

from __future__ import annotations

from problems.build import build_workload
from problems.load import LIBRARY, load_hardware
from problems.problem import Problem
from problems.schema import WorkloadEntry
from problems.schema_errors import parse
from problems.workload import Workload

STAGES = 4
"""Stages of a chain; each halves the map and doubles the channels of the one before."""
RESNET_BLOCKS = {
    "resnet-50": (3, 4, 6, 3),
    "resnet-101": (3, 4, 23, 3),
    "resnet-152": (3, 8, 36, 3),
}
"""Bottleneck blocks by stage."""
Entry = dict[str, object]


def _conv(
    name: str, source: str, channels: tuple[int, int], size: int, taps: int, stride: int = 1
) -> Entry:
    """A convolution to a map of `size` a side, padded as a network's true form is."""
    before = (taps - 1) // 2
    # With stride 2 on an even map the last row or column of padding is never read.
    after = max(0, (size - 1) * stride + taps - before - size * stride)
    entry: Entry = {
        "name": name,
        "kind": "conv",
        "from": source,
        "loops": {
            **{"K": channels[1], "C": channels[0], "OY": size, "OX": size},
            **{"FY": taps, "FX": taps},
        },
    }
    if stride > 1:
        entry["stride"] = stride
    if before or after:
        entry["padding"] = {"left": before, "top": before, "right": after, "bottom": after}
    return entry


def chain(layers: int, *, size: int, channels: int) -> Workload:
    """A chain of 3 x 3 convolutions in four stages, the first `size` a side."""
    entries: list[Entry] = []
    source, before = "input", 3
    for i in range(layers):
        stage = i * STAGES // layers
        first = stage > 0 and stage != (i - 1) * STAGES // layers
        made = channels << stage
        name = f"c{i:03d}"
        entries.append(_conv(name, source, (before, made), size >> stage, 3, 2 if first else 1))
        source, before = name, made
    return _workload(f"chain-{layers}", size, entries)


def resnet(name: str, *, size: int) -> Workload:
    """A ResNet of bottleneck blocks for inputs of `size` a side, without the classifier.

    A residual add joins each block; the first of a stage has a pointwise convolution on its
    other branch, and stages but the first halve the map in their 3 x 3 convolution.
    """
    side = size // 2
    entries = [_conv("stem", "input", (3, 64), side, 7, 2)]
    side //= 2
    pool: Entry = {"name": "pool", "kind": "max_pool", "from": "stem", "stride": 2}
    pool["loops"] = {"G": 64, "OY": side, "OX": side, "FY": 3, "FX": 3}
    pool["padding"] = {"left": 1, "top": 1}
    entries.append(pool)
    source, width = "pool", 64
    for stage, blocks in enumerate(RESNET_BLOCKS[name]):
        narrow = 64 << stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            at = f"s{stage + 1}b{block:02d}"
            entries.append(_conv(f"{at}.1", source, (width, narrow), side, 1))
            side //= stride
            entries.append(_conv(f"{at}.2", f"{at}.1", (narrow, narrow), side, 3, stride))
            entries.append(_conv(f"{at}.3", f"{at}.2", (narrow, 4 * narrow), side, 1))
            other = source
            if block == 0:
                other = f"{at}.down"
                entries.append(_conv(other, source, (width, 4 * narrow), side, 1, stride))
            loops = {"G": 4 * narrow, "OY": side, "OX": side}
            entries.append(
                {"name": f"{at}.add", "kind": "add", "from": [f"{at}.3", other], "loops": loops}
            )
            source, width = f"{at}.add", 4 * narrow
    return _workload(name, size, entries)


def _workload(name: str, size: int, entries: list[Entry]) -> Workload:
    network: Entry = {
        "name": name,
        "input": {"channels": 3, "width": size, "height": size},
        "layers": entries,
    }
    return build_workload(parse(WorkloadEntry, network, name), name)


def synthetic_problem(name: str, *, size: int, channels: int, hardware: str) -> Problem:
    """`chain-N` or a ResNet on an accelerator of the catalogue.

    `size` and `channels` are those of a chain's first map; a ResNet takes 224 a side.
    Accelerators without a rule for such layers unroll them as far as their last rule says.
    """
    accelerator = load_hardware(LIBRARY / "hardware" / f"{hardware}.yaml")
    kind, _, count = name.partition("-")
    if kind == "chain" and count.isdecimal():
        workload = chain(int(count), size=size, channels=channels)
    else:
        workload = resnet(name, size=224)
    text = f"{name}@{hardware}"
    return Problem(name=text, workload=workload, hardware=accelerator, source=text)
