"""Bounded runs: where they end, whoever reads a partition, and what a second run does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from tests.kafka.test_rebalances import polling
from worker.kafka.ends import EMPTY_HANDED_S, Ends
from worker.kafka.input import Lag
from worker.kafka.source import KafkaSource
from worker.types import Batch, Partition

Unique = Callable[[str], str]
P0, P1 = Partition("in", 0), Partition("in", 1)


class Broker:
    """Answers for the ends as a consumer does."""

    def __init__(self, end: int) -> None:
        self.end = end

    def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, self.end)

    def offsets_for_times(self, times: dict[Any, int]) -> dict[Any, Any]:
        return {p: SimpleNamespace(offset=ms // 1000) if p == P0 else None for p, ms in times.items()}


def _noted(until: Any, end: int, *partitions: Partition) -> Ends:
    ends = Ends(until)
    ends.note(Broker(end), partitions)
    return ends


def _lag(position: int) -> Lag:
    return Lag(position, 99, 99)


def test_an_end_is_noted_once() -> None:
    """What is written during the run belongs to another one; a partition made since has the end that it is met with."""
    ends = _noted("end", 10, P0)
    ends.note(Broker(20), [P0, P1])
    assert ends.capped({P0: 50, P1: 50}) == {P0: 10, P1: 20}


def test_an_end_can_be_a_time() -> None:
    """The first record of that time or later, or the end where there is none."""
    ends = _noted(datetime.fromtimestamp(7, UTC), 10, P0, P1)
    assert ends.capped({P0: 50, P1: 50}) == {P0: 7, P1: 10}


def test_records_beyond_the_end_are_left() -> None:
    """They are neither read nor committed by this run."""
    ends = _noted("end", 2, P0)
    records = [SimpleNamespace(offset=n) for n in range(4)]
    assert ends.before(P0, records) == records[:2]
    assert ends.capped({P0: 1}) == {P0: 1}


def test_reading_that_begins_behind_the_end_commits_nothing_backwards() -> None:
    """`input.start: latest` with a time that has passed, or a partition that another worker has read further."""
    ends = _noted("end", 10, P0)
    ends.begin({P0: 30, P1: 5})
    assert ends.reached({P0: _lag(30)}, 0)
    assert ends.capped({P0: 35}) == {P0: 30}


@pytest.mark.parametrize(
    ("lags", "placed_for_s", "reached"),
    [
        pytest.param({P0: _lag(10), P1: _lag(11)}, 0, True, id="all"),
        pytest.param({P0: _lag(10), P1: _lag(9)}, 0, False, id="one-is-left"),
        pytest.param({}, EMPTY_HANDED_S - 1, False, id="others-may-leave"),
        pytest.param({}, EMPTY_HANDED_S + 1, True, id="a-member-too-many"),
    ],
)
def test_the_end_is_reached(lags: dict[Partition, Lag], placed_for_s: float, reached: bool) -> None:
    """When every partition has been read that far; a member without any waits for one first."""
    assert _noted("end", 10, P0, P1).reached(lags, placed_for_s) is reached


@pytest.mark.parametrize("lags", [{}, {P0: _lag(99)}])
def test_a_stream_has_no_end(lags: dict[Partition, Lag]) -> None:
    """Without `--until` nothing is asked for and nothing is cut."""
    ends = _noted(None, 10, P0)
    assert not ends.reached(lags, 1e9)
    assert ends.capped({P0: 50}) == {P0: 50}


def _read_to_the_end(source: KafkaSource, turns_more: int = 0) -> list[Batch]:
    batches: list[Batch] = []

    def turn() -> None:
        batches.extend(filter(None, [source.poll(0.1, 3)]))

    parts.until(lambda: source.exhausted, turn)
    for _ in range(turns_more):
        turn()
    return [batch for batch in batches if batch.epoch == source.epoch]


def _values(batches: list[Batch]) -> list[bytes | None]:
    return [record.value for batch in batches for record in batch.records]


def test_a_partition_gained_later_ends_where_it_did_at_the_start(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """`--until end` on several workers: one leaves, and what was written meanwhile to its partition stays unread."""
    topic, group = topic_factory("in", partitions=2), unique("g")
    for partition in (0, 1):
        parts.produce(kafka, topic, [b"now"] * 5, partition=partition)
    with contextlib.ExitStack() as leaving:
        other = leaving.enter_context(parts.opened_source(kafka, topic, group, until="end"))
        parts.until(lambda: len(other.lags()) == 2, lambda: other.poll(0.1, 10))
        with parts.opened_source(kafka, topic, group, until="end") as one:
            with polling(other), polling(one):
                parts.until(lambda: len(one.lags()) == len(other.lags()) == 1, lambda: None)
            for partition in (0, 1):
                parts.produce(kafka, topic, [b"later"] * 5, partition=partition)
            leaving.close()
            parts.until(lambda: len(one.lags()) == 2, lambda: one.poll(0.1, 1))
            one.rewind()
            batches = _read_to_the_end(one)
    assert _values(batches) == [b"now"] * 10


def test_markers_beyond_the_end_are_not_committed(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """A transaction written during the run: its records stay for the next one, however quiet the partition gets."""
    topic, group = topic_factory("in"), unique("g")
    parts.produce(kafka, topic, [b"now"] * 5)
    with parts.opened_source(kafka, topic, group, until="end") as source:
        parts.until(lambda: source.lags(), lambda: source.poll(0.1, 1))
        parts.produce(kafka, topic, [b"later"] * 3, transaction=True)
        batches = _read_to_the_end(source, turns_more=20)
        assert source.lags()[Partition(topic, 0)].position == 9  # the markers were passed
    assert _values(batches) == [b"now"] * 5
    assert max(batch.offsets.get(Partition(topic, 0), 0) for batch in batches) == 5


def test_a_second_run_goes_on_where_the_first_one_ended(
    kafka: str, topic_factory: TopicFactory, unique: Unique
) -> None:
    """The group remembers: with nothing new the run ends at once, else it reads what has come since."""
    topic, out, group = topic_factory("in"), topic_factory("out"), unique("g")
    parts.produce(kafka, topic, [b"a"] * 3)
    seen: list[list[bytes | None]] = []
    for more in ([], [], [b"b"]):
        parts.produce(kafka, topic, more)
        with (
            parts.opened_source(kafka, topic, group, until="end") as source,
            parts.ready(parts.transactional(kafka, [out], group)) as delivery,
        ):
            batches = _read_to_the_end(source)
            for batch in batches:
                delivery.deliver(parts.answering(batch, out))
        seen.append(_values(batches))
    assert seen == [[b"a"] * 3, [], [b"b"]]


def test_the_ends_are_asked_for_before_the_join(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """Noting them costs no second rebalance, also where the topics are a pattern."""
    topic = topic_factory("in", partitions=3)
    events = parts.Events()
    with parts.opened_source(kafka, "", unique("g"), pattern=f"^{topic}$", until="end", events=events) as source:
        _read_to_the_end(source)
        for _ in range(10):
            source.poll(0.05, 10)
    assert events.of("assigned")[-1] == frozenset(Partition(topic, p) for p in range(3))
    assert len([found for found in events.of("assigned") if found]) == 1
