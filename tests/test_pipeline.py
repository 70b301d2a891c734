"""The loop over in-memory parts: what goes in comes out once, whatever fails on the way."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory import Fault, MemoryDelivery, MemoryLog
from tests.workbench import Bench, assert_once_and_in_order, filled, text
from worker.errors import DeliveryRefused, Stop
from worker.inflight import Load
from worker.types import Batch

FAULTS = st.dictionaries(st.integers(0, 25), st.sampled_from(["lost", "unanswered", "refused"]), max_size=10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(faults=FAULTS, rebalances=st.sets(st.integers(0, 25), max_size=4), partitions=st.integers(1, 3))
def test_every_record_comes_out_once_and_in_order_whatever_deliveries_fail(
    faults: dict[int, Fault], rebalances: set[int], partitions: int
) -> None:
    """Field report 4: lost, unanswered and refused deliveries, rebalances at any moment: one path, each record once."""
    log = filled(40, partitions=partitions)
    delivery = MemoryDelivery(
        log, faults=faults, before=lambda number: bench.source.rebalance() if number in rebalances else None
    )
    bench = Bench(log, delivery=delivery)
    assert_once_and_in_order(bench.run())


def test_a_failed_delivery_makes_what_is_behind_it_stale() -> None:
    """After a failure nothing of an older epoch is delivered: the next delivery begins at the committed offsets."""
    log = filled(12)
    bench = Bench(log, delivery=MemoryDelivery(log, faults={1: "lost"}), slots=3)
    assert_once_and_in_order(bench.run())
    assert bench.delivery.recoveries == 2  # at the start, and once
    assert bench.metrics.aborts.labels("other")._value.get() == 1


def test_nothing_is_read_while_a_delivery_recovers() -> None:
    """From the failure until the destination is ready again the source is suspended, and then rewound."""
    log = filled(40)
    bench = Bench(log, delivery=MemoryDelivery(log, faults={1: "lost"}))
    during: list[object] = []
    recover = bench.delivery.recover
    bench.delivery.recover = lambda: (  # type: ignore[method-assign]
        during.append(bench.delivery.recoveries and bench.source.poll(0.0, 10)),
        recover(),
    )[1]
    assert_once_and_in_order(bench.run())
    assert during == [0, None]


def test_after_a_refusal_nothing_is_delivered_before_the_membership_has_changed() -> None:
    """The source is told which batch was refused: under the same fence all that follows would be refused too."""
    log = filled(12)
    generation = log.generation
    bench = Bench(log, delivery=MemoryDelivery(log, before=lambda number: refuse() if number == 1 else None))
    waited: list[int] = []
    poll = bench.source.poll

    def refuse() -> None:
        bench.source.poll = patiently  # type: ignore[method-assign]
        raise DeliveryRefused("told to refuse")

    def patiently(timeout_s: float, max_records: int) -> Batch | None:
        batch = poll(timeout_s, max_records)
        if batch is None and log.generation == generation and bench.in_flight.empty:
            waited.append(bench.delivery.calls)
            log.generation += len(waited) == 3
        return batch

    assert_once_and_in_order(bench.run())
    assert waited == [2, 2, 2]


def test_batches_of_before_a_revocation_are_dropped_unsent() -> None:
    """A rebalance while batches wait in the pipe: they are not delivered, and their records are read again."""
    log = filled(8)
    bench = Bench(log, slots=2)
    calls: list[str] = []

    def rebalance_once(verb: str) -> None:
        calls.append(verb)
        if calls.count("infer") == 1 and verb == "infer":
            bench.source.rebalance()

    bench.stages.hook = rebalance_once
    assert_once_and_in_order(bench.run())
    assert bench.delivery.recoveries == 1  # nothing stale was tried, so nothing failed


NASTY = [
    pytest.param(b'{"text": "x", "metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", id="deep-metadata"),
    pytest.param(b'{"text": "x", "metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", id="deeper-than-pydantic"),
    pytest.param(b'{"text": "x", "metadata": {"n": ' + b"9" * 5000 + b"}}", id="huge-integer"),
    pytest.param(b'{"text": "x", "metadata": {"n": 1e999, "m": NaN}}', id="not-a-number"),
    pytest.param(rb'{"text": "x", "id": "\ud800", "metadata": {"\ud800": "\udfff"}}', id="lone-surrogates"),
    pytest.param(rb'{"text": "x\ud800y"}', id="surrogate-in-the-text"),
    pytest.param(b'{"text": "x", "id": "' + b"i" * 70_000 + b'"}', id="long-id"),
    pytest.param(rb'{"text": "x", "language": "\u0000\n"}', id="control-characters"),
]


@pytest.mark.parametrize("value", NASTY)
def test_no_record_ends_the_run_or_fails_its_neighbours(value: bytes) -> None:
    """Whatever a sender writes, its record comes out once, as a result or a dead letter, between its neighbours."""
    log = MemoryLog()
    for each in (text("before"), value, text("after")):
        log.write(each)
    bench = Bench(log)
    assert_once_and_in_order(bench.run())
    assert {(0, 0), (0, 2)} <= {*bench.of("out"), *bench.of("a-topic")}


def test_an_exception_of_a_stage_reaches_the_caller() -> None:
    """A bug in a stage ends the run with that very exception, nothing committed behind it."""
    bench = Bench(filled(20))

    def fail(verb: str) -> None:
        if verb == "infer":
            raise ZeroDivisionError

    bench.stages.hook = fail
    with pytest.raises(ZeroDivisionError):
        bench.run()
    assert bench.log.committed == {}
    assert bench.source.closed
    assert bench.delivery.closed


def test_a_stop_of_the_delivery_reaches_the_caller() -> None:
    """What cannot be mended ends the run, with nothing of that batch committed."""
    bench = Bench(filled(20), delivery=MemoryDelivery(filled(0), faults={2: "stop"}))
    bench.delivery.log = bench.log
    with pytest.raises(Stop, match="told to stop"):
        bench.run()
    assert bench.log.lag == 12


def test_a_failed_run_ends_at_once() -> None:
    """Nothing waits out a drain deadline for batches that nobody works on any more: the source is told first."""
    bench = Bench(filled(20), bounded=False)
    epochs = []
    bench.source.close = lambda: epochs.append(bench.source.epoch)  # type: ignore[method-assign]
    bench.stages.hook = lambda verb: 1 / 0
    with pytest.raises(ZeroDivisionError):
        bench.run()
    assert epochs == [1]  # suspended before it was closed


def test_stop_delivers_what_is_in_flight_and_reads_no_more() -> None:
    """A graceful stop drains: everything polled is committed, the rest is left for the next worker."""
    bench = Bench(filled(40), bounded=False, slots=2)
    bench.stages.hook = lambda verb: bench.pipeline.stop() if verb == "infer" else None
    bench.run()
    assert bench.in_flight.load == Load()
    done = 40 - bench.log.lag
    assert 0 < done < 40
    assert len(bench.outcomes()) == done
    assert bench.source.closed
    assert bench.delivery.closed


def test_a_drain_keeps_the_membership() -> None:
    """While a stop waits for what is in flight the source is kept alive: a rebalance then would be for nothing."""
    bench = Bench(filled(8), bounded=False, slots=2)
    idled = threading.Event()
    idle = bench.source.idle
    bench.source.idle = lambda: (idle(), idled.set())[0]  # type: ignore[method-assign]

    def hold(verb: str) -> None:
        if verb == "infer" and not bench.pipeline.stopping:
            bench.pipeline.stop()
            idled.clear()
            assert idled.wait(30)

    bench.stages.hook = hold
    bench.run()
    assert bench.in_flight.load == Load()
    assert len(bench.outcomes()) == 8 - bench.log.lag > 0


def test_a_stop_that_cannot_drain_leaves_the_rest_uncommitted() -> None:
    """Past the deadline what is in flight becomes stale: it is not delivered, and will be read again."""
    bench = Bench(filled(8), bounded=False, slots=2)
    held = threading.Event()

    def hold(verb: str) -> None:
        if verb == "infer":
            bench.pipeline.stop()
            held.wait(10)

    bench.stages.hook = hold
    others = set(threading.enumerate())
    bench.pipeline.run(drain_timeout_s=0.05)
    held.set()
    for thread in set(threading.enumerate()) - others:
        thread.join(30)
    assert bench.in_flight.load == Load()
    assert bench.log.committed == {}
    assert bench.outcomes() == []


def test_a_stop_does_not_wait_for_a_destination_that_is_gone() -> None:
    """Past the drain's time it is closed under the hands that still try to reach it: what they meet is no failure."""
    log = filled(8)
    bench = Bench(log, bounded=False, delivery=MemoryDelivery(log, faults={0: "lost"}))
    closed, recover = threading.Event(), bench.delivery.recover

    def never_recover() -> None:
        if bench.delivery.calls:
            bench.pipeline.stop()
            assert closed.wait(30)
            raise ZeroDivisionError
        recover()

    def close() -> None:
        closed.set()
        for thread in threading.enumerate():
            if thread.name == "deliver":
                thread.join(30)

    bench.delivery.recover, bench.delivery.close = never_recover, close  # type: ignore[method-assign]
    bench.pipeline.run(drain_timeout_s=0.05)
    assert log.committed == {}


