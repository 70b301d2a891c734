"""Each kind of bad input has one decided outcome, and never harms another record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import Reason, headers
from worker.text.decode import Decoder, TopicFormat
from worker.types import DeadLetter, Decoded, Dropped, Header, Message, Origin, Passed, Record

MAX_BYTES = 400_000
FORMATS = {"mails": TopicFormat("mail"), "lines": TopicFormat("text")}
SECRET = "hunter2"


def record(value: bytes | None, topic: str = "in", **rest: Any) -> Record:
    given: dict[str, Any] = {"partition": 2, "offset": 7, "timestamp_ms": 1_700_000_000_000, "key": None, **rest}
    return Record(topic=topic, value=value, **given)


def decode(value: bytes | None, topic: str = "in", **settings: Any) -> Decoded:
    return Decoder(max_bytes=MAX_BYTES, topics=FORMATS, **settings)(record(value, topic))


def nested_mail(depth: int) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(depth))
    return b"Subject: x\n" + b"".join(levels) + b"\nx\n" * 1000


DEAD = {
    "json_not_utf8": (b'{"text": "\xff\xfe hunter2"}', Reason.NOT_UTF8),
    "json_raw_surrogate": (b'{"text": "\xed\xa0\x80 hunter2"}', Reason.NOT_UTF8),
    "not_json": (b"hunter2", Reason.INVALID_JSON),
    "json_cut_short": (b'{"text": "hunter2', Reason.INVALID_JSON),
    "json_trailing": (b'{"text": "a"} hunter2', Reason.INVALID_JSON),
    "json_raw_nul": (b'{"text": "a\0hunter2"}', Reason.INVALID_JSON),
    "json_nan": (b'{"text": "hunter2", "timestamp": NaN}', Reason.INVALID_JSON),
    "json_infinity": (b'{"text": "hunter2", "timestamp": -Infinity}', Reason.INVALID_JSON),
    "lone_high_surrogate": (rb'{"text": "hunter2 \ud800"}', Reason.INVALID_JSON),
    "lone_low_surrogate": (rb'{"text": "\udc00 hunter2"}', Reason.INVALID_JSON),
    "deep_arrays": (b'{"text": "a", "metadata": ' + b"[" * 100_000, Reason.INVALID_JSON),
    "deep_objects": (b'{"a":' * 20_000 + b'"hunter2"' + b"}" * 20_000, Reason.INVALID_JSON),
    "endless_number": (b'{"text": "a", "id": ' + b"9" * 20_000 + b"}", Reason.INVALID_JSON),
    "no_text_field": (b'{"body": "hunter2"}', Reason.MISSING_TEXT),
    "no_object": (b'["hunter2"]', Reason.WRONG_TYPE),
    "just_a_string": (b'"hunter2"', Reason.WRONG_TYPE),
    "text_null": (b'{"text": null}', Reason.WRONG_TYPE),
    "text_number": (b'{"text": 5}', Reason.WRONG_TYPE),
    "text_object": (b'{"text": {"hunter2": "hunter2"}}', Reason.WRONG_TYPE),
    "text_array": (b'{"text": ["hunter2"]}', Reason.WRONG_TYPE),
    "id_boolean": (b'{"text": "hunter2", "id": true}', Reason.WRONG_TYPE),
    "metadata_list": (b'{"text": "hunter2", "metadata": ["hunter2"]}', Reason.WRONG_TYPE),
    "empty_text": (b'{"text": ""}', Reason.BLANK_TEXT),
    "white_space": (rb'{"text": " \t\n\u00a0\u3000"}', Reason.BLANK_TEXT),
    "zero_width": (rb'{"text": "\u200b\u200d\ufeff\u2060"}', Reason.BLANK_TEXT),
    "only_nul": (rb'{"text": "\u0000\u0000"}', Reason.BLANK_TEXT),
    "too_many_bytes": (b'{"text": "' + b"a" * MAX_BYTES + b'"}', Reason.TOO_MANY_BYTES),
    "framed_avro": (b"\0\0\0\0\x2a\x0ehunter2", Reason.UNSUPPORTED_FRAMING),
    "framed_protobuf": (b"\0\0\0\0\x2a\0\x0a\x07hunter2", Reason.UNSUPPORTED_FRAMING),
    "framed_nothing": (b"\0\0\0\0\x2a", Reason.UNSUPPORTED_FRAMING),
    "framed_broken_json": (b'\0\0\0\0\x2a{"text": hunter2', Reason.INVALID_JSON),
    "nothing_but_nul": (b"\0", Reason.INVALID_JSON),
}


@pytest.mark.parametrize(("value", "reason"), DEAD.values(), ids=DEAD.keys())
def test_bad_json_is_a_dead_letter(value: bytes, reason: Reason) -> None:
    """It has its reason, its origin, and one line that says what to do without a word of the text."""
    letter = decode(value)
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.reason, letter.replays) == ("decode", reason, 0)
    assert letter.origin == Origin("in", 2, 7, 1_700_000_000_000)
    assert letter.detail
    assert "\n" not in letter.detail
    assert SECRET not in letter.detail
    assert len(letter.detail) < 300


DEAD_ELSEWHERE = {
    "text_not_utf8": ("lines", b"caf\xe9 hunter2", Reason.NOT_UTF8),
    "text_odd_utf16": ("lines", b"\xff\xfea\0b", Reason.NOT_UTF8),
    "text_lone_utf16_surrogate": ("lines", b"\xff\xfe\x00\xd8a\0", Reason.NOT_UTF8),
    "text_empty": ("lines", b"", Reason.BLANK_TEXT),
    "text_only_a_mark": ("lines", b"\xef\xbb\xbf", Reason.BLANK_TEXT),
    "mail_no_header": ("mails", b"hunter2 without any header", Reason.INVALID_MAIL),
    "mail_zero_bytes": ("mails", b"\0\0", Reason.INVALID_MAIL),
    "mail_bomb_depth": ("mails", nested_mail(2000), Reason.INVALID_MAIL),
    "mail_bomb_parts": (
        "mails",
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 5000,
        Reason.INVALID_MAIL,
    ),
    "mail_endless_headers": ("mails", b"Subject: x\n" + b" y\n" * 100_000, Reason.INVALID_MAIL),
    "mail_blank": ("mails", b"Subject: \nFrom: a@example.org\n\n \n", Reason.BLANK_TEXT),
    "mail_too_many_bytes": ("mails", b"Subject: " + b"x" * MAX_BYTES, Reason.TOO_MANY_BYTES),
}


@pytest.mark.parametrize(("topic", "value", "reason"), DEAD_ELSEWHERE.values(), ids=DEAD_ELSEWHERE.keys())
def test_bad_text_or_mail_is_a_dead_letter(topic: str, value: bytes, reason: Reason) -> None:
    """The same holds for the other formats, mail bombs included."""
    letter = decode(value, topic)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == reason
    assert SECRET not in letter.detail


READ = {
    "byte_order_mark": (b'\xef\xbb\xbf{"text": "h\xc3\xa9"}', "hé", "utf-8"),
    "utf16_le": (b"\xff\xfe" + '{"text": "hé"}'.encode("utf-16-le"), "hé", "utf-16-le"),
    "utf16_be": (b"\xfe\xff" + '{"text": "hé"}'.encode("utf-16-be"), "hé", "utf-16-be"),
    "utf32": (b"\xff\xfe\0\0" + '{"text": "hé"}'.encode("utf-32-le"), "hé", "utf-32-le"),
    "framed_json": (b'\0\0\0\0\x2a{"text": "a"}', "a", "utf-8"),
    "framed_json_after_space": (b'\0\0\0\0\x2a \n{"text": "a"}', "a", "utf-8"),
    "framed_json_with_mark": (b'\0\0\0\0\x2a\xef\xbb\xbf{"text": "a"}', "a", "utf-8"),
    "field_twice_last_wins": (b'{"text": "first", "text": "last"}', "last", "utf-8"),
    "surrogate_pair": (rb'{"text": "\ud83d\ude00"}', "😀", "utf-8"),
    "nul_within": (rb'{"text": "a\u0000b"}', "a\0b", "utf-8"),
    "unknown_fields": (b'{"text": "a", "other": [1, {}]}', "a", "utf-8"),
}


@pytest.mark.parametrize(("value", "text", "charset"), READ.values(), ids=READ.keys())
def test_odd_but_readable_json_is_read(value: bytes, text: str, charset: str) -> None:
    """Field report 9: marks, frames, escapes and repeated fields are no reason to refuse a text."""
    message = decode(value)
    assert isinstance(message, Message)
    assert (message.text, message.charset, message.charset_guessed) == (text, charset, False)


def test_a_hundred_thousand_combining_characters_pass() -> None:
    """A letter buried in accents is a text like any other."""
    text = "a" + "\u0301" * 100_000
    message = decode(json.dumps({"text": text}, ensure_ascii=False).encode())
    assert isinstance(message, Message)
    assert message.text == text


def test_huge_integers_are_kept() -> None:
    """An integer of more than 64 bits is an id, and metadata, digit by digit."""
    number = 10**40 + 1
    message = decode(json.dumps({"text": "a", "id": number, "metadata": {"n": number}}).encode())
    assert isinstance(message, Message)
    assert (message.id, message.metadata) == (str(number), {"n": number})


TIMES = {
    "rfc_3339": ('"2023-11-14T22:13:20Z"', "2023-11-14T22:13:20+00:00"),
    "offset_is_kept": ('"2023-11-14T22:13:20.5+02:00"', "2023-11-14T22:13:20.500000+02:00"),
    "no_offset_is_utc": ('"2023-11-14 22:13:20"', "2023-11-14T22:13:20+00:00"),
    "day": ('"2023-11-14"', "2023-11-14T00:00:00+00:00"),
    "seconds": ("1700000000", "2023-11-14T22:13:20+00:00"),
    "parts_of_seconds": ("1700000000.25", "2023-11-14T22:13:20.250000+00:00"),
    "milliseconds": ("1700000000123", "2023-11-14T22:13:20.123000+00:00"),
    "null": ("null", None),
    "a_word": ('"yesterday"', None),
    "digits_may_be_a_day": ('"20231114"', None),
    "no_such_day": ('"2023-02-30"', None),
    "beyond_the_calendar": ("1e300", None),
    "endless": ("9" * 4000, None),
}


@pytest.mark.parametrize(("stamp", "expected"), TIMES.values(), ids=TIMES.keys())
def test_the_time_of_the_text_comes_along(stamp: str, expected: str | None) -> None:
    """`input.fields.timestamp`: RFC 3339, seconds or milliseconds; what is no time is left out, the text is not."""
    settings = TopicFormat("json", {"text": "text", "timestamp": "at.time"})
    value = b'{"text": "a", "at": {"time": %b}}' % stamp.encode()
    message = Decoder(max_bytes=MAX_BYTES, default=settings)(record(value))
    assert isinstance(message, Message)
    assert (message.timestamp and message.timestamp.isoformat()) == expected
    assert message.origin.timestamp_ms == 1_700_000_000_000


TOMBSTONES = {
    "drop": Dropped(Reason.TOMBSTONE),
    "pass": Passed(Reason.TOMBSTONE),
}


@pytest.mark.parametrize(("policy", "outcome"), TOMBSTONES.items(), ids=TOMBSTONES.keys())
@pytest.mark.parametrize("topic", ["in", "mails", "lines"])
def test_tombstones_follow_the_settings(policy: Any, outcome: Decoded, topic: str) -> None:
    """A null value is dropped or passed on, in every format."""
    assert Decoder(max_bytes=MAX_BYTES, topics=FORMATS, tombstones=policy)(record(None, topic, key=b"k")) == outcome


@pytest.mark.parametrize(("policy", "dead"), [("drop", False), ("pass", True), ("dead_letter", True)])
@pytest.mark.parametrize("replayed", [False, True])
def test_a_null_value_without_key_is_not_passed_on(policy: Any, dead: bool, replayed: bool) -> None:
    """It deletes nothing, compacted outputs refuse it, and an empty value in its place would be a text."""
    nothing = record(None, key=None)
    if replayed:
        source = [(headers.SOURCE_TOPIC, b"in"), (headers.SOURCE_PARTITION, b"2"), (headers.SOURCE_OFFSET, b"7")]
        marks = [*source, (headers.REPLAYS, b"1"), (headers.ERROR_NULL_VALUE, b"1")]
        nothing = record(b"", "again", key=None, headers=tuple(Header(*pair) for pair in marks))
    outcome = Decoder(max_bytes=MAX_BYTES, tombstones=policy, replay_topic="again")(nothing)
    assert isinstance(outcome, DeadLetter if dead else Dropped)
    assert outcome.reason == Reason.TOMBSTONE


def test_tombstone_as_dead_letter() -> None:
    """A null value can be a dead letter with a reason of its own."""
    letter = decode(None, tombstones="dead_letter")
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.TOMBSTONE


@pytest.mark.parametrize("topic", ["in", "lines", "mails"])
def test_no_bytes_are_no_tombstone(topic: str) -> None:
    """A value of 0 bytes is a blank text in every format, whatever the settings say of null values."""
    letter = decode(b"", topic, tombstones="drop")
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.BLANK_TEXT


def test_blank_texts_can_be_dropped() -> None:
    """Blank texts leave no output where the settings say so."""
    assert decode(b'{"text": " "}', blank_text="drop") == Dropped(Reason.BLANK_TEXT)


def test_keys_and_headers_do_not_matter() -> None:
    """A key that is not UTF-8, a header without a value and a missing timestamp harm nothing."""
    odd = record(b'{"text": "a"}', key=b"\xff\xfe", timestamp_ms=None, headers=(Header("trace", None),))
    message = Decoder(max_bytes=MAX_BYTES)(odd)
    assert isinstance(message, Message)
    assert message.origin == Origin("in", 2, 7, None)


def test_the_limit_itself_is_allowed() -> None:
    """`max_bytes` is the largest size that is read."""
    value = b'{"text": "a"}'
    assert isinstance(Decoder(max_bytes=len(value))(record(value)), Message)
    assert isinstance(Decoder(max_bytes=len(value) - 1)(record(value)), DeadLetter)
