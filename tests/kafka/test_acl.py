"""The ACLs that docs/operations.md lists are enough for what it says, and each of them is needed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from tests.doubles import FakeEngine
from tests.kafka.parts import PATIENCE_S, produce, until, values
from tests.kafka.passes import TEXTS, Site
from tests.kafka.secured import Secured
from worker.cli.check import check
from worker.config import load
from worker.errors import Stop, Unreachable

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
USER = "User:bert"
KINDS = {
    "kafka.group_id": ResourceType.GROUP,
    "delivery.transactional_id_prefix": ResourceType.TRANSACTIONAL_ID,
}


class Grant(NamedTuple):
    """One operation on what a setting names."""

    setting: str
    operation: str


def documented(table: int) -> list[Grant]:
    """What a table of the section lists: 0 for a worker, 1 for commands besides."""
    section = DOCS.read_text(encoding="utf-8").partition("\n## ACLs\n")[2].partition("\n## ")[0]
    tables = [part for part in section.split("\n\n") if part.lstrip().startswith("|")]
    rows = [line.split("|")[1:3] for line in tables[table].strip().splitlines()[2:]]
    return [
        Grant(setting, operation)
        for resource, operations in rows
        for setting in re.findall(r"`([a-z._]+)`", resource)
        for operation in re.findall(r"\w+", operations)
    ]


WORKER = documented(0)


class Door:
    """Lets bert do what is granted on the names of one site, and nothing else."""

    def __init__(self, secured: Secured, unique: Callable[[str], str]) -> None:
        self.site = Site(secured.server.bootstrap, unique, clusters=True)
        self.bert = secured.sasl_tls("bert")

    def grant(self, grants: Iterable[Grant]) -> Door:
        """In force when this returns."""
        acls = [self._acl(grant) for grant in grants]
        with KafkaAdminClient(bootstrap_servers=self.site.bootstrap) as admin:
            assert not admin.create_acls(acls)["failed"]
            until(lambda: all(_is_in_force(admin, acl) for acl in acls), lambda: None)
        return self

    def revoke(self, grant: Grant) -> None:
        """No longer in force when this returns."""
        acl = self._acl(grant)
        with KafkaAdminClient(bootstrap_servers=self.site.bootstrap) as admin:
            admin.delete_acls([_filter(acl)])
            until(lambda: not _is_in_force(admin, acl), lambda: None)

    def run(self, *more: str) -> None:
        self.site.run(self.bert, *more)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line as bert calls it."""
        sets = [f"--set={assignment}" for assignment in self.site.assignments(self.bert)]
        command = [sys.executable, "-m", "worker.cli.main", *words, *sets]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def _acl(self, grant: Grant) -> ACL:
        kind = KINDS.get(grant.setting, ResourceType.TOPIC)
        pattern = ACLResourcePatternType.PREFIXED if grant.setting in KINDS else ACLResourcePatternType.LITERAL
        resource = ResourcePattern(kind, self.site.names[grant.setting], pattern)
        operation = ACLOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", grant.operation).upper()]
        return ACL(USER, "*", operation, ACLPermissionType.ALLOW, resource)


def _is_in_force(admin: Any, acl: ACL) -> bool:
    """A broker learns of an ACL a moment after it was made."""
    return bool(admin.describe_acls(_filter(acl))[0])


def _filter(acl: ACL) -> ACLFilter:
    resource = acl.resource_pattern
    wanted = ResourcePatternFilter(resource.resource_type, resource.resource_name, resource.pattern_type)
    return ACLFilter(USER, "*", acl.operation, ACLPermissionType.ALLOW, wanted)


@pytest.fixture
def door(secured: Secured, unique: Callable[[str], str]) -> Door:
    return Door(secured, unique)


def without(setting: str) -> list[Grant]:
    return [grant for grant in WORKER if grant.setting != setting]


def test_the_documented_acls_are_enough_for_exactly_once(door: Door) -> None:
    """Over TLS with SCRAM, with routes, review and replay: every record comes out once."""
    door.grant(WORKER).run()
    assert door.site.finished()


