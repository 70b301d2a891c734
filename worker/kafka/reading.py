"""Bounded reading of a topic for people and tools, without a group and without committing anything."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from worker.errors import Stop
from worker.kafka.client import make_consumer
from worker.kafka.failures import explained
from worker.kafka.input import record_of
from worker.types import Partition, Record

POLL_MS = 500
# Of who follows: a broker that answers at once, with nothing, would keep a core busy.
FOLLOW_MS, REST_S = 10, 0.02


class Reader:
    """A consumer of committed records with partitions that are given, not shared; a context manager.

    `group_id` only names whose offsets `committed` reads. Failures are a `Stop` of one line.
    """

    def __init__(self, options: Mapping[str, Any], *, group_id: str | None = None) -> None:
        with explained():
            self.consumer: KafkaConsumer = make_consumer(options, group_id=group_id)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(KafkaError):
            self.consumer.close(autocommit=False)

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        """All partitions of the topics, in order. Raises `Stop` for a topic that does not exist."""
        found: list[Partition] = []
        for topic in topics:
            with explained():
                numbers = self.consumer.partitions_for_topic(topic)
            if not numbers:
                raise Stop(f"topic {topic} does not exist: make it with `tagstream topics create`")
            found += [Partition(topic, number) for number in sorted(numbers)]
        return found

    def spans(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """First offset kept, and the end of what is committed, of each partition."""
        keys = [TopicPartition(*partition) for partition in partitions]
        with explained():
            first, last = self.consumer.beginning_offsets(keys), self.consumer.end_offsets(keys)
        return {partition: (first[key], last[key]) for partition, key in zip(partitions, keys, strict=True)}

    def read(self, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> Iterator[list[Record]]:
        """Records in pieces, each of one partition, from `starts` up to and without `ends`."""
        left = {TopicPartition(*p): ends[p] for p, start in starts.items() if start < ends[p]}
        with explained():
            self.consumer.assign(list(left))
            self.consumer.resume(*left)  # one that was read before is still paused: an assignment keeps what was there
            for partition in left:
                self.consumer.seek(partition, starts[Partition(*partition)])
        while left:
            with explained():
                polled = self.consumer.poll(timeout_ms=POLL_MS)
                done = [partition for partition, end in left.items() if self.consumer.position(partition) >= end]
            for partition, records in polled.items():
                piece = [record_of(record) for record in records if record.offset < left.get(partition, 0)]
                if piece:
                    yield piece
            for partition in done:
                self.consumer.pause(partition)
                del left[partition]

    def read_settled(self, partition: Partition) -> Iterator[Record]:
        """All records up to the end, behind the transactions that are open now: waits until each is decided."""
        key = TopicPartition(*partition)
        with explained():
            self.consumer.assign([key])
            self.consumer.resume(key)
            self.consumer.seek(key, self.consumer.beginning_offsets([key])[key])
        while True:
            with explained():
                polled = self.consumer.poll(timeout_ms=POLL_MS)
                position, end = self.consumer.position(key), self.consumer.highwater(key)
            for consumed in polled.get(key, ()):
                yield record_of(consumed)
            if end is not None and position >= end:
                return

    def offset_at(self, partition: Partition, time_ms: int) -> int | None:
        """Of the first record at that time or later; None where there is none."""
        key = TopicPartition(*partition)
        with explained():
            found = self.consumer.offsets_for_times({key: time_ms})[key]
        return None if found is None else int(found.offset)

    def follow(self, starts: Mapping[Partition, int]) -> Iterator[list[Record]]:
        """Records in pieces as they come, for ever; an empty piece when there is nothing new."""
        with explained():
            self.consumer.assign([TopicPartition(*partition) for partition in starts])
            for partition, offset in starts.items():
                self.consumer.seek(TopicPartition(*partition), offset)
        while True:
            with explained():
                polled = self.consumer.poll(timeout_ms=FOLLOW_MS)
            yield [record_of(record) for records in polled.values() for record in records]
            if not polled:
                time.sleep(REST_S)
