"""What kafka-python 3.0.12 does with hostile records and by default, and that a worker gets past it.

The other traps are tested where they bite: `test_reading` (10, 15), `test_rebalances` (4 to 6, 10 to 14, 19),
`test_delivery_faults` (1, 2, 8, 16, 18), `test_damage` (3), `test_check` (7) and `tests/test_pipeline.py` (9).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import crc32c
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.producer import ProduceRequest
from kafka.record import default_records, util
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata

from tests.doubles import FakeEngine
from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker import app
from worker.config import load
from worker.errors import Stop
from worker.kafka.client import STRICT, discard, make_consumer, make_producer, read_headers_leniently

Unique = Callable[[str], str]
FAR_FUTURE_MS = 4102444800000
ANY_TIMESTAMP = {"message.timestamp.after.max.ms": str(2**63 - 1)}


class RawKey(str):
    """A header key of bytes that are not UTF-8, as other clients may send."""

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        return b"caf\xe9"


@dataclass(frozen=True)
class Raw:
    """A record as only another client would write it."""

    value: bytes | None = b'{"text": "some words"}'
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = 1_700_000_000_000


def write_raw(bootstrap: str, topic: str, records: Sequence[Raw]) -> None:
    """One batch, built and sent past the checks of the library's producer."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    for record in records:
        builder.append(record.timestamp_ms, record.key, record.value, headers=list(record.headers))
    builder.close()
    data = ProduceRequest.TopicProduceData
    partition = data.PartitionProduceData(index=0, records=builder.buffer())
    request = ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout_ms=5000,
        topic_data=[data(name=topic, partition_data=[partition])],
        max_version=9,
    )
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    answer = admin._manager.run(admin._manager.send, request)
    admin.close()
    assert [p.error_code for t in answer.responses for p in t.partition_responses] == [0]


@dataclass(frozen=True)
class Run:
    """A worker with the fake engine over topics of its own, run until the end of its input."""

    bootstrap: str
    source: str
    out: str
    dead: str
    group: str

    def __call__(self, *settings: str) -> None:
        given = [
            f"kafka.bootstrap={self.bootstrap}",
            f"kafka.group_id={self.group}",
            f"input.topics=[{self.source}]",
            f"output.topic={self.out}",
            f"dead_letter.topic={self.dead}",
            "clusters.enabled=false",
            "http.port=0",
            "http.host=127.0.0.1",
            *settings,
        ]
        app.make_worker(load(None, given, {}), FakeEngine(), app.Mode(until="end")).run()

    def results(self) -> list[Any]:
        return parts.contents(self.bootstrap, self.out)

    def dead_letters(self) -> list[Any]:
        return parts.contents(self.bootstrap, self.dead)


@pytest.fixture
def run(kafka: str, topic_factory: TopicFactory, unique: Unique) -> Run:
    source = topic_factory("in", configs=ANY_TIMESTAMP)
    return Run(kafka, source, topic_factory("out"), topic_factory("dead"), unique("group"))


def test_a_header_key_that_is_not_utf8_stops_nothing(run: Run) -> None:
    """Trap 17: the record comes out with the key's bytes spelled out, and so do its neighbours in the batch."""
    write_raw(run.bootstrap, run.source, [Raw(), Raw(headers=((RawKey("x"), b"v"), ("ok", b"w"))), Raw()])
    run()
    assert [dict(record.headers) for record in run.results()] == [{}, {"caf\\xe9": b"v", "ok": b"w"}, {}]
    assert run.dead_letters() == []


def test_null_headers_are_sent_on_as_empty_and_marked(run: Run) -> None:
    """Trap 17: the client cannot send a null value; the header stays, and its name is written down."""
    headers = (("traceparent", b"00-1"), ("nothing", None), ("empty", b""))
    write_raw(run.bootstrap, run.source, [Raw(headers=headers), Raw(value=b"{broken", headers=headers)])
    run()
    for record in (*run.results(), *run.dead_letters()):
        found = dict(record.headers)
        assert (found["traceparent"], found["nothing"], found["empty"]) == (b"00-1", b"", b"")
        assert found["tagstream-null-headers"] == b"nothing"
    assert len(run.results()) == len(run.dead_letters()) == 1


