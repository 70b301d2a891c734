"""`tagstream check` against real brokers: what it says, and that it changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition
from pydantic import SecretStr

from tests.kafka.broker import KafkaServer, free_port
from tests.kafka.conftest import TopicFactory, require_kafka
from tests.model.tiny import config_of, write_classifier
from worker.checks.probes import ask_cluster, hold, sample, try_transaction
from worker.checks.reach import Unreachable, reach
from worker.kafka.client import make_consumer
from worker.kafka.security import Connection
from worker.types import Partition

TIMEOUT_S = 20.0
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_anna="right";'


class Secured:
    """A broker with a SASL and a TLS listener beside the plain one."""

    def __init__(self, directory: Path) -> None:
        self.sasl, self.tls, controller = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", free_port()
        self.authority = directory / "authority.pem"
        store = _certificate(directory, self.authority)
        self.plain = KafkaServer(directory=directory / "kafka")
        (directory / "kafka").mkdir()
        (directory / "kafka" / "controller-port").write_text(str(controller))
        listeners = f"PLAINTEXT://{self.plain.bootstrap},SASL://{self.sasl},TLS://{self.tls}"
        self.plain._settings |= {
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": JAAS,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
        }


def _certificate(directory: Path, authority: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    key = directory / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(authority)]
    subprocess.run([*request, *names], check=True, capture_output=True)
    store = directory / "store.pem"
    store.write_text(key.read_text() + authority.read_text())
    return store


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    require_kafka()
    found = Secured(tmp_path_factory.mktemp("secured"))
    found.plain.start()
    yield found
    found.plain.kill()


def sasl(server: str, password: str, mechanism: str = "PLAIN") -> Connection:
    return Connection(
        bootstrap=server,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_username="anna",
        sasl_password=SecretStr(password),
    )


def failure(connection: Connection) -> str:
    with pytest.raises(Unreachable) as raised:
        reach(connection, connection.bootstrap)
    return f"{raised.value.step}: {raised.value.what}; {raised.value.do}"


def test_the_right_settings_get_in(secured: Secured) -> None:
    """Each listener tells its own address to come back to."""
    with_tls = Connection(bootstrap=secured.tls, security_protocol="SSL", ssl_ca_file=secured.authority)
    for connection in (Connection(bootstrap=secured.plain.bootstrap), sasl(secured.sasl, "right"), with_tls):
        (address,) = reach(connection, connection.bootstrap)
        assert f"{address.host}:{address.port}" == connection.bootstrap


def test_wrong_settings_are_told_apart(secured: Secured) -> None:
    """Password, mechanism, protocol and authority each have their own words; the password is in none of them."""
    wrong = failure(sasl(secured.sasl, "a-wrong-one"))
    assert wrong.startswith("SASL: the credentials are refused")
    assert "a-wrong-one" not in wrong
    assert "does not offer SCRAM-SHA-256, only PLAIN" in failure(sasl(secured.sasl, "right", "SCRAM-SHA-256"))
    assert "the listener has no SASL" in failure(sasl(secured.plain.bootstrap, "right"))
    assert "set kafka.security_protocol to SASL_PLAINTEXT" in failure(Connection(bootstrap=secured.sasl))
    assert "give its authority as kafka.ssl_ca_file" in failure(
        Connection(bootstrap=secured.tls, security_protocol="SSL")
    )
    assert "may answer" in failure(Connection(bootstrap=secured.tls, request_timeout_s=3.0))
    assert "does not speak TLS" in failure(Connection(bootstrap=secured.plain.bootstrap, security_protocol="SSL"))


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


def test_a_damaged_batch_is_named(own_kafka: KafkaServer) -> None:
    """A partition whose newest batch fails its checksum is named; the others are still looked at."""
    admin = KafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)
    admin.create_topics({"damaged": {"num_partitions": 2, "replication_factor": 1}})
    admin.wait_for_topics(["damaged"])
    admin.close()
    with KafkaProducer(bootstrap_servers=own_kafka.bootstrap) as producer:
        for partition in (0, 1):
            producer.send("damaged", value=b"text", partition=partition)
    own_kafka.terminate()
    (log,) = (own_kafka.directory / "data" / "damaged-0").glob("*.log")
    content = log.read_bytes()
    log.write_bytes(content.replace(b"text", b"tent"))
    own_kafka.start()
    connection = Connection(bootstrap=own_kafka.bootstrap)
    records, failures = sample(connection, hold(connection, "group", ["damaged"]), TIMEOUT_S)
    assert [record.partition for record in records] == [1]
    assert list(failures) == [Partition("damaged", 0)]


@pytest.fixture
def settings(tmp_path: Path, kafka: str, topic_factory: TopicFactory, unique: Callable[[str], str]) -> dict[str, Any]:
    model = write_classifier(tmp_path / "model", config_of("bert", num_labels=2))
    return {
        "kafka": {"bootstrap": kafka, "group_id": unique("group")},
        "input": {"topics": [topic_factory("input")]},
        "output": {"topic": topic_factory("output")},
        "dead_letter": {"topic": topic_factory("dead", configs={"max.message.bytes": "2000000"})},
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


def test_the_command_goes_on_after_an_error(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A wrong route, an unnamed label, a missing topic: all are found in one run, which exits with 1."""
    settings["model"]["labels"] = {"LABEL_0": "ham"}
    settings["policy"] = {"routes": {"spam": "spams"}}
    code, said = check(tmp_path / "s.yaml", settings)
    found = {(f["severity"], f["check"], f["where"]) for f in said["findings"] if f["severity"] != "ok"}
    assert found == {("warning", "model", "labels"), ("error", "policy", ""), ("error", "topic", "spams")}
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
