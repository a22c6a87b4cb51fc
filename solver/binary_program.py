"""A CP-SAT model of Booleans alone, written as numbers.

As objects of CP-SAT's interface literals took longer to make than the small models of stack
options take to solve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ortools.sat.python import cp_model

Literal = int
"""Number of a Boolean."""


class BinaryProgram:
    """Booleans, linear constraints, and costs to minimise; `close` writes them into `model`."""

    def __init__(self) -> None:
        self.model = cp_model.CpModel()
        self._literals = 0
        self._costs: list[tuple[Literal, int]] = []

    def new(self, units: int = 0) -> Literal:
        """One more Boolean, which costs so much if true."""
        self._literals += 1
        self.add_cost(self._literals - 1, units)
        return self._literals - 1

    def add_cost(self, literal: Literal, units: int) -> None:
        """What a literal costs if true; not to be told twice."""
        if units:
            self._costs.append((literal, units))

    def exactly_one(self, literals: Sequence[Literal]) -> None:
        """One of some literals is true."""
        self.model.proto.constraints.add().exactly_one.literals.extend(literals)

    def linear(
        self, literals: Sequence[Literal], weights: Sequence[int], low: int, high: int
    ) -> None:
        """What weights of true literals add up to lies between two bounds."""
        linear = self.model.proto.constraints.add().linear
        linear.vars.extend(literals)
        linear.coeffs.extend(weights)
        linear.domain.extend((low, high))

    def close(self) -> None:
        """Write literals and costs down, once."""
        proto = self.model.proto
        if self._literals:
            either = proto.variables.add()
            either.domain.extend((0, 1))
            proto.variables.extend([either] * (self._literals - 1))
        proto.objective.vars.extend([literal for literal, _ in self._costs])
        proto.objective.coeffs.extend([units for _, units in self._costs])
        proto.objective.scaling_factor = 1.0

    def keep_below(self, units: int) -> None:
        """Let only what costs at most so much count."""
        most = sum(cost for _, cost in self._costs)
        self.model.proto.objective.domain.extend([0, min(units, most)])

    def hint(self, values: Mapping[Literal, bool]) -> None:
        """Suggest values."""
        hint = self.model.proto.solution_hint
        hint.vars.extend(list(values))
        hint.values.extend([int(value) for value in values.values()])

    @property
    def hinted(self) -> bool:
        """Whether anything was suggested."""
        return len(self.model.proto.solution_hint.vars) > 0
