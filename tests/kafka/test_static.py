"""Static members (`kafka.instance_id`): a restart within the session's time is no rebalance."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import RetriableError

from tests.kafka.chaos import Account, Fleet, Topics, account, fill
from tests.kafka.conftest import TopicFactory

PARTITIONS = 3
COUNT = 300
BROKEN = 3  # of each COUNT, as `chaos.value` makes them
PATIENCE_S = 180.0
SESSION = "kafka.session_timeout_s=60"  # longer than any restart, also of a worker that hardly gets a core


def _members(admin: KafkaAdminClient, group: str) -> dict[str | None, list[int]]:
    """The partitions of each member, by its instance id; none while the group rebalances."""
    try:
        described = admin.describe_groups([group])[group]
    except RetriableError:  # the broker has never had a group, or is only just making its coordinator
        return {}
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


def _settled(admin: KafkaAdminClient, group: str, log: Path) -> dict[str | None, list[int]]:
    """The members once there are two with partitions each, and the second has heard which are its own."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        members = _members(admin, group)
        if len(members) == 2 and all(members.values()) and _assignments(log)[-1:] == [len(members["two"])]:
            return members
        assert time.monotonic() < deadline, members
        time.sleep(0.1)


def _assignments(log: Path) -> list[int]:
    """How many partitions a worker was given, each time."""
    return [line["partitions"] for line in _lines(log) if line.get("event") == "partitions assigned"]


def _lines(log: Path) -> list[dict[str, Any]]:
    """Those that are whole."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


def test_a_static_member_keeps_its_partitions_over_a_restart(
    kafka: str, topic_factory: TopicFactory, tmp_path: Path
) -> None:
    """Field report 3: SIGTERM drains it and leaves it in the group; back in time it reads on, the others never stop."""
    topics = Topics(
        topic_factory("in", partitions=PARTITIONS), topic_factory("out"), topic_factory("dead"), tmp_path.name
    )
    log = tmp_path / "worker-2.log"
    with (
        closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin,
        Fleet(kafka, topics, tmp_path, settings=(SESSION,)) as fleet,
    ):
        first = fleet.start("kafka.instance_id=one")
        fleet.start("kafka.instance_id=two")
        fill(kafka, topics.source, PARTITIONS, COUNT)
        members = _settled(admin, topics.group, log)
        assert sorted(partition for mine in members.values() for partition in mine) == [0, 1, 2]
        account(kafka, topics, PARTITIONS, COUNT)
        before = _assignments(log)

        fleet.kill(first, signal.SIGTERM)
        assert _settled(admin, topics.group, log) == members
        fleet.start("kafka.instance_id=one")
        fill(kafka, topics.source, PARTITIONS, COUNT)
        found = account(kafka, topics, PARTITIONS, 2 * COUNT)
        assert _settled(admin, topics.group, log) == members
        assert _assignments(log) == before
    assert found == Account(2 * (COUNT - BROKEN), 2 * BROKEN, repeated=0, missing=0, disordered=0)
