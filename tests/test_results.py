"""Results, dead letters and passed records: what they say, what they keep, and that nothing breaks them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Reason, TaggedMessage, headers
from worker import __version__
from worker.errors import Refusal, Stop
from worker.results import (
    MAX_DETAIL,
    ResultForm,
    Tags,
    cause,
    dead_letter,
    passed,
    refused_dead_letter,
    refused_result,
    result,
    without_value,
)
from worker.types import DeadLetter, Header, Message, Origin, Output, Record

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
NOW_MS = 1_767_323_045_678
THEN_MS = 1_500_000_000_123
TAGGED = ResultForm("tagged", "source", False, "source", "dead", "out")
ORIGINAL = replace(TAGGED, format="original")
RECORD = Record("in", 4, 17, THEN_MS, b"key", b'{"text": "good"}', (Header("traceparent", b"00-ab-cd-01"),))
WRITTEN = datetime(2016, 5, 4, 3, 2, 1, tzinfo=timezone(timedelta(hours=2)))
MESSAGE = Message(
    "id-1", Origin("in", 4, 17, THEN_MS), "good", language="en", metadata={"a": [1, None]}, timestamp=WRITTEN
)
CLASSIFICATION = {
    "classifier": "default",
    "kind": "single",
    "labels": ("pos",),
    "scores": {"pos": 0.75, "neg": 0.25},
    "model": "fake",
    "revision": "r1",
}
CLUSTER = {"table": "t", "id": 7, "name": "cats", "similarity": 0.5, "version": 3}
FACTS = {"tokens": 3, "windows": 1, "truncated": False, "language": "en", "charset": "utf-8", "charset_guessed": False}
TAGS = Tags("pos", 0.75, "praise", [CLASSIFICATION], [CLUSTER], FACTS)
LETTER = DeadLetter("decode", Reason.INVALID_JSON, "the value is not JSON", replays=2)


def _tagged(output: Output) -> TaggedMessage:
    """Read as a strict consumer would."""
    assert output.value is not None
    return TaggedMessage.model_validate_json(output.value, strict=True)


def _texts(output: Output) -> dict[str, str]:
    names = [name for name, _ in output.headers]
    assert len(names) == len(set(names))
    return {name: value.decode() for name, value in output.headers}


def test_a_tagged_result_is_the_contract() -> None:
    """The JSON holds strictly to `schemas.TaggedMessage`, and is what that model itself would write."""
    output = result(TAGGED, RECORD, MESSAGE, TAGS, NOW)
    found = _tagged(output)
    assert (found.id, found.label, found.score, found.route, output.topic) == ("id-1", "pos", 0.75, "praise", "praise")
    assert found.source.model_dump() == {
        "topic": "in",
        "partition": 4,
        "offset": 17,
        "timestamp": datetime(2017, 7, 14, 2, 40, 0, 123000, UTC),
    }
    assert found.classifications[0].scores == {"pos": 0.75, "neg": 0.25}
    assert found.clusters[0].model_dump() == CLUSTER
    assert found.text_facts.model_dump() == FACTS
    assert (found.processed_at, found.metadata, found.text) == (NOW, {"a": [1, None]}, None)
    assert found.timestamp == WRITTEN
    assert json.loads(output.value or b"") == json.loads(found.model_dump_json())


def test_the_text_comes_along_only_if_asked() -> None:
    """`output.include_text` puts the text into the result."""
    assert _tagged(result(replace(TAGGED, include_text=True), RECORD, MESSAGE, TAGS, NOW)).text == "good"


def test_the_text_is_the_one_that_was_sent() -> None:
    """What the model was given to read instead is not sent on."""
    message = MESSAGE._replace(text="prepared", original="As Sent")
    assert _tagged(result(replace(TAGGED, include_text=True), RECORD, message, TAGS, NOW)).text == "As Sent"


def test_text_metadata_and_originals_are_redacted() -> None:
    """All that a result says of its message passes through the redaction."""
    form = replace(TAGGED, include_text=True, redact=lambda value: {"all": "***"} if isinstance(value, dict) else "***")
    tagged = _tagged(result(form, RECORD, MESSAGE, TAGS, NOW))
    assert (tagged.text, tagged.metadata) == ("***", {"all": "***"})
    original = result(replace(ORIGINAL, redact_original=lambda value: b"***"), RECORD, MESSAGE, TAGS, NOW)
    assert original.value == b"***"


def test_nothing_known_is_null_and_not_missing() -> None:
    """Without classifier, cluster, metadata and timestamps every field is still there."""
    message = Message("id-1", Origin("in", 4, 17, None), "good")
    output = result(TAGGED, RECORD, message, Tags(None, None, "out", [], [], FACTS), NOW)
    assert json.loads(output.value or b"").keys() == TaggedMessage.model_fields.keys()
    found = _tagged(output)
    assert (found.label, found.score, found.metadata, found.source.timestamp) == (None, None, None, None)


def test_the_original_goes_on_untouched() -> None:
    """`original`: the input's own bytes and headers, with the tags in `tagstream-*` headers."""
    output = result(ORIGINAL, RECORD, MESSAGE, TAGS, NOW)
    assert output.value == RECORD.value
    assert _texts(output) == {
        "traceparent": "00-ab-cd-01",
        headers.ID: "id-1",
        headers.LABEL: "pos",
        headers.SCORE: "0.750000",
        headers.ROUTE: "praise",
        headers.PROCESSED_AT: NOW.isoformat(),
        headers.REVISION: "r1",
        headers.CLUSTER: "7",
        headers.CLUSTER_VERSION: "3",
    }


