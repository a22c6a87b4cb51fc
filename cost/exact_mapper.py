"""The exact mapping search as the mapper of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cost.kernel import evaluate_layer_tile
from cost.layer_model import build_layer_model
from cost.mapping import LayerTile, TemporalMapping, memory_operand
from cost.mapping_bounds import lower_bounds
from cost.mapping_search import best_mapping, size_vector
from cost.policy_result import MappedLayer, Mapper
from cost.reference_mapper import mapped_layer
from cost.rules import RuleSet
from problems.hardware import Hardware
from problems.workload import Layer, Operand, Padding

LATENCY_TIE_WEIGHT = 1e-6
"""pJ per cycle: among mappings of practically equal energy the faster one is taken."""


def exact_mapper(hardware: Hardware, workload: str, rules: RuleSet) -> Mapper:
    """Map each layer-tile at least energy over all loop orders.

    Remembers what was asked; layers that differ in name, sources and padding only map alike.
    """
    known: dict[tuple[object, ...], MappedLayer | None] = {}
    bounds: dict[tuple[object, ...], np.ndarray] = {}

    def best(
        layer: Layer, sizes: Mapping[str, int], levels: Mapping[Operand, int]
    ) -> MappedLayer | None:
        unroll = hardware.unrolling(workload, layer)
        model = build_layer_model(hardware, unroll, layer, rules)
        counts = tuple(levels[memory_operand(name)] for name in model.operands)
        alike = replace(layer, name="", sources=("",) * len(layer.sources), padding=Padding())
        tile = (alike, unroll, tuple(sizes.items()))
        key = (*tile, counts)
        if key in known:
            return known[key]
        vector = size_vector(dict(sizes))
        if tile not in bounds:
            bounds[tile] = lower_bounds(model, vector)
        energy, cycles = bounds[tile][tuple(count - 1 for count in counts)].tolist()
        found = None
        if np.isfinite(energy):
            floor = energy + LATENCY_TIE_WEIGHT * cycles
            w, i, o = counts
            point = best_mapping(model, vector, (w, i, o), (1.0, LATENCY_TIE_WEIGHT), floor)
            if point is not None:
                mapping = TemporalMapping(
                    loops=point.loops,
                    cuts=point.cuts,
                    double_buffered=(
                        point.double_buffered if rules.explicit_double_buffering else None
                    ),
                )
                layer_tile = LayerTile(
                    layer=layer,
                    sizes=tuple(sizes.items()),
                    levels=dict(zip(model.operands, counts, strict=True)),
                )
                cost = evaluate_layer_tile(hardware, unroll, layer_tile, mapping, rules)
                found = mapped_layer(hardware, mapping, cost)
        known[key] = found
        return found

    return best
