"""Dead letters put back, on a real Kafka."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from kafka import KafkaProducer

from schemas import Reason, headers
from tests.kafka.conftest import TopicFactory
from worker.errors import Stop
from worker.kafka.client import make_producer
from worker.kafka.reading import Reader
from worker.kafka.replay import DeadLetterRecord, Replay, Selection, dead_letters
from worker.kafka.security import Connection
from worker.results import dead_letter
from worker.types import DeadLetter, Header, Origin, Record

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def _record(offset: int, value: bytes | None = b"\xff", key: bytes | None = b"k") -> Record:
    return Record("comments", 4, offset, 1000, key, value, (Header("traceparent", b"t"),))


@dataclass
class Desk:
    """A dead-letter topic, a replay topic, and what an operator does with them."""

    bootstrap: str
    topic: str
    replays: str
    group: str
    options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.options = Connection(bootstrap=self.bootstrap).client_options()

    def bury(self, record: Record, reason: str = Reason.NOT_UTF8, replays: int = 0, when: datetime = NOON) -> None:
        letter = DeadLetter("decode", reason, "no text here", replays, Origin("comments", 4, record.offset, 1000))
        output = dead_letter(self.topic, record, letter, when)
        producer = KafkaProducer(**self.options)
        producer.send(output.topic, value=output.value, key=output.key, headers=list(output.headers), partition=0).get()
        producer.close()

    def producer(self) -> KafkaProducer:
        return make_producer(self.options, compression="lz4", delivery_timeout_s=20, transactional_id=self.group)

    def replay(
        self, selection: Selection | None = None, dry_run: bool = False, make: Callable[[], KafkaProducer] | None = None
    ) -> dict[str, Any]:
        with Reader(self.options, group_id=self.group) as reader:
            replaying = Replay(
                reader=reader,
                make_producer=None if dry_run else (make or self.producer),
                group_id=self.group,
                topic=self.topic,
                replay_topic=self.replays,
                max_replays=3,
                timeout_s=20,
            )
            return replaying.run(selection or Selection()).as_dict()

    def replayed(self) -> list[DeadLetterRecord]:
        with Reader(self.options) as reader:
            return list(dead_letters(reader, self.replays, Selection()))

    def sources(self) -> list[str]:
        return [letter.source for letter in self.replayed()]


@pytest.fixture
def desk(kafka: str, topic_factory: TopicFactory, unique: Callable[[str], str]) -> Desk:
    return Desk(kafka, topic_factory("dead", partitions=2), topic_factory("replay", partitions=3), unique("group"))


def test_a_replay_is_the_original_and_knows_where_it_came_from(desk: Desk) -> None:
    """Bytes, key and headers as they were; first coordinates kept; the error gone; the count one higher."""
    desk.bury(_record(7))
    assert desk.replay()["replayed"] == 1
    (letter,) = desk.replayed()
    record = letter.record
    assert (record.value, record.key, record.partition) == (b"\xff", b"k", 4 % 3)
    assert dict(record.headers) == {
        "traceparent": b"t",
        headers.SOURCE_TOPIC: b"comments",
        headers.SOURCE_PARTITION: b"4",
        headers.SOURCE_OFFSET: b"7",
        headers.SOURCE_TIMESTAMP: b"1000",
        headers.REPLAYS: b"1",
    }


def test_a_null_value_is_null_again(desk: Desk) -> None:
    """A tombstone comes back as one, an empty value as an empty value."""
    desk.bury(_record(1, value=None))
    desk.bury(_record(2, value=b""))
    desk.replay()
    assert [letter.record.value for letter in desk.replayed()] == [None, b""]


def test_nothing_is_replayed_twice(desk: Desk) -> None:
    """Running it again replays only what has come since."""
    desk.bury(_record(1))
    assert desk.replay()["replayed"] == 1
    desk.bury(_record(2))
    assert desk.replay()["replayed"] == 1
    assert desk.replay()["replayed"] == 0
    assert desk.sources() == ["comments[4]@1", "comments[4]@2"]


def test_a_selection_leaves_the_others_for_later(desk: Desk) -> None:
    """What was chosen by reason is not repeated by a later replay of everything, and nothing is passed over."""
    for offset, reason in enumerate([Reason.NOT_UTF8, Reason.INVALID_JSON] * 2):
        desk.bury(_record(offset), reason)
    assert desk.replay(Selection(reasons=frozenset({Reason.INVALID_JSON})))["replayed"] == 2
    rest = desk.replay()
    assert (rest["replayed"], rest["already_replayed"]) == (2, 2)
    assert desk.sources() == [f"comments[4]@{offset}" for offset in (1, 3, 0, 2)]


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        pytest.param(Selection(since=NOON), [1], id="since, included"),
        pytest.param(Selection(until=NOON), [0], id="until, excluded"),
        pytest.param(Selection(partition=0, offset=1), [1], id="one offset"),
        pytest.param(Selection(partition=1), [], id="another partition"),
    ],
)
def test_selections(desk: Desk, selection: Selection, chosen: list[int]) -> None:
    """By time of the failure, by coordinates in the dead-letter topic."""
    desk.bury(_record(0), when=NOON.replace(hour=11))
    desk.bury(_record(1), when=NOON)
    desk.replay(selection)
    assert desk.sources() == [f"comments[4]@{offset}" for offset in chosen]


def test_one_offset_twice_is_told(desk: Desk) -> None:
    """Asked for the same record again, it says that it has been replayed."""
    desk.bury(_record(0))
    once = Selection(partition=0, offset=0)
    assert desk.replay(once)["replayed"] == 1
    assert desk.replay(once) == {"replayed": 0, "replayed_by_reason": {}, "kept": {}, "already_replayed": 1}


def test_what_came_back_too_often_stays(desk: Desk) -> None:
    """At max_replays a record stays in the dead-letter topic, and does not hold up the others."""
    desk.bury(_record(0), replays=3)
    desk.bury(_record(1), replays=2)
    report = desk.replay()
    assert (report["replayed"], report["kept"]) == (1, {"max_replays": 1})
    assert [letter.replays for letter in desk.replayed()] == [3]


def test_a_dry_run_only_counts(desk: Desk) -> None:
    """The same counts, nothing written, nothing remembered."""
    desk.bury(_record(0))
    assert desk.replay(dry_run=True)["replayed"] == 1
    assert desk.sources() == []
    assert desk.replay()["replayed"] == 1


def test_a_replay_that_dies_before_its_commit_replays_nothing(desk: Desk) -> None:
    """Originals and progress are one transaction: after a crash, the next run does it all, once."""
    desk.bury(_record(0))

    def dying() -> KafkaProducer:
        producer = desk.producer()
        producer._transaction_manager.begin_commit = _raise_timeout
        return producer

    with pytest.raises(Stop, match="nothing is replayed twice"):
        desk.replay(make=dying)
    assert desk.replay()["replayed"] == 1
    assert desk.sources() == ["comments[4]@0"]


def test_of_two_replays_at_once_one_stops(desk: Desk) -> None:
    """The newer fences the older, which commits nothing: each dead letter is replayed once."""
    desk.bury(_record(0))

    def overtaken() -> KafkaProducer:
        producer = desk.producer()
        begin = producer.begin_transaction

        def after_the_other() -> None:
            assert desk.replay()["replayed"] == 1
            begin()

        producer.begin_transaction = after_the_other
        return producer

    with pytest.raises(Stop, match="another replay"):
        desk.replay(make=overtaken)
    assert desk.sources() == ["comments[4]@0"]


def _raise_timeout() -> None:
    from kafka.errors import KafkaTimeoutError

    raise KafkaTimeoutError("the test says so")


@pytest.mark.parametrize("configs", [{}, {"max.message.bytes": "200000"}], ids=["roomy", "narrow"])
def test_what_together_is_too_much_for_the_topic_is_replayed(
    desk: Desk, topic_factory: TopicFactory, configs: dict[str, str]
) -> None:
    """Originals go in larger requests than a replay topic may take at once: they are cut, and all come back."""
    desk.replays = topic_factory("narrow", configs=configs)
    for offset in range(8):
        desk.bury(_record(offset, os.urandom(60_000)))
    assert desk.replay()["replayed"] == 8
    assert desk.sources() == [f"comments[4]@{offset}" for offset in range(8)]


@pytest.mark.parametrize(
    ("configs", "refused", "reason"),
    [
        pytest.param({"max.message.bytes": "5000"}, _record(1, os.urandom(9000)), "too_large", id="large"),
        pytest.param({"cleanup.policy": "compact"}, _record(1, key=None), "refused", id="no-key"),
    ],
)
def test_an_original_that_the_topic_refuses_stays(
    desk: Desk, topic_factory: TopicFactory, configs: dict[str, str], refused: Record, reason: str
) -> None:
    """It is reported, now and every time, and holds up no other; with a topic that takes it, it is replayed."""
    takes_it, desk.replays = desk.replays, topic_factory("picky", configs=configs)
    for record in (_record(0), refused, _record(2)):
        desk.bury(record)
    report = desk.replay()
    assert (report["replayed"], report["kept"]) == (2, {reason: 1})
    report = desk.replay()
    assert (report["replayed"], report["kept"]) == (0, {reason: 1})
    assert desk.sources() == ["comments[4]@0", "comments[4]@2"]
    desk.replays = takes_it
    assert desk.replay()["replayed"] == 1
    assert desk.sources() == ["comments[4]@1"]


def test_a_replay_says_what_stopped_it(desk: Desk) -> None:
    """A timeout is no other replay."""
    desk.bury(_record(0))

    def silent() -> KafkaProducer:
        producer = desk.producer()
        flush = producer.flush

        def fail_once(timeout: float) -> None:
            producer.flush = flush
            _raise_timeout()

        producer.flush = fail_once
        return producer

    with pytest.raises(Stop, match="KafkaTimeoutError: the test says so; run it again"):
        desk.replay(make=silent)


@pytest.mark.parametrize(
    ("extra", "obstacle"),
    [
        pytest.param(
            (Header(headers.ERROR_REASON, b"not_utf8"), Header(headers.ERROR_VALUE_SIZE, b"9")), "value_left_out"
        ),
        pytest.param((Header(headers.ERROR_REASON, b"corrupt_batch"),), "no_original"),
        pytest.param((), "not_a_dead_letter"),
        pytest.param((Header(headers.ERROR_REASON, b"not_utf8"),), None),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else None,
)
def test_what_cannot_be_replayed_stays(extra: tuple[Header, ...], obstacle: str | None) -> None:
    """Without the original's bytes there is nothing to put back."""
    assert DeadLetterRecord(Record("dead", 0, 0, 0, None, b"", extra)).obstacle(3) == obstacle
