"""Where a partition is read from and how far: positions, gaps, transaction markers, bounded runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.errors import Stop
from worker.inflight import InFlight
from worker.kafka.positions import place
from worker.kafka.source import KafkaSource
from worker.types import Batch, Outcome, Partition

Unique = Callable[[str], str]


class Answers:
    """A consumer of records 10 to 20 that answers for committed offsets as it is told, one call after another."""

    def __init__(self, *committed: int | None) -> None:
        self._committed = list(committed)

    def committed(self, partition: Any, metadata: bool = False, timeout_ms: float | None = None) -> Any:
        offset = self._committed.pop(0)
        return None if offset is None else OffsetAndMetadata(offset, "", -1)

    def beginning_offsets(self, partitions: list[Any], timeout_ms: float | None = None) -> dict[Any, int]:
        return dict.fromkeys(partitions, 10)

    def end_offsets(self, partitions: list[Any], timeout_ms: float | None = None) -> dict[Any, int]:
        return dict.fromkeys(partitions, 20)


def _place(consumer: Any, **more: Any) -> Any:
    given = {
        "start": "earliest",
        "on_gap": "stop",
        "topic_ids": {},
        "known": None,
        "started": {},
        "timeout_s": 1.0,
        **more,
    }
    return place(consumer, [Partition("in", 0)], **given)


def test_a_topic_that_is_deleted_meanwhile_is_asked_for_again() -> None:
    """The client trips over it with an error that is none of Kafka's: it becomes one that may pass."""

    class Forgetful(Answers):
        def end_offsets(self, partitions: list[Any], timeout_ms: float | None = None) -> dict[Any, int]:
            raise KeyError(partitions[0])

    with pytest.raises(UnknownTopicOrPartitionError):
        _place(Forgetful(15, 15))


def test_the_first_answer_for_a_committed_offset_is_not_trusted() -> None:
    """Trap 10: it may answer a request that timed out under an earlier assignment; the second one counts."""
    assert _place(Answers(11, 15)).offsets == {Partition("in", 0): 15}
    assert _place(Answers(None, 15)).fresh == frozenset()


@pytest.mark.parametrize(("start", "offset"), [("earliest", 10), ("latest", 20)])
def test_a_partition_without_a_commit_starts_where_the_settings_say(start: str, offset: int) -> None:
    """It counts as fresh, so that this start gets committed."""
    placement = _place(Answers(None, None), start=start)
    assert placement.offsets == {Partition("in", 0): offset}
    assert placement.fresh == {Partition("in", 0)}


@pytest.mark.parametrize(("offset", "goes_on"), [(3, 10), (25, 20)])
def test_an_offset_out_of_range_is_a_decision(offset: int, goes_on: int) -> None:
    """`on_gap: stop` says so in one line; `skip` goes on with what is there, none of it twice, and counts the gap."""
    with pytest.raises(Stop, match=r"in\[0\].*input.on_gap"):
        _place(Answers(offset, offset))
    placement = _place(Answers(offset, offset), on_gap="skip")
    assert placement.offsets == {Partition("in", 0): goes_on}
    assert placement.skipped == {Partition("in", 0): max(0, 10 - offset)}


def _deliver_all(kafka: str, source: Any, out: str, group: str, wanted: int) -> list[Batch]:
    """Read so many records and deliver all batches in a transaction each."""
    batches = parts.polled(source, wanted)
    with parts.ready(parts.transactional(kafka, [out], group)) as delivery:
        for batch in batches:
            delivery.deliver(parts.answering(batch, out))
    return batches