def test_a_paused_pipeline_keeps_its_membership_and_reads_nothing() -> None:
    """While paused the source is kept alive and never polled; after `resume` everything comes out."""
    log = filled(12)
    bench = Bench(log)
    bench.pipeline.pause()
    seen = threading.Event()
    idle = bench.source.idle
    bench.source.idle = lambda: (idle(), bench.source.idled > 2 and seen.set())[0]  # type: ignore[method-assign]
    thread = bench.start()
    assert seen.wait(30)
    assert bench.pipeline.paused
    assert log.committed == {}
    bench.pipeline.resume()
    thread.join(30)
    assert_once_and_in_order(bench)


def test_slots_bound_what_is_in_flight() -> None:
    """Field report 1, trap 9: however long a pass is, no more batches than slots are read, the membership is kept."""
    bench = Bench(filled(40), slots=3, max_records=4)
    go, full = threading.Event(), threading.Event()
    idle = bench.source.idle
    bench.source.idle = lambda: (idle(), full.set())[0]  # type: ignore[method-assign]
    most: list[Load] = []

    def hold(verb: str) -> None:
        if verb == "infer":
            assert go.wait(30)
            most.append(bench.in_flight.load)

    bench.stages.hook = hold
    thread = bench.start()
    assert full.wait(30)
    assert bench.in_flight.load.batches == 3
    assert bench.in_flight.load.records == 12
    go.set()
    thread.join(30)
    assert max(load.batches for load in most) <= 3
    assert_once_and_in_order(bench)
    assert bench.in_flight.load == Load()


