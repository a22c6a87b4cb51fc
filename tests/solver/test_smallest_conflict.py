"""Smallest conflicts among limits, against all subsets."""

from itertools import combinations
from random import Random

import pytest

from solver.limits import StoppedError
from solver.smallest_conflict import Size, smallest_conflict

Sets = list[frozenset[int]]


def families(seed: int) -> tuple[int, Sets]:
    """A number of limits, and some conflicts among them."""
    rng = Random(seed)
    n = rng.randint(1, 7)
    count = rng.randint(0, 5)
    return n, [frozenset(rng.sample(range(n), rng.randint(1, n))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_the_smallest_is_found(seed: int) -> None:
    """As small as the smallest of all subsets in conflict, and one of them."""
    n, conflicts = families(seed)

    def keeps(kept: frozenset[int]) -> bool:
        return not any(conflict <= kept for conflict in conflicts)

    found = smallest_conflict(range(n), keeps)
    every = (frozenset(s) for k in range(n + 1) for s in combinations(range(n), k))
    wanted = next((s for s in every if not keeps(s)), None)
    if wanted is None:
        assert found is None
        return
    assert found is not None and found.size is Size.SMALLEST
    assert not keeps(found.members) and len(found.members) == len(wanted)


def test_few_questions_leave_it_irreducible() -> None:
    """Deletion meets the larger of two conflicts; without more questions that is said."""
    conflicts = [frozenset({0, 1}), frozenset({2, 3, 4})]

    def keeps(kept: frozenset[int]) -> bool:
        return not any(conflict <= kept for conflict in conflicts)

    found = smallest_conflict(range(5), keeps, most_questions=1)
    assert found is not None
    assert (found.members, found.size) == (conflicts[1], Size.IRREDUCIBLE)
    found = smallest_conflict(range(5), keeps)
    assert found is not None
    assert (found.members, found.size) == (conflicts[0], Size.SMALLEST)


def test_what_stops_leaves_it_unreduced() -> None:
    """Time that runs out on the way; and at once, when nothing can be said."""
    asked = []

    def keeps(kept: frozenset[int]) -> bool:
        asked.append(kept)
        if len(asked) > 2:
            raise StoppedError
        return 1 not in kept

    found = smallest_conflict(range(4), keeps)
    assert found is not None
    assert (found.members, found.size) == (frozenset({1, 2, 3}), Size.UNREDUCED)
    with pytest.raises(StoppedError):
        smallest_conflict(range(4), keeps)
