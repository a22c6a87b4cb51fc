"""What a policy arrives at: one row of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from solver.objective import Objective
from solver.policies.fixed_stacks import Placed, Stacks


class Legality(StrEnum):
    """Whether a schedule may run as it is."""

    FEASIBLE = "feasible"
    REPAIRED = "repaired"
    """The policy's cuts, tiles and mode; placements and mappings are the best that fit."""
    INFEASIBLE = "infeasible"
    """Costed as if its memories were large enough; it could not run."""
    NONE = "no schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """A policy's schedule: its cost, and whether it can run. Without one, costs are None."""

    policy: str
    legality: Legality
    energy_pj: float | None
    latency_cycles: float | None
    stacks: Stacks
    note: str

    def value(self, objective: Objective) -> float | None:
        """Objective value."""
        if self.energy_pj is None or self.latency_cycles is None:
            return None
        return float(objective.of(self.energy_pj, self.latency_cycles))


def point_of(
    policy: str,
    stacks: Stacks,
    placed: Placed | None,
    note: str,
    legality: Legality = Legality.FEASIBLE,
) -> PolicyPoint:
    """The row of placed stacks; `None` means that nothing fits."""
    if placed is None:
        return no_point(policy, "nothing fits, or nothing found in time")
    if placed.note:
        note += f"; {placed.note}"
    return PolicyPoint(
        policy=policy,
        legality=legality,
        energy_pj=placed.energy_pj,
        latency_cycles=placed.latency_cycles,
        stacks=stacks,
        note=note,
    )


def no_point(policy: str, why: str) -> PolicyPoint:
    """The row of a policy that has no schedule."""
    return PolicyPoint(
        policy=policy,
        legality=Legality.NONE,
        energy_pj=None,
        latency_cycles=None,
        stacks=(),
        note=why,
    )


def _layers_text(layers: tuple[int, ...]) -> str:
    """Positions of layers, runs of them by their ends: 3-5,7."""
    starts = [k for k, layer in enumerate(layers) if k == 0 or layer != layers[k - 1] + 1]
    parts = []
    for start, stop in zip(starts, [*starts[1:], len(layers)], strict=True):
        first, last = layers[start], layers[stop - 1]
        parts.append(f"{first}" if first == last else f"{first}-{last}")
    return ",".join(parts)


def describe(stacks: Stacks) -> str:
    """Stacks in few words: layers, tile and mode of each; equal tiles named once."""
    tiles = {(stack.tile_x, stack.tile_y, stack.mode) for stack in stacks}
    runs = [_layers_text(stack.layers) for stack in stacks]
    if len(tiles) == 1:
        x, y, mode = next(iter(tiles))
        return f"layers {' | '.join(runs)}: {x} x {y}, {mode.value}"
    return "; ".join(
        f"layers {run}: {stack.tile_x} x {stack.tile_y}, {stack.mode.value}"
        for run, stack in zip(runs, stacks, strict=True)
    )
