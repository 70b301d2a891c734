"""From decisions to records: a TaggedMessage, the original with tags in headers, or a dead letter.

Pure: no clock, no Kafka; time is passed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson
from pydantic_core import to_json

from schemas import Reason, headers
from schemas.messages import SCHEMA_VERSION
from worker import __version__
from worker.errors import Refusal, Stop
from worker.types import DeadLetter, Header, Message, Origin, Output, Record

MAX_DETAIL = 300  # characters of an error message; enough for one line

# The fields of a model in `schemas`, in its order. Making the models themselves would cost 10 µs a record; that what is
# written here is what they would write is shown by the tests.
Fields = dict[str, Any]


class Tags(NamedTuple):
    """What is known of one message once it is tagged."""

    label: str | None
    score: float | None
    route: str
    classifications: list[Fields]
    clusters: list[Fields]
    facts: Fields


@dataclass(frozen=True, slots=True)
class ResultForm:
    """How results are written; see `settings.OutputSettings`."""

    format: Literal["tagged", "original"]
    partition: Literal["source", "key"]
    include_text: bool
    timestamp: Literal["source", "processed"]
    dead_letter_topic: str
    default_topic: str
    redact: Callable[[Any], Any] | None = None  # done to text and metadata
    redact_original: Callable[[bytes], bytes] | None = None  # done to a value that is sent on as it came


def result(form: ResultForm, record: Record, message: Message, tags: Tags, now: datetime) -> Output:
    """The output for a tagged message, on the topic of its route."""
    if form.format == "original":
        value, extra = _original(form, record.value), _tag_headers(message, tags, now)
    else:
        value, extra = _json(_tagged_message(form, message, tags, now)), ()
    return Output(
        topic=tags.route,
        value=value,
        key=record.key,
        headers=(*_carried(record.headers), *extra),
        partition=None if form.partition == "key" and record.key is not None else message.origin.partition,
        timestamp_ms=_not_ahead(message.origin.timestamp_ms, now) if form.timestamp == "source" else _milliseconds(now),
    )


def passed(form: ResultForm, record: Record, now: datetime) -> Output:
    """The record as it came, on the default topic: a tombstone that compacted outputs need. It has a key."""
    return Output(
        topic=form.default_topic,
        value=record.value,
        key=record.key,
        headers=_carried(record.headers),
        partition=None if form.partition == "key" and record.key is not None else record.partition,
        timestamp_ms=_not_ahead(record.timestamp_ms, now),
    )


def dead_letter(topic: str, record: Record, letter: DeadLetter, now: datetime) -> Output:
    """The original bytes, key and headers, with what went wrong in `tagstream-error-*` headers."""
    origin = letter.origin or Origin(record.topic, record.partition, record.offset, record.timestamp_ms)
    error = [
        (headers.ERROR_STAGE, letter.stage),
        (headers.ERROR_REASON, letter.reason),
        (headers.ERROR_MESSAGE, letter.detail[:MAX_DETAIL]),
        (headers.ERROR_ATTEMPTS, str(letter.replays + 1)),
        (headers.ERROR_VERSION, __version__),
        (headers.ERROR_TIME, now.isoformat()),
        (headers.SOURCE_TOPIC, origin.topic),
        (headers.SOURCE_PARTITION, str(origin.partition)),
        (headers.SOURCE_OFFSET, str(origin.offset)),
        (headers.REPLAYS, str(letter.replays)),
    ]
    if origin.timestamp_ms is not None:
        error.append((headers.SOURCE_TIMESTAMP, str(origin.timestamp_ms)))
    null_value = record.value is None or any(h.key == headers.ERROR_NULL_VALUE for h in record.headers)
    if null_value:
        error.append((headers.ERROR_NULL_VALUE, "1"))
    return Output(
        topic=topic,
        value=b"" if null_value and record.key is None else record.value,
        key=record.key,
        headers=(*_carried(_without_ours(record.headers)), *_encoded(error)),
        partition=record.partition,
        timestamp_ms=_milliseconds(now),  # retention counts from the failure, not from when an old text was written
    )


def without_value(output: Output) -> Output:
    """A dead letter that was still too large: its size and hash stay, its value and foreign headers go."""
    value = output.value or b""
    ours = tuple(h for h in output.headers if h[0].startswith(headers.PREFIX) and h[0] != headers.NULL_HEADERS)
    digest = hashlib.sha256(value).hexdigest()
    facts = ((headers.ERROR_VALUE_SIZE, str(len(value))), (headers.ERROR_VALUE_SHA256, digest))
    return output._replace(value=b"", key=None, headers=(*ours, *_encoded(facts)))


def refused_result(record: Record, message: Message | None, refusal: Refusal) -> DeadLetter:
    """What a record becomes whose result a topic does not take."""
    size = len(record.value or b"")
    details = {
        "output_too_large": f"the result for {size} bytes is larger than its topic takes: raise max.message.bytes",
        "output_refused": "its topic does not take the result: a compacted one needs a key, others bound the timestamp",
    }
    replays, origin = (message.replays, message.origin) if message else (0, None)
    return DeadLetter("deliver", Reason(refusal), details[refusal], replays, origin)


def refused_dead_letter(output: Output, refusal: Refusal) -> Output:
    """The dead letter without its value, where that was too much. Raises `Stop` where there is nothing less to send."""
    if refusal == "output_refused":
        raise Stop(
            f"topic {output.topic!r} does not take a dead letter: set its cleanup.policy to delete, as a compacted one"
            " takes no record without a key, and see that the clocks agree"
        )
    if any(name == headers.ERROR_VALUE_SIZE for name, _ in output.headers):
        raise Stop(f"topic {output.topic!r} takes not even a dead letter without its value: raise max.message.bytes")
    return without_value(output)


def cause(output: Output) -> tuple[str, str]:
    """Stage and reason of a dead letter."""
    found = dict(output.headers)
    return found[headers.ERROR_STAGE].decode(), found[headers.ERROR_REASON].decode()


def _tagged_message(form: ResultForm, message: Message, tags: Tags, now: datetime) -> Fields:
    text = _as_sent(message) if form.include_text else None
    metadata = dict(message.metadata) if message.metadata is not None else None
    if form.redact:
        text, metadata = form.redact(text), form.redact(metadata)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": message.id,
        "source": _source_ref(message.origin),
        "timestamp": message.timestamp,
        "label": tags.label,
        "score": tags.score,
        "route": tags.route,
        "classifications": tags.classifications,
        "clusters": tags.clusters,
        "text_facts": tags.facts,
        "processed_at": now,
        "text": text,
        "metadata": metadata,
    }


def _json(fields: Fields) -> bytes:
    """The same bytes from either: orjson needs a third of the time, and refuses integers of more than 64 bits."""
    try:
        return orjson.dumps(fields, option=orjson.OPT_UTC_Z)
    except TypeError:
        return to_json(fields)


def _original(form: ResultForm, value: bytes | None) -> bytes | None:
    return form.redact_original(value) if form.redact_original and value else value


def _as_sent(message: Message) -> str:
    return message.text if message.original is None else message.original


def _source_ref(origin: Origin) -> Fields:
    return {
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "timestamp": _time(origin.timestamp_ms),
    }


def _tag_headers(message: Message, tags: Tags, now: datetime) -> tuple[tuple[str, bytes], ...]:
    pairs = [
        (headers.ID, message.id),
        (headers.LABEL, tags.label),
        (headers.SCORE, None if tags.score is None else f"{tags.score:.6f}"),
        (headers.ROUTE, tags.route),
        (headers.PROCESSED_AT, now.isoformat()),
        (headers.REVISION, tags.classifications[0]["revision"] if tags.classifications else None),
    ]
    for cluster in tags.clusters:
        pairs.append((headers.CLUSTER, "unassigned" if cluster["id"] is None else str(cluster["id"])))
        pairs.append((headers.CLUSTER_VERSION, str(cluster["version"])))
    return _encoded([(name, text) for name, text in pairs if text is not None])


def _carried(found: Sequence[Header]) -> tuple[tuple[str, bytes], ...]:
    """Headers to send on. The client cannot send a null value: it becomes empty, and its name is written down."""
    if not found:
        return ()
    nulls = ",".join(h.key for h in found if h.value is None)
    marker = ((headers.NULL_HEADERS, nulls.encode()),) if nulls else ()
    return (*((h.key, h.value or b"") for h in found), *marker)


def _without_ours(found: Sequence[Header]) -> tuple[Header, ...]:
    """A replayed record carries our headers of its last failure: the new ones replace them, and only them."""
    return tuple(h for h in found if not h.key.startswith(headers.OF_A_DEAD_LETTER))


def _encoded(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text.encode("utf-8", "backslashreplace")) for name, text in pairs)


def _time(milliseconds: int | None) -> datetime | None:
    """A timestamp outside of what a calendar holds is as good as none."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _not_ahead(milliseconds: int | None, now: datetime) -> int | None:
    """Kafka refuses records from the future (message.timestamp.after.max.ms): a sender's clock must not stop us."""
    return None if milliseconds is None else min(milliseconds, _milliseconds(now))


def _milliseconds(now: datetime) -> int:
    return int(now.timestamp() * 1000)
