"""What a source is told to read, what it tells of its partitions, and how a consumed record becomes ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from worker.kafka.positions import Start
from worker.types import Batch, Header, Partition, Record


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read and from where."""

    topics: tuple[str, ...]
    pattern: str | None
    start: Start
    on_gap: Literal["stop", "skip"]
    on_corrupt: Literal["stop", "skip"] = "stop"
    until: Literal["end"] | datetime | None = None
    grouped: bool = True


@dataclass(frozen=True, slots=True)
class Lag:
    """Where a partition is read: the next offset, the end as last seen, and the newest timestamp handed out.

    `stable_end` is as far as a read-committed reader can get: an open transaction holds it back.
    """

    position: int
    end: int
    stable_end: int
    timestamp_ms: int | None = None


class SourceEvents(Protocol):
    """What the source tells of itself; called from the poll thread and the client's I/O thread, must not block."""

    def assigned(self, partitions: frozenset[Partition]) -> None: ...
    def revoked(self, partitions: frozenset[Partition]) -> None: ...
    def drain_missed(self, batches: int) -> None: ...
    def gap_skipped(self, partition: Partition, records: int) -> None: ...
    def corrupt_skipped(self, partition: Partition, records: int) -> None: ...


def record_of(consumed: Any) -> Record:
    """From a kafka-python `ConsumerRecord`."""
    return Record(
        consumed.topic,
        consumed.partition,
        consumed.offset,
        consumed.timestamp if consumed.timestamp >= 0 else None,
        consumed.key,
        consumed.value,
        tuple(Header(key, value) for key, value in consumed.headers),
    )


def batch_of_bytes(batch: Batch, most: int) -> tuple[Batch, Batch | None]:
    """As much of the batch as has at most so many bytes of values, at least one record, and what is left of it."""
    size = 0
    for index, record in enumerate(batch.records):
        size += len(record.value or b"")
        if size > most and index > 0:
            return batch.cut(index)
    return batch, None
