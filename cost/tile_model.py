"""A layer-tile on its truncated memory hierarchy: all that no mapping changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, prod

from cost.mapping import LayerTile, memory_operand, operand_names
from cost.rules import RuleSet
from cost.spatial import SpatialLoop, place_between_memories, unroll_layer_tile
from cost.tensor_size import (
    DIM_POSITION,
    NO_LOOPS,
    TensorShape,
    tensor_elements,
    tensor_shape,
)
from problems.hardware import Hardware, MemoryLevel, OperandPorts, Unroll
from problems.workload import LOOP_DIMS

Extents = tuple[float, ...]
Ratio = float | Fraction


@dataclass(frozen=True, kw_only=True)
class FanOut:
    """Side-by-side extents of one tensor below each memory level of its chain.

    `below[a]` are the extents unrolled under level a - 1 (a = 0: nothing, a = L + 1: the
    whole array). `unique_ratio[m]` is how many distinct blocks of level m - 1 one instance
    of level m feeds, `boost[m]` the reference's whole number of them.
    """

    below: tuple[Extents, ...]
    unique_ratio: tuple[Ratio, ...]
    boost: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TensorModel:
    """One tensor of a layer-tile and the memory levels it may use, innermost first."""

    name: str
    shape: TensorShape
    memory_index: tuple[int, ...]
    memories: tuple[MemoryLevel, ...]
    ports: tuple[OperandPorts, ...]
    partial_bits: int
    final_bits: int
    """Bits of an element; only an output's partial sums are wider than its final value."""
    spatial: tuple[tuple[SpatialLoop, ...], ...]
    energy_fan_out: FanOut
    cycle_fan_out: FanOut
    instances: tuple[int, ...]
    """[a]: active instances of level a - 1; a = 0 are the MACs."""

    @property
    def is_output(self) -> bool:
        """Whether the tensor is the layer's output."""
        return self.name == "O"

    @property
    def levels(self) -> int:
        """Memory levels kept."""
        return len(self.memories)


@dataclass(frozen=True, kw_only=True)
class TileModel:
    """A layer-tile on a hardware under a rule set; tensors with the output first."""

    hardware: Hardware
    layer_tile: LayerTile
    rules: RuleSet
    sizes: tuple[int, ...]
    """Per entry of `LOOP_DIMS`."""
    temporal: tuple[tuple[str, int], ...]
    """Steps left to temporal loops, in the order of the layer's dims."""
    tensors: tuple[TensorModel, ...]

    @property
    def temporal_cycles(self) -> int:
        """Cycles of the loop nest without any stall."""
        return prod(steps for _, steps in self.temporal)

    def elements(
        self, tensor: TensorModel, fan_out: FanOut, spatial_level: int, prefix: Sequence[int]
    ) -> float:
        """Elements under the temporal loops `prefix` and the unrolling `below[spatial_level]`.

        Integer factors may overshoot the tile, so that extents are clipped to it.
        """
        spread = fan_out.below[spatial_level]
        if self.rules.integer_unrolling:
            extents: list[float] = [
                min(a * b, size) for a, b, size in zip(prefix, spread, self.sizes, strict=True)
            ]
        else:
            extents = [a * b for a, b in zip(prefix, spread, strict=True)]
        return tensor_elements(tensor.shape, extents)


