"""kafka-python consumers and producers as tagstream needs them, and the few places where its inside is touched.

All are pinned to the version that `pyproject.toml` names, and a test fails when the library changes there.
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
import time
from collections.abc import Callable, Mapping
from typing import Any

import kafka.record.default_records as default_records
from kafka import KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownError
from kafka.net.compat import KafkaNetClient
from kafka.producer.transaction_manager import TransactionState
from kafka.structs import OffsetAndMetadata, TopicPartition

from worker.kafka.codecs import refuse_missing
from worker.kafka.reach import stop_if_lasting
from worker.types import Batch

STRICT, LENIENT = '.decode("utf-8")', '.decode("utf-8", "backslashreplace")'

# The broker answers CONCURRENT_TRANSACTIONS right after a commit; the client's default of 100 ms would be the price of
# every second transaction.
RETRY_BACKOFF_MS = 10

SENDER_JOIN_S = 5.0

# One batch is in flight per partition, and while another waits behind it the client wakes its sender for every record:
# large ones cost less. Half of what a topic takes by default, so that none has to be cut.
BATCH_BYTES = 512 * 1024

# How large a record may be is for its topic to say; this only keeps the client's own limit of 1 MiB out of the way.
MAX_REQUEST_BYTES = 64 * 1024 * 1024


def read_headers_leniently() -> None:
    """Keep one header key that is not UTF-8 from stopping its partition for good; calling it again does nothing.

    kafka-python decodes header keys strictly inside `poll()`, which then never returns another record.
    """
    batch = default_records.DefaultRecordBatch
    if getattr(batch, "reads_headers_leniently", False):
        return
    source = textwrap.dedent(inspect.getsource(batch._read_msg))
    if source.count(STRICT) != 1:
        raise RuntimeError("kafka-python has changed where it decodes header keys")
    scope: dict[str, Any] = {}
    exec(source.replace(STRICT, LENIENT), vars(default_records), scope)
    batch._read_msg = scope["_read_msg"]
    batch.reads_headers_leniently = True


def connect(make: Callable[..., Any], **options: Any) -> Any:
    """A client of the library, which leaves sockets and threads behind where it cannot reach a broker: they are closed.

    Raises `Stop` where no waiting would help: wrong credentials, certificates, or protocol.
    """
    opened: list[KafkaNetClient] = []

    def remember(**configs: Any) -> KafkaNetClient:
        opened.append(KafkaNetClient(**configs))
        return opened[-1]

    try:
        return make(**options, kafka_client=remember)
    except KafkaError as error:
        for client in opened:
            client.close()
            client._net.stop()
        if isinstance(error, KafkaTimeoutError):
            stop_if_lasting(options)
        raise


def make_consumer(options: Mapping[str, Any], *, group_id: str | None, **more: Any) -> KafkaConsumer:
    """A consumer that only sees committed records, never commits or resets by itself, and shares partitions stickily.

    No deserializers: one that raises poisons the consumer.
    """
    read_headers_leniently()
    consumer: KafkaConsumer = connect(
        KafkaConsumer,
        **options,
        group_id=group_id,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        partition_assignment_strategy=(StickyPartitionAssignor,),
        metadata_max_age_ms=30_000,  # new partitions and topics of a pattern are seen within this time
        metrics_enabled=False,
        **more,
    )
    return consumer


def make_producer(
    options: Mapping[str, Any], *, compression: str, delivery_timeout_s: float, **more: Any
) -> KafkaProducer:
    """An idempotent producer that batches what one transaction sends and gives up before its transaction does."""
    refuse_missing(compression)
    producer: KafkaProducer = connect(
        KafkaProducer,
        **options,
        acks="all",
        enable_idempotence=True,
        compression_type=None if compression == "none" else compression,
        delivery_timeout_ms=int(delivery_timeout_s * 1000),
        max_block_ms=int(delivery_timeout_s * 1000),
        max_request_size=MAX_REQUEST_BYTES,
        linger_ms=20,  # ends early: every transaction is flushed
        batch_size=BATCH_BYTES,
        retry_backoff_ms=RETRY_BACKOFF_MS,
        allow_auto_create_topics=False,
        metrics_enabled=False,
        **more,
    )
    ask_once_per_partition(producer)
    take_partitions_as_given(producer)
    return producer


def ask_once_per_partition(producer: KafkaProducer) -> None:
    """Spare the records of a transaction what the client does, under four locks, to see that it has their partition."""
    manager = producer._transaction_manager
    ask = manager.maybe_add_partition_to_transaction

    def ask_if_new(partition: TopicPartition) -> None:
        known = partition in manager._partitions_in_transaction or manager.is_partition_pending_add(partition)
        if not known or manager._current_state is not TransactionState.IN_TRANSACTION:
            ask(partition)

    manager.maybe_add_partition_to_transaction = ask_if_new


def take_partitions_as_given(producer: KafkaProducer) -> None:
    """Spare the records that name their partition the client's look whether there is one, at all topics."""
    choose = producer._partition

    def take_or_choose(topic: str, partition: int | None, *serialized: Any) -> Any:
        return choose(topic, partition, *serialized) if partition is None else partition

    producer._partition = take_or_choose


