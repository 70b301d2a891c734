"""Which offsets were dealt with, kept in a short text beside a committed offset."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.kafka.progress import MAX_METADATA, Progress, TooScattered

OFFSETS = st.integers(0, 400)


@given(next_=OFFSETS, pieces=st.lists(st.tuples(OFFSETS, OFFSETS, st.sets(OFFSETS))))
def test_what_is_done_is_what_was_passed_and_not_left(next_: int, pieces: list[tuple[int, int, set[int]]]) -> None:
    """An offset is done if it lies below the first, or in a piece that did not leave it."""
    progress, expected = Progress(next_), set(range(next_))
    for start, stop, left in pieces:
        progress = progress.after(start, stop, left)
        expected |= set(range(start, stop)) - left
    assert {offset for offset in range(500) if offset in progress} == expected


@given(next_=OFFSETS, beyond=st.sets(st.integers(401, 3000)))
def test_progress_survives_the_group(next_: int, beyond: set[int]) -> None:
    """What is read back is what was written, and its first open offset is the one committed."""
    progress = Progress(next_, frozenset(beyond)).after(next_, next_, ())
    assert Progress.decode(progress.next, progress.encode()) == progress


def test_nothing_beyond_needs_no_text() -> None:
    """Progress without holes is a plain committed offset, as other tools write it."""
    assert Progress(0).after(0, 7, ()).encode() == ""
    assert Progress.decode(7, "") == Progress.decode(7, None) == Progress.decode(7, "another tool's") == Progress(7)


def test_what_retention_took_is_done() -> None:
    """Offsets below the first one kept no longer hold the progress back."""
    progress = Progress(0).after(0, 10, left=[2]).from_start(3)
    assert progress == Progress(10)


def test_the_worst_order_of_26000_fits() -> None:
    """The broker's limit is met for any choice among 26,000 dead letters."""
    chosen = random.Random(1).sample(range(1, 26_000), 13_000)
    assert len(Progress(0, frozenset(chosen)).encode()) <= MAX_METADATA


def test_more_than_the_broker_keeps_is_refused() -> None:
    """A text over the limit is an error before anything is sent, not a cut text."""
    chosen = random.Random(1).sample(range(1, 60_000), 30_000)
    with pytest.raises(TooScattered):
        Progress(0, frozenset(chosen)).encode()