@pytest.mark.parametrize("slots", [2, 4])
def test_a_batch_with_more_parts_than_slots_goes_through(slots: int) -> None:
    """Batches cut by tokens into many parts never wait for slots that batches behind them hold."""
    bench = Bench(filled(60, words=10), max_tokens=15, max_records=12, slots=slots)
    thread = bench.start()
    thread.join(30)
    assert not thread.is_alive()
    assert_once_and_in_order(bench)
    assert bench.delivery.calls > 30
    assert bench.in_flight.load == Load()
    assert bench.in_flight.most_tokens <= slots * 15


def test_a_record_with_more_tokens_than_may_be_in_flight_goes_alone() -> None:
    """It waits until nothing else is in flight, and then takes its turn."""
    log = MemoryLog()
    for n in range(9):
        log.write(text("word " * (50 if n % 3 == 1 else 4)))
    bench = Bench(log, max_tokens=10, max_records=9)
    thread = bench.start()
    thread.join(30)
    assert not thread.is_alive()
    assert_once_and_in_order(bench)
    assert bench.in_flight.most_tokens == 50


def test_a_stage_that_fails_ends_the_wait_for_room() -> None:
    """Parts that wait behind a failed stage do not keep their thread alive after the run."""
    bench = Bench(filled(60, words=10), max_tokens=15, max_records=60)
    waiting = threading.Event()
    room = bench.in_flight.wait_for_room

    def watched(tokens: int, timeout_s: float) -> bool:
        fits = room(tokens, 0.0)
        if not fits:
            waiting.set()
        return fits or room(tokens, timeout_s)

    bench.in_flight.wait_for_room = watched  # type: ignore[method-assign]

    def fail_behind_it(verb: str) -> None:
        if verb == "infer":
            assert waiting.wait(30)
            raise ZeroDivisionError

    bench.stages.hook = fail_behind_it
    others = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        bench.run()
    for thread in set(threading.enumerate()) - others:
        if thread.name == "prepare":
            thread.join(30)
            assert not thread.is_alive()


def test_a_failed_part_of_a_batch_is_read_again_from_there() -> None:
    """Parts commit one after the other; after a failure of one, it and what follows it come again, once."""
    bench = Bench(filled(30, words=10), delivery=MemoryDelivery(filled(0)), max_tokens=25, max_records=10)
    bench.delivery.log = bench.log
    bench.delivery._faults = {2: "lost", 5: "unanswered"}
    assert_once_and_in_order(bench.run())
    assert bench.in_flight.load == Load()


def test_only_positions_are_committed_too() -> None:
    """A batch without records, such as one behind transaction markers, goes the same way and commits its offsets."""
    bench = Bench(MemoryLog())
    place = next(iter(bench.log.inputs))
    polled = iter([Batch((), {place: 7}, 0, 1)])
    bench.source.poll = lambda timeout_s, max_records: next(polled, None)  # type: ignore[method-assign]
    bench.source.bounded = False
    bench.delivery._before = lambda number: bench.pipeline.stop()
    bench.run()
    assert bench.log.committed == {place: 7}
