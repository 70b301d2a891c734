"""Static members (`kafka.instance_id`): a restart within the session's time is no rebalance."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import CoordinatorNotAvailableError

from tests.kafka.chaos import Account, Fleet, Topics, account, fill
from tests.kafka.conftest import TopicFactory

PARTITIONS = 3
COUNT = 300
BROKEN = 3  # of each COUNT, as `chaos.value` makes them
PATIENCE_S = 60.0
SESSION = "kafka.session_timeout_s=30"  # longer than any restart


def _members(bootstrap: str, group: str) -> dict[str | None, list[int]]:
    """The partitions of each member, by its instance id; none while the group rebalances."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        described = admin.describe_groups([group])[group]
    except CoordinatorNotAvailableError:  # the broker has never had a group
        return {}
    finally:
        admin.close()
    if described["group_state"] != "Stable":
        return {}
    return {
        member["group_instance_id"]: sorted(
            partition
            for topic in (member["member_assignment"] or {"assigned_partitions": []})["assigned_partitions"]
            for partition in topic["partitions"]
        )
        for member in described["members"]
    }


def _assignments(log: Path) -> int:
    return log.read_text().count("partitions assigned")


def test_a_static_member_keeps_its_partitions_over_a_restart(
    kafka: str, topic_factory: TopicFactory, tmp_path: Path
) -> None:
    """SIGTERM drains it and leaves it in the group; back in time it reads on, and the others never stop."""
    topics = Topics(
        topic_factory("in", partitions=PARTITIONS), topic_factory("out"), topic_factory("dead"), tmp_path.name
    )
    with Fleet(kafka, topics, tmp_path, settings=(SESSION,)) as fleet:
        first = fleet.start("kafka.instance_id=one")
        fleet.start("kafka.instance_id=two")
        fill(kafka, topics.source, PARTITIONS, COUNT)
        deadline = time.monotonic() + PATIENCE_S
        while not all((members := _members(kafka, topics.group)).values()) or len(members) < 2:
            assert time.monotonic() < deadline, members
            time.sleep(0.1)
        assert sorted(partition for mine in members.values() for partition in mine) == [0, 1, 2]
        account(kafka, topics, PARTITIONS, COUNT)
        before = _assignments(tmp_path / "worker-2.log")

        fleet.kill(first, signal.SIGTERM)
        assert _members(kafka, topics.group) == members
        fleet.start("kafka.instance_id=one")
        fill(kafka, topics.source, PARTITIONS, COUNT)
        found = account(kafka, topics, PARTITIONS, 2 * COUNT)
        assert _members(kafka, topics.group) == members
        assert _assignments(tmp_path / "worker-2.log") == before
    assert found == Account(2 * (COUNT - BROKEN), 2 * BROKEN, repeated=0, missing=0, disordered=0)
