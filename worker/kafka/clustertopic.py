"""The topic of the cluster table, read: to its end once, and on and on by every worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from schemas.clusters import ClusterEvent
from worker.clusters.table import Table
from worker.clusters.wire import Replica, Versioned, event_of, refuse_other_encoder
from worker.errors import Stop
from worker.kafka.client import make_consumer
from worker.kafka.delivery import pause_s
from worker.kafka.failures import decide
from worker.kafka.reading import Reader
from worker.types import Partition, Record

log = structlog.get_logger()

POLL_MS = 50
REST_S = 0.45  # between two polls: a table is no hurry, and brokers that answer at once would keep a core busy
JOIN_S = 5.0


def read_table(options: Mapping[str, Any], topic: str, table: str) -> Versioned | None:
    """The newest whole version; None before the first. Waits for a transaction that is open there. Raises `Stop`."""
    newest = None
    for newest in read_versions(options, topic, table):  # noqa: B007
        pass
    return newest


def read_versions(options: Mapping[str, Any], topic: str, table: str) -> Iterator[Versioned]:
    """Every whole version that compaction has left, in their order. Otherwise as `read_table`."""
    replica = Replica(table)
    with Reader(options) as reader:
        (partition,) = reader.partitions([topic])
        for record in reader.read_settled(partition):
            if replica.take(record.key, record.value) and replica.newest is not None:
                yield replica.newest


def read_events(options: Mapping[str, Any], topic: str, table: str) -> Iterator[ClusterEvent]:
    """All that has happened to a table's ids, in its order. Raises `Stop`."""
    with Reader(options) as reader:
        (partition,) = reader.partitions([topic])
        for record in reader.read_settled(partition):
            event = event_of(record.value)
            if event is not None and event.table == table:
                yield event


def read_samples(options: Mapping[str, Any], topic: str, starts_ms: list[int], end: int, most: int) -> Iterator[Record]:
    """Samples before the offset `end`: up to `most` from each of some times on, ascending, none twice."""
    partition = Partition(topic, 0)
    with Reader(options) as reader:
        first, last = reader.spans([partition])[partition]
        end, read = min(end, last), first
        found = [reader.offset_at(partition, time_ms) for time_ms in starts_ms]
        for start in sorted({offset for offset in found if offset is not None}):
            start = max(start, read)
            read = min(start + most, end)
            if start < read:
                for piece in reader.read({partition: start}, {partition: read}):
                    yield from piece


class TableFollower:
    """Holds the newest whole version of one table: what is there now, and from `start` on what comes.

    Satisfies `shared.Follower`. Where the brokers are away, or a version is half read, the last whole one stays. Raises
    `Stop` for a table of another encoder or of a later version of tagstream, and the client's errors.
    """

    def __init__(self, options: Mapping[str, Any], *, topic: str, table: str, encoder: str) -> None:
        self._options = options
        self._topic = topic
        self._encoder = encoder
        self._replica = Replica(table)
        self._table = Table(table)
        self._offset: int | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._consumer: KafkaConsumer | None = None
        try:
            self._catch_up()
        except BaseException:
            self._drop()
            raise

    @property
    def table(self) -> Table:
        return self._table

    def start(self, fail: Callable[[Exception], None]) -> None:
        """Follow in a thread; `fail` is told what should stop the worker."""
        self._thread = threading.Thread(target=self._run, args=(fail,), name="cluster-table", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread is None:
            self._drop()
        else:
            self._thread.join(JOIN_S)

    def _catch_up(self) -> None:
        consumer = self._open()
        end = consumer.end_offsets([self._partition])[self._partition]
        while consumer.position(self._partition) < end:
            self._poll(consumer)

    @property
    def _partition(self) -> TopicPartition:
        return TopicPartition(self._topic, 0)

    def _open(self) -> KafkaConsumer:
        self._consumer = consumer = make_consumer(self._options, group_id=None)
        consumer.assign([self._partition])
        if self._offset is None:
            self._offset = consumer.beginning_offsets([self._partition])[self._partition]
        consumer.seek(self._partition, self._offset)
        return consumer

    def _run(self, fail: Callable[[Exception], None]) -> None:
        attempt = 0
        while not self._closed.is_set():
            try:
                self._poll(self._consumer or self._open())
                attempt = 0
                self._closed.wait(REST_S)
            except Stop as stop:
                fail(stop)
                break
            except KafkaError as error:
                decision = decide(error)
                if isinstance(decision, Stop):
                    fail(decision)
                    break
                log.warning("cannot follow the cluster table, trying again", error=type(error).__name__)
                self._drop()
                self._closed.wait(pause_s(attempt))
                attempt += 1
        self._drop()

    def _poll(self, consumer: KafkaConsumer) -> None:
        for consumed in consumer.poll(timeout_ms=POLL_MS).get(self._partition, ()):
            if self._replica.take(consumed.key, consumed.value):
                self._change()
        self._offset = consumer.position(self._partition)

    def _change(self) -> None:
        newest = self._replica.newest
        assert newest is not None
        refuse_other_encoder(newest, self._encoder)
        self._table = newest.table

    def _drop(self) -> None:
        if self._consumer is not None:
            try:
                self._consumer.close(autocommit=False)
            except KafkaError:
                log.debug("the consumer of the cluster table did not close cleanly")
            self._consumer = None
