"""A batch that fails its checksum: stop, or one marker and on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
from worker.inflight import InFlight
from worker.kafka import damage
from worker.kafka.damage import Damage, first_behind, prober
from worker.kafka.input import Lag
from worker.kafka.source import KafkaSource
from worker.types import Batch, Partition

FIRST = (5, 5, 5, 5)
P0 = Partition("in", 0)
Kind = Literal["good", "bad", "marker"]


@pytest.mark.parametrize(("first", "behind", "end"), [(0, 1, 1), (0, 1, 50), (7, 20, 50), (7, 50, 50), (3, 4, 5)])
def test_the_end_of_the_damage_is_found(first: int, behind: int, end: int) -> None:
    """The first offset behind the damaged batch is found, also where the batch is the last one."""
    assert first_behind(lambda offset: first <= offset < behind, first, end) == behind


def crc_error(offset: int) -> CorruptRecordError:
    return CorruptRecordError(
        f"Record batch for partition TopicPartition(topic='in', partition=0) at offset {offset} failed crc check"
    )


@dataclass(frozen=True)
class Span:
    first: int
    behind: int
    kind: Kind


def layout(*batches: tuple[Kind, int]) -> list[Span]:
    """Batches of so many offsets, one behind the other."""
    spans: list[Span] = []
    for kind, size in batches:
        first = spans[-1].behind if spans else 0
        spans.append(Span(first, first + size, kind))
    return spans


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
    ("answers", "found"),
    [
        pytest.param([{}, {TopicPartition("in", 0): ["a record"]}], None, id="a-record"),
        pytest.param([{}, 9], None, id="only-markers-or-aborted"),
        pytest.param([{}, crc_error(4)], 4, id="inside-of-damage"),
        pytest.param([{}, 7, crc_error(7)], 7, id="markers-before-damage"),
    ],
)
def test_an_offset_is_readable_or_not(answers: list[Any], found: int | None) -> None:
    """Damage counts where no record comes before it; the probing consumer is closed in any case."""
    consumer = Consumer(*answers)
    assert prober(lambda: consumer, P0, 9)(5) == found
    assert consumer.closed


def test_damage_without_a_place_stops() -> None:
    """Where the client does not say which batch it is, nothing is skipped."""
    consumer = Consumer(CorruptRecordError("invalid number of records"))
    with pytest.raises(Stop, match="invalid number of records"):
        prober(lambda: consumer, P0, 9)(5)
    assert consumer.closed


def test_no_answer_says_nothing_of_an_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer must not make damage look readable, nor good records look damaged."""
    monkeypatch.setattr(damage, "PROBE_TIMEOUT_S", 0.0)
    consumer = Consumer()
    with pytest.raises(KafkaTimeoutError, match=r"in\[0\]@5"):
        prober(lambda: consumer, P0, 9)(5)
    assert consumer.closed


def test_what_is_not_damaged_is_not_skipped() -> None:
    """The record to read next may lie behind the damage by now, as after a gap: then it is simply read."""
    found = Damage(lambda: Consumer({TopicPartition("in", 0): ["a record"]}), "skip")
    found.note(crc_error(5))
    assert found.skipped({P0: Lag(8, 20, 20)}) is None
    assert not found


class Reader(Consumer):
    """Reads a partition of these batches, one at a time."""

    def __init__(self, spans: list[Span]) -> None:
        super().__init__()
        self._spans = spans

    def poll(self, timeout_ms: float, max_records: int) -> dict[Any, Any]:
        span = next(span for span in self._spans if self._position < span.behind)
        if span.kind == "bad":
            raise crc_error(span.first)
        self._position = span.behind
        return {TopicPartition("in", 0): ["a record"]} if span.kind == "good" else {}


