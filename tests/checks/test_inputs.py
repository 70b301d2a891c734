"""What a sample of the input says."""

from __future__ import annotations

import pytest

from worker.checks.inputs import judge_clock, judge_keys, judge_sample, judge_stamps
from worker.text.decode import Decoder, TopicFormat
from worker.types import Record

JSON, TEXT = b'{"text": "secret"}', b"a secret text"
FRAMED, AVRO = b"\0\0\0\0\1" + JSON, b"\0\0\0\0\1\x0csecret"
MAIL = b"From: a@example.org\r\nSubject: secret\r\n\r\nHi\r\n"


def records(*values: bytes | None, timestamp_ms: int | None = None) -> list[Record]:
    return [Record("t", 0, i, timestamp_ms, None, value) for i, value in enumerate(values)]


def judged(format: str, *values: bytes | None) -> str:
    (finding,) = judge_sample("t", records(*values), Decoder(max_bytes=1000, default=TopicFormat(format)), format)
    assert "secret" not in str(finding)
    return f"{finding.severity} {finding}"


@pytest.mark.parametrize(
    ("format", "values", "expected"),
    [
        ("json", [], "ok input t: no records"),
        ("json", [None], "ok input t: no records"),
        ("json", [JSON, FRAMED], "ok input t: the newest 2 records can be read as json"),
        ("json", [JSON, TEXT], "warning input t: 1 of the newest 2 records would be dead letters (invalid_json 1)"),
        ("json", [AVRO, AVRO], "error input t: 2 of the newest 2"),
        ("json", [b'{"body": "x"}'], "error input t: 1 of the newest 1 records would be dead letters (missing_text 1)"),
        ("json", [TEXT], "error input t: the newest 1 values look like text"),
        ("json", [MAIL], "error input t: the newest 1 values look like mail"),
        ("text", [TEXT], "ok input t"),
        ("text", [JSON], "error input t: the newest 1 values look like json"),
        ("text", [FRAMED], "error input t: the newest 1 values look like json (behind schema-registry framing)"),
        ("text", [JSON, TEXT], "ok input t"),
        ("mail", [MAIL], "ok input t"),
        ("mail", [JSON], "error input t: the newest 1 values look like json"),
    ],
)
def test_samples(format: str, values: list[bytes | None], expected: str) -> None:
    """A wrong format is named, single bad records are only a warning, and no text is quoted."""
    assert judged(format, *values).startswith(expected)


def test_avro_is_told_from_other_bad_input() -> None:
    """Framed values that are not JSON need another producer, not another setting."""
    assert "have the producer write JSON" in judged("json", AVRO)


@pytest.mark.parametrize(("ahead_s", "words"), [(60.0, "60 s behind"), (-60.0, "60 s ahead of"), (0.5, "within")])
def test_clock(ahead_s: float, words: str) -> None:
    """A difference to the brokers' clock is said from this machine's side."""
    (finding,) = judge_clock(ahead_s)
    assert words in str(finding)


def test_an_unknown_clock_is_passed_over() -> None:
    """Where the brokers do not tell the time, nothing is said of it."""
    assert judge_clock(None) == []


def test_records_from_the_future() -> None:
    """Only stamps that are well ahead of our clock are a finding."""
    (finding,) = judge_stamps(records(JSON, timestamp_ms=160_000), 100.0)
    assert "60 s in the future" in str(finding)
    assert judge_stamps(records(JSON, timestamp_ms=101_000), 100.0) == []


@pytest.mark.parametrize(
    ("keys", "compacted", "words"),
    [
        (
            [None, b"k", None],
            ["tagged", "dead"],
            "2 of the newest 3 records have no key, which tagged, dead (compacted)",
        ),
        ([None], [], None),
        ([b"k", b""], ["tagged"], None),
    ],
    ids=["no key", "nothing compacted", "keys"],
)
def test_records_without_key(keys: list[bytes | None], compacted: list[str], words: str | None) -> None:
    """Only a compacted topic minds; an empty key is one."""
    found = judge_keys([Record("t", 0, 0, None, key, b"x") for key in keys], compacted)
    assert [finding.severity for finding in found] == (["error"] if words else [])
    assert words is None or words in found[0].what
