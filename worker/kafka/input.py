"""What a source is told to read, what it tells of its partitions, and how a consumed record becomes ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from kafka import KafkaConsumer, TopicPartition

from worker.errors import Stop
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
    """As much of the batch as has at most so many bytes, at least one record, and what is left of it."""
    size = 0
    for index, record in enumerate(batch.records):
        size += record.size
        if size > most and index > 0:
            return batch.cut(index)
    return batch, None


def all_partitions(consumer: KafkaConsumer, reading: Reading) -> list[Any]:
    """Every partition of the topics to read, as the client names them. Raises `Stop` for a topic that is not there."""
    topics: Iterable[str] = reading.topics
    if reading.pattern is not None:
        topics = [topic for topic in consumer.topics() if re.match(reading.pattern, topic)]
    return [TopicPartition(topic, number) for topic in sorted(topics) for number in _numbers(consumer, topic)]


def _numbers(consumer: KafkaConsumer, topic: str) -> list[int]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise Stop(f"input topic {topic!r} does not exist: make it with `tagstream topics create`")
    return sorted(numbers)
