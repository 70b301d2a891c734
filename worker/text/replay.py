"""Where a replayed record first came from, as its headers say."""

from __future__ import annotations

import re
from typing import NamedTuple

from schemas import Reason, headers
from worker.errors import Skip
from worker.types import Origin, Record

_TOPIC = re.compile(rb"[a-zA-Z0-9._-]{1,249}")
_MAX_INT32 = 2**31 - 1
_MAX_INT64 = 2**63 - 1


class Arrival(NamedTuple):
    """A record's origin, how often it was replayed, its id if that is already known, and whether its value was null."""

    origin: Origin
    replays: int = 0
    id: str | None = None
    was_null: bool = False


def arrival(record: Record) -> Arrival:
    """Read the headers of a record of the replay topic. Raises `Skip` where one is missing or malformed."""
    found = {header.key: header.value for header in record.headers}  # of a repeated header the last counts, as in Kafka
    topic = found.get(headers.SOURCE_TOPIC)
    if topic is None or not _TOPIC.fullmatch(topic):
        raise _malformed(headers.SOURCE_TOPIC, "a topic name")
    origin = Origin(
        topic.decode("ascii"),
        _number(found, headers.SOURCE_PARTITION, _MAX_INT32),
        _number(found, headers.SOURCE_OFFSET, _MAX_INT64),
        _number(found, headers.SOURCE_TIMESTAMP, _MAX_INT64) if headers.SOURCE_TIMESTAMP in found else None,
    )
    replays = _number(found, headers.REPLAYS, _MAX_INT32)
    return Arrival(origin, replays, _id(found), headers.ERROR_NULL_VALUE in found)


def _number(found: dict[str, bytes | None], name: str, limit: int) -> int:
    value = found.get(name)
    if value is None or not value.isdigit() or len(value) > 19 or int(value) > limit:  # 19 digits hold every int64
        raise _malformed(name, f"a whole number from 0 to {limit}")
    return int(value)


def _id(found: dict[str, bytes | None]) -> str | None:
    if headers.ID not in found:
        return None
    value = found[headers.ID]
    try:
        text = value.decode("utf-8") if value else ""
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise _malformed(headers.ID, "an id in UTF-8")
    return text


def _malformed(name: str, wanted: str) -> Skip:
    hint = "write to the replay topic with `tagstream dlq replay` only"
    return Skip(Reason.INVALID_REPLAY, f"the header {name} is missing or is not {wanted}; {hint}")
