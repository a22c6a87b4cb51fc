"""Loop factors of a layer-tile and the orders that the reference tries, in its order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from problems.errors import FuseproofError

Loop = tuple[str, int]
"""A temporal loop: dim and number of steps."""


class TooFewLoopFactorsError(FuseproofError, ValueError):
    """The limit on loop factors is below the number of loop dims that need one."""


def prime_factors(number: int) -> list[int]:
    """Prime factors in ascending order.

    >>> prime_factors(60)
    [2, 2, 3, 5]
    """
    factors = []
    divisor = 2
    while number > 1:
        if divisor * divisor > number:
            divisor = number
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors


def loop_factors(temporal: Sequence[Loop], limit: int) -> list[Loop]:
    """Split temporal loops into prime factors, merged until at most `limit` remain.

    The dim with most factors (the first declared on ties) loses its two smallest to their
    product. Raises TooFewLoopFactorsError if `limit` is below the number of dims with
    more than one step: the reference crashes there.
    """
    factors = {dim: prime_factors(steps) for dim, steps in temporal if steps > 1}
    if len(factors) > limit:
        raise TooFewLoopFactorsError(
            f"a limit of {limit} loop factors cannot cover the {len(factors)} loop dims "
            f"{', '.join(factors)}; allow at least {len(factors)}"
        )
    while sum(map(len, factors.values())) > limit:
        longest = max(factors.values(), key=len)
        longest[:2] = [longest[0] * longest[1]]
        longest.sort()
    return [(dim, factor) for dim, row in factors.items() for factor in row]


def loop_orders(loops: Sequence[Loop]) -> Iterator[tuple[Loop, ...]]:
    """Yield every distinct order of a multiset of loops once, innermost loop first.

    Cool-lex order (Williams, Loopless Generation of Multiset Permutations by Prefix
    Shifts, 2009), which is what settles ties in the reference.
    """
    order = sorted(loops, reverse=True)
    yield tuple(order)
    count = len(order)
    at = count - 2
    while at + 2 < count or (count > 1 and order[at + 1] < order[0]):
        moved = at + 2 if at + 2 < count and order[at + 2] <= order[at] else at + 1
        loop = order.pop(moved)
        at = 0 if loop < order[0] else at + 1
        order.insert(0, loop)
        yield tuple(order)
