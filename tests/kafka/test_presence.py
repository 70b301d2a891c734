"""A topic that is deleted while it is read."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from tests.kafka import parts
from tests.kafka.conftest import TopicFactory
from worker.errors import Stop
from worker.kafka import presence
from worker.kafka.presence import GONE_S, Presence

Unique = Callable[[str], str]


def _metadata(refreshed_s: float, *topics: str) -> SimpleNamespace:
    """A consumer with metadata of that time."""
    return SimpleNamespace(
        _cluster=SimpleNamespace(
            _last_successful_refresh_ms=refreshed_s * 1000,
            partitions_for_topic=lambda topic: {0} if topic in topics else None,
        )
    )


def test_a_topic_that_stays_away_stops() -> None:
    """Missing for longer than refreshes may differ: one line that says which, and what to do."""
    seen = Presence(["a", "b"])
    seen.check(_metadata(10, "a", "b"))
    seen.check(_metadata(40, "a"))
    seen.check(_metadata(40 + GONE_S, "a"))
    with pytest.raises(Stop, match=r"^input topic 'b' does not exist any more[^\n]*topics create[^\n]*$"):
        seen.check(_metadata(41 + GONE_S, "a"))


def test_a_topic_that_comes_back_is_read_on() -> None:
    """A broker that has just started may not know it yet; nor does a client that has not asked."""
    seen = Presence(["a"])
    for consumer in (_metadata(0), _metadata(100), _metadata(130, "a"), _metadata(400), _metadata(430)):
        seen.check(consumer)


def test_brokers_that_do_not_answer_say_nothing_of_a_topic() -> None:
    """Without a newer refresh no time has passed."""
    seen = Presence(["a"])
    for _ in range(1000):
        seen.check(_metadata(100))


@pytest.mark.parametrize("grouped", [True, False])
def test_a_deleted_topic_ends_the_reading(
    kafka: str, unique: Unique, topic_factory: TopicFactory, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    """The group would go on without it, and without a word; that another topic is still there changes nothing."""
    monkeypatch.setattr(presence, "GONE_S", 1.0)
    other, topic = topic_factory("other"), unique("in")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.wait_for_topics([topic])
    parts.produce(kafka, topic, [b"a"])
    with parts.opened_source(kafka, "", unique("g"), topics=(other, topic), grouped=grouped) as source:
        parts.polled(source, 1)
        admin.delete_topics([topic])
        admin.close()
        with pytest.raises(Stop, match=f"{topic}.*does not exist any more"):
            parts.until(lambda: False, lambda: source.poll(0.1, 10))