def test_an_original_without_label_has_no_label_header() -> None:
    """What is not known has no header; far from every cluster is `unassigned`."""
    output = result(ORIGINAL, RECORD, MESSAGE, Tags(None, None, "out", [], [{**CLUSTER, "id": None}], FACTS), NOW)
    found = _texts(output)
    assert found[headers.CLUSTER] == "unassigned"
    assert not {headers.LABEL, headers.SCORE, headers.REVISION} & found.keys()


@pytest.mark.parametrize("form", [TAGGED, ORIGINAL], ids=lambda form: form.format)
def test_key_and_headers_are_carried(form: ResultForm) -> None:
    """Repeated headers stay in order; a null value, which the client cannot send, is empty and written down."""
    sent = (Header("a", b"1"), Header("none", None), Header("a", b""), Header("nil", None), Header("ü", b"\xff"))
    output = result(form, RECORD._replace(headers=sent), MESSAGE, TAGS, NOW)
    assert output.key == b"key"
    carried = (("a", b"1"), ("none", b""), ("a", b""), ("nil", b""), ("ü", b"\xff"))
    assert output.headers[: len(carried) + 1] == (*carried, (headers.NULL_HEADERS, b"none,nil"))


@pytest.mark.parametrize(
    ("partition", "key", "expected"),
    [
        pytest.param("source", b"key", 4, id="source"),
        pytest.param("source", None, 4, id="source-no-key"),
        pytest.param("key", b"key", None, id="key"),
        pytest.param("key", b"", None, id="empty-key"),
        pytest.param("key", None, 4, id="no-key-keeps-its-order"),
    ],
)
def test_the_partition_of_an_output(partition: Any, key: bytes | None, expected: int | None) -> None:
    """By source partition, or by key; without a key the source partition keeps the order."""
    form, record = replace(TAGGED, partition=partition), RECORD._replace(key=key)
    assert result(form, record, MESSAGE, TAGS, NOW).partition == expected
    assert passed(form, record, NOW).partition == expected


def test_the_timestamp_of_an_output() -> None:
    """The source's, or now; a source without one leaves it to the producer."""
    assert result(TAGGED, RECORD, MESSAGE, TAGS, NOW).timestamp_ms == THEN_MS
    assert result(replace(TAGGED, timestamp="processed"), RECORD, MESSAGE, TAGS, NOW).timestamp_ms == NOW_MS
    timeless = MESSAGE._replace(origin=MESSAGE.origin._replace(timestamp_ms=None))
    assert result(TAGGED, RECORD, timeless, TAGS, NOW).timestamp_ms is None


def test_no_output_is_dated_ahead_of_now() -> None:
    """Kafka refuses records from the future: a sender's clock must not stop the worker; the result keeps its time."""
    ahead = MESSAGE._replace(origin=MESSAGE.origin._replace(timestamp_ms=NOW_MS + 86_400_000))
    output = result(TAGGED, RECORD, ahead, TAGS, NOW)
    assert output.timestamp_ms == NOW_MS
    assert str(_tagged(output).source.timestamp).startswith("2026-01-03")
    assert passed(TAGGED, RECORD._replace(timestamp_ms=NOW_MS + 1), NOW).timestamp_ms == NOW_MS