class _Unread:
    """A join whose answer no poll has taken yet: never done, as the client joins anew where it finds a finished one."""

    is_done = False

    def __init__(self, join: Any) -> None:
        self.add_callback, self.add_errback = join.add_callback, join.add_errback


def resume_join(consumer: KafkaConsumer) -> None:
    """Have the next poll finish a join that the timeout of an earlier poll left half done. The poll thread only.

    Left alone, the client forgets a join that new metadata asked for (the member stays without partitions and
    heartbeats, and no poll tells), and throws away one that ended between two polls: a member whose polls are short,
    because it is busy or paused, then joins again and again, and stops the whole group each time.
    """
    coordinator = consumer._coordinator
    if not coordinator.rejoining:
        return
    coordinator.rejoin_needed = True
    if coordinator._join_task is not None and not isinstance(coordinator._join_task, _Unread):
        coordinator._join_task = _Unread(coordinator._join_task)


def is_fenced(consumer: KafkaConsumer) -> bool:
    """Another member has taken this one's `group_instance_id`: heartbeats have stopped, and no poll tells."""
    coordinator = consumer._coordinator
    return bool(coordinator.stable() and not coordinator.rejoining and not coordinator._heartbeat_enabled)


def discard(producer: KafkaProducer) -> None:
    """Close a producer without waiting for what it has not sent; `close(timeout=0)` alone leaves its thread alive."""
    with contextlib.suppress(KafkaError):
        producer.close(timeout=0)
    producer._sender.force_close()
    producer._sender.join(SENDER_JOIN_S)


def flush(producer: KafkaProducer, timeout_s: float) -> None:
    """`flush`, also where the client cuts a batch that is too large for its topic: its own gives up on the halves.

    Raises `KafkaTimeoutError`.
    """
    deadline_s = time.monotonic() + timeout_s
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            producer.flush(timeout=left_s)
            return
        except UnknownError:  # a future that is not done: its records go out in two batches now
            continue
    raise KafkaTimeoutError(f"not all records are acknowledged after {timeout_s:g} s")


def committable(batch: Batch) -> dict[Any, Any]:
    """The batch's offsets as the client wants them, each with the id of its topic as metadata."""
    return {
        TopicPartition(*partition): OffsetAndMetadata(offset, batch.topic_ids.get(partition.topic, ""), -1)
        for partition, offset in batch.offsets.items()
    }


def send_offsets(producer: KafkaProducer, offsets: Mapping[Any, Any], fence: Any, timeout_s: float) -> None:
    """`send_offsets_to_transaction` with a bound. Raises `KafkaTimeoutError`."""
    _await(producer, producer._transaction_manager.send_offsets_to_transaction(offsets, fence), timeout_s)


def commit_transaction(producer: KafkaProducer, timeout_s: float) -> None:
    """`commit_transaction` with a bound. Raises `KafkaTimeoutError`: the transaction's fate is then unknown."""
    _await(producer, producer._transaction_manager.begin_commit(), timeout_s)


def _await(producer: KafkaProducer, result: Any, timeout_s: float) -> None:
    producer._sender.wakeup()
    if not result.wait(timeout_ms=timeout_s * 1000):
        raise KafkaTimeoutError(f"no answer from the transaction coordinator within {timeout_s:g} s")
