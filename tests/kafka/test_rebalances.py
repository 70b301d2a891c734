"""Members that come, go, and are thrown out: what a source hands out, drops and reads again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from kafka import KafkaAdminClient
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.errors import DeliveryRefused, Stop
from worker.inflight import InFlight
from worker.kafka.listener import Listener
from worker.kafka.source import KafkaSource
from worker.types import Batch, Partition

Unique = Callable[[str], str]


@contextmanager
def polling(source: KafkaSource) -> Iterator[list[Batch]]:
    """Poll in a thread of its own, as another worker would; what it read, so far."""
    batches: list[Batch] = []
    done = threading.Event()

    def turn() -> None:
        while not done.is_set():
            batches.extend(filter(None, [source.poll(0.05, 100)]))

    thread = threading.Thread(target=turn, name="other")
    thread.start()
    try:
        yield batches
    finally:
        done.set()
        thread.join()


def _partitions(source: KafkaSource) -> int:
    return len(source.lags())


def test_a_new_member_gets_partitions_only_after_the_drain(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """A rebalance waits for what is in flight: delivered within the deadline, it is accepted and comes only once."""
    topic, out, group = topic_factory("in", partitions=2), topic_factory("out"), unique("g")
    for partition in (0, 1):
        parts.produce(kafka, topic, [b"%d" % partition] * 5, partition=partition)
    in_flight, events = InFlight(), parts.Events()
    with (
        parts.opened_source(kafka, topic, group, in_flight=in_flight, events=events, drain_timeout_s=20) as one,
        parts.ready(parts.transactional(kafka, [out], group)) as delivery,
    ):
        batches = parts.polled(one, 10)
        in_flight.add(batches=1)
        with parts.opened_source(kafka, topic, group) as two, polling(one), polling(two) as others:
            parts.until(lambda: one._consumer._coordinator.rejoin_needed, lambda: time.sleep(0.01))
            for batch in batches:
                delivery.deliver(parts.answering(batch, out))
            assert one.epoch == batches[0].epoch
            in_flight.add(batches=-1)
            parts.until(lambda: _partitions(one) == _partitions(two) == 1, lambda: time.sleep(0.01))
            assert [b for b in others if b.records] == []
    assert events.of("drain_missed") == []
    assert len(parts.values(kafka, out)) == 10


def test_what_misses_the_drain_is_dropped_and_read_again(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """Field report 2 and trap 11: past the deadline it is stale, refused if sent, and its records come again."""
    topic, out, group = topic_factory("in", partitions=2), topic_factory("out"), unique("g")
    for partition in (0, 1):
        parts.produce(kafka, topic, [b"%d" % partition] * 5, partition=partition)
    in_flight, events = InFlight(), parts.Events()
    with parts.opened_source(kafka, topic, group, in_flight=in_flight, events=events, drain_timeout_s=0.3) as one:
        late = parts.polled(one, 10)[-1]
        in_flight.add(batches=1)
        with parts.opened_source(kafka, topic, group) as two, polling(one) as again, polling(two) as others:
            parts.until(lambda: _partitions(one) == _partitions(two) == 1, lambda: time.sleep(0.01))
            parts.until(
                lambda: sum(len(b.records) for b in (*again, *others) if b.epoch) >= 10, lambda: time.sleep(0.01)
            )
        assert events.of("drain_missed") == [1]
        assert late.epoch != one.epoch
        with parts.ready(parts.transactional(kafka, [out], group)) as delivery, pytest.raises(DeliveryRefused):
            delivery.deliver(parts.answering(late, out))
        in_flight.add(batches=-1)
    assert parts.values(kafka, out) == []


def test_a_member_thrown_out_drops_at_once(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Traps 13 and 19: without a membership nothing is handed out or waited for; it joins again and reads again."""
    topic, group = topic_factory("in"), unique("g")
    parts.produce(kafka, topic, [b"a", b"b"])
    in_flight, events = InFlight(), parts.Events()
    with parts.opened_source(kafka, topic, group, in_flight=in_flight, events=events, drain_timeout_s=50) as source:
        batch = parts.polled(source, 2)[-1]
        assert batch.fence.generation_id >= 0
        assert batch.fence.member_id
        in_flight.add(batches=1)
        source._consumer._coordinator.reset_generation()  # as a heartbeat does that hears of an unknown member
        assert [r.value for b in parts.polled(source, 2) for r in b.records] == [b"a", b"b"]
        assert batch.epoch < source.epoch
        in_flight.add(batches=-1)
    assert events.of("drain_missed") == []


