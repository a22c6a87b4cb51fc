"""A stack option with every placement decided, and what its parts cost."""

from __future__ import annotations

from dataclasses import dataclass

from solver.option_choices import LayerChoice, OptionChoices, PhaseChoice
from solver.places import Places


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionPlan:
    """A stack option with every placement decided.

    `weights[layer]`, `h[(layer, key)]`, `v[layer]`: memory indices; `layers` and
    `phases`: the choice per (kind, layer). `free_bits[(kind, layer)]` [memory]: what the mapping of
    a layer-tile may take beside all else.
    """

    choices: OptionChoices
    weights: dict[int, int]
    h: dict[tuple[int, tuple[int, bool]], int]
    v: dict[int, int]
    layers: dict[tuple[int, int], LayerChoice]
    phases: dict[tuple[int, int], PhaseChoice]
    free_bits: dict[tuple[int, int], tuple[float, ...]]

    @property
    def places(self) -> Places:
        """The memories alone."""
        return Places(
            weights=self.weights,
            h=self.h,
            v=self.v,
            layers={at: layer.memories for at, layer in self.layers.items()},
            phases={at: phase.memories for at, phase in self.phases.items()},
        )


def entry_cost(entry: LayerChoice | PhaseChoice) -> tuple[float, float]:
    """(pJ, cycles) of a choice for one tile, writing out beside included."""
    if isinstance(entry, LayerChoice):
        return entry.energy_pj + entry.export_pj, entry.latency_cycles + entry.export_cycles
    return entry.energy_pj, entry.latency_cycles
