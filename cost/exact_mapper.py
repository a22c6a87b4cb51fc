"""The mapping of least energy as the mapper of a policy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cost.kernel import evaluate_layer_tile
from cost.layer_classes import tile_signature
from cost.layer_model import LayerModel, build_layer_model
from cost.least_demand import overfilled_budget
from cost.least_energy import least_energy_mapping
from cost.mapping import LayerTile, TemporalMapping, memory_operand
from cost.mapping_search import size_vector
from cost.policy_result import MappedLayer, Mapper
from cost.reference_mapper import mapped_layer
from cost.rules import RuleSet
from problems.hardware import Hardware
from problems.workload import Layer, Operand


def exact_mapper(
    hardware: Hardware,
    workload: str,
    rules: RuleSet,
    *,
    overfill: bool = False,
) -> Mapper:
    """Map each layer-tile at least energy over all mappings, remembering what was asked.

    Layers that are alike share their mappings. With `overfill`, a layer-tile that nothing
    fits is mapped within the bits that the reference lets it take (Q12).
    """
    known: dict[tuple[object, ...], MappedLayer | None] = {}
    models: dict[Layer, LayerModel] = {}

    def best(
        layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        unroll = hardware.unrolling(workload, layer)
        if layer not in models:
            models[layer] = build_layer_model(hardware, unroll, layer, rules)
        model = models[layer]
        w, i, o = (levels[memory_operand(name)] for name in model.operands)
        vector = size_vector(dict(sizes))
        key = (*tile_signature(model, vector), w, i, o)
        if key in known:
            return known[key]
        layer_tile = LayerTile(
            layer=layer,
            sizes=tuple(sizes.items()),
            levels=dict(zip(model.operands, (w, i, o), strict=True)),
        )
        point = least_energy_mapping(model, vector, (w, i, o))
        if point is None and overfill:
            budget = overfilled_budget(hardware, unroll, layer_tile, rules)
            if budget is not None:
                bits = np.array(budget, dtype=np.float64)
                point = least_energy_mapping(model, vector, (w, i, o), bits)
        found = None
        if point is not None:
            mapping = TemporalMapping(
                loops=point.loops,
                cuts=point.cuts,
                double_buffered=(
                    point.double_buffered if rules.explicit_double_buffering else None
                ),
            )
            cost = evaluate_layer_tile(hardware, unroll, layer_tile, mapping, rules)
            found = mapped_layer(hardware, mapping, cost)
        known[key] = found
        return found

    return best
