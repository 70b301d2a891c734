"""Deliveries that fail on a real broker: what is then true of the outputs, the offsets, and the producer's threads."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from kafka import KafkaAdminClient, errors
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

from tests.kafka import parts
from tests.kafka.broker import KafkaServer, free_port
from tests.kafka.conftest import TopicFactory
from worker.errors import DeliveryFailed, DeliveryRefused, RecordRefused, Stop
from worker.kafka import delivery as delivery_module
from worker.kafka.client import discard, make_producer
from worker.kafka.delivery import TransactionalDelivery, pause_s
from worker.kafka.topics import DEAD_LETTER_BYTES
from worker.types import Batch, Outcome, Output, Partition

Unique = Callable[[str], str]
QUICK = {"timeout_s": 2.0, "request_timeout_ms": 700, "delivery_timeout_s": 1.2}


@pytest.fixture
def stoppable(server: KafkaServer, unique: Unique) -> tuple[KafkaServer, str, str, str]:
    """A broker that may be stopped, with an input, an output and a group of the test's own."""
    names = unique("in"), unique("out")
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    admin.create_topics([NewTopic(name, 1, 1) for name in names])
    admin.wait_for_topics(list(names))
    admin.close()
    return server, *names, unique("group")


def _new_client_threads(before: set[threading.Thread]) -> list[str]:
    return [t.name for t in threading.enumerate() if t not in before and "kafka" in t.name]


def _batch(fence: Any = None, offset: int = 1) -> Batch:
    return Batch((), {Partition("in", 0): offset}, 0, fence)


def test_a_lost_record_is_never_followed_by_a_commit(stoppable: tuple[KafkaServer, str, str, str]) -> None:
    """Traps 1 and 2: records that expire fail the delivery; neither they nor the offsets appear, then or later."""
    server, topic, out, group = stoppable
    parts.produce(server.bootstrap, topic, [b"a", b"b"])
    with (
        parts.opened_source(server.bootstrap, topic, group) as source,
        parts.ready(parts.transactional(server.bootstrap, [out], group, **QUICK)) as delivery,
    ):
        batches = parts.polled(source, 2)
        spoiled = delivery._producer
        server.stop()
        with pytest.raises(DeliveryFailed):
            delivery.deliver(parts.answering(batches[-1], out))
        server.cont()
        delivery.recover()
        assert delivery._producer is not spoiled
        assert parts.values(server.bootstrap, out) == []
        assert parts.committed(server.bootstrap, group, topic) == {0: None}
        source.rewind()
        for batch in parts.polled(source, 2):
            delivery.deliver(parts.answering(batch, out))
    assert parts.values(server.bootstrap, out) == [b"a", b"b"]
    assert parts.committed(server.bootstrap, group, topic) == {0: 2}


