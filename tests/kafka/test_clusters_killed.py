"""The one learner and the workers around it, killed at random moments: the table's history stays one true story."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from tests.kafka.broker import KafkaServer
from tests.kafka.chaos import Fleet, Topics, account, filling, moments
from tests.kafka.learners import versions, wait_until
from worker.kafka.clustertopic import read_table
from worker.kafka.reading import Reader

PARTITIONS = 3


@pytest.fixture
def topics(server: KafkaServer, unique: Callable[[str], str]) -> Topics:
    found = Topics(unique("input"), unique("results"), unique("dead"), unique("workers"))
    names = [found.source, found.results, found.dead_letters]
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    admin.create_topics([NewTopic(f"{found.group}-{name}", 1, 1) for name in ("table", "samples", "events")])
    admin.wait_for_topics([*names, *(f"{found.group}-{name}" for name in ("table", "samples", "events"))])
    admin.close()
    return found


def _settings(topics: Topics) -> tuple[str, ...]:
    group = topics.group
    return (
        "clusters.enabled=true",
        f"clusters.topic={group}-table",
        f"clusters.sample_topic={group}-samples",
        f"clusters.event_topic={group}-events",
        "clusters.warmup=300",
        "clusters.k=5",
    )


def _newest(bootstrap: str, topics: Topics) -> int:
    found = read_table({"bootstrap_servers": bootstrap}, f"{topics.group}-table", "default")
    return found.table.version if found else 0


def _values(bootstrap: str, topic: str) -> list[dict]:
    with Reader({"bootstrap_servers": bootstrap}) as reader:
        return [
            json.loads(record.value)
            for partition in reader.partitions([topic])
            for record in reader.read_settled(partition)
            if record.value
        ]


@pytest.mark.parametrize(
    ("records", "kills"),
    [pytest.param(3000, 4, id="short"), pytest.param(20_000, 20, id="long", marks=pytest.mark.chaos)],
)
def test_the_history_survives_kills(
    server: KafkaServer, topics: Topics, tmp_path: Path, records: int, kills: int
) -> None:
    """Two workers, killed again and again: versions and sample offsets only grow, no id comes back, every end is an
    event, and each result's id is in the table of the version that it names.
    """
    rng = random.Random(kills)
    with Fleet(server.bootstrap, topics, tmp_path, settings=_settings(topics)) as fleet:
        fleet.start()
        fleet.start()
        with filling(server.bootstrap, topics.source, PARTITIONS, records, kills * 1.4 + 2):
            for pause_s in moments(records, kills):
                time.sleep(pause_s)
                fleet.kill(rng.choice(fleet.workers))
                fleet.start()
        found = account(server.bootstrap, topics, PARTITIONS, records)
        wait_until(lambda: _newest(server.bootstrap, topics) > 3)  # the learner has its turn behind the kills
    assert (found.repeated, found.missing, found.disordered) == (0, 0, 0)
    tables = [one.table for one in versions(server.bootstrap, f"{topics.group}-table")]
    print(f"{kills} kills, {len(tables)} versions up to {tables[-1].version}, {tables[-1].position} samples learned")
    for before, after in itertools.pairwise(tables):
        assert (after.version, after.position) > (before.version, before.position)
        assert min(set(after.ids) - set(before.ids), default=before.next_id) >= before.next_id
    ended = {one for before, after in itertools.pairwise(tables) for one in set(before.ids) - set(after.ids)}
    events = _values(server.bootstrap, f"{topics.group}-events")
    told = [one for event in events for one in set(event["parents"]) - set(event["children"])]
    assert sorted(one for one in told if one in ended) == sorted(ended)
    known = {table.version: set(table.ids) for table in tables} | {0: set()}
    for result in _values(server.bootstrap, topics.results):
        (cluster,) = result["clusters"]
        assert cluster["id"] is None or cluster["id"] in known[cluster["version"]]
