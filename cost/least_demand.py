"""What the smallest blocks of a layer-tile take of memories, and where that is too much."""

from __future__ import annotations

from collections.abc import Sequence

from cost.kernel import Overflow, overflows
from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
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


def overfilled_budget(
    hardware: Hardware, unroll: Sequence[Unroll], layer_tile: LayerTile, rules: RuleSet
) -> tuple[int, ...] | None:
    """Bits [memory] within which the reference maps a layer-tile that nothing fits (Q12).

    Where the blocks of one step of the array do not fit a memory together, the reference
    keeps just those in it. At the lowest level of an operand nothing checks that afterwards;
    None if other memories overflow. Every block still fits by itself.
    """
    loops = unroll_layer_tile(hardware, unroll, layer_tile.sizes, rules).temporal
    names = operand_names(layer_tile.layer)
    kept = layer_tile.levels
    mapping = TemporalMapping(
        loops=tuple(loops), cuts={n: (*[0] * (kept[n] - 1), len(loops)) for n in names}
    )
    lowest = {hardware.chains[memory_operand(name)][0] for name in names}
    budget = [memory.size_bits for memory in hardware.memories]
    for over in overflows(hardware, unroll, layer_tile, mapping, rules):
        if over.memory not in lowest:
            return None
        budget[over.memory] = over.held_bits
    return tuple(budget)


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