@pytest.mark.parametrize("outcome", ["dead_letter", "pass", "drop"])
def test_a_record_without_key_and_value_goes_its_way(run: Run, outcome: str) -> None:
    """Trap 17: the client cannot send such a record: it is a dead letter, its value empty and marked, never passed."""
    write_raw(run.bootstrap, run.source, [Raw(value=None, key=None), Raw(value=None, key=b"k"), Raw()])
    run(f"input.tombstones={outcome}")
    dead, out = run.dead_letters(), run.results()
    assert [record.value for record in dead] == {"dead_letter": [b"", None], "pass": [b""], "drop": []}[outcome]
    assert all(dict(record.headers)["tagstream-error-null-value"] == b"1" for record in dead)
    assert [record.value for record in out[:-1]] == ([None] if outcome == "pass" else [])
    assert out[-1].key == b"k"


def test_a_compacted_output_and_records_without_key(run: Run, topic_factory: TopicFactory) -> None:
    """It refuses them: they are dead letters, whose neighbours come out. Dead letters that are refused stop the run."""
    compacted = replace(run, out=topic_factory("compacted", configs={"cleanup.policy": "compact"}))
    write_raw(run.bootstrap, run.source, [Raw(), Raw(key=None), Raw(), Raw(), Raw(value=None, key=None)])
    compacted("input.tombstones=pass")
    assert [record.key for record in compacted.results()] == [b"k"] * 3
    said = [dict(record.headers) for record in compacted.dead_letters()]
    assert [found["tagstream-error-reason"] for found in said] == [b"output_refused", b"tombstone"]
    assert [found["tagstream-source-offset"] for found in said] == [b"1", b"4"]
    with pytest.raises(Stop, match="does not take a dead letter"):
        replace(run, dead=compacted.out, group=f"{run.group}-again")("input.tombstones=dead_letter")


def test_timestamps_that_the_output_would_refuse(run: Run) -> None:
    """A record from the far future, or without a timestamp: Kafka 4 refuses the first, so results are dated now."""
    write_raw(run.bootstrap, run.source, [Raw(timestamp_ms=FAR_FUTURE_MS), Raw(value=b"{broken", timestamp_ms=-1)])
    write_raw(run.bootstrap, run.source, [Raw(timestamp_ms=-1), Raw(value=None, timestamp_ms=FAR_FUTURE_MS)])
    run("input.tombstones=pass")
    assert len(run.results()) == 3
    assert len(run.dead_letters()) == 1
    assert all(record.timestamp < FAR_FUTURE_MS for record in run.results())


@pytest.mark.parametrize(("beside", "another"), [("1b4e28ba-2fa1-41d2-883f-0016d3cca427", True), ("by hand", False)])
def test_the_id_of_a_topic_is_kept_beside_the_offset(run: Run, beside: str, another: bool) -> None:
    """Trap 20: another id stops the worker, as offsets of a deleted topic mean nothing in one of the same name;
    what other tools write beside an offset is no id."""
    parts.produce(run.bootstrap, run.source, [b'{"text": "a"}'] * 3)
    _commit(run, 1, beside)
    if another:
        with pytest.raises(Stop, match=r"deleted and made again.*group_id"):
            run()
    else:
        run()
    assert len(run.results()) == (0 if another else 2)


def _commit(run: Run, offset: int, beside: str) -> None:
    consumer = make_consumer(parts.options(run.bootstrap), group_id=f"{run.group}-until-end")
    place = TopicPartition(run.source, 0)
    consumer.assign([place])
    consumer.commit({place: OffsetAndMetadata(offset, beside, -1)})
    consumer.close()