@pytest.mark.parametrize("step", ["send_offsets", "commit_transaction"])
def test_an_unanswered_transaction_counts_once_or_not_at_all(
    stoppable: tuple[KafkaServer, str, str, str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Trap 8: transactional calls are bounded; `recover` settles the unknown, and reading goes on where that ended."""
    server, topic, out, group = stoppable
    parts.produce(server.bootstrap, topic, [b"a", b"b"])
    real = getattr(delivery_module, step)

    def stopped_first(*args: Any) -> None:
        server.stop()
        real(*args)

    with (
        parts.opened_source(server.bootstrap, topic, group) as source,
        parts.ready(parts.transactional(server.bootstrap, [out], group, **QUICK)) as delivery,
    ):
        batches = parts.polled(source, 2)
        with monkeypatch.context() as patched:
            patched.setattr(delivery_module, step, stopped_first)
            with pytest.raises(DeliveryFailed):
                delivery.deliver(parts.answering(batches[-1], out))
        server.cont()
        source.suspend()
        delivery.recover()
        source.rewind()
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 10))
        if parts.committed(server.bootstrap, group, topic)[0] != 2:
            for batch in parts.polled(source, 2):
                delivery.deliver(parts.answering(batch, out))
    assert parts.values(server.bootstrap, out) == [b"a", b"b"]
    assert parts.committed(server.bootstrap, group, topic) == {0: 2}


def test_flushing_commits_nothing_behind_a_lost_record(stoppable: tuple[KafkaServer, str, str, str]) -> None:
    """`at_least_once`: the offsets wait for every record's acknowledgement."""
    server, topic, out, _ = stoppable
    asked: list[Batch] = []
    make = partial(make_producer, parts.options(server.bootstrap, 700), compression="none", delivery_timeout_s=1.2)
    delivery = delivery_module.FlushingDelivery(
        commit=asked.append, make=make, topics=[out], timeout_s=2.0, stopping=lambda: False
    )
    with parts.ready(delivery):
        server.stop()
        with pytest.raises(DeliveryFailed):
            delivery.deliver(Outcome(_batch(), ((Output(out, b"a"),),)))
        assert asked == []
        server.cont()
        delivery.recover()
        delivery.deliver(Outcome(_batch(), ((Output(out, b"b"),),)))
        assert len(asked) == 1
    assert b"b" in parts.values(server.bootstrap, out)
    assert topic


def test_discarding_leaves_no_thread_behind(stoppable: tuple[KafkaServer, str, str, str]) -> None:
    """Trap 16: also with records unsent and a broker that does not answer."""
    server, _, out, _ = stoppable
    before = set(threading.enumerate())
    producer = make_producer(parts.options(server.bootstrap, 700), compression="none", delivery_timeout_s=1.2)
    producer.send(out, value=b"a").get(10)
    assert _new_client_threads(before)
    server.stop()
    for _ in range(100):
        producer.send(out, value=b"b" * 1000)
    discard(producer)
    server.cont()
    assert _new_client_threads(before) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_broker_that_cannot_be_reached_leaves_no_threads_behind(unique: Unique) -> None:
    """Attempts may go on for hours: each is a few sockets and threads, and none of them stays. A stop ends them."""
    attempts: list[int] = []
    before = set(threading.enumerate())
    nowhere = parts.options(f"127.0.0.1:{free_port()}", 200)

    def make() -> Any:
        attempts.append(1)
        ids = {"transactional_id": unique("t"), "transaction_timeout_ms": 1000}
        return make_producer(nowhere, compression="none", delivery_timeout_s=0.5, **ids)

    delivery = TransactionalDelivery(make=make, topics=["out"], timeout_s=1.0, stopping=lambda: len(attempts) > 2)
    delivery.recover()
    with pytest.raises(DeliveryFailed, match="no producer"):
        delivery.deliver(Outcome(_batch(), ()))
    assert len(attempts) == 3
    assert _new_client_threads(before) == []
    gc.collect()  # the library leaves sockets that could not connect to the collector


@pytest.mark.parametrize("attempt", [0, 3, 10, 5000])
def test_pauses_between_attempts_are_bounded(attempt: int) -> None:
    """They double, with jitter, up to a bound, however long the brokers are away."""
    pauses = [pause_s(attempt) for _ in range(20)]
    assert all(0 < pause <= delivery_module.MAX_BACKOFF_S for pause in pauses)
    assert len(set(pauses)) > 1


@pytest.mark.parametrize("outputs", [0, 1])
def test_two_workers_with_one_transactional_id(
    kafka: str, topic_factory: TopicFactory, unique: Unique, outputs: int
) -> None:
    """Fenced once: recover and go on. Fenced again within a minute: `Stop`, which says that the id is shared."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a"])
    with (
        parts.opened_source(kafka, topic, group) as source,
        parts.ready(parts.transactional(kafka, [out], group)) as one,
        parts.ready(parts.transactional(kafka, [out], group)) as two,
    ):
        batch = parts.polled(source, 1)[-1]
        outcome = Outcome(batch, ((Output(out, b"x"),) * outputs,))
        with pytest.raises(DeliveryFailed):
            one.deliver(outcome)
        one.recover()
        two.recover()
        with pytest.raises(Stop, match="transactional id"):
            one.deliver(outcome)
    assert parts.values(kafka, out) == []


def test_a_former_generation_is_refused(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """KIP-447: `DeliveryRefused` for the generation before and for somebody else's member; nothing appears."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a"])
    with (
        parts.opened_source(kafka, topic, group) as source,
        parts.ready(parts.transactional(kafka, [out], group)) as delivery,
    ):
        batch = parts.polled(source, 1)[-1]
        for wrong in ({"generation_id": batch.fence.generation_id - 1}, {"member_id": "somebody"}):
            stale = Batch(batch.records, batch.offsets, batch.epoch, batch.fence._replace(**wrong))
            with pytest.raises(DeliveryRefused):
                delivery.deliver(parts.answering(stale, out))
            delivery.recover()
        delivery.deliver(parts.answering(batch, out))
    assert parts.values(kafka, out) == [b"a"]


def test_an_unknown_output_topic_stops_in_one_line(kafka: str, unique: Unique) -> None:
    """Trap 18: found out before the first transaction, not inside one."""
    missing = unique("missing")
    delivery = parts.transactional(kafka, [missing], unique("t"), timeout_s=2.5, request_timeout_ms=500)
    with pytest.raises(Stop, match=rf"^[^\n]*{missing}[^\n]*topics create[^\n]*$"):
        delivery.recover()
    delivery.close()


def test_a_record_that_its_topic_does_not_take_is_too_large(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """The broker's limit counts, not the client's; many small records on a small topic are no such case."""
    out = topic_factory("out", configs={"max.message.bytes": "5000"})
    source = topic_factory("in")
    with (
        parts.opened_source(kafka, source, unique("g")) as reading,
        parts.ready(parts.transactional(kafka, [out], unique("t"))) as delivery,
    ):
        parts.produce(kafka, source, [b"a"])
        batch = parts.polled(reading, 1)[-1]
        with pytest.raises(RecordRefused) as refused:
            delivery.deliver(Outcome(batch, ((Output(out, b"x" * 6000),),)))
        assert (refused.value.refusal, refused.value.records) == ("output_too_large", {0})
        delivery.recover()
        delivery.deliver(Outcome(batch, ((Output(out, b"y" * 300),) * 100,)))
    assert len(parts.values(kafka, out)) == 100


def test_a_dead_letter_keeps_what_its_topic_takes(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """A value that just fitted the input fits the dead-letter topic as we make it, its headers beside it."""
    dead = topic_factory("dead", configs={"max.message.bytes": str(DEAD_LETTER_BYTES)})
    source = topic_factory("in")
    headers = (("tagstream-error-message", b"m" * 300),) * 3
    with (
        parts.opened_source(kafka, source, unique("g")) as reading,
        parts.ready(parts.transactional(kafka, [dead], unique("t"))) as delivery,
    ):
        parts.produce(kafka, source, [b"a"])
        batch = parts.polled(reading, 1)[-1]
        delivery.deliver(Outcome(batch, ((Output(dead, b"x" * 1_048_400, headers=headers),),)))
    assert len(parts.values(kafka, dead)[0] or b"") == 1_048_400


@pytest.mark.parametrize("configs", [{"cleanup.policy": "compact"}, {"message.timestamp.after.max.ms": "1000"}])
def test_a_record_that_its_topic_never_takes_is_refused(
    kafka: str, topic_factory: TopicFactory, unique: Unique, configs: dict[str, str]
) -> None:
    """A compacted topic takes no record without a key, others none from the future: that record alone is at fault."""
    out, source = topic_factory("out", configs=configs), topic_factory("in")
    with (
        parts.opened_source(kafka, source, unique("g")) as reading,
        parts.ready(parts.transactional(kafka, [out], unique("t"))) as delivery,
    ):
        parts.produce(kafka, source, [b"a"])
        batch = parts.polled(reading, 1)[-1]
        good, bad = Output(out, b"n", key=b"k"), Output(out, b"x", timestamp_ms=4102444800000)
        with pytest.raises(RecordRefused) as refused:
            delivery.deliver(Outcome(batch, ((good,), (bad,), (good, bad), (good,))))
        assert (refused.value.refusal, refused.value.records) == ("output_refused", {1, 2})  # though all have failed
        delivery.recover()
        delivery.deliver(Outcome(batch, ((Output(out, b"y", key=b"k"),),)))
    assert parts.values(kafka, out) == [b"y"]


def _failed(error: Exception) -> Future:
    return Future().failure(error)


def test_an_error_that_several_records_share_names_none_of_them() -> None:
    """It is that of their batch: which of them is at fault has to be found out. One of its own names its record."""
    batch_error, own = errors.RecordListTooLargeError("batch"), errors.MessageSizeTooLargeError("record")
    outcome = Outcome(_batch(), ((Output("out", b""),),) * 4)
    futures = [_failed(errors.KafkaError("went down with it")), _failed(batch_error), _failed(batch_error)]
    with pytest.raises(RecordRefused) as refused:
        delivery_module._check(outcome, [*futures, Future().success(None)])
    assert refused.value.records == frozenset()
    with pytest.raises(RecordRefused) as refused:
        delivery_module._check(outcome, [*futures, _failed(own)])
    assert refused.value.records == {3}


class Clock:
    """Stands for the `time` of a module; moves only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("flush_s", "given"),
    [
        pytest.param(4.0, {"flush": 10.0, "send_offsets": 6.0, "commit_transaction": 3.0}, id="in-time"),
        pytest.param(9.0, {"flush": 10.0, "send_offsets": 1.0}, id="nothing-left-for-the-commit"),
    ],
)
def test_one_deadline_bounds_the_whole_transaction(
    kafka: str,
    topic_factory: TopicFactory,
    unique: Unique,
    monkeypatch: pytest.MonkeyPatch,
    flush_s: float,
    given: dict[str, float],
) -> None:
    """Each step gets what the ones before it have left, and none begins after the end: nothing is visible then."""
    topic, out, group, clock = topic_factory("in"), topic_factory("out"), unique("g"), Clock()
    bounds: dict[str, float] = {}

    def slow(step: str, seconds: float) -> None:
        real = getattr(delivery_module, step)

        def run(*args: Any) -> None:
            bounds[step] = args[-1]
            real(*args)
            clock.now_s += seconds

        monkeypatch.setattr(delivery_module, step, run)

    parts.produce(kafka, topic, [b"a"])
    with (
        parts.opened_source(kafka, topic, group) as source,
        parts.ready(parts.transactional(kafka, [out], group, timeout_s=10.0)) as delivery,
    ):
        batch = parts.polled(source, 1)[-1]
        for step, seconds in (("flush", flush_s), ("send_offsets", 3.0), ("commit_transaction", 0.0)):
            slow(step, seconds)
        monkeypatch.setattr(delivery_module, "time", clock)
        late = contextlib.nullcontext() if len(given) == 3 else pytest.raises(DeliveryFailed, match="longer than")
        with late:
            delivery.deliver(parts.answering(batch, out))
        monkeypatch.undo()
        delivery.recover()
    assert bounds == given
    assert parts.values(kafka, out) == ([b"a"] if len(given) == 3 else [])


def test_transactional_calls_are_bounded(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Trap 8: without an answer `KafkaTimeoutError`, however long the library itself would wait."""
    out = topic_factory("out")
    with parts.ready(parts.transactional(kafka, [out], unique("t"))) as delivery:
        producer = delivery._producer
        assert producer is not None
        producer.begin_transaction()
        producer._transaction_manager.send_offsets_to_transaction({}, "g")  # queued, as is all that follows
        producer._sender.force_close()
        producer._sender.join(10)
        with pytest.raises(KafkaTimeoutError):
            delivery_module.commit_transaction(producer, 0.2)
