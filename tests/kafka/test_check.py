"""`tagstream check` against real brokers: what it says, and that it changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.kafka.broker import KafkaServer, free_port
from tests.kafka.conftest import TopicFactory
from tests.model.tiny import config_of, write_classifier
from worker.checks.probes import ask_cluster, hold, sample, try_transaction
from worker.kafka.client import make_consumer
from worker.kafka.security import Connection
from worker.types import Partition

TIMEOUT_S = 20.0


def test_the_cluster_tells_version_size_and_time(kafka: str) -> None:
    """The brokers here have our own clock."""
    cluster = ask_cluster(Connection(bootstrap=kafka))
    assert int(cluster.version.split(".")[0]) >= 3
    assert cluster.brokers >= 1
    assert cluster.clock_ahead_s is not None
    assert abs(cluster.clock_ahead_s) < 5.0


def test_a_transaction_can_be_tried_again_and_again(kafka: str) -> None:
    """It leaves nothing open that would hinder the next one."""
    for _ in range(2):
        try_transaction(Connection(bootstrap=kafka), "tagstream-test-check", TIMEOUT_S)


def test_places_and_newest_records_are_read_without_changing_the_group(kafka: str, topic_factory: TopicFactory) -> None:
    """The group's offsets are as they were; a partition without records is nothing to wait for."""
    topic = topic_factory("checked", partitions=2)
    with KafkaProducer(bootstrap_servers=kafka) as producer:
        for i in range(50):
            producer.send(topic, value=b"%d" % i, partition=0)
    connection = Connection(bootstrap=kafka)
    consumer = make_consumer(connection.client_options(), group_id=topic)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(30, "an-id", -1)})
    consumer.close()
    held = hold(connection, topic, [topic])
    assert (held[Partition(topic, 0)].committed, held[Partition(topic, 0)].topic_id) == (30, "an-id")
    assert (held[Partition(topic, 1)].end, held[Partition(topic, 1)].committed) == (0, None)
    records, failures = sample(connection, held, TIMEOUT_S)
    assert (records[-1].value, failures) == (b"49", {})
    assert hold(connection, topic, [topic]) == held


def test_a_damaged_batch_is_named(server: KafkaServer, unique: Callable[[str], str]) -> None:
    """A partition whose newest batch fails its checksum is named; the others are still looked at."""
    topic = unique("damaged")
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    admin.wait_for_topics([topic])
    admin.close()
    with KafkaProducer(bootstrap_servers=server.bootstrap) as producer:
        for partition in (0, 1):
            producer.send(topic, value=b"text", partition=partition)
    (log,) = (server.directory / "data" / f"{topic}-0").glob("*.log")
    with log.open("r+b", buffering=0) as file:
        file.seek(log.read_bytes().index(b"text"))
        file.write(b"tent")
    connection = Connection(bootstrap=server.bootstrap)
    records, failures = sample(connection, hold(connection, unique("group"), [topic]), TIMEOUT_S)
    assert [record.partition for record in records] == [1]
    assert list(failures) == [Partition(topic, 0)]


@pytest.fixture
def settings(tmp_path: Path, kafka: str, topic_factory: TopicFactory, unique: Callable[[str], str]) -> dict[str, Any]:
    model = write_classifier(tmp_path / "model", config_of("bert", num_labels=2))
    return {
        "kafka": {"bootstrap": kafka, "group_id": unique("group")},
        "input": {"topics": [topic_factory("input")]},
        "output": {"topic": topic_factory("output")},
        "dead_letter": {"topic": topic_factory("dead", configs={"max.message.bytes": "2000000"})},
        "clusters": {
            "topic": topic_factory("clusters", configs={"cleanup.policy": "compact"}),
            "sample_topic": topic_factory("samples"),
            "event_topic": topic_factory("events"),
        },
        "model": {"path": str(model), "labels": {"LABEL_0": "ham", "LABEL_1": "spam"}},
    }


def check(path: Path, settings: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of the command."""
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "worker.cli.main", "check", "--json", "--config", str(path)]
    run = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert run.stderr == b""
    return run.returncode, json.loads(run.stdout)


def test_the_command_finds_nothing_wrong(tmp_path: Path, settings: dict[str, Any]) -> None:
    """With everything in place each step is good, and exit code 0."""
    code, said = check(tmp_path / "s.yaml", settings)
    assert [f for f in said["findings"] if f["severity"] != "ok"] == []
    assert code == 0
    steps = {f["check"] for f in said["findings"]}
    assert steps >= {"settings", "model", "policy", "broker", "clock", "topic", "group", "input", "transactions"}


def test_the_command_goes_on_after_an_error(
    tmp_path: Path, settings: dict[str, Any], kafka: str, topic_factory: TopicFactory
) -> None:
    """A wrong route, an unnamed label, missing and compacted topics, no keys: all are found in one run; exit code 1."""
    with KafkaProducer(bootstrap_servers=kafka) as producer:
        producer.send(settings["input"]["topics"][0], value=b'{"text": "no key"}')
    compacted = topic_factory("compacted", configs={"cleanup.policy": "compact"})
    settings["output"]["topic"] = compacted
    settings["model"]["labels"] = {"LABEL_0": "ham"}
    settings["policy"] = {"routes": {"spam": "spams"}}
    code, said = check(tmp_path / "s.yaml", settings)
    found = {(f["severity"], f["check"], f["where"]) for f in said["findings"] if f["severity"] != "ok"}
    assert found == {
        ("warning", "model", "labels"),
        ("error", "policy", ""),
        ("error", "topic", "spams"),
        ("warning", "topic", compacted),
        ("error", "input", ""),
    }
    assert code == 1


def test_the_command_skips_what_needs_a_broker(tmp_path: Path, settings: dict[str, Any]) -> None:
    """With a closed port the rest is still checked, and what could not be is named."""
    settings["kafka"]["bootstrap"] = f"127.0.0.1:{free_port()}"
    code, said = check(tmp_path / "s.yaml", settings)
    (error,) = [f for f in said["findings"] if f["severity"] == "error"]
    assert (error["check"], error["what"].split()[-1]) == ("broker", "closed")
    assert [f["check"] for f in said["findings"] if f["severity"] == "skipped"] == [
        "topics",
        "group",
        "input",
        "transactions",
        "clock",
    ]
    assert code == 1
