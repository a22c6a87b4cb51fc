"""Costs of a layer-tile that no mapping and no placement can avoid, for many sizes at once.

The floor of a layer-tile is its MACs, the traffic between MACs and innermost memories
(fixed by the spatial unrolling) and its temporal cycles. Cheap, and enough to discard
most tile sizes before any mapping is searched.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cost.boundary_tables import mac_link_energy
from cost.lattice import N_DIMS, OX, OY, spatial_factors
from cost.layer_model import LayerModel
from cost.mapping_search import mac_port_loads


@njit(cache=True)
def _floor(
    sizes,
    widths,
    heights,
    unroll_dim,
    unroll_factor,
    unroll_level,
    rel,
    stride,
    precision,
    mem_index,
    ports,
    memory,
    mac_pj,
    exact,
    psums,
    n_ports,
):
    out = np.zeros((widths.shape[0], heights.shape[0], 2))
    tile = sizes.copy()
    for i in range(widths.shape[0]):
        for j in range(heights.shape[0]):
            tile[OX] = widths[i]
            tile[OY] = heights[j]
            q, energy_factor, latency_factor = spatial_factors(
                tile, unroll_dim, unroll_factor, exact
            )
            energy = mac_pj
            total = 1
            for d in range(N_DIMS):
                energy *= tile[d]
                total *= q[d]
            for o in range(3):
                energy += mac_link_energy(
                    o,
                    q,
                    energy_factor,
                    tile,
                    unroll_dim,
                    unroll_level,
                    rel,
                    stride,
                    precision,
                    mem_index,
                    memory,
                    exact,
                    psums,
                )
            loads = mac_port_loads(
                q,
                latency_factor,
                tile,
                unroll_dim,
                unroll_level,
                rel,
                stride,
                precision,
                mem_index,
                ports,
                memory,
                exact,
                psums,
                n_ports,
            )
            busiest = 0.0
            for port in range(n_ports):
                busiest = max(busiest, loads[port])
            out[i, j, 0] = energy
            out[i, j, 1] = total + max(0.0, busiest - total)
    return out


def tile_floors(
    model: LayerModel, sizes: np.ndarray, widths: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """[tile, (pJ, cycles)] floors of tiles widths[t] x heights[t]."""
    out = np.empty((len(widths), 2))
    order = np.argsort(widths, kind="stable")
    cuts = np.flatnonzero(np.diff(widths[order])) + 1
    for group in np.split(order, cuts):
        out[group] = floor_costs(model, sizes, widths[group[:1]], heights[group])[0]
    return out


def floor_costs(
    model: LayerModel, sizes: np.ndarray, widths: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """[width, height, (pJ, cycles)] floors of the layer cut to widths x heights outputs."""
    rules = model.rules
    return _floor(
        sizes,
        widths,
        heights,
        model.unroll_dim,
        model.unroll_factor,
        model.unroll_level,
        model.relevance,
        model.stride,
        model.precision_bits,
        model.mem_index,
        model.ports,
        model.memory,
        model.mac_pj,
        rules.integer_unrolling,
        rules.exact_partial_sums,
        int(model.ports.max()) + 1,
    )
