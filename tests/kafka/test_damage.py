"""A batch that fails its checksum: stop, or one marker and on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import CorruptRecordError, KafkaTimeoutError

from tests.doubles import FakeEngine
from tests.kafka import parts
from tests.kafka.broker import KafkaServer
from tests.kafka.chaos import Account, Topics, account
from worker import app
from worker.config import load
from worker.errors import Stop
from worker.kafka import damage
from worker.kafka.damage import Damage, first_readable, prober
from worker.kafka.input import Lag
from worker.kafka.source import KafkaSource
from worker.types import Batch, Partition

SPANS = 4
IN_A_SPAN = 5


@pytest.mark.parametrize(("first", "behind", "end"), [(0, 1, 1), (0, 1, 50), (7, 20, 50), (7, 50, 50), (3, 4, 5)])
def test_the_end_of_the_damage_is_found(first: int, behind: int, end: int) -> None:
    """The first offset behind the damaged batch is found, also where the batch is the last one."""
    assert first_readable(lambda offset: first <= offset < behind, first, end) == behind


class Consumer:
    """Answers one poll after another, each with what has come, where it then stands, or an error."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self._position = 0
        self.closed = False

    def assign(self, partitions: Any) -> None: ...

    def seek(self, partition: Any, offset: int) -> None:
        self._position = offset

    def position(self, partition: Any, timeout_ms: float) -> int:
        return self._position

    def poll(self, timeout_ms: float, max_records: int) -> dict[Any, Any]:
        answer = self._answers.pop(0) if self._answers else {}
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            self._position = answer
            return {}
        return dict(answer)

    def close(self, autocommit: bool) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("answers", "fails"),
    [
        pytest.param([{}, {TopicPartition("in", 0): ["a record"]}], False, id="a-record"),
        pytest.param([{}, 7], False, id="only-markers-or-aborted"),
        pytest.param([{}, CorruptRecordError("at offset 5")], True, id="damage"),
    ],
)
def test_an_offset_is_readable_or_not(answers: list[Any], fails: bool) -> None:
    """Readable is what gave a record or moved the position; the probing consumer is closed in any case."""
    consumer = Consumer(*answers)
    assert prober(lambda: consumer, Partition("in", 0))(5) is fails
    assert consumer.closed


def test_no_answer_says_nothing_of_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer must not make damage look readable, nor good records look damaged."""
    monkeypatch.setattr(damage, "PROBE_TIMEOUT_S", 0.0)
    consumer = Consumer()
    with pytest.raises(KafkaTimeoutError, match=r"in\[0\]@5"):
        prober(lambda: consumer, Partition("in", 0))(5)
    assert consumer.closed


def test_what_is_not_damaged_is_not_skipped() -> None:
    """The record to read next may lie behind the damage by now, as after a gap: then it is simply read."""
    found = Damage(lambda: Consumer({TopicPartition("in", 0): ["a record"]}), "skip")
    found.note(CorruptRecordError("partition TopicPartition(topic='in', partition=0) at offset 5"))
    assert found.skipped({Partition("in", 0): Lag(8, 20, 20)}) is None
    assert not found


def _run(server: KafkaServer, topics: Topics, on_corrupt: str) -> None:
    settings = load(
        None,
        [
            f"kafka.bootstrap={server.bootstrap}",
            f"kafka.group_id={topics.group}",
            f"input.topics=[{topics.source}]",
            f"input.on_corrupt={on_corrupt}",
            f"output.topic={topics.results}",
            f"dead_letter.topic={topics.dead_letters}",
            "clusters.enabled=false",
            "http.port=0",
        ],
        {},
    )
    app.make_worker(settings, FakeEngine(), app.Mode(until="end")).run()


def _damage_second_batch(server: KafkaServer, topic: str) -> None:
    """Flip a bit in the middle of the second batch's records, as a disk would."""
    (log,) = Path(server.directory).rglob(f"{topic}-0/*.log")
    data = bytearray(log.read_bytes())
    length = int.from_bytes(data[8:12], "big") + 12
    second = int.from_bytes(data[length + 8 : length + 12], "big") + 12
    data[length + second // 2 + 30] ^= 0x10
    log.write_bytes(data)


@pytest.fixture
def damaged(own_kafka: KafkaServer, unique: Callable[[str], str]) -> Topics:
    topics = Topics("input", "results", "dead", unique("group"))
    admin = KafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)
    names = [topics.source, topics.results, topics.dead_letters]
    admin.create_topics([NewTopic(name, 1, 1) for name in names])
    admin.wait_for_topics(names)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=own_kafka.bootstrap, linger_ms=10_000)
    for span in range(SPANS):
        for number in range(IN_A_SPAN):
            producer.send(topics.source, json.dumps({"text": f"span {span} text {number} " * 20}).encode())
        producer.flush()
    producer.close()
    own_kafka.terminate()
    _damage_second_batch(own_kafka, topics.source)
    own_kafka.start()
    return topics


