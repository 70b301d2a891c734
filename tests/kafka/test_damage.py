"""A batch that fails its checksum: stop, or one marker and on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from tests.doubles import FakeEngine
from tests.kafka.broker import KafkaServer
from tests.kafka.chaos import Account, Topics, account
from worker import app
from worker.config import load
from worker.errors import Stop
from worker.kafka.damage import first_readable

SPANS = 4
IN_A_SPAN = 5


@pytest.mark.parametrize(("first", "behind", "end"), [(0, 1, 1), (0, 1, 50), (7, 20, 50), (7, 50, 50), (3, 4, 5)])
def test_the_end_of_the_damage_is_found(first: int, behind: int, end: int) -> None:
    """The first offset behind the damaged batch is found, also where the batch is the last one."""
    assert first_readable(lambda offset: first <= offset < behind, first, end) == behind


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