def test_a_replayed_message_is_a_result_of_its_first_place() -> None:
    """Source, partition and timestamp are those of the first reading, not of the replay topic."""
    record = RECORD._replace(topic="again", partition=0, offset=2, timestamp_ms=NOW_MS)
    output = result(TAGGED, record, MESSAGE, TAGS, NOW)
    assert (output.partition, output.timestamp_ms) == (4, THEN_MS)
    assert _tagged(output).source.offset == 17


@pytest.mark.parametrize("stamp", [-(2**63), -1, 0, 253_402_300_800_000, 2**63 - 1])
def test_timestamps_that_no_calendar_holds(stamp: int) -> None:
    """A timestamp before the year 1 or after 9999 is as good as none, and stops nothing."""
    message = MESSAGE._replace(origin=MESSAGE.origin._replace(timestamp_ms=stamp))
    found = _tagged(result(TAGGED, RECORD, message, TAGS, NOW)).source.timestamp
    assert (found is None) == (stamp not in (-1, 0))


def test_a_dead_letter_says_what_and_where() -> None:
    """The original bytes, key and headers; what went wrong in headers; retention counts from the failure."""
    output = dead_letter("dead", RECORD, LETTER, NOW)
    assert (output.topic, output.value, output.key, output.partition) == ("dead", RECORD.value, b"key", 4)
    assert output.timestamp_ms == NOW_MS
    assert _texts(output) == {
        "traceparent": "00-ab-cd-01",
        headers.ERROR_STAGE: "decode",
        headers.ERROR_REASON: "invalid_json",
        headers.ERROR_MESSAGE: "the value is not JSON",
        headers.ERROR_ATTEMPTS: "3",
        headers.ERROR_VERSION: __version__,
        headers.ERROR_TIME: NOW.isoformat(),
        headers.SOURCE_TOPIC: "in",
        headers.SOURCE_PARTITION: "4",
        headers.SOURCE_OFFSET: "17",
        headers.SOURCE_TIMESTAMP: str(THEN_MS),
        headers.REPLAYS: "2",
    }


def test_a_second_failure_replaces_the_first() -> None:
    """A record that comes back from a replay has one set of our headers, and its first coordinates."""
    first = dead_letter("dead", RECORD, LETTER, NOW)
    again = Record("again", 0, 2, NOW_MS, first.key, first.value, tuple(Header(*pair) for pair in first.headers))
    letter = replace(LETTER, replays=3, origin=Origin("in", 4, 17, THEN_MS))
    second = dead_letter("dead", again, letter, NOW)
    assert _texts(second) == {**_texts(first), headers.REPLAYS: "3", headers.ERROR_ATTEMPTS: "4"}


@pytest.mark.parametrize(("key", "value"), [(b"key", None), (None, b"")])
def test_a_null_value_is_marked(key: bytes | None, value: bytes | None) -> None:
    """A tombstone stays null; without a key, which Kafka's clients refuse, it is empty. The marker tells both."""
    output = dead_letter("dead", RECORD._replace(key=key, value=None), LETTER, NOW)
    assert (output.key, output.value) == (key, value)
    assert _texts(output)[headers.ERROR_NULL_VALUE] == "1"
    again = Record("again", 0, 2, None, key, output.value, tuple(Header(*pair) for pair in output.headers))
    assert _texts(dead_letter("dead", again, LETTER, NOW))[headers.ERROR_NULL_VALUE] == "1"


def test_an_empty_value_is_not_null() -> None:
    """Nothing marks a value that was empty from the start."""
    assert headers.ERROR_NULL_VALUE not in _texts(dead_letter("dead", RECORD._replace(value=b""), LETTER, NOW))


def test_a_long_message_is_cut() -> None:
    """The error's text is one line of bounded length."""
    output = dead_letter("dead", RECORD, replace(LETTER, detail="x" * 10_000), NOW)
    assert len(_texts(output)[headers.ERROR_MESSAGE]) == MAX_DETAIL


@pytest.mark.parametrize("refusal", get_args(Refusal))
def test_a_refused_result_is_a_dead_letter(refusal: Refusal) -> None:
    """The original goes to the dead letters, with the reason and what to do, in a line that is not cut."""
    letter = refused_result(RECORD, None, refusal)
    output = dead_letter("dead", RECORD, letter, NOW)
    assert (output.topic, output.value) == ("dead", RECORD.value)
    assert cause(output) == ("deliver", refusal)
    assert refusal in set(Reason)
    assert letter.detail == _texts(output)[headers.ERROR_MESSAGE]
    assert {"output_too_large": "max.message.bytes", "output_refused": "needs a key"}[refusal] in letter.detail


