"""What every source and every delivery must do, in-memory or on Kafka: mixed into a test class with a `world`.

A world has one input topic with two partitions, one output topic, and one group that reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

from worker.errors import DeliveryRefused, RecordRefused
from worker.types import Batch, Delivery, Outcome, Output, Partition, Source

TOO_LONG = 3_000_000
Turn = Callable[[], Batch | None]


class World(Protocol):
    """The surroundings of the parts under test."""

    atomic: bool  # a failed delivery leaves nothing behind

    def write(self, values: Sequence[bytes], partition: int = 0) -> None: ...
    def source(self) -> Source: ...
    def delivery(self) -> Delivery: ...
    def outputs(self) -> list[bytes | None]: ...
    def committed(self) -> dict[int, int | None]: ...
    def answer(self, batch: Batch) -> Outcome: ...
    def output(self, value: bytes, partition: int = 0) -> Output: ...


def take(source: Source, wanted: int, turns: int = 600) -> list[Batch]:
    """Batches of one epoch with so many records in all; a batch that commits where a partition begins comes first."""
    batches: list[Batch] = []
    for _ in range(turns):
        if sum(len(batch.records) for batch in batches) >= wanted:
            return batches
        batch = source.poll(0.1, 100)
        batches = [b for b in (*batches, *([batch] if batch else [])) if b.epoch == source.epoch]
    raise AssertionError(f"{wanted} records did not come")


def read(batches: Sequence[Batch]) -> list[bytes | None]:
    return [record.value for batch in batches for record in batch.records]


class SourceContract:
    """Cases for `types.Source`."""

    @pytest.fixture
    def world(self) -> Any:
        raise NotImplementedError

    def test_each_record_comes_once_in_the_order_of_its_partition(self, world: World) -> None:
        """Polling on gives everything, each partition in order, and no record twice."""
        world.write([b"%d" % n for n in range(30)], 0)
        world.write([b"%d" % n for n in range(30, 60)], 1)
        got = read(take(world.source(), 60))
        for partition in (range(30), range(30, 60)):
            assert [value for value in got if int(value or b"") in partition] == [b"%d" % n for n in partition]

    def test_no_batch_has_more_records_than_asked_for(self, world: World) -> None:
        """`max_records` is a bound, and nothing is lost by it."""
        world.write([b"%d" % n for n in range(10)])
        source = world.source()
        batches = take(source, 1)
        for _ in range(200):
            if len(read(batches)) >= 10:
                break
            batch = source.poll(0.1, 3)
            if batch is not None:
                assert len(batch.records) <= 3
                batches.append(batch)
        assert read(batches) == [b"%d" % n for n in range(10)]

    def test_a_batch_commits_what_follows_its_records(self, world: World) -> None:
        """`offsets` is the next offset to read of each partition that the batch has records of."""
        world.write([b"a", b"b", b"c"], 1)
        last = take(world.source(), 3)[-1]
        assert {p.partition: offset for p, offset in last.offsets.items()}[1] == last.records[-1].offset + 1 == 3
        assert all(isinstance(p, Partition) for p in last.offsets)

    def test_rewind_begins_again_at_the_committed_offsets(self, world: World) -> None:
        """What was handed out and not delivered comes again; what was delivered does not."""
        world.write([b"a", b"b"])
        source, delivery = world.source(), world.delivery()
        for batch in take(source, 2):
            delivery.deliver(world.answer(batch))
        world.write([b"c", b"d"])
        assert read(take(source, 2)) == [b"c", b"d"]
        source.suspend()
        source.rewind()
        assert read(take(source, 2)) == [b"c", b"d"]

    def test_suspend_and_rewind_make_what_was_handed_out_stale(self, world: World) -> None:
        """Each raises the epoch; batches carry the epoch they were polled under."""
        world.write([b"a"])
        source = world.source()
        batch = take(source, 1)[-1]
        assert batch.epoch == source.epoch
        source.suspend()
        suspended = source.epoch
        source.rewind()
        assert batch.epoch < suspended < source.epoch
        assert take(source, 1)[-1].epoch == source.epoch

    def test_a_suspended_source_hands_out_nothing(self, world: World) -> None:
        """Until `rewind`, whatever is there."""
        world.write([b"a"])
        source = world.source()
        take(source, 1)
        source.suspend()
        world.write([b"b"])
        assert [source.poll(0.1, 10) for _ in range(8)] == [None] * 8
        source.rewind()
        assert read(take(source, 2)) == [b"a", b"b"]

    def test_idling_loses_nothing(self, world: World) -> None:
        """`idle` returns no records, and those that came meanwhile are polled afterwards."""
        world.write([b"a"])
        source = world.source()
        assert read(take(source, 1)) == [b"a"]
        world.write([b"b", b"c"])
        for _ in range(10):
            source.idle()
        assert read(take(source, 2)) == [b"b", b"c"]

    def test_an_unbounded_source_is_never_exhausted(self, world: World) -> None:
        """A stream may go on."""
        world.write([b"a"])
        source = world.source()
        take(source, 1)
        source.poll(0.1, 10)
        assert not source.exhausted

    def test_closing_never_raises(self, world: World) -> None:
        """Not even twice, or after a suspension."""
        source = world.source()
        source.suspend()
        source.close()
        source.close()


class DeliveryContract:
    """Cases for `types.Delivery`."""

    @pytest.fixture
    def world(self) -> Any:
        raise NotImplementedError

    def test_outputs_and_offsets_appear_together(self, world: World) -> None:
        """After `deliver` all outputs are there in their order, and the offsets are committed."""
        world.write([b"a", b"b", b"c"])
        source, delivery = world.source(), world.delivery()
        for batch in take(source, 3):
            delivery.deliver(world.answer(batch))
        assert world.outputs() == [b"a", b"b", b"c"]
        assert world.committed()[0] == 3

    def test_a_batch_without_records_commits_its_offsets(self, world: World) -> None:
        """Positions behind transaction markers, and the first position of a partition, are committed this way."""
        world.write([b"a"])
        batch = take(world.source(), 1)[-1]
        world.delivery().deliver(Outcome(Batch((), batch.offsets, batch.epoch, batch.fence), ()))
        assert world.outputs() == []
        assert world.committed()[0] == 1

    def test_one_record_too_large_fails_the_whole_outcome(self, world: World) -> None:
        """`RecordRefused`, and no offset is committed; an atomic delivery shows nothing of its neighbours either."""
        world.write([b"a", b"b"])
        source, delivery = world.source(), world.delivery()
        batch = take(source, 2)[-1]
        outputs = ((world.output(b"small"),), (world.output(b"x" * TOO_LONG),))
        with pytest.raises(RecordRefused):
            delivery.deliver(Outcome(batch, outputs[-len(batch.records) :]))
        assert world.committed()[0] in (None, 0)
        if world.atomic:
            assert world.outputs() == []

    def test_after_recovery_the_same_outcome_can_be_delivered(self, world: World) -> None:
        """A failure spoils nothing: recover, deliver, and it is there once."""
        world.write([b"a", b"b"])
        source, delivery = world.source(), world.delivery()
        batches = take(source, 2)
        with pytest.raises(RecordRefused):
            delivery.deliver(Outcome(batches[-1], ((world.output(b"x" * TOO_LONG),),) * len(batches[-1].records)))
        delivery.recover()
        for batch in batches:
            delivery.deliver(world.answer(batch))
        assert world.outputs() == [b"a", b"b"]
        assert world.committed()[0] == 2

    def test_an_outcome_cut_in_two_commits_the_same(self, world: World) -> None:
        """Both halves, one after the other, leave what the whole would have left."""
        world.write([b"a", b"b", b"c"])
        source, delivery = world.source(), world.delivery()
        for batch in take(source, 3):
            for half in world.answer(batch).cut(len(batch.records) // 2):
                delivery.deliver(half)
        assert world.outputs() == [b"a", b"b", b"c"]
        assert world.committed()[0] == 3

    def test_a_former_generation_is_refused(self, world: World) -> None:
        """`DeliveryRefused`, and nothing appears: the partitions may be somebody else's."""
        if not world.atomic:
            pytest.skip("at least once may repeat what a former owner had in flight")
        world.write([b"a"])
        batch = take(world.source(), 1)[-1]
        stale = Batch(batch.records, batch.offsets, batch.epoch, self.former(batch.fence))
        with pytest.raises(DeliveryRefused):
            world.delivery().deliver(world.answer(stale))
        assert world.outputs() == []

    def former(self, fence: Any) -> Any:
        """The fence of the generation before."""
        raise NotImplementedError

    def test_closing_never_raises(self, world: World) -> None:
        """Not even twice."""
        delivery = world.delivery()
        delivery.close()
        delivery.close()
