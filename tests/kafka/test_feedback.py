"""Corrections collected on a real Kafka: originals by their offsets, what is no longer there, and the command."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.cli import main as cli
from worker.errors import Stop
from worker.kafka import originals
from worker.kafka.originals import NEAR, Originals, runs
from worker.kafka.reading import Reader
from worker.types import Partition, Record

Call = Callable[..., tuple[int, str, str]]

COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}


@pytest.fixture
def reader(kafka: str) -> Iterator[Reader]:
    with Reader(parts.options(kafka)) as found:
        yield found


@pytest.fixture
def call(kafka: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagstream", *map(str, arguments), "--set", f"kafka.bootstrap={kafka}"])
        return cli.main(), *capsys.readouterr()

    return run


def _cut(kafka: str, topic: str, offset: int) -> None:
    """As retention does."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.delete_records({TopicPartition(topic, 0): offset})
    admin.close()


def _found(finding: Originals, partition: Partition, offsets: list[int]) -> dict[int, Any]:
    found = list(finding.find(partition, offsets))
    assert len(found) == len(offsets)
    return {offset: what.value if isinstance(what, Record) else what for offset, what in found}


def _correct(kafka: str, topic: str, *rows: dict[str, Any] | bytes) -> None:
    values = [row if isinstance(row, bytes) else json.dumps({"by": "ann", **row}).encode() for row in rows]
    parts.produce(kafka, topic, values)


def test_runs_are_read_through() -> None:
    """Offsets near each other need one seek; far ones have one each."""
    assert list(runs([])) == []
    assert list(runs([1, 2, NEAR + 2, 2 * NEAR + 3])) == [[1, 2, NEAR + 2], [2 * NEAR + 3]]


def test_records_are_found_by_their_offsets(kafka: str, topic_factory: TopicFactory, reader: Reader) -> None:
    """Near or far, in any partition; what retention has taken, or nobody has written, is said."""
    topic = topic_factory("in", partitions=2)
    parts.produce(kafka, topic, [b"%d" % i for i in range(1000)])
    parts.produce(kafka, topic, [b"other"], partition=1)
    _cut(kafka, topic, 10)
    finding = Originals(reader=reader, readable=lambda name: name == topic)
    found = _found(finding, Partition(topic, 0), [0, 9, 10, 12, 500, 999, 1000])
    assert found == {0: "gone", 9: "gone", 10: b"10", 12: b"12", 500: b"500", 999: b"999", 1000: "beyond_end"}
    assert _found(finding, Partition(topic, 1), [0]) == {0: b"other"}


def test_a_topic_that_is_not_read_is_not_looked_at(kafka: str, topic_factory: TopicFactory, reader: Reader) -> None:
    """Else a correction could bring any topic's texts into a training. Missing topics and partitions count alike."""
    topic, secret = topic_factory("in"), topic_factory("secret")
    parts.produce(kafka, secret, [b"x"])
    finding = Originals(reader=reader, readable=lambda name: name != secret)
    for partition in (Partition(secret, 0), Partition(f"{topic}-none", 0), Partition(topic, 5)):
        assert _found(finding, partition, [0, 1]) == {0: "unknown_topic", 1: "unknown_topic"}


def test_markers_and_compaction_leave_holes(kafka: str, topic_factory: TopicFactory, reader: Reader) -> None:
    """What is not at its offset any more, or never was a record, is counted as compacted away."""
    topic = topic_factory("in", configs=COMPACTED)
    for value in (b"a", b"b", b"c"):
        parts.produce(kafka, topic, [value], key=b"k", transaction=True)
    parts.produce(kafka, topic, [b"d"], key=b"other")
    deadline = time.monotonic() + parts.PATIENCE_S
    while {b"a", b"b"} & set(parts.values(kafka, topic)):
        assert time.monotonic() < deadline, "never compacted"
        parts.produce(kafka, topic, [b"e"], key=b"other")  # a new segment lets the cleaner at the old ones
    finding = Originals(reader=reader, readable=lambda name: True)
    found = _found(finding, Partition(topic, 0), [0, 1, 2, 3, 4])
    assert found == {0: "compacted", 1: "compacted", 2: "compacted", 3: "compacted", 4: b"c"}