def build_tile_model(
    hardware: Hardware, unroll: Sequence[Unroll], layer_tile: LayerTile, rules: RuleSet
) -> TileModel:
    """Put a layer-tile on its truncated hierarchy under the requested unrolling.

    Raises ValueError if more levels are kept than a tensor's chain has.
    """
    layer = layer_tile.layer
    unrolling = unroll_layer_tile(hardware, unroll, layer_tile.sizes, rules)
    by_dim = dict(layer_tile.sizes)
    sizes = tuple(by_dim.get(dim, 1) for dim in LOOP_DIMS)
    chains = {}
    for name in operand_names(layer):
        chain = hardware.chains[memory_operand(name)]
        kept = layer_tile.levels[name]
        if kept > len(chain):
            raise ValueError(
                f"layer {layer.name}: {kept} levels kept for {name}, "
                f"{hardware.name} has {len(chain)}"
            )
        chains[name] = chain[:kept]
    groups = {
        name: place_between_memories(unrolling, [hardware.memories[i] for i in chain])
        for name, chain in chains.items()
    }
    counts = _instance_counts(groups)
    tensors = []
    for name, chain in chains.items():
        memories = tuple(hardware.memories[i] for i in chain)
        partial_bits, final_bits = _precision(layer_tile, name)
        shape = _shape(layer_tile, name, rules)
        tensors.append(
            TensorModel(
                name=name,
                shape=shape,
                memory_index=chain,
                memories=memories,
                ports=tuple(memory.ports(memory_operand(name)) for memory in memories),
                partial_bits=partial_bits,
                final_bits=final_bits,
                spatial=groups[name],
                energy_fan_out=_fan_out(
                    shape, groups[name], sizes, rules, lambda loop: loop.energy_factor
                ),
                cycle_fan_out=_fan_out(
                    shape, groups[name], sizes, rules, lambda loop: loop.cycle_factor
                ),
                instances=counts[name],
            )
        )
    return TileModel(
        hardware=hardware,
        layer_tile=layer_tile,
        rules=rules,
        sizes=sizes,
        temporal=unrolling.temporal,
        tensors=tuple(tensors),
    )


def _shape(layer_tile: LayerTile, name: str, rules: RuleSet) -> TensorShape:
    layer = layer_tile.layer
    index = layer.output_index if name == "O" else layer.input_index
    if name == "W":
        assert layer.weight_index is not None  # operand_names lists W only where there is one
        index = layer.weight_index
    return tensor_shape(layer, index, rules.true_spans)


def _precision(layer_tile: LayerTile, name: str) -> tuple[int, int]:
    bits = layer_tile.layer.precision
    if name == "O":
        return bits.partial_bits, bits.output_bits
    if name == "W":
        return bits.weight_bits, bits.weight_bits
    return bits.input_bits, bits.input_bits


def _fan_out(
    shape: TensorShape,
    groups: Sequence[Sequence[SpatialLoop]],
    sizes: Sequence[int],
    rules: RuleSet,
    factor: Callable[[SpatialLoop], float],
) -> FanOut:
    extents: list[float] = list(NO_LOOPS)
    below = [tuple(extents)]
    for group in groups:
        for loop in group:
            extents[DIM_POSITION[loop.loop_dim]] *= factor(loop)
        if rules.integer_unrolling:
            extents = [min(extent, size) for extent, size in zip(extents, sizes, strict=True)]
        below.append(tuple(extents))
    elements = [tensor_elements(shape, spread) for spread in below]
    whole: Ratio = Fraction(elements[-1]) if rules.integer_unrolling else elements[-1]
    unique = [whole / count for count in elements[:-1]]
    ratios = [unique[m] / unique[m + 1] for m in range(len(groups) - 1)]
    return FanOut(
        below=tuple(below),
        unique_ratio=tuple(ratios),
        boost=tuple(int(ratio) for ratio in ratios),
    )


def _instance_counts(
    groups: dict[str, tuple[tuple[SpatialLoop, ...], ...]],
) -> dict[str, tuple[int, ...]]:
    """Count active instances per level: products of the factors that fan out above it.

    Products of fractions are rounded. All tensors see the same MACs; if rounding made them
    differ, all counts are rounded up, then down, until they agree.
    """
    counts: dict[str, tuple[int, ...]] = {}
    rounding: Callable[[float], int]
    for rounding in (round, ceil, floor):
        counts = {
            name: tuple(
                rounding(prod(loop.energy_factor for group in chain[a:] for loop in group))
                for a in range(len(chain))
            )
            for name, chain in groups.items()
        }
        if len({chain[0] for chain in counts.values()}) == 1:
            break
    return counts
