"""One cluster table for all workers, on a real broker."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.kafka.conftest import TopicFactory
from tests.kafka.learners import Topics, member, send_samples, settings_of, versions, wait_until
from worker import clustering
from worker.clusters.wire import Versioned
from worker.errors import Stop
from worker.kafka.reading import Reader
from worker.kafka.security import Connection

COMPACT = {"cleanup.policy": "compact"}


@pytest.fixture
def topics(topic_factory: TopicFactory) -> Topics:
    return Topics(topic_factory("table", configs=COMPACT), topic_factory("samples"), topic_factory("events"))


def version_of(shared: clustering.Shared) -> int:
    assert shared.follower is not None
    return shared.follower.table.version


def assert_one_history(found: list[Versioned]) -> None:
    """Versions and positions only grow, and an id that has ended does not come back."""
    tables = [one.table for one in found]
    assert [table.version for table in tables] == sorted({table.version for table in tables})
    assert [table.position for table in tables] == sorted({table.position for table in tables})
    for before, after in itertools.pairwise(tables):
        assert min(set(after.ids) - set(before.ids), default=before.next_id) >= before.next_id


def _events(bootstrap: str, topic: str) -> list[dict]:
    with Reader({"bootstrap_servers": bootstrap}) as reader:
        (partition,) = reader.partitions([topic])
        return [json.loads(record.value or b"") for record in reader.read_settled(partition)]


def _raise(error: Exception) -> None:
    raise error


def test_all_workers_assign_by_one_table(kafka: str, unique: Callable[[str], str], topics: Topics) -> None:
    """Two workers, one learner: both hold the same version and give the same ids, and what is born is an event."""
    settings = settings_of(kafka, unique("g"), topics)
    failures: list[Exception] = []
    with member(settings, failures.append) as one, member(settings, failures.append) as other:
        send_samples(kafka, topics, 1324)  # a warm-up and four steps
        wait_until(lambda: version_of(one) == version_of(other) == 5)
        rows = np.eye(8, dtype=np.float32)
        assert one.clusters.assign(rows).ids == other.clusters.assign(rows).ids
    assert failures == []
    found = versions(kafka, topics.table)
    assert_one_history(found)
    assert found[-1].table.position == 1324
    born = [event for event in _events(kafka, topics.events) if event["kind"] == "born"]
    assert sorted(event["children"][0] for event in born) == [1, 2, 3, 4]


def test_a_learner_goes_on_where_another_ended(kafka: str, unique: Callable[[str], str], topics: Topics) -> None:
    """The next worker to learn continues the versions, ids and samples: none is lost, none given or learned twice."""
    settings = settings_of(kafka, unique("g"), topics)
    send_samples(kafka, topics, 700)  # a warm-up, a step, and samples that wait for the next step
    with member(settings, _raise) as one:
        wait_until(lambda: version_of(one) == 2)
    send_samples(kafka, topics, 624, seed=1)
    with member(settings, _raise) as other:
        assert version_of(other) == 2, "what is there is there from the start"
        wait_until(lambda: version_of(other) == 5)
    found = versions(kafka, topics.table)
    assert_one_history(found)
    assert found[-1].table.position == 1324
    assert int(found[-1].table.seen.sum()) == 1324, "each sample has been learned once"


def test_a_table_of_another_encoder_is_refused(kafka: str, unique: Callable[[str], str], topics: Topics) -> None:
    """Cosines between the embeddings of two models mean nothing: the worker stops and says what to do."""
    settings = settings_of(kafka, unique("g"), topics)
    send_samples(kafka, topics, 300)
    with member(settings, _raise) as one:
        wait_until(lambda: version_of(one) == 1)
    with pytest.raises(Stop, match=r"of another encoder .*clusters.table"):
        clustering.make_shared(settings, "another", Connection.of(settings.kafka), writes=False)
