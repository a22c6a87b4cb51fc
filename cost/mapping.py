"""Values that name one layer-tile and one temporal mapping of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from problems.workload import Layer, Operand


def operand_names(layer: Layer) -> tuple[str, str, str]:
    """Tensors of a layer, output first: O, W, I, or O, X, Y for a join of two maps."""
    return ("O", "X", "Y") if layer.kind.joins else ("O", "W", "I")


def memory_operand(name: str) -> Operand:
    """Operand under which the hardware knows a tensor: both inputs of an add are `I`."""
    return Operand.I if name in ("X", "Y") else Operand(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTile:
    """A layer on one tile: loop sizes, and how far up each tensor may live.

    `sizes` lists the layer's loop dims in declaration order with the tile's sizes.
    `levels[tensor]` is the number of lowest memory levels kept for a tensor; the highest
    of them holds the whole tensor of the tile.
    """

    layer: Layer
    sizes: tuple[tuple[str, int], ...]
    levels: Mapping[str, int] = field(hash=False)

    def __post_init__(self) -> None:
        names = set(operand_names(self.layer))
        if set(self.levels) != names:
            raise ValueError(
                f"layer {self.layer.name}: levels are given for {sorted(self.levels)}, "
                f"its tensors are {sorted(names)}"
            )
        if any(count < 1 for count in self.levels.values()):
            raise ValueError(f"layer {self.layer.name}: every tensor needs a memory level")

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of the layer-tile."""
        product = 1
        for _, size in self.sizes:
            product *= size
        return product

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two tiles of one layer that cost the same under every mapping."""
        levels = tuple(self.levels[name] for name in operand_names(self.layer))
        return (self.layer.name, self.sizes, levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalMapping:
    """One loop order for all tensors, and where each tensor's memories cut it.

    `loops` are (dim, factor), innermost first. `cuts[tensor][m]` is the number of innermost
    loops at or below level m; it never decreases and ends at `len(loops)`.
    `double_buffered[tensor][m]` says that level m holds two copies; read only under
    explicit double buffering, None means that no level does. The top level never does.
    """

    loops: tuple[tuple[str, int], ...]
    cuts: Mapping[str, tuple[int, ...]] = field(hash=False)
    double_buffered: Mapping[str, tuple[bool, ...]] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name, cuts in self.cuts.items():
            if not cuts or cuts[-1] != len(self.loops) or list(cuts) != sorted(cuts):
                raise ValueError(
                    f"cuts of {name} are {cuts}: they must not decrease and must end at "
                    f"the {len(self.loops)} loops of the mapping"
                )
            if cuts[0] < 0:
                raise ValueError(f"cuts of {name} start below zero: {cuts}")
        for name, flags in (self.double_buffered or {}).items():
            if flags[-1]:
                raise ValueError(f"the top level of {name} cannot be double buffered")

    def is_double_buffered(self, name: str, level: int) -> bool:
        """Whether `level` of tensor `name` holds two copies."""
        return self.double_buffered is not None and self.double_buffered[name][level]
