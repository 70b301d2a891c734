"""One broker for each process of a test run, and topics of its own for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from tests.kafka.broker import KafkaServer, unavailable
from tests.kafka.secured import Secured

TopicFactory = Callable[..., str]
NEED_KAFKA = {"kafka", "second_kafka", "secured"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a broker needs Kafka."""
    for item in items:
        if NEED_KAFKA & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


def require_kafka() -> None:
    """Skip the test where no broker can be started; in CI that is a failure."""
    reason = unavailable()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of the session's broker, or of the running one that TAGSTREAM_TEST_BOOTSTRAP names."""
    running = os.environ.get("TAGSTREAM_TEST_BOOTSTRAP")
    if running:
        yield running
        return
    require_kafka()
    server = KafkaServer(directory=tmp_path_factory.mktemp("kafka")).start()
    yield server.bootstrap
    server.terminate()


@pytest.fixture(scope="session")
def second_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """See `server`."""
    require_kafka()
    server = KafkaServer(directory=tmp_path_factory.mktemp("second")).start()
    yield server
    server.kill()


@pytest.fixture
def server(second_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A broker that a test may stop, kill and start, and whose files it may damage; it runs on for the next test."""
    yield second_kafka
    second_kafka.cont()
    if not second_kafka.running:
        second_kafka.start()


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker for the whole session that asks who you are."""
    require_kafka()
    found = Secured(tmp_path_factory.mktemp("secured"))
    found.server.start()
    yield found
    found.server.kill()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test uses."""
    suffix = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{suffix}"


@pytest.fixture
def topic_factory(kafka: str, unique: Callable[[str], str]) -> Iterator[TopicFactory]:
    """`make("input", partitions=3)` creates a topic with a unique name, gone after the test."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    made: list[str] = []

    def make(name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        topic = unique(name)
        admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(configs or {}))])
        admin.wait_for_topics([topic])
        made.append(topic)
        return topic

    yield make
    if made:
        admin.delete_topics(made)
    admin.close()
