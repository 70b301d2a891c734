"""Topics described, compared with what is needed, and made on a real Kafka."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from kafka import KafkaAdminClient

from tests.kafka.broker import free_port
from tests.kafka.conftest import TopicFactory
from worker.app import topic_specs
from worker.cli.topics import needed
from worker.config import load
from worker.errors import Stop
from worker.kafka.security import Connection
from worker.kafka.topics import TopicAdmin, TopicSpec, TopicState, required_topics, shortcomings

REFUSED = """
import sys, threading
from worker.errors import Stop
from worker.kafka.security import Connection
from worker.kafka.topics import TopicAdmin
try:
    TopicAdmin(Connection(bootstrap=sys.argv[1], request_timeout_s=0.3))
except Stop as error:
    print(threading.active_count(), error, sep="\\n")
"""


def _needed(replay: str | None = "replay", replication_factor: int = 1) -> dict[str, TopicSpec]:
    specs = required_topics(
        inputs=["in"],
        outputs=["out", "spam"],
        dead_letter="dead",
        replay=replay,
        partitions=3,
        replication_factor=replication_factor,
    )
    return {spec.name: spec for spec in specs}


def test_every_topic_is_needed_once_with_its_purpose() -> None:
    """Inputs, outputs, dead letters and the replay topic, each with its role."""
    purposes = {name: spec.purpose for name, spec in _needed().items()}
    assert purposes == {"in": "input", "out": "output", "spam": "output", "dead": "dead letters", "replay": "replay"}
    assert "replay" not in _needed(replay=None)


def test_corrections_are_kept_for_ever() -> None:
    """`topics create` makes the feedback topic where the settings name one; no worker needs it."""
    specs = {spec.name: spec for spec in needed(load(None, ["feedback.topic=corrections"], {}))}
    assert specs["corrections"].purpose == "feedback"
    assert specs["corrections"].configs["retention.ms"] == "-1"
    compacted = TopicState("corrections", None, 3, 1, {"cleanup.policy": "compact"})
    assert "drops all but the last record of a key" in shortcomings(specs["corrections"], compacted)[0]
    assert "corrections" not in {spec.name for spec in topic_specs(load(None, ["feedback.topic=corrections"], {}))}


def test_three_replicas_are_worth_two_acknowledgements() -> None:
    """From three replicas on, a write needs two of them, so that losing one broker loses nothing."""
    assert _needed(replication_factor=3)["out"].configs["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in _needed()["out"].configs


@pytest.mark.parametrize(
    ("configs", "words"),
    [
        pytest.param({"cleanup.policy": "compact"}, "cleanup.policy=compact", id="compacted"),
        pytest.param({"max.message.bytes": "1000"}, "1000 bytes", id="too small for an original"),
        pytest.param({}, None, id="configs not readable"),
        pytest.param({"cleanup.policy": "delete", "max.message.bytes": "9000000"}, None, id="good"),
    ],
)
def test_shortcomings_of_a_dead_letter_topic(configs: dict[str, str], words: str | None) -> None:
    """What would lose dead letters is told, with what to do."""
    found = shortcomings(_needed()["dead"], TopicState("dead", None, 3, 1, configs))
    assert bool(found) == bool(words)
    assert words is None or words in found[0]


def test_only_an_output_may_be_compacted_where_all_records_have_keys() -> None:
    """Of an output it is told with that condition; of an input, which others made, not at all."""
    state = TopicState("t", None, 3, 1, {"cleanup.policy": "compact,delete"})
    (line,) = shortcomings(TopicSpec("t", "output", 3, 1), state)
    assert "unless every record of the input has a key" in line
    assert shortcomings(TopicSpec("t", "input", 3, 1), state) == []


def test_a_missing_topic_is_told_with_the_command_that_makes_it() -> None:
    """The line names the topic and `tagstream topics create`."""
    assert "tagstream topics create" in shortcomings(_needed()["dead"], None)[0]


def test_missing_topics_are_made_once(kafka: str, unique: Callable[[str], str]) -> None:
    """Create makes what is missing with its settings, leaves what exists, and can be run again."""
    old, new = unique("old"), unique("new")
    with TopicAdmin(Connection(bootstrap=kafka)) as admin:
        assert admin.create([TopicSpec(old, "output", 1, 1)]) == [old]
        wanted = [
            TopicSpec(old, "output", 5, 1),
            TopicSpec(new, "dead letters", 2, 1, {"cleanup.policy": "compact", "retention.ms": "1234567"}),
        ]
        assert admin.create(wanted) == [new]
        assert admin.create(wanted) == []
        found = admin.describe([old, new, unique("absent")])
        assert {old, new} <= set(admin.names())
    assert {name: state.partitions for name, state in found.items()} == {old: 1, new: 2}
    assert found[new].configs["cleanup.policy"] == "compact"
    assert found[new].configs["retention.ms"] == "1234567"
    assert found[new].replication_factor == 1


def test_a_topic_made_anew_has_another_id(kafka: str, topic_factory: TopicFactory) -> None:
    """The id tells a deleted and remade topic from the old one."""
    topic = topic_factory("remade")
    client = KafkaAdminClient(bootstrap_servers=kafka)
    with TopicAdmin(Connection(bootstrap=kafka)) as admin:
        before = admin.describe([topic])[topic].id
        client.delete_topics([topic])
        client.close()
        _until_gone(admin, topic)
        admin.create([TopicSpec(topic, "input", 1, 1)])
        after = admin.describe([topic])[topic].id
    assert before
    assert after
    assert before != after


def test_what_the_broker_refuses_is_one_line(kafka: str, unique: Callable[[str], str]) -> None:
    """More replicas than brokers: the broker's reason, on one line."""
    with TopicAdmin(Connection(bootstrap=kafka)) as admin, pytest.raises(Stop, match="eplication") as caught:
        admin.create([TopicSpec(unique("replicated"), "input", 1, 7)])
    assert "\n" not in str(caught.value)


def test_no_broker_is_one_line_and_leaves_no_thread() -> None:
    """A broker that cannot be reached is told with its address; the client's thread ends."""
    bootstrap = f"127.0.0.1:{free_port()}"
    # In a process of its own: the library leaves the sockets of failed attempts to the collector, which warns.
    done = subprocess.run([sys.executable, "-c", REFUSED, bootstrap], capture_output=True, text=True, check=True)
    threads, line = done.stdout.splitlines()
    assert threads == "1"
    assert bootstrap in line


def _until_gone(admin: TopicAdmin, topic: str) -> None:
    while admin.describe([topic]):
        pass
