"""A replayed record is read as what it was, where it was."""

from __future__ import annotations

import pytest

from schemas import Reason, headers
from worker.text.decode import Decoder, TopicFormat
from worker.types import DeadLetter, Header, Message, Origin, Record

DECODE = Decoder(max_bytes=1000, topics={"lines": TopicFormat("text")}, replay_topic="replay")

SOURCE: dict[str, bytes | None] = {
    headers.SOURCE_TOPIC: b"lines",
    headers.SOURCE_PARTITION: b"3",
    headers.SOURCE_OFFSET: b"41",
    headers.SOURCE_TIMESTAMP: b"1700000000000",
    headers.REPLAYS: b"2",
}


def replayed(value: bytes, changed: dict[str, bytes | None] | None = None, *, without: str = "") -> Record:
    found = {key: held for key, held in {**SOURCE, **(changed or {})}.items() if key != without}
    return Record("replay", 0, 9, 5, None, value, tuple(Header(key, held) for key, held in found.items()))


def test_origin_format_and_id_are_those_of_the_first_topic() -> None:
    """Coordinates, timestamp, default id and format come from where the record first was."""
    message = DECODE(replayed(b"plain text"))
    assert message == Message("lines-3-41", Origin("lines", 3, 41, 1700000000000), "plain text", replays=2)


def test_id_header_is_kept() -> None:
    """An id that the headers carry is the message's."""
    message = DECODE(replayed(b"plain text", {headers.ID: "né-1".encode()}))
    assert isinstance(message, Message)
    assert message.id == "né-1"


def test_no_timestamp_stays_none() -> None:
    """A record that had no timestamp has none after a replay either, not that of the replay."""
    message = DECODE(replayed(b"a", without=headers.SOURCE_TIMESTAMP))
    assert isinstance(message, Message)
    assert message.origin.timestamp_ms is None


def test_last_of_a_repeated_header_counts() -> None:
    """A record replayed twice carries headers twice: the newest are at the end."""
    record = replayed(b"a")
    again = (*record.headers, Header(headers.REPLAYS, b"3"))
    message = DECODE(Record("replay", 0, 9, 5, None, b"a", again))
    assert isinstance(message, Message)
    assert message.replays == 3


def test_failing_again_keeps_origin_and_count() -> None:
    """A dead letter of a replay says where the record first came from and how often it was tried."""
    letter = DECODE(replayed(b"\xff"))
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.replays) == (Reason.NOT_UTF8, 2)
    assert letter.origin == Origin("lines", 3, 41, 1700000000000)


def test_headers_count_on_the_replay_topic_only() -> None:
    """Who writes such headers to an ordinary topic cannot change where a record comes from."""
    record = Record("lines", 1, 2, 3, None, b"a", replayed(b"a").headers)
    assert DECODE(record) == Message("lines-1-2", Origin("lines", 1, 2, 3), "a")


MALFORMED: dict[str, tuple[str, bytes | None]] = {
    "topic_null": (headers.SOURCE_TOPIC, None),
    "topic_odd": (headers.SOURCE_TOPIC, b"a b"),
    "partition_negative": (headers.SOURCE_PARTITION, b"-1"),
    "partition_too_large": (headers.SOURCE_PARTITION, b"2147483648"),
    "offset_null": (headers.SOURCE_OFFSET, None),
    "offset_empty": (headers.SOURCE_OFFSET, b""),
    "offset_word": (headers.SOURCE_OFFSET, b"1_0"),
    "offset_endless": (headers.SOURCE_OFFSET, b"9" * 10_000),
    "timestamp_word": (headers.SOURCE_TIMESTAMP, b"now"),
    "replays_word": (headers.REPLAYS, b"many"),
    "id_not_utf8": (headers.ID, b"\xff"),
    "id_empty": (headers.ID, b""),
}


@pytest.mark.parametrize(("name", "value"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_header_is_a_dead_letter(name: str, value: bytes | None) -> None:
    """A header that cannot be right is named; the letter then says where the replay itself was."""
    letter = DECODE(replayed(b"a", {name: value}))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.INVALID_REPLAY
    assert name in letter.detail
    assert letter.origin == Origin("replay", 0, 9, 5)


REQUIRED = [headers.SOURCE_TOPIC, headers.SOURCE_PARTITION, headers.SOURCE_OFFSET, headers.REPLAYS]


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_header_is_a_dead_letter(name: str) -> None:
    """Only `dlq replay` writes to the replay topic: without its headers a record has no origin."""
    letter = DECODE(replayed(b"a", without=name))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.INVALID_REPLAY


def test_a_null_value_stays_null_through_a_replay() -> None:
    """A tombstone without a key travels as empty bytes and a mark, and is a tombstone again, not a blank text."""
    letter = Decoder(max_bytes=1000, tombstones="dead_letter", replay_topic="replay")(
        replayed(b"", {headers.ERROR_NULL_VALUE: b"1"})
    )
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.TOMBSTONE