def _skipped(spans: list[Span], position: int) -> tuple[int, int | None] | None:
    found = Damage(lambda: Reader(spans), "skip")
    found.note(crc_error(next(span.first for span in spans if span.kind == "bad")))
    marker = found.skipped({P0: Lag(position, spans[-1].behind, spans[-1].behind)})
    return (marker.offset, marker.damaged_to) if marker else None


def test_a_good_batch_between_two_damages_is_not_skipped() -> None:
    """However the steps fall: what can be read behind the first damage is read."""
    spans = layout(("good", 100), ("bad", 2), ("good", 1), ("bad", 7), ("good", 5))
    assert _skipped(spans, 100) == (100, 102)
    assert _skipped(spans, 103) == (103, 110)


def test_damage_behind_a_transaction_marker_is_skipped() -> None:
    """No record comes between the last one read and the damage, so waiting for one would last for ever."""
    assert _skipped(layout(("good", 5), ("marker", 1), ("bad", 4), ("good", 1)), 5) == (6, 10)


BATCHES = st.lists(st.tuples(st.sampled_from(["good", "bad", "marker"]), st.integers(1, 40)), min_size=1, max_size=8)


@given(before=BATCHES, bad=st.integers(1, 40), behind=BATCHES, inside=st.integers(0, 39))
def test_only_the_offsets_of_one_damaged_batch_are_skipped(
    before: list[tuple[Kind, int]], bad: int, behind: list[tuple[Kind, int]], inside: int
) -> None:
    """Whatever lies around it, and where in it reading begins: from there to its end."""
    spans = layout(*before, ("bad", bad), *behind)
    span = spans[len(before)]
    start = span.first + inside % bad
    assert _skipped(spans, start) == (start, span.behind)


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


def _damage_batches(server: KafkaServer, topic: str, which: Iterable[int]) -> None:
    """Flip a bit in the middle of these batches' records, as a disk would."""
    (log,) = Path(server.directory).rglob(f"{topic}-0/*.log")
    data = log.read_bytes()
    starts = [0]
    while starts[-1] < len(data) and (size := int.from_bytes(data[starts[-1] + 8 : starts[-1] + 12], "big")):
        starts.append(starts[-1] + size + 12)
    with log.open("r+b", buffering=0) as file:  # the broker goes on with it, and sends what lies there
        for number in which:
            place = (starts[number] + starts[number + 1]) // 2 + 30
            file.seek(place)
            file.write(bytes([data[place] ^ 0x10]))


def _write(server: KafkaServer, topics: Topics, sizes: Iterable[int], bad: Iterable[int]) -> None:
    """One batch of each size; those with the numbers in `bad` get damaged."""
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    names = [topics.source, topics.results, topics.dead_letters]
    admin.create_topics([NewTopic(name, 1, 1) for name in names])
    admin.wait_for_topics(names)
    admin.close()
    producer = KafkaProducer(bootstrap_servers=server.bootstrap, linger_ms=10_000)
    for span, size in enumerate(sizes):
        for number in range(size):
            producer.send(topics.source, json.dumps({"text": f"span {span} text {number} " * 20}).encode())
        producer.flush()
    producer.close()
    _damage_batches(server, topics.source, bad)


@pytest.fixture
def topics(unique: Callable[[str], str]) -> Topics:
    return Topics(unique("input"), unique("results"), unique("dead"), unique("group"))


@pytest.fixture
def damaged(server: KafkaServer, topics: Topics) -> Topics:
    _write(server, topics, FIRST, [1])
    return topics


def test_damage_stops_the_worker(server: KafkaServer, damaged: Topics) -> None:
    """With `on_corrupt: stop` the worker ends with a line that says where and what to do."""
    with pytest.raises(Stop, match=r"input.*offset 5.*input\.on_corrupt"):
        _run(server, damaged, "stop")


def test_damage_is_skipped_with_one_marker(server: KafkaServer, damaged: Topics) -> None:
    """With `on_corrupt: skip` one dead letter names the range, and all other records come out."""
    _run(server, damaged, "skip")
    found = account(server.bootstrap, damaged, 1, 16)
    assert found == Account(results=15, dead=1, repeated=0, missing=0, disordered=0)


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