def test_the_consumer_decodes_and_decides_nothing_itself(kafka: str) -> None:
    """Traps 3, 12 and 15: no deserializers, committed records only, no commits and no resets of its own."""
    consumer = make_consumer(parts.options(kafka), group_id=None)
    config = consumer.config
    consumer.close()
    assert config["key_deserializer"] is None
    assert config["value_deserializer"] is None
    assert config["isolation_level"] == "read_committed"
    assert config["auto_offset_reset"] == "none"
    assert config["enable_auto_commit"] is False
    assert config["check_crcs"] is True
    assert config["allow_auto_create_topics"] is False


def test_the_producer_is_idempotent_and_makes_no_topics(kafka: str) -> None:
    """Acknowledged by all replicas, no duplicates of its own retries, and a topic is never made by accident."""
    producer = make_producer(parts.options(kafka), compression="lz4", delivery_timeout_s=9)
    config = producer.config
    producer.close()
    assert config["acks"] == -1
    assert config["enable_idempotence"] is True
    assert config["allow_auto_create_topics"] is False


def test_each_transaction_asks_for_its_partition_once(kafka: str, topic_factory: TopicFactory, unique: Unique) -> None:
    """A record behind the first is spared the client's locks; the next transaction asks anew, a spoiled one refuses."""
    out, asked = topic_factory("out"), list[TopicPartition]()
    producer = make_producer(
        parts.options(kafka), compression="none", delivery_timeout_s=9, transactional_id=unique("t")
    )
    manager = producer._transaction_manager
    manager.is_partition_added, known = lambda tp: asked.append(tp) or known(tp), manager.is_partition_added
    producer.init_transactions()
    for transaction in (1, 2):
        producer.begin_transaction()
        for value in (b"a", b"b", b"c"):
            producer.send(out, value, partition=0)
            producer.flush()
        assert asked == [TopicPartition(out, 0)] * transaction
        producer.commit_transaction()
    producer.begin_transaction()
    producer.send(out, b"d", partition=0)
    producer.flush()
    manager.transition_to_abortable_error(KafkaError("spoiled"))
    with pytest.raises(KafkaError, match="previous transactional"):
        producer.send(out, b"e", partition=0)
    discard(producer)
    assert parts.values(kafka, out) == [b"a", b"b", b"c"] * 2


def test_a_record_that_names_its_partition_is_taken_at_its_word(kafka: str, topic_factory: TopicFactory) -> None:
    """The client is spared a look at all topics for each; one without a partition goes where its key says, as ever."""
    out, looks = topic_factory("out", partitions=3), list[bool]()
    producer = make_producer(parts.options(kafka), compression="none", delivery_timeout_s=9)
    producer.partitions_for(out)
    cluster = producer._metadata
    cluster.topics, topics = lambda: looks.append(True) or topics(), cluster.topics
    named = [producer.send(out, b"a", partition=partition) for partition in (2, 0, 1)]
    assert looks == []
    keyed = [producer.send(out, b"b", key=b"k") for _ in range(2)]
    producer.flush()
    producer.close()
    assert [future.get().partition for future in named] == [2, 0, 1]
    assert len({future.get().partition for future in keyed}) == 1
    assert looks


def test_headers_are_patched_once_and_only_where_we_know_the_source() -> None:
    """Trap 17: the patch fits the pinned version, and applying it again changes nothing."""
    read_headers_leniently()
    patched = default_records.DefaultRecordBatch._read_msg
    read_headers_leniently()
    assert default_records.DefaultRecordBatch._read_msg is patched
    assert inspect.getsource(default_records).count(STRICT) == 1


def test_checksums_are_computed_in_c() -> None:
    """Without the C version a checksum costs 130 µs a record instead of 5."""
    assert util._crc32c is crc32c.crc32c
    assert crc32c.crc32c(b"123456789") == 0xE3069283
