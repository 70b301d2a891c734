"""Records that a topic does not take: cut out of their batch, which goes through all the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.memory import Fault, MemoryDelivery, MemoryLog, MemorySource
from tests.workbench import Bench, assert_once_and_in_order, filled, text
from worker.errors import Stop
from worker.metrics import sums_by, total


def test_one_record_too_large_is_a_dead_letter_by_itself() -> None:
    """Its batch is halved until it stands alone; the neighbours come out as results, in order."""
    log = MemoryLog()
    for n in range(8):
        log.write(text("long " * 1000 if n == 5 else f"short {n}"))
    delivery = MemoryDelivery(log, max_bytes={"out": 2000, "a-topic": 2000})
    bench = Bench(log, delivery=delivery, max_records=8)
    assert_once_and_in_order(bench.run())
    assert bench.of("dead") == [(0, 5)]
    assert dict(log.outputs["dead"][0].headers)["tagstream-error-reason"] == b"output_too_large"
    assert total(bench.metrics.failed) == 1


def test_whoever_looks_on_sees_that_a_delivery_recovers() -> None:
    """At the start and after every failure, a record that is refused included: the watchdog rests meanwhile."""
    log = MemoryLog()
    for n in range(2):
        log.write(text("long " * 1000 if n else "short"))
    bench = Bench(log, delivery=MemoryDelivery(log, max_bytes={"out": 2000, "a-topic": 2000}))
    recover, seen = bench.delivery.recover, []
    bench.delivery.recover = lambda: (seen.append(bench.pipeline.recovering_since), recover())[1]  # type: ignore
    assert_once_and_in_order(bench.run())
    assert len(seen) == bench.delivery.recoveries == 3
    assert None not in seen
    assert bench.pipeline.recovering_since is None


def test_one_record_that_its_topic_never_takes_is_a_dead_letter_by_itself() -> None:
    """A compacted output refuses a record without a key: that one is a dead letter, and nobody stops."""
    log = MemoryLog()
    for n in range(8):
        log.write(text(f"text {n}"), key=None if n == 5 else b"k")
    bench = Bench(log, delivery=MemoryDelivery(log, keyed={"out", "a-topic"}), max_records=8)
    assert_once_and_in_order(bench.run())
    assert bench.of("dead") == [(0, 5)]
    assert dict(log.outputs["dead"][0].headers)["tagstream-error-reason"] == b"output_refused"
    assert sums_by(bench.metrics.dead_letters, "reason") == {"output_refused": 1}
    assert bench.metrics.aborts.labels("output_refused")._value.get() == 4  # 8, 4, 2 and 1 records


def test_many_records_that_their_topic_never_takes_cost_one_delivery() -> None:
    """Where the destination says which they are, all of them are dead letters at once."""
    log = MemoryLog()
    for n in range(64):
        log.write(text(f"text {n}"), key=None if n % 3 else b"k")
    bench = Bench(log, delivery=MemoryDelivery(log, keyed={"out", "a-topic"}, naming=True), max_records=64)
    assert_once_and_in_order(bench.run())
    assert len(bench.of("dead")) == 42
    assert bench.delivery.calls == 3  # the whole, and its halves


@pytest.mark.parametrize("limit", [{"max_bytes": {"dead": -1}}, {"keyed": {"dead"}}], ids=["size", "key"])
def test_a_dead_letter_topic_that_takes_nothing_stops(limit: dict[str, Any]) -> None:
    """Where not even the dead letter gets through, the run ends in one line; what went before counts."""
    log = filled(7)
    bench = Bench(log, delivery=MemoryDelivery(log, **limit), max_records=7)
    with pytest.raises(Stop, match=r"^topic 'dead' [^\n]*$"):
        bench.run()
    assert log.lag == 1
    assert total(bench.metrics.processed) == 6


@pytest.mark.parametrize("fault", ["lost", "refused"])
def test_what_got_through_of_a_delivery_that_failed_later_counts(fault: Fault) -> None:
    """A batch cut for one large record, whose second half fails: every record is counted once all the same."""
    log = MemoryLog()
    for n in range(8):
        log.write(text("long " * 1000 if n == 5 else f"short {n}"))
    delivery = MemoryDelivery(log, max_bytes={"out": 2000, "a-topic": 2000}, faults={3: fault})
    bench = Bench(log, delivery=delivery, max_records=8)
    if fault == "refused":
        bench.source.rewind = lambda refused=None: MemorySource.rewind(bench.source)  # type: ignore[method-assign]
    assert_once_and_in_order(bench.run())
    assert total(bench.metrics.processed) == 8
    assert total(bench.metrics.results) == 7
    assert total(bench.metrics.predictions) == 8
    assert total(bench.metrics.tokens) == 7 * 2 + 1000
    assert sums_by(bench.metrics.dead_letters, "reason") == {"output_too_large": 1}
    assert bench.pipeline.committed == log.committed
