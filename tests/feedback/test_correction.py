"""One record of the feedback topic: what it says, and why it says nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import Skip
from worker.feedback.correction import Correction, read_correction
from worker.types import Record

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
SOURCE = {"topic": "comments", "partition": 1, "offset": 7}
GOOD: dict[str, Any] = {"source": SOURCE, "labels": ["spam"], "by": "ann", "at": "2030-01-31T13:00:00+01:00"}


def _record(value: bytes | None, timestamp_ms: int | None = 1000) -> Record:
    return Record("feedback", 0, 3, timestamp_ms, None, value)


def _read(*, timestamp_ms: int | None = 1000, **fields: Any) -> Correction:
    said = {name: value for name, value in {**GOOD, **fields}.items() if value is not ...}
    return read_correction(_record(json.dumps(said).encode(), timestamp_ms), 100)


def test_a_correction_is_read() -> None:
    """Labels in one order, each once; the time in UTC; fields that a later version adds are passed over."""
    found = _read(labels=["spam", " ham ", "spam"], note="an advertisement", tomorrow=1)
    assert (found.labels, found.by, found.at, found.note) == (("ham", "spam"), "ann", NOON, "an advertisement")
    assert found.source is not None
    assert found.source.model_dump(exclude_none=True) == SOURCE


def test_it_may_be_framed_or_marked() -> None:
    """As the input may: behind a schema registry's frame, or with a byte-order mark."""
    plain = json.dumps(GOOD).encode()
    for value in (b"\0\0\0\0\x05" + plain, b"\xef\xbb\xbf" + plain, json.dumps(GOOD).encode("utf-16")):
        assert read_correction(_record(value), 100) == read_correction(_record(plain), 100)


def test_the_time_of_the_record_stands_in() -> None:
    """Where nobody says when; a record without one, or from beyond all years, has no time."""
    assert _read(at=...).at == datetime.fromtimestamp(1, UTC)
    assert _read(at=..., timestamp_ms=None).at is None
    assert _read(at=..., timestamp_ms=2**62).at is None


def test_a_message_is_known_by_its_coordinates_or_its_text() -> None:
    """Whoever corrects it, and whenever; the coordinates count where both are there."""
    assert _read().identity == _read(by="bob", labels=["ham"], text="words").identity
    assert _read().identity != _read(source={**SOURCE, "offset": 8}).identity
    assert _read(source=..., text="a").identity != _read(source=..., text="b").identity


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "tombstone", "the value is null"),
        (b"", "invalid_json", "not JSON"),
        (b'{"text": "secret', "invalid_json", "not JSON"),
        (b"\xffsecret", "not_utf8", "byte 0"),
        (b'\0\0\0\0\1\x0esecret"', "unsupported_framing", "schema id 1"),
        ({**GOOD, "schema_version": 2}, "other_version", "schema_version is another one"),
        ({**GOOD, "source": None}, "wrong_fields", "neither source nor text is there"),
        ({**GOOD, "labels": "secret"}, "wrong_fields", "labels: Input should be a valid"),
        ({**GOOD, "labels": ["secret", " "]}, "wrong_fields", "labels.1: String should match"),
        ({**GOOD, "by": ""}, "wrong_fields", "by: String should have"),
        ({**GOOD, "at": "2030-01-31T12:00:00"}, "wrong_fields", "at: Input should have timezone info"),
        ({**GOOD, "source": {**SOURCE, "offset": -1}}, "wrong_fields", "source.offset: "),
        ({**GOOD, "text": " \n"}, "blank_text", "shows nothing"),
        ({**GOOD, "text": "secret" * 17}, "too_many_bytes", r"text.max_bytes \(100\)"),
        (["secret"], "wrong_fields", "should be an object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_feedback_has_a_reason(value: Any, reason: str, detail: str) -> None:
    """One of a few, and words that hold nothing of what it holds."""
    with pytest.raises(Skip, match=detail) as caught:
        read_correction(
            _record(value if value is None or isinstance(value, bytes) else json.dumps(value).encode()), 100
        )
    assert caught.value.reason == reason
    assert "secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "text", "note"]), inner),
)


@given(JSON | st.binary(), st.none() | st.integers(-(2**63), 2**63))
def test_no_record_does_any_harm(value: Any, timestamp_ms: int | None) -> None:
    """It is read, or it is skipped."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        found = read_correction(_record(data, timestamp_ms), 100)
    except Skip:
        return
    assert found.identity