def test_a_first_assignment_commits_where_it_starts(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """`input.start: latest`: a crash before the first result skips nothing, as the start itself is committed."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"old"] * 3)
    with parts.opened_source(kafka, topic, group, start="latest") as source:
        first: list[Batch] = []
        parts.until(lambda: first, lambda: first.extend(filter(None, [source.poll(0.1, 10)])))
        with parts.ready(parts.transactional(kafka, [out], group)) as delivery:
            delivery.deliver(Outcome(first[0], ()))
    assert parts.committed(kafka, group, topic) == {0: 3}
    parts.produce(kafka, topic, [b"new"])
    with parts.opened_source(kafka, topic, group, start="latest") as source:
        assert [r.value for b in parts.polled(source, 1) for r in b.records] == [b"new"]


def test_reading_can_start_at_a_time(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """`input.start: <time>`: the first record at or after it, per partition."""
    topic = topic_factory("in", partitions=2)
    for partition in (0, 1):
        for second in (10, 20, 30):
            parts.produce(kafka, topic, [b"%d" % second], partition=partition, timestamp_ms=second * 1000)
    start = datetime.fromtimestamp(15, UTC)
    with parts.opened_source(kafka, topic, unique("g"), start=start) as source:
        batches = parts.polled(source, 4)
    assert sorted(r.value or b"" for b in batches for r in b.records) == [b"20", b"20", b"30", b"30"]
    assert batches[0].offsets == {Partition(topic, 0): 1, Partition(topic, 1): 1}


def test_records_that_retention_took_are_a_decision(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """With `on_gap: skip` reading goes on and the gap is counted; `stop` ends the run, in one line."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"%d" % n for n in range(10)])
    with parts.opened_source(kafka, topic, group) as source:
        _deliver_all(kafka, source, out, group, 1)
    committed = parts.committed(kafka, group, topic)[0]
    assert committed == 10
    parts.produce(kafka, topic, [b"%d" % n for n in range(10, 20)])
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(topic, 0): 15})
    admin.close()
    with parts.opened_source(kafka, topic, group) as source, pytest.raises(Stop, match="on_gap"):
        parts.polled(source, 1)
    events = parts.Events()
    with parts.opened_source(kafka, topic, group, on_gap="skip", events=events) as source:
        assert next(r.offset for b in parts.polled(source, 1) for r in b.records) == 15
    assert events.of("gap_skipped") == [5]


def test_a_gap_that_opens_while_reading_is_seen(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Retention that overtakes a paused reader is the same decision, not the client's reset."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"a"])
    events = parts.Events()
    with parts.opened_source(kafka, topic, unique("g"), on_gap="skip", events=events) as source:
        parts.polled(source, 1)
        source.idle()
        parts.produce(kafka, topic, [b"b", b"c"])
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.delete_records({TopicPartition(topic, 0): 2})
        admin.close()
        assert [r.value for b in parts.polled(source, 1) for r in b.records][-1] == b"c"


def test_a_gap_is_counted_once(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Also where the positions that were found have become old meanwhile, and are asked for again."""
    topic, group, events = topic_factory("in"), unique("g"), parts.Events()
    parts.produce(kafka, topic, [b"a"] * 4)
    with parts.opened_source(kafka, topic, group) as source:
        for batch in parts.polled(source, 4, most=1):
            source.commit(batch)
            break
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(topic, 0): 3})
    admin.close()
    with parts.opened_source(kafka, topic, group, on_gap="skip", events=events) as source:
        ask = source._place

        def ask_late(partitions: Any) -> Any:
            source._place = ask  # type: ignore[method-assign]
            found = ask(partitions)
            source.rewind()
            return found

        source._place = ask_late  # type: ignore[method-assign]
        parts.polled(source, 1)
        assert source._place == ask
    assert events.of("gap_skipped") == [3]


def test_lag_of_a_transactional_input_reaches_zero(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Field report 6: the markers' offsets, which no record fills, are committed once the partition is quiet."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a", b"b"], transaction=True)
    with parts.opened_source(kafka, topic, group) as source:
        _deliver_all(kafka, source, out, group, 2)
        assert parts.committed(kafka, group, topic) == {0: 2}
        behind: list[Batch] = []
        parts.until(lambda: behind, lambda: behind.extend(filter(None, [source.poll(0.1, 10)])))
        assert behind[0].records == ()
        with parts.ready(parts.transactional(kafka, [out], group)) as delivery:
            delivery.deliver(Outcome(behind[0], ()))
        assert [source.poll(0.1, 10) for _ in range(8)] == [None] * 8
        assert source.lags()[Partition(topic, 0)].position == 3
    assert parts.committed(kafka, group, topic) == {0: 3}


def test_aborted_and_open_transactions_are_not_read(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 15: `read_committed` always; what lies behind an open transaction waits for its end."""
    topic = topic_factory("in")
    producer = parts.make_producer(
        parts.options(kafka), compression="none", delivery_timeout_s=9, transactional_id=unique("w")
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, value=b"aborted").get(10)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(topic, value=b"open").get(10)
    parts.produce(kafka, topic, [b"behind"])
    with parts.opened_source(kafka, topic, unique("g")) as source:
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 10))
        assert all(not batch.records for batch in filter(None, [source.poll(0.1, 10) for _ in range(5)]))
        producer.commit_transaction()
        assert [r.value for b in parts.polled(source, 2) for r in b.records] == [b"open", b"behind"]
    producer.close()


