"""The size of the next batch follows the rate of the last ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sizing import FEWEST, BatchSizer, Sizing


def _after(*observed: tuple[int, float], target_s: float = 1.0, max_records: int = 2000) -> int:
    sizer = BatchSizer(Sizing(target_s, max_records))
    for records, seconds in observed:
        sizer.observe(records, seconds)
    return sizer.records


def test_it_starts_small() -> None:
    """Before anything is known a batch is of moderate size, and never above the maximum."""
    assert _after() == 256
    assert _after(max_records=10) == 10


@pytest.mark.parametrize("rate", [20, 100, 777, 1999])
@pytest.mark.parametrize("target_s", [0.5, 1.0])
def test_it_is_steered_to_the_target_time(rate: int, target_s: float) -> None:
    """On a machine of a steady rate, a batch soon takes the target time, from whatever size it began."""
    sizer = BatchSizer(Sizing(target_s, 2000))
    for _ in range(20):
        sizer.observe(sizer.records, sizer.records / rate)
    assert sizer.records == max(FEWEST, int(rate * target_s)) or abs(sizer.records / rate - target_s) < 0.01


def test_a_change_of_rate_is_followed() -> None:
    """After a change of the load the size settles at the new rate; one slow batch alone moves it only in part."""
    fast = [(1000, 1.0)] * 10
    assert 700 <= _after(*fast, (100, 1.0)) < 1000
    assert _after(*fast, *[(100, 1.0)] * 30) == 100


@pytest.mark.parametrize("observed", [(100_000, 1.0), (1, 0.0), (2000, 1e-12)])
def test_never_above_the_maximum(observed: tuple[int, float]) -> None:
    """However fast a batch was, the maximum holds; a clock that stood still is no failure."""
    assert _after(observed) == 2000


def test_never_below_the_fewest() -> None:
    """A batch too small for a packed pass wastes the machine, unless the maximum asks for it."""
    assert _after((1, 60.0)) == FEWEST
    assert _after((1, 60.0), max_records=5) == 5


def test_empty_batches_say_nothing() -> None:
    """A batch that only commits positions does not count."""
    assert _after((0, 5.0), (0, 0.0)) == 256
    assert _after((500, 1.0), (0, 5.0)) == 500


@given(
    observed=st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 1e6)), max_size=20),
    target_s=st.floats(1e-6, 1e4),
    max_records=st.integers(1, 10**6),
)
def test_the_size_is_always_within_bounds(observed: list[tuple[int, float]], target_s: float, max_records: int) -> None:
    """Whatever was seen, there is something to poll, and not more than the maximum."""
    assert 1 <= _after(*observed, target_s=target_s, max_records=max_records) <= max_records
