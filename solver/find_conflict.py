"""Why a space holds no schedule at all: the memories and the user's limits in conflict.

The limits are the size of every memory and whatever narrows the space. Lifted, a memory is
larger than anything, and a restriction is gone; widths, energies and the unrolling stay.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import gcd

from cost.rules import RuleSet
from problems.problem import Problem
from solver.conflict import Conflict, ConflictingLimit
from solver.cuts import cuts
from solver.feasible import has_schedule
from solver.limits import SearchLimits, StoppedError
from solver.one_step import can_step, step_demands
from solver.prepare import cost_tables
from solver.restrictions import Narrowing, kept_inside, restricted_ranges, restrictions
from solver.smallest_conflict import LimitSet, Size, smallest_conflict

DEMAND_SECONDS = 10.0
"""How long the least size of one memory that would do is looked for; then a bound is told."""
LIFTED_BITS = 1 << 40
"""Size of a memory that is no limit."""


@dataclass(kw_only=True)
class Limits:
    """Everything that can be in conflict: memories by their index, then restrictions."""

    problem: Problem
    rules: RuleSet
    narrowing: Narrowing
    search: SearchLimits

    def __post_init__(self) -> None:
        self.sizes = tuple(memory.size_bits for memory in self.problem.hardware.memories)
        self.restrictions = restrictions(self.problem, self.narrowing)
        tables = cost_tables(self.problem, self.rules)
        self.demands = [step_demands(tables, layer) for layer in range(len(tables.models))]
        self.end = len(cuts(self.problem.workload)) - 1
        self.grain_bits = _grain(self.problem) if self.rules.integer_unrolling else 1

    @property
    def numbers(self) -> frozenset[int]:
        """All limits."""
        return frozenset(range(len(self.sizes) + len(self.restrictions)))

    def sizes_with(self, kept: frozenset[int]) -> list[int]:
        """Sizes of the memories where only those `kept` are limits."""
        return [
            bits if number in kept else max(bits, LIFTED_BITS)
            for number, bits in enumerate(self.sizes)
        ]

    def stuck(self, kept: frozenset[int]) -> list[int]:
        """Layers that cannot do one step."""
        sizes = self.sizes_with(kept)
        return [e for e, demands in enumerate(self.demands) if not can_step(demands, sizes)]

    def keeps(self, kept: frozenset[int]) -> bool:
        """Whether some schedule keeps the limits `kept`."""
        return self._with_sizes(self.sizes_with(kept), kept, self.search)

    def _with_sizes(self, sizes: list[int], kept: frozenset[int], search: SearchLimits) -> bool:
        if not all(can_step(demands, sizes) for demands in self.demands):
            return False
        search.left()
        hardware = self.problem.hardware
        memories = tuple(
            memory if memory.size_bits == bits else replace(memory, size_bits=bits)
            for memory, bits in zip(hardware.memories, sizes, strict=True)
        )
        changed = replace(self.problem, hardware=replace(hardware, memories=memories))
        active = [x for n, x in enumerate(self.restrictions, len(self.sizes)) if n in kept]
        ranges = restricted_ranges(changed, self.rules, self.narrowing, active, self.restrictions)
        tables = cost_tables(changed, self.rules, inside=kept_inside(active))
        return has_schedule(tables, ranges, self.end, search)

    def demand(self, number: int, members: frozenset[int]) -> tuple[int, bool]:
        """Least size in bits of memory `number` of a conflict that would do.

        With all other limits kept if they can be, else with those of the conflict. And whether
        that is only a bound below it, because time ran out.
        """
        until = time.monotonic() + DEMAND_SECONDS
        if self.search.deadline is not None:
            until = min(until, self.search.deadline)
        search = replace(self.search, deadline=until)
        rest = self.numbers - {number}
        try:
            all_kept = self._with_sizes(self.sizes_with(rest), rest, search)
        except StoppedError:
            all_kept = False
        return self._least_size(number, self.numbers if all_kept else members, search)

    def _least_size(
        self, number: int, kept: frozenset[int], search: SearchLimits
    ) -> tuple[int, bool]:
        """Least size of memory `number` beside the other limits `kept`, and whether a bound."""
        sizes = self.sizes_with(kept)

        def does(bits: int) -> bool:
            return self._with_sizes([*sizes[:number], bits, *sizes[number + 1 :]], kept, search)

        too_small, enough = self.sizes[number], self._least_for_a_step(number, sizes)
        try:
            if does(enough):
                return enough, False  # and no step can be done with less
            while True:
                too_small, enough = enough, 2 * self._whole(enough)
                if does(enough):
                    break
            while self._whole(too_small + 1) < enough:
                middle = self._whole((too_small + enough) // 2)
                if middle >= enough:
                    middle -= self.grain_bits
                too_small, enough = (too_small, middle) if does(middle) else (middle, enough)
        except StoppedError:
            return max(too_small + 1, self._least_for_a_step(number, sizes)), True
        return enough, False

    def _whole(self, bits: int) -> int:
        """The next size, from `bits` on, at which something more may fit."""
        return -(-bits // self.grain_bits) * self.grain_bits

    def _least_for_a_step(self, number: int, sizes: list[int]) -> int:
        """Bits of memory `number` below which some layer surely cannot do a step."""
        least = self._whole(self.sizes[number] + 1)
        open_sizes = [*sizes[:number], LIFTED_BITS * 2, *sizes[number + 1 :]]
        for demands in self.demands:
            fitting = [d.get(number, 0) for d in demands if can_step((d,), open_sizes)]
            least = max(least, min(fitting, default=0))
        return least


def _grain(problem: Problem) -> int:
    """Bits that divide whatever a memory can hold: elements are whole."""
    widths = [problem.workload.input_bits]
    for layer in problem.workload.layers:
        p = layer.precision
        widths += [p.partial_bits, p.output_bits, p.weight_bits, p.input_bits]
    return gcd(*widths)


def find_conflict(
    problem: Problem, rules: RuleSet, narrowing: Narrowing, search: SearchLimits
) -> Conflict | None:
    """A smallest set of limits that no schedule keeps; None if some schedule keeps all.

    Raises StoppedError if time ran out before it was clear whether there is one.
    """
    limits = Limits(problem=problem, rules=rules, narrowing=narrowing, search=search)
    return _first_conflict(limits)


def _first_conflict(limits: Limits) -> Conflict | None:
    found = _stuck_alone(limits, limits.numbers) or smallest_conflict(limits.numbers, limits.keeps)
    if found is None:
        return None
    others: list[LimitSet] = []
    left = limits.numbers - found.members
    try:
        while found.size is not Size.UNREDUCED:
            other = _stuck_alone(limits, left) or smallest_conflict(left, limits.keeps)
            if other is None:
                break
            others.append(other)
            left -= other.members
    except StoppedError:
        pass
    told = [_told(limits, one) for one in [found, *others]]
    return replace(told[0], others=tuple(told[1:]))


def _stuck_alone(limits: Limits, numbers: frozenset[int]) -> LimitSet | None:
    """A memory that is in conflict with nothing but what one step takes, without any search.

    Nothing is smaller: with all limits lifted there always is a schedule, out of DRAM.
    """
    for number in sorted(numbers):
        alone = frozenset((number,))
        if number < len(limits.sizes) and limits.stuck(alone):
            return LimitSet(members=alone, size=Size.SMALLEST)
    return None


def _told(limits: Limits, found: LimitSet) -> Conflict:
    """A conflict with demands, levers and a reason."""
    entries = []
    for number in sorted(found.members):
        if number >= len(limits.sizes):
            restriction = limits.restrictions[number - len(limits.sizes)]
            entries.append(
                ConflictingLimit(
                    name=restriction.name, text=restriction.value, lever=restriction.lever
                )
            )
            continue
        memory = limits.problem.hardware.memories[number]
        demand, is_bound = limits.demand(number, found.members)
        lever = f"enlarge {memory.name}"
        if limits.stuck(found.members):
            lever += " or unroll fewer operands over what it serves"
        entries.append(
            ConflictingLimit(
                name=memory.name,
                limit=memory.size_bits,
                demand=demand,
                demand_is_bound=is_bound,
                unit="bits",
                lever=lever,
            )
        )
    return Conflict(
        problem=limits.problem.source,
        rules=limits.rules.name,
        why=_why(limits, found.members),
        limits=tuple(entries),
        size=found.size,
    )


def _why(limits: Limits, members: frozenset[int]) -> str:
    """What goes wrong, in a few words."""
    names = [layer.name for layer in limits.problem.workload.layers]
    memories = [
        limits.problem.hardware.memories[n].name for n in sorted(members) if n < len(limits.sizes)
    ]
    stuck = [names[e] for e in limits.stuck(members)]
    if stuck:
        who = f"layer {stuck[0]}" if len(stuck) == 1 else f"layers {', '.join(stuck)}"
        where = memories[0] if len(memories) == 1 else "any of " + ", ".join(memories)
        return f"{who} cannot do one step out of {where}"
    if not memories:
        pins = [limits.restrictions[n - len(limits.sizes)] for n in members]
        if any(pin.inside is not None for pin in pins):
            return "no schedule keeps these limits"
        return "no division into stacks keeps these limits"
    if len(memories) == len(members):
        return "what is alive at a time does not fit"
    return "no stacks keep these limits and fit"