def test_damage_stops_the_worker(own_kafka: KafkaServer, damaged: Topics) -> None:
    """With `on_corrupt: stop` the worker ends with a line that says where and what to do."""
    with pytest.raises(Stop, match=r"input.*offset 5.*input\.on_corrupt"):
        _run(own_kafka, damaged, "stop")


def test_damage_is_skipped_with_one_marker(own_kafka: KafkaServer, damaged: Topics) -> None:
    """With `on_corrupt: skip` one dead letter names the range, and all other records come out."""
    _run(own_kafka, damaged, "skip")
    found = account(own_kafka.bootstrap, damaged, 1, (SPANS - 1) * IN_A_SPAN + 1)
    assert found == Account(results=(SPANS - 1) * IN_A_SPAN, dead=1, repeated=0, missing=0, disordered=0)


def _stopping_the_broker(server: KafkaServer, make: Callable[[], Any], *, before: bool) -> Callable[[], Any]:
    """Make a consumer as before; the broker falls silent the first time."""
    stopped: list[bool] = []

    def make_with_outage() -> Any:
        if stopped:
            return make()
        stopped.append(True)
        consumer = None if before else make()
        server.stop()
        return consumer or make()

    return make_with_outage


def _committed_batches(source: KafkaSource, server: KafkaServer) -> list[Batch]:
    """All batches up to the last record, each committed at once, as what lies before the damage has to be.

    A broker that has fallen silent comes back when the source has noticed.
    """
    batches: list[Batch] = []

    def turn() -> None:
        batch = source.poll(0.1, 100)
        if not source.reachable:
            server.cont()
        if batch and batch.epoch == source.epoch:
            source.commit(batch)
            batches.append(batch)

    parts.until(lambda: sum(len(batch.records) for batch in batches) == (SPANS - 1) * IN_A_SPAN + 1, turn)
    return batches


def _marked(batches: list[Batch]) -> list[tuple[int, int | None]]:
    return [(record.offset, record.damaged_to) for batch in batches for record in batch.records if record.damaged_to]


@pytest.mark.parametrize("where", ["making a consumer", "probing"])
def test_a_broker_that_is_gone_while_damage_is_skipped(own_kafka: KafkaServer, damaged: Topics, where: str) -> None:
    """The source is unreachable for that time, tries again, and then skips just the damage."""
    with parts.opened_source(own_kafka.bootstrap, damaged.source, damaged.group, on_corrupt="skip") as source:
        if where == "probing":
            source._damage._make_prober = _stopping_the_broker(own_kafka, source._damage._make_prober, before=False)
        else:
            source._make_consumer = _stopping_the_broker(own_kafka, source._make_consumer, before=True)
        batches = _committed_batches(source, own_kafka)
    assert _marked(batches) == [(5, 10)]


def test_a_membership_lost_while_probing_commits_nothing(own_kafka: KafkaServer, damaged: Topics) -> None:
    """Trap 13: probing may take longer than a session; a marker without a valid fence would not be validated."""
    with parts.opened_source(own_kafka.bootstrap, damaged.source, damaged.group, on_corrupt="skip") as source:
        _lose_the_membership_once(source)
        batches = _committed_batches(source, own_kafka)
    assert _marked(batches) == [(5, 10)]
    assert all(batch.fence.generation_id >= 0 for batch in batches)


def _lose_the_membership_once(source: KafkaSource) -> None:
    make = source._damage._make_prober

    def lose_it() -> Any:
        source._damage._make_prober = make
        source._consumer._coordinator.reset_generation()
        return make()

    source._damage._make_prober = lose_it
