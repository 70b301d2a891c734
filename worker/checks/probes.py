"""What can only be learned by asking the brokers, as plain values. Changes no topic and no offset of a group."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.structs import TopicPartition

from worker.errors import Stop
from worker.kafka.client import discard, make_producer
from worker.kafka.input import record_of
from worker.kafka.reading import Reader
from worker.kafka.security import Connection
from worker.types import Partition, Record

NEWEST = 20  # offsets sampled of each partition: more than the markers of a few transactions
FAILED_ALONE = 10  # partitions tried one by one, to name those that cannot be read
POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Cluster:
    """`clock_ahead_s`: the controller's clock minus ours, to half a round trip; None where it may not be asked."""

    version: str
    brokers: int
    clock_ahead_s: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """What a partition holds, and the next offset that the group will read; None where it has committed none.

    `topic_id` is the one that a worker noted beside that offset, empty where there is none.
    """

    first: int
    end: int
    committed: int | None
    topic_id: str = ""


def ask_cluster(connection: Connection) -> Cluster:
    """Raises `Stop`."""
    try:
        with contextlib.closing(KafkaAdminClient(**connection.client_options())) as admin:
            brokers = admin.describe_cluster()["brokers"]
            facts = admin.get_broker_version_data(brokers[0]["broker_id"])
            return Cluster(".".join(map(str, facts.broker_version)), len(brokers), _clock_ahead_s(admin))
    except KafkaError as error:
        raise Stop(_line(error)) from error


def hold(connection: Connection, group_id: str, topics: Iterable[str]) -> dict[Partition, Held]:
    """Raises `Stop`."""
    with Reader(connection.client_options(), group_id=group_id) as reader:
        spans = reader.spans(reader.partitions(topics))
        try:
            committed = {p: reader.consumer.committed(TopicPartition(*p), metadata=True) for p in spans}
        except KafkaError as error:
            raise Stop(_line(error)) from error
    return {p: _held(first, end, committed[p]) for p, (first, end) in spans.items()}


def sample(
    connection: Connection, held: Mapping[Partition, Held], timeout_s: float
) -> tuple[list[Record], dict[Partition, str]]:
    """The newest records of each partition, and why those partitions cannot be read that cannot."""
    wanted = [partition for partition, span in held.items() if span.first < span.end]
    try:
        return _newest(connection, held, wanted, timeout_s), {}
    except Stop:
        pass  # a consumer that met a damaged batch is of no more use: each partition gets its own
    records: list[Record] = []
    failures: dict[Partition, str] = {}
    for partition in wanted[:FAILED_ALONE]:
        try:
            records += _newest(connection, held, [partition], timeout_s)
        except Stop as failure:
            failures[partition] = str(failure)
    return records, failures


def try_transaction(connection: Connection, transactional_id: str, timeout_s: float) -> None:
    """Open an empty transaction and abort it. Raises `Stop`."""
    producer = None
    try:
        producer = make_producer(
            connection.client_options(),
            compression="none",
            delivery_timeout_s=timeout_s,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(timeout_s * 1000),
        )
        producer.init_transactions()
        producer.begin_transaction()
        producer.abort_transaction()
    except KafkaError as error:
        raise Stop(_line(error)) from error
    finally:
        if producer is not None:
            discard(producer)


def _held(first: int, end: int, commit: Any) -> Held:
    return Held(first, end, None) if commit is None else Held(first, end, commit.offset, commit.metadata or "")


def _newest(
    connection: Connection, held: Mapping[Partition, Held], wanted: Sequence[Partition], timeout_s: float
) -> list[Record]:
    if not wanted:
        return []
    left = {TopicPartition(*p): held[p].end for p in wanted}
    records: list[Record] = []
    with Reader(connection.client_options()) as reader:
        consumer = reader.consumer
        consumer.assign(list(left))
        for tp, end in left.items():
            consumer.seek(tp, max(held[Partition(*tp)].first, end - NEWEST))
        deadline = time.monotonic() + timeout_s
        try:
            while left and time.monotonic() < deadline:
                for polled in consumer.poll(timeout_ms=POLL_MS).values():
                    records += map(record_of, polled)
                left = {tp: end for tp, end in left.items() if consumer.position(tp) < end}
        except KafkaError as error:
            raise Stop(_line(error)) from error
    if left:
        raise Stop(f"no answer within {timeout_s:g} s")
    return records


def _clock_ahead_s(admin: Any) -> float | None:
    """The leader of the metadata quorum calls itself caught up at its own present time (KIP-836)."""
    asked = time.time()
    try:
        quorum = admin.describe_metadata_quorum()["topics"][0]["partitions"][0]
    except (KafkaError, LookupError):
        return None
    answered = time.time()
    voters = {voter["replica_id"]: voter for voter in quorum["current_voters"]}
    said_ms = voters.get(quorum["leader_id"], {}).get("last_caught_up_timestamp", -1)
    return said_ms / 1000 - (asked + answered) / 2 if said_ms > 0 else None


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