def _committed_batches(source: KafkaSource, server: KafkaServer, wanted: int = 16) -> list[Batch]:
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

    parts.until(lambda: sum(len(batch.records) for batch in batches) == wanted, turn)
    return batches


def _marked(batches: list[Batch]) -> list[tuple[int, int | None]]:
    return [(record.offset, record.damaged_to) for batch in batches for record in batch.records if record.damaged_to]


@pytest.mark.parametrize("where", ["making a consumer", "probing"])
def test_a_broker_that_is_gone_while_damage_is_skipped(server: KafkaServer, damaged: Topics, where: str) -> None:
    """The source is unreachable for that time, tries again, and then skips just the damage."""
    with parts.opened_source(server.bootstrap, damaged.source, damaged.group, on_corrupt="skip") as source:
        if where == "probing":
            source._damage._make_prober = _stopping_the_broker(server, source._damage._make_prober, before=False)
        else:
            source._make_consumer = _stopping_the_broker(server, source._make_consumer, before=True)
        batches = _committed_batches(source, server)
    assert _marked(batches) == [(5, 10)]


def test_a_membership_lost_while_probing_commits_nothing(server: KafkaServer, damaged: Topics) -> None:
    """Trap 13: probing may take longer than a session; a marker without a valid fence would not be validated."""
    with parts.opened_source(server.bootstrap, damaged.source, damaged.group, on_corrupt="skip") as source:
        _lose_the_membership_once(source)
        batches = _committed_batches(source, server)
    assert _marked(batches) == [(5, 10)]
    assert all(batch.fence.generation_id >= 0 for batch in batches)


def test_a_good_batch_between_two_damaged_ones_is_read(server: KafkaServer, topics: Topics) -> None:
    """Each damage has a marker of its own, and what lies between them comes out."""
    _write(server, topics, (5, 2, 1, 7, 5), [1, 3])
    with parts.opened_source(server.bootstrap, topics.source, topics.group, on_corrupt="skip") as source:
        batches = _committed_batches(source, server, 13)
    assert _marked(batches) == [(5, 7), (8, 15)]
    read = [record.offset for batch in batches for record in batch.records if not record.damaged_to]
    assert read == [0, 1, 2, 3, 4, 7, 15, 16, 17, 18, 19]


@pytest.mark.parametrize("grouped", [True, False])
def test_what_was_read_before_the_damage_is_delivered_first(
    server: KafkaServer, damaged: Topics, grouped: bool
) -> None:
    """However long a batch takes, it stays valid: read again, it would meet the damage again, for ever."""
    in_flight, events = InFlight(), parts.Events()
    with parts.opened_source(
        server.bootstrap,
        damaged.source,
        damaged.group,
        on_corrupt="skip",
        grouped=grouped,
        in_flight=in_flight,
        events=events,
        drain_timeout_s=0.0,
    ) as source:
        batches = parts.polled(source, 5)
        in_flight.add(batches=1)
        parts.until(lambda: source._damage, lambda: source.poll(0.1, 100))
        for _ in range(10):
            assert source.poll(0.1, 100) is None
            source.idle()
        assert batches[-1].epoch == source.epoch
        if grouped:
            source.commit(batches[-1])
        in_flight.add(batches=-1)
        parts.until(lambda: _marked(batches), lambda: batches.extend(filter(None, [source.poll(0.1, 100)])))
    assert [record.offset for batch in batches for record in batch.records] == [0, 1, 2, 3, 4, 5]
    assert events.of("drain_missed") == []


def _lose_the_membership_once(source: KafkaSource) -> None:
    make = source._damage._make_prober

    def lose_it() -> Any:
        source._damage._make_prober = make
        source._consumer._coordinator.reset_generation()
        return make()

    source._damage._make_prober = lose_it
