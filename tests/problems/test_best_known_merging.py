"""How best known values and bounds are merged."""

from problems.best_known import WITHDRAWN, Known

OLD, NEW = WITHDRAWN[0], "9.9.9"


def _known(
    value: float | None, bound: float, version: str = NEW, date: str = "2026-01-01"
) -> Known:
    return Known(value=value, bound=bound, date=date, version=version)


def test_the_better_of_both_sides_is_kept() -> None:
    merged = _known(10.0, 8.0).merged(_known(9.0, 7.0, date="2026-01-02"))
    assert (merged.value, merged.bound, merged.date) == (9.0, 8.0, "2026-01-02")
    assert _known(10.0, 8.0).merged(_known(None, 9.0)).bound == 9.0
    same = _known(10.0, 8.0)
    assert same.merged(_known(11.0, 8.0, date="2026-01-02")) == same


def test_a_bound_that_stands_takes_the_place_of_one_withdrawn() -> None:
    """A withdrawn bound may be too high: neither does it stay nor contradict anything."""
    old, new = _known(10.0, 10.0, OLD), _known(9.0, 7.0)
    assert old.agrees(new) and new.agrees(old)
    for merged in (old.merged(new), new.merged(old)):
        assert (merged.value, merged.bound, merged.version) == (9.0, 7.0, NEW)
    assert not _known(10.0, 10.0).agrees(_known(9.0, 7.0))


def test_a_withdrawn_bound_stays_so_when_a_value_falls() -> None:
    merged = _known(10.0, 8.0, OLD).merged(_known(9.0, 8.0, OLD, "2026-01-02"))
    assert (merged.value, merged.version, merged.stands) == (9.0, OLD, False)