def test_at_least_once_needs_no_transactional_id(door: Door) -> None:
    """The rest is the same; the learner of clusters has transactions in any case."""
    door.grant(without("delivery.transactional_id_prefix"))
    door.run("delivery.mode=at_least_once", "clusters.enabled=false")
    assert door.site.finished()


@pytest.mark.parametrize("setting", sorted({grant.setting for grant in WORKER}))
def test_each_of_the_documented_acls_is_needed(door: Door, setting: str) -> None:
    """Without it the worker stops, exit code 1, names the resource and what to grant, and has written nothing."""
    with pytest.raises(Stop) as raised:
        door.grant(without(setting)).run()
    line = str(raised.value)
    assert not isinstance(raised.value, Unreachable)
    assert "\n" not in line
    missing = "|".join(grant.operation for grant in WORKER if grant.setting == setting)
    assert re.search(rf"grant .*\b({missing})\b", line)
    kind = KINDS.get(setting, ResourceType.TOPIC)
    # The client does not tell which transactional id it was: its setting is named.
    assert (setting if kind is ResourceType.TRANSACTIONAL_ID else door.site.names[setting]) in line
    assert door.site.written() == 0


@pytest.mark.parametrize("setting", ["input.topics", "output.topic", "dead_letter.topic"])
def test_a_topic_that_may_only_be_seen_stops_the_worker(door: Door, setting: str) -> None:
    """The start goes through, the first read or write does not; the transaction leaves nothing behind."""
    with pytest.raises(Stop, match=door.site.names[setting]):
        door.grant([*without(setting), Grant(setting, "Describe")]).run()
    assert door.site.written() == 0


def test_the_commands_need_no_more_than_is_documented(door: Door) -> None:
    """Bert replays a dead letter, describes the topics and checks, each without a complaint about what he may do."""
    names = door.site.names
    door.grant([*WORKER, *documented(1)]).run()
    described = door.command("topics", "describe")
    assert "cleanup.policy" in described.stdout
    found = list(check(load(None, door.site.assignments(door.bert, "model.path=no/model"), {})))
    assert {finding.check for finding in found if finding.severity == "error"} == {"model"}
    assert {finding.check for finding in found} >= {"topic", "group", "input", "transactions"}
    replayed = door.command("dlq", "replay")
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert len(values(door.site.bootstrap, names["dead_letter.replay_topic"])) == 1


def test_a_topic_that_may_not_be_made_is_named(door: Door) -> None:
    """`topics create` ends with exit code 1 and one line, and makes the topic once Create has been granted."""
    topic = door.site.names["output.topic"]
    door.grant(WORKER)
    with KafkaAdminClient(bootstrap_servers=door.site.bootstrap) as admin:
        admin.delete_topics([topic])
    refused = door.command("topics", "create")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert re.search(rf"{topic}.* grant .*Create", refused.stderr)
    door.grant([Grant("output.topic", "Create")])
    assert (door.command("topics", "create").returncode, values(door.site.bootstrap, topic)) == (0, [])


@pytest.mark.parametrize("setting", ["kafka.group_id", "delivery.transactional_id_prefix", "policy.routes"])
def test_what_is_revoked_while_a_worker_runs_stops_it(door: Door, setting: str) -> None:
    """Exit code 1 at its next records, with what to grant; what is half done does not count."""
    everything = len(TEXTS) + 1

    def meanwhile() -> None:
        until(lambda: door.site.written() == everything, lambda: None)
        door.revoke(next(grant for grant in WORKER if grant.setting == setting))
        routed = [text for text in TEXTS if FakeEngine().label_of(json.loads(text)["text"]) == "a"]
        produce(door.site.bootstrap, door.site.names["input.topics"], routed)

    with pytest.raises(Stop, match="grant"):
        door.grant(WORKER).site.run(door.bert, meanwhile=meanwhile)
    assert door.site.written() == everything