def test_retention_may_be_faster(kafka: str, topic_factory: TopicFactory, reader: Reader) -> None:
    """Records that go between the look at the topic and the read are gone; the rest is found."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"%d" % i for i in range(20)])
    finding = Originals(reader=reader, readable=lambda name: True)
    finding._span = _once(finding._span, lambda: _cut(kafka, topic, 10))  # type: ignore[method-assign]
    assert _found(finding, Partition(topic, 0), [5, 15]) == {5: "gone", 15: b"15"}


def _once(ask: Callable[..., Any], then: Callable[[], None]) -> Callable[..., Any]:
    """The answer from before `then`, which happens once."""
    left = [then]

    def asking(*arguments: Any) -> Any:
        answer = ask(*arguments)
        if left:
            left.pop()()
        return answer

    return asking


def test_a_broker_that_fails_is_no_loss(
    kafka: str, topic_factory: TopicFactory, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only retention makes a record gone: any other failure ends the command."""
    topic = topic_factory("in")
    parts.produce(kafka, topic, [b"x"])

    def broken(*_: Any) -> Any:
        raise Stop("no answer")

    monkeypatch.setattr(reader, "read", broken)
    with pytest.raises(Stop, match="no answer"):
        list(originals.Originals(reader=reader, readable=lambda name: True).find(Partition(topic, 0), [0]))


def test_corrections_become_a_labelled_set(kafka: str, topic_factory: TopicFactory, call: Call, tmp_path: Path) -> None:
    """From topics to a file that `tagstream train` reads; what is left out is said, and no text is."""
    comments, feedback, out = topic_factory("comments"), topic_factory("feedback", partitions=2), tmp_path / "set.jsonl"
    parts.produce(kafka, comments, [json.dumps({"body": f"words {i}"}).encode() for i in range(5)])
    parts.produce(kafka, comments, [b"secret {"])
    source = {"topic": comments, "partition": 0}
    _correct(kafka, feedback, b"secret")
    _cut(kafka, feedback, 1)
    _correct(
        kafka,
        feedback,
        {"source": {**source, "offset": 0}, "labels": ["spam"]},
        {"source": {**source, "offset": 3}, "labels": ["spam"]},
        {"source": {**source, "offset": 3}, "labels": ["ham"], "at": "2050-01-01T00:00:00Z"},
        {"source": {**source, "offset": 5}, "labels": ["ham"]},
        {"source": {**source, "topic": feedback, "offset": 5}, "labels": ["ham"]},
        {"text": "words of mine", "labels": ["ham"]},
        b"secret",
    )
    _cut(kafka, comments, 2)
    settings = [f"input.topics=[{comments}]", "input.fields={text: body}", f"feedback.topic={feedback}"]
    arguments = ["feedback", "collect", "--out", out, *(word for one in settings for word in ("--set", one))]
    code, said, err = call(*arguments)
    assert code == 0, err
    assert said.splitlines() == [
        f"{out}: 2 labelled texts, 2 of them new",
        "        1  superseded by a later correction of the same message",
        "        1  left out: retention has taken the original",
        "        1  left out: the settings do not read that topic, or it is not there",
        "        1  left out: the original cannot be read: invalid json",
        "        1  no feedback: invalid json",
        f"        1  taken out of {feedback} by its own retention before this call",
    ]
    assert err == f"the first that cannot be read: {feedback}[0]@7: the value is not JSON\n"
    assert [json.loads(line)["text"] for line in out.read_text().splitlines()] == ["words of mine", "words 3"]
    assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
    code, said, err = call(*arguments, "--json")
    counted = json.loads(said)
    assert (counted["collected"], counted["before"], counted["absent"]) == (2, 2, {"gone": 1, "unknown_topic": 1})
    assert (counted["feedback_gone"], counted["unreadable"]) == (1, {"invalid_json": 1})


def test_no_feedback_topic_is_one_line(call: Call, tmp_path: Path, unique: Callable[[str], str]) -> None:
    """Not set, or not there: what to do."""
    out = tmp_path / "set.jsonl"
    assert call("feedback", "collect", "--out", out)[0] == 2
    code, said, err = call("feedback", "collect", "--out", out, "--set", f"feedback.topic={unique('none')}")
    assert (code, said, err.count("\n")) == (1, "", 1)
    assert "does not exist: make it with `tagstream topics create`" in err
    assert not out.exists()