def test_records_polled_while_the_membership_is_lost_are_discarded(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """Trap 13: the fence is read before and after the poll; a batch without one would not be validated at all."""
    topic, group = topic_factory("in"), unique("g")
    with parts.opened_source(kafka, topic, group) as source:
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 10))
        parts.produce(kafka, topic, [b"a"])
        poll = source._consumer.poll

        def lose_it_meanwhile(*args: Any, **kwargs: Any) -> Any:
            found = poll(*args, **kwargs)
            if found:
                source._consumer._coordinator.reset_generation()
                source._consumer.poll = poll
            return found

        source._consumer.poll = lose_it_meanwhile
        batch = parts.polled(source, 1)[-1]
        assert source._consumer.poll is poll
    assert batch.fence.generation_id >= 0
    assert [r.value for r in batch.records] == [b"a"]


def test_a_refused_generation_is_not_read_under_again(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 14: the consumer is not told that a transaction was refused; it stays paused until it has joined anew."""
    topic, group = topic_factory("in"), unique("g")
    parts.produce(kafka, topic, [b"a"])
    with parts.opened_source(kafka, topic, group) as source:
        refused = parts.polled(source, 1)[-1]
        source.suspend()
        source.rewind(refused=refused)
        assert [source.poll(0.05, 10) for _ in range(10)] == [None] * 10
        assert source._consumer.paused() == source._consumer.assignment()
        source._consumer._coordinator.request_rejoin()
        again = parts.polled(source, 1)[-1]
    assert again.fence.generation_id > refused.fence.generation_id


def test_an_error_of_a_poll_ends_no_suspension(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """While a delivery recovers, a poll that fails must not start the reading: only `rewind` does."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"a"])
    with parts.opened_source(kafka, topic, unique("g")) as source:
        parts.polled(source, 1)
        source.suspend()
        poll = source._consumer.poll

        def fail_once(*args: Any, **kwargs: Any) -> Any:
            source._consumer.poll = poll
            raise KafkaError("told to fail")

        source._consumer.poll = fail_once
        assert [source.poll(0.05, 10) for _ in range(10)] == [None] * 10
        source.rewind()
        assert [r.value for b in parts.polled(source, 1) for r in b.records] == [b"a"]


def test_a_join_that_a_poll_left_half_done_is_finished(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Field report 5: new partitions while every poll is too short for a join: kafka-python 3.0.12 forgets that join
    and keeps the member without partitions and heartbeats; ours takes it up again."""
    topic, group = topic_factory("in"), unique("g")
    with parts.opened_source(kafka, topic, group) as source:
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 10))
        generation = source._consumer.group_metadata().generation_id
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        admin.create_partitions({topic: 3})
        admin.close()
        coordinator = source._consumer._coordinator
        refresh = source._consumer._cluster.request_update
        parts.until(lambda: coordinator.need_rejoin(), lambda: (refresh(), time.sleep(0.1)))
        source.idle()
        parts.until(lambda: coordinator._join_task.is_done, lambda: time.sleep(0.01))
        assert not coordinator.need_rejoin()
        parts.until(lambda: _partitions(source) == 3, lambda: source.poll(0.0, 10))
        assert source._consumer.group_metadata().generation_id == generation + 1
        parts.produce(kafka, topic, [b"new"], partition=2)
        assert parts.polled(source, 1)[-1].records[0].partition == 2


def test_a_member_that_only_idles_joins_once(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """A busy or paused worker takes part in a rebalance with polls that never wait: one join, not one after another,
    each of which would stop the whole group."""
    topic, group = topic_factory("in", partitions=2), unique("g")
    with parts.opened_source(kafka, topic, group) as paused:
        parts.until(lambda: _partitions(paused) == 2, lambda: paused.poll(0.1, 10))
        with parts.opened_source(kafka, topic, group) as other, polling(other):
            parts.until(lambda: _partitions(other) == 1, lambda: (paused.idle(), time.sleep(0.05)))
            generation = other._consumer.group_metadata().generation_id
            for _ in range(20):
                paused.idle()
                time.sleep(0.05)
            assert other._consumer.group_metadata().generation_id == generation
            assert len(paused._consumer.assignment()) == _partitions(other) == 1


@pytest.mark.parametrize("until", [None, "end"])
def test_one_start_is_one_rebalance(
    kafka: str, topic_factory: TopicFactory, unique: Unique, until: Literal["end"] | None
) -> None:
    """The topics' metadata are there before the join, so that the first assignment is whole and the last.

    A second start finds the group's coordinator at once, so that nothing but the join waits for them.
    """
    topic, group = topic_factory("in", partitions=3), unique("g")
    for _ in range(2):
        events = parts.Events()
        with parts.opened_source(kafka, topic, group, until=until, events=events) as source:
            parts.until(lambda: source.lags(), lambda: source.poll(0.1, 10))
            for _ in range(10):
                source.poll(0.05, 10)
        assert events.of("assigned") == [frozenset(Partition(topic, p) for p in range(3))]


def test_new_partitions_arrive_paused_and_without_a_position_of_the_client(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """Trap 10: between the assignment and our own seek the client may neither fetch nor place itself."""
    topic = topic_factory("in", partitions=2)
    parts.produce(kafka, topic, [b"a"])
    seen: list[bool] = []

    class Looking(parts.Events):
        def assigned(self, partitions: frozenset[Partition]) -> None:
            consumer = source._consumer
            seen.append(consumer.paused() == consumer.assignment() == set(partitions))
            seen.append(not consumer._subscription.missing_fetch_positions())

    with parts.opened_source(kafka, topic, unique("g"), events=Looking()) as source:
        parts.polled(source, 1)
    assert seen == [True, True]


def test_listeners_never_raise(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Traps 4 and 5: whatever fails behind a listener, the member goes on to rebalance; its verbs are coroutines."""

    class Failing(parts.Events):
        def assigned(self, partitions: frozenset[Partition]) -> None:
            raise ZeroDivisionError

        revoked = assigned

    topic, group = topic_factory("in", partitions=2), unique("g")
    assert issubclass(Listener, AsyncConsumerRebalanceListener)
    with parts.opened_source(kafka, topic, group, events=Failing()) as one:
        parts.until(lambda: _partitions(one) == 2, lambda: one.poll(0.1, 10))
        with parts.opened_source(kafka, topic, group) as two, polling(one), polling(two):
            parts.until(lambda: _partitions(one) == _partitions(two) == 1, lambda: time.sleep(0.01))


def test_a_static_member_that_was_replaced_ends(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 6: with the same `kafka.instance_id` the later one stays; the earlier one's delivery is a `Stop`."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a"])
    with parts.opened_source(kafka, topic, group, instance_id="worker-1") as one:
        batch = parts.polled(one, 1)[-1]
        with parts.opened_source(kafka, topic, group, instance_id="worker-1") as two:
            parts.polled(two, 1)
            delivery = parts.transactional(kafka, [out], group)
            with parts.ready(delivery), pytest.raises(Stop, match=r"kafka\.instance_id"):
                delivery.deliver(parts.answering(batch, out))
    assert parts.values(kafka, out) == []


def test_the_assignment_is_eager_and_sticky(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 12: cooperative rebalancing would fence every drained batch, for no shorter pause."""
    with parts.opened_source(kafka, topic_factory("in"), unique("g")) as source:
        assert source._consumer.config["partition_assignment_strategy"] == (StickyPartitionAssignor,)
