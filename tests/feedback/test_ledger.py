"""Which of several corrections of a message is kept, and what is still to be looked up."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Coordinates
from worker.errors import SettingsError
from worker.feedback.correction import Correction
from worker.feedback.ledger import CHUNK, ledger_beside
from worker.types import Partition

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
PLACE = Partition("comments", 1)


def _correction(offset: int | None = 7, label: str = "spam", minutes: int | None = 0, **more: Any) -> Correction:
    source = None if offset is None else Coordinates(topic=PLACE.topic, partition=PLACE.partition, offset=offset)
    at = None if minutes is None else NOON + timedelta(minutes=minutes)
    return Correction(source, more.get("text"), (label,), more.get("by", "ann"), at, more.get("note"))


def test_the_later_correction_wins(tmp_path: Path) -> None:
    """In whichever order they come; one without a time is older than all; of equal times the one that comes last."""
    with ledger_beside(tmp_path / "out") as ledger:
        assert ledger.put(_correction(minutes=5, label="b", text="x")) == "new"
        assert ledger.put(_correction(minutes=1, label="a")) == "superseded"
        assert ledger.put(_correction(minutes=None, label="a")) == "superseded"
        assert ledger.put(_correction(minutes=5, label="c")) == "superseding"
        assert ledger.put(_correction(minutes=9, label="d", note="sure")) == "superseding"
        assert list(ledger.corrections()) == [_correction(minutes=9, label="d", text="x", note="sure")]


def test_a_correction_that_is_known_is_no_news(tmp_path: Path) -> None:
    """The topic is read from its beginning each time."""
    with ledger_beside(tmp_path / "out") as ledger:
        ledger.put(_correction(text="x"))
        assert ledger.put(_correction()) == "known"
        assert [c.text for c in ledger.corrections()] == ["x"]


def test_what_is_to_be_looked_up_ascends(tmp_path: Path) -> None:
    """By partition, in pieces of bounded size; what has its text is not asked for."""
    offsets = list(range(0, 2 * CHUNK + 2, 2))
    with ledger_beside(tmp_path / "out") as ledger:
        for offset in reversed(offsets):
            ledger.put(_correction(offset))
        ledger.put(_correction(1, text="here"))
        assert ledger.partitions() == [PLACE]
        pieces = [[coordinates.offset for coordinates in piece] for piece in ledger.wanted(PLACE)]
        assert [len(piece) for piece in pieces] == [CHUNK, 1]
        assert [offset for piece in pieces for offset in piece] == offsets
        for offset in offsets[1:]:
            ledger.settle(PLACE, offset, f"text {offset}")
        assert [[c.offset for c in piece] for piece in ledger.wanted(PLACE)] == [[0]]
        assert sum(1 for _ in ledger.corrections()) == len(offsets)


def test_nobody_else_may_look_and_nothing_is_left(tmp_path: Path) -> None:
    """Texts lie on the disk for as long as the collecting takes, in a directory of their owner's."""
    with ledger_beside(tmp_path / "out") as ledger:
        ledger.put(_correction(text="x"))
        (place,) = tmp_path.iterdir()
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """What, and what to do."""
    words = r"cannot write .*: No such file or directory; choose another --out"
    with pytest.raises(SettingsError, match=words), ledger_beside(tmp_path / "no" / "out"):
        pass


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
SOURCES = st.none() | st.builds(
    Coordinates,
    topic=TEXT.filter(bool),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp=TIMES,
)


@given(st.builds(Correction, SOURCES, TEXT, st.lists(TEXT).map(tuple), TEXT, TIMES, st.none() | TEXT))
def test_what_is_kept_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, correction: Correction) -> None:
    """Every character of it, and every microsecond."""
    with ledger_beside(tmp_path_factory.getbasetemp() / "out") as ledger:
        ledger.put(correction)
        assert list(ledger.corrections()) == [correction]
