"""The kernel and its searches as the mapper of a policy."""

from __future__ import annotations

from collections.abc import Mapping

from cost.kernel import LayerTileCost
from cost.loop_order_search import LoopOrderSearch
from cost.mapping import LayerTile, TemporalMapping, memory_operand, operand_names
from cost.policy_result import MappedLayer, Mapper
from problems.hardware import Hardware
from problems.workload import Layer, Operand


def loop_order_mapper(search: LoopOrderSearch, workload: str) -> Mapper:
    """The reference's own mapping search, for the layers of the named workload."""

    def best(
        layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        layer_tile = LayerTile(
            layer=layer,
            sizes=tuple(sizes.items()),
            levels={name: levels[memory_operand(name)] for name in operand_names(layer)},
        )
        found = search.best(search.hardware.unrolling(workload, layer), layer_tile)
        if found is None:
            return None
        return mapped_layer(search.hardware, found.mapping, found.cost)

    return best


def mapped_layer(hardware: Hardware, mapping: TemporalMapping, cost: LayerTileCost) -> MappedLayer:
    """Break a mapped layer-tile's cost down by operand and memory."""
    return MappedLayer(
        mac_pj=cost.mac_pj,
        memory_pj=tuple(
            (memory_operand(name), hardware.chains[memory_operand(name)][level], pj)
            for (name, level), pj in cost.level_pj.items()
        ),
        temporal_cycles=cost.temporal_cycles,
        stall_cycles=cost.stall_cycles,
        loading_cycles=cost.loading_cycles,
        mapping=mapping,
    )