def test_a_pending_commit_is_waited_for(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 15: offsets in a transaction that has not ended hold up the next owner, until it ends or times out."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a", b"b"])
    with parts.opened_source(kafka, topic, group) as source:
        batches = parts.polled(source, 2)
    producer = parts.make_producer(
        parts.options(kafka), compression="none", delivery_timeout_s=9, transactional_id=unique("w")
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send_offsets_to_transaction({TopicPartition(topic, 0): OffsetAndMetadata(2, "", -1)}, group)
    with parts.opened_source(kafka, topic, group) as source:
        with pytest.raises(KafkaTimeoutError):
            source._consumer.committed(TopicPartition(topic, 0), timeout_ms=500)
        producer.commit_transaction()
        parts.produce(kafka, topic, [b"c"])
        assert [r.value for b in parts.polled(source, 1) for r in b.records] == [b"c"]
    producer.close()
    assert len(batches) >= 1
    assert parts.values(kafka, out) == []


def test_a_bounded_run_commits_no_further_than_its_end(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """`--until end`: what came later is for another run, however long the other partitions take."""
    topic, group = topic_factory("in", partitions=2), unique("g")
    for partition in (0, 1):
        parts.produce(kafka, topic, [b"now"] * 5, partition=partition)
    with parts.opened_source(kafka, topic, group, until="end") as source:
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 1))
        parts.produce(kafka, topic, [b"later"] * 50)
        batches: list[Batch] = []
        parts.until(lambda: source.exhausted, lambda: batches.extend(filter(None, [source.poll(0.1, 3)])))
        for _ in range(5):
            batches.extend(filter(None, [source.poll(0.1, 3)]))
    assert {r.value for b in batches for r in b.records} == {b"now"}
    assert max(b.offsets.get(Partition(topic, 0), 0) for b in batches) == 5


@pytest.mark.parametrize("grouped", [True, False])
def test_a_bounded_run_ends_behind_transaction_markers(
    kafka: str, topic_factory: TopicFactory, unique: Unique, grouped: bool
) -> None:
    """`--until end` is reached on a transactional input too, with a group and without (`--dry-run`)."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"a", b"b"], transaction=True)
    with parts.opened_source(kafka, topic, unique("g"), until="end", grouped=grouped) as source:
        seen: list[Batch] = []
        parts.until(lambda: source.exhausted, lambda: seen.extend(filter(None, [source.poll(0.1, 10)])))
    assert [r.value for b in seen for r in b.records] == [b"a", b"b"]


def test_a_waiting_source_reads_nothing(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """While a delivery recovers the partitions are paused: no busy loop over records that will be read again."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"%d" % n for n in range(100)])
    with parts.opened_source(kafka, topic, unique("g")) as source:
        parts.polled(source, 1, most=1)
        source.suspend()
        began, turns = time.monotonic(), 0
        while time.monotonic() - began < 1.0:
            assert source.poll(0.2, 10) is None
            turns += 1
        assert turns <= 20
        assert source._consumer.paused() == source._consumer.assignment()


def test_without_a_group_nothing_is_left_out_after_an_error(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """`--dry-run`: what is in flight, or waits to be handed out, stays valid, and reading goes on behind it."""
    topic, in_flight = topic_factory("in"), InFlight()
    parts.produce(kafka, topic, [b"%d" % n * 100 for n in range(10)])
    with parts.opened_source(kafka, topic, "", grouped=False, in_flight=in_flight) as source:
        source._max_batch_bytes = 250
        batches = parts.polled(source, 2, most=4)
        in_flight.add(batches=1)
        poll = source._consumer.poll

        def fail_once(*args: Any, **kwargs: Any) -> Any:
            source._consumer.poll = poll
            raise KafkaTimeoutError("told to fail")

        source._consumer.poll = fail_once
        source.idle()
        for _ in range(5):
            batches.extend(filter(None, [source.poll(0.1, 4)]))
        in_flight.add(batches=-1)
        parts.until(lambda: source.lags()[Partition(topic, 0)].position == 10, lambda: _turn(source, batches))
        _turn(source, batches)
    assert [record.offset for b in batches if b.epoch == source.epoch for record in b.records] == list(range(10))


def _turn(source: KafkaSource, batches: list[Batch]) -> None:
    batches.extend(filter(None, [source.poll(0.1, 4)]))


def test_large_values_are_handed_out_in_pieces(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """A poll of more bytes than a batch may have becomes several batches, each with the offsets behind it."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [bytes([n]) * 400_000 for n in range(6)])
    with parts.opened_source(kafka, topic, unique("g")) as source:
        batches = [b for b in parts.polled(source, 6) if b.records]
    assert max(len(b.records) for b in batches) <= 3
    assert [b.offsets[Partition(topic, 0)] for b in batches] == [b.records[-1].offset + 1 for b in batches]
    assert [r.offset for b in batches for r in b.records] == list(range(6))
