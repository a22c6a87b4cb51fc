"""Why no temporal mapping fits: what the smallest blocks of a layer-tile take of memories."""

from __future__ import annotations

from collections.abc import Sequence

from cost.kernel import Overflow, overflows
from cost.mapping import LayerTile, TemporalMapping, operand_names
from cost.rules import RuleSet
from cost.spatial import unroll_layer_tile
from problems.hardware import Hardware, Unroll


def least_overflows(
    hardware: Hardware, unroll: Sequence[Unroll], layer_tile: LayerTile, rules: RuleSet
) -> tuple[Overflow, ...]:
    """Memories that every temporal mapping overfills; some mapping fits if there are none.

    One mapping holds least everywhere: every block below a tensor's highest level is what
    one step of the array takes, and outputs are summed up in their lowest memory.
    """
    mapping = _least_mapping(hardware, unroll, layer_tile, rules)
    return overflows(hardware, unroll, layer_tile, mapping, rules)


def _least_mapping(
    hardware: Hardware, unroll: Sequence[Unroll], layer_tile: LayerTile, rules: RuleSet
) -> TemporalMapping:
    """Loops that add to the same outputs come first, and stay below all levels of O."""
    steps = unroll_layer_tile(hardware, unroll, layer_tile.sizes, rules).temporal
    summed = [(dim, n) for dim, n in steps if dim not in layer_tile.layer.output_index.direct]
    others = [(dim, n) for dim, n in steps if dim in layer_tile.layer.output_index.direct]
    loops = (*summed, *others)
    cuts = {}
    for name in operand_names(layer_tile.layer):
        inside = len(summed) if name == "O" else 0
        cuts[name] = (*[inside] * (layer_tile.levels[name] - 1), len(loops))
    return TemporalMapping(loops=loops, cuts=cuts)
