"""Where a partition begins to be read. Positions are always our own: asked for, sought, only then resumed.

kafka-python may answer a position from a request that had timed out for an earlier assignment, so the committed
offsets are asked for twice, and the first answer is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import UnknownTopicOrPartitionError

from worker.errors import Stop
from worker.types import Partition

Start = Literal["earliest", "latest"] | datetime


@dataclass(frozen=True, slots=True)
class Placement:
    """`offsets` is where to read on, `ends` the stable ends; `fresh` had no commit; `skipped` counts records lost."""

    offsets: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    fresh: frozenset[Partition]
    skipped: Mapping[Partition, int]


def place(
    consumer: KafkaConsumer,
    partitions: Iterable[Partition],
    *,
    start: Start,
    on_gap: Literal["stop", "skip"],
    topic_ids: Mapping[str, str],
    known: Mapping[Partition, int] | None,
    started: Mapping[Partition, int],
    timeout_s: float,
) -> Placement:
    """Find the offset for each partition: committed by the group, or `known` where there is no group.

    `started` is where a partition without a commit began already: it stays so until that is committed.

    Raises `Stop` for a gap with `on_gap: stop`; the client's errors as they come.
    """
    asked = [TopicPartition(*partition) for partition in partitions]
    timeout_ms = timeout_s * 1000
    committed: dict[Any, int | None] = (
        _committed_twice(consumer, asked, timeout_ms, topic_ids) if known is None else {p: known.get(p) for p in asked}
    )
    first, end = _bounds(consumer, asked, timeout_ms)
    fresh = [p for p in asked if committed[p] is None]
    committed |= {p: started[p] for p in fresh if p in started}
    offsets: dict[Partition, int] = _starts(consumer, [p for p in fresh if p not in started], start, first, end)
    skipped: dict[Partition, int] = {}
    for partition, offset in committed.items():
        if offset is None:
            continue
        offsets[Partition(*partition)] = _closed_gap(partition, offset, first[partition], end[partition], on_gap)
        if (lost := offsets[Partition(*partition)] - offset) != 0:
            skipped[Partition(*partition)] = max(lost, 0)
    ends = {Partition(*p): offset for p, offset in end.items()}
    return Placement(offsets, ends, frozenset(Partition(*p) for p in fresh), skipped)


def _bounds(consumer: KafkaConsumer, partitions: list[Any], timeout_ms: float) -> tuple[dict[Any, int], dict[Any, int]]:
    """First and last offsets. The client forgets a partition whose topic has just been deleted, and trips over it."""
    try:
        return consumer.beginning_offsets(partitions, timeout_ms), consumer.end_offsets(partitions, timeout_ms)
    except KeyError as error:
        raise UnknownTopicOrPartitionError(str(error)) from error


def _committed_twice(
    consumer: KafkaConsumer, partitions: Iterable[Any], timeout_ms: float, topic_ids: Mapping[str, str]
) -> dict[Any, int | None]:
    for _ in range(2):
        answer = {p: consumer.committed(p, metadata=True, timeout_ms=timeout_ms) for p in partitions}
    for partition, commit in answer.items():
        if commit is not None:
            check_topic_id(partition.topic, commit.metadata, topic_ids.get(partition.topic, ""))
    return {p: None if commit is None else commit.offset for p, commit in answer.items()}


def current_topic_ids(consumer: KafkaConsumer, topics: Iterable[str]) -> dict[str, str]:
    """As of the newest metadata; empty for brokers that have none."""
    return {topic: str(consumer._cluster.topic_id(topic) or "") for topic in topics}


def check_topic_id(topic: str, before: str, now: str) -> None:
    """Raise `Stop` where the topic is another one than before; offsets of the old one mean nothing in it.

    What other tools wrote beside an offset is no id.
    """
    if now and len(before) == len(now) and before != now:
        raise Stop(
            f"topic {topic!r} was deleted and made again (id {before}, now {now}): take another kafka.group_id,"
            " or reset the offsets of this one with kafka-consumer-groups"
        )


def _starts(
    consumer: KafkaConsumer, partitions: list[Any], start: Start, first: Mapping[Any, int], end: Mapping[Any, int]
) -> dict[Partition, int]:
    if start == "earliest":
        return {Partition(*p): first[p] for p in partitions}
    if start == "latest":
        return {Partition(*p): end[p] for p in partitions}
    return offsets_at(consumer, partitions, start, end)


def offsets_at(
    consumer: KafkaConsumer, partitions: Iterable[Any], when: datetime, end: Mapping[Any, int]
) -> dict[Partition, int]:
    """The first offset of each partition with a timestamp at or after `when`, or its end."""
    asked = [TopicPartition(*p) for p in partitions]
    found = consumer.offsets_for_times(dict.fromkeys(asked, int(when.timestamp() * 1000))) if asked else {}
    return {Partition(*p): found[p].offset if found.get(p) else end[p] for p in asked}


def _closed_gap(partition: Any, offset: int, first: int, end: int, on_gap: str) -> int:
    if first <= offset <= end:
        return offset
    if on_gap == "stop":
        raise Stop(
            f"{Partition(*partition)}: the next offset to read, {offset}, is outside of what the topic holds"
            f" ({first} to {end}): set input.on_gap to skip to go on with what is there"
        )
    return first if offset < first else end