def test_too_large_a_dead_letter_loses_its_value() -> None:
    """Coordinates and reason stay, with size and hash of the value; what may be large goes."""
    large = (Header("large", b"h" * 5000), Header("n" * 5000, None))
    record = RECORD._replace(value=b"v" * 5000, key=b"k" * 5000, headers=large)
    output = refused_dead_letter(dead_letter("dead", record, LETTER, NOW), "output_too_large")
    found = _texts(output)
    assert (output.value, output.key, output.topic, output.partition) == (b"", None, "dead", 4)
    assert found[headers.ERROR_VALUE_SIZE] == "5000"
    assert found[headers.ERROR_VALUE_SHA256] == hashlib.sha256(b"v" * 5000).hexdigest()
    assert (found[headers.SOURCE_OFFSET], found[headers.ERROR_REASON]) == ("17", "invalid_json")
    assert sum(len(name) + len(value) for name, value in output.headers) < 2000
    assert cause(output) == ("decode", "invalid_json")
    with pytest.raises(Stop, match=r"'dead'.*max\.message\.bytes"):
        refused_dead_letter(output, "output_too_large")  # nothing less can be sent


def test_a_dead_letter_that_its_topic_never_takes_stops() -> None:
    """A compacted topic would refuse it without its value too: the line says what to set."""
    with pytest.raises(Stop, match=r"'dead'.*cleanup\.policy to delete"):
        refused_dead_letter(dead_letter("dead", RECORD, LETTER, NOW), "output_refused")


def test_a_passed_record_is_as_it_came() -> None:
    """A tombstone for compacted outputs keeps key, headers, timestamp and its null."""
    output = passed(TAGGED, RECORD._replace(value=None), NOW)
    assert output == Output("out", None, b"key", (("traceparent", b"00-ab-cd-01"),), 4, THEN_MS)


RECORDS = st.builds(
    Record,
    topic=st.just("in"),
    partition=st.integers(0, 9),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.none() | st.integers(-(2**63), 2**63 - 1),
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=50),
    headers=st.lists(st.builds(Header, st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=5).map(tuple),
)
ANY_TEXT = st.text(st.sampled_from("a\n\x00\ud800€"), max_size=20)


@given(record=RECORDS, detail=ANY_TEXT)
def test_any_record_can_be_a_dead_letter(record: Record, detail: str) -> None:
    """Whatever the bytes, a dead letter can be made of them, and one without its value, and be sent."""
    output = dead_letter("dead", record, replace(LETTER, detail=detail), NOW)
    for sent in (output, without_value(output)):
        assert all(isinstance(value, bytes) for _, value in sent.headers)
        assert sent.key is not None or sent.value is not None
    assert output.value == record.value or (record.value is None and output.value == b"")


@given(record=RECORDS, identity=st.text(max_size=20), text=st.text(max_size=50), label=st.text(max_size=20))
def test_any_message_can_be_a_result(record: Record, identity: str, text: str, label: str) -> None:
    """Whatever id, text, headers and label, the JSON is a strict TaggedMessage; the original's headers are bytes."""
    message = Message(identity, Origin("in", record.partition, record.offset, record.timestamp_ms), text)
    tags = TAGS._replace(label=label)
    original = result(ORIGINAL, record, message, tags, NOW)
    assert original.value == record.value
    assert all(isinstance(value, bytes) for _, value in original.headers)
    found = _tagged(result(replace(TAGGED, include_text=True), record, message, tags, NOW))
    assert (found.id, found.text, found.label) == (identity, text, label)


def test_a_replay_that_is_refused_keeps_its_origin_and_count() -> None:
    """Else it would come back for ever, as a new record of the replay topic."""
    origin = Origin("first", 5, 77, 1)
    message = MESSAGE._replace(origin=origin, replays=2)
    sent = dict(dead_letter("dead", RECORD, refused_result(RECORD, message, "output_too_large"), NOW).headers)
    assert sent[headers.SOURCE_TOPIC] == b"first"
    assert sent[headers.SOURCE_OFFSET] == b"77"
    assert sent[headers.REPLAYS] == b"2"
