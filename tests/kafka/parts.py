"""The Kafka parts of a worker by themselves, with timeouts that suit a test, and what a test does around them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from worker.inflight import InFlight
from worker.kafka.client import make_consumer, make_producer
from worker.kafka.delivery import FlushingDelivery, TransactionalDelivery
from worker.kafka.input import Reading
from worker.kafka.source import KafkaSource
from worker.types import Batch, Outcome, Output, Partition, Record

PATIENCE_S = 60.0  # for what must happen; nothing waits so long unless it is broken
POLL_S = 0.1
SESSION_MS = 6000


class Events:
    """Remembers what a source tells of itself."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def assigned(self, partitions: frozenset[Partition]) -> None:
        self.seen.append(("assigned", partitions))

    def revoked(self, partitions: frozenset[Partition]) -> None:
        self.seen.append(("revoked", partitions))

    def drain_missed(self, batches: int) -> None:
        self.seen.append(("drain_missed", batches))

    def gap_skipped(self, partition: Partition, records: int) -> None:
        self.seen.append(("gap_skipped", records))

    def corrupt_skipped(self, partition: Partition, records: int) -> None:
        self.seen.append(("corrupt_skipped", records))

    def of(self, name: str) -> list[Any]:
        return [what for kind, what in self.seen if kind == name]


def options(bootstrap: str, timeout_ms: int = 5000) -> dict[str, Any]:
    return {"bootstrap_servers": bootstrap, "request_timeout_ms": timeout_ms, "bootstrap_timeout_ms": timeout_ms}


@contextlib.contextmanager
def opened_source(
    bootstrap: str,
    topic: str,
    group: str,
    *,
    instance_id: str | None = None,
    in_flight: InFlight | None = None,
    events: Any = None,
    drain_timeout_s: float = 2.0,
    **reading: Any,
) -> Iterator[KafkaSource]:
    """A source that is closed at the end. `reading` overrides fields of `Reading`."""
    given = {"topics": (topic,), "pattern": None, "start": "earliest", "on_gap": "stop", **reading}
    grouped = given.get("grouped", True)
    source = KafkaSource(
        make_consumer=partial(
            make_consumer,
            options(bootstrap),
            group_id=group if grouped else None,
            group_instance_id=instance_id,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=300,
            fetch_max_wait_ms=100,
        ),
        make_prober=partial(make_consumer, options(bootstrap), group_id=None),
        reading=Reading(**given),
        in_flight=in_flight or InFlight(),
        drain_timeout_s=drain_timeout_s,
        max_batch_bytes=1 << 20,
        linger_s=0.0,
        events=events or Events(),
    )
    try:
        yield source
    finally:
        source.close()


def transactional(
    bootstrap: str, topics: Sequence[str], transactional_id: str, *, timeout_s: float = 10.0, **more: Any
) -> TransactionalDelivery:
    """A delivery that has not been made ready yet; `timeout_s` is the transaction's."""
    make = partial(
        make_producer,
        options(bootstrap, more.pop("request_timeout_ms", 5000)),
        compression="none",
        delivery_timeout_s=more.pop("delivery_timeout_s", timeout_s - 1),
        transactional_id=transactional_id,
        transaction_timeout_ms=int(timeout_s * 1000),
    )
    return TransactionalDelivery(make=make, topics=topics, timeout_s=timeout_s, stopping=lambda: False)


def flushing(bootstrap: str, topics: Sequence[str], commit: Callable[[Batch], None]) -> FlushingDelivery:
    make = partial(make_producer, options(bootstrap), compression="none", delivery_timeout_s=9.0)
    return FlushingDelivery(commit=commit, make=make, topics=topics, timeout_s=10.0, stopping=lambda: False)


@contextlib.contextmanager
def ready(delivery: Any) -> Iterator[Any]:
    delivery.recover()
    try:
        yield delivery
    finally:
        delivery.close()


def polled(source: KafkaSource, wanted: int, *, most: int = 500) -> list[Batch]:
    """Batches of one epoch with at least so many records in all; those without records are among them."""
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_S
    while sum(len(b.records) for b in batches) < wanted:
        assert time.monotonic() < deadline, f"only {batches} of {wanted} records"
        batch = source.poll(POLL_S, most)
        batches = [b for b in (*batches, *([batch] if batch else [])) if b.epoch == source.epoch]
    return batches


def until(condition: Callable[[], Any], turn: Callable[[], Any]) -> None:
    """Turn until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        turn()


def answering(batch: Batch, topic: str) -> Outcome:
    """An outcome with one output for each record: its own value."""
    return Outcome(batch, tuple((Output(topic, r.value, partition=r.partition),) for r in batch.records))


def produce(
    bootstrap: str,
    topic: str,
    values: Sequence[bytes | None],
    *,
    partition: int = 0,
    transaction: bool = False,
    **more: Any,
) -> None:
    """Write the values in order; in a transaction, a marker follows them."""
    ids = {"transactional_id": f"writer-{topic}", "retry_backoff_ms": 10} if transaction else {}
    producer = KafkaProducer(bootstrap_servers=bootstrap, **ids)
    if transaction:
        producer.init_transactions()
        producer.begin_transaction()
    futures = [producer.send(topic, value=value, partition=partition, **more) for value in values]
    producer.flush()
    for future in futures:
        future.get()
    if transaction:
        producer.commit_transaction()
    producer.close()


def committed(bootstrap: str, group: str, topic: str, partitions: int = 1) -> dict[int, int | None]:
    """What the group has committed, by partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    found = {p: consumer.committed(TopicPartition(topic, p)) for p in range(partitions)}
    consumer.close()
    return found


def contents(bootstrap: str, topic: str) -> list[Any]:
    """Every committed record of a topic, each partition in order."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", group_id=None)
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    found: list[Any] = []
    deadline = time.monotonic() + PATIENCE_S
    while any(consumer.position(p) < end for p, end in ends.items()):
        assert time.monotonic() < deadline
        found += [record for records in consumer.poll(timeout_ms=200).values() for record in records]
    consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def values(bootstrap: str, topic: str) -> list[bytes | None]:
    return [record.value for record in contents(bootstrap, topic)]


def record(topic: str, offset: int, value: bytes = b"x", partition: int = 0) -> Record:
    return Record(topic, partition, offset, None, None, value)
