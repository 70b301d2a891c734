"""The topics a worker needs: described, compared with what it needs, and made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from worker.kafka.client import connect
from worker.kafka.failures import explained
from worker.kafka.security import Connection

Purpose = Literal[
    "input", "output", "dead letters", "replay", "feedback", "clusters", "cluster samples", "cluster events"
]
NO_ERROR, UNKNOWN_TOPIC = 0, 3
READY_TIMEOUT_MS = 30_000
SHOWN_CONFIGS = ("cleanup.policy", "max.message.bytes", "min.insync.replicas", "retention.ms")
MONTH_MS = 30 * 24 * 3600 * 1000
# One partition each: the order of a table's versions, and there is one learner. Its window is a day of samples, or as
# many as a busy topic has in a gigabyte.
CLUSTER_CONFIGS: dict[Purpose, dict[str, str]] = {
    "clusters": {"cleanup.policy": "compact"},
    "cluster samples": {
        "cleanup.policy": "delete",
        "retention.ms": str(2 * 24 * 3600 * 1000),
        "retention.bytes": str(1024**3),
    },
    "cluster events": {"cleanup.policy": "delete", "retention.ms": "-1"},
}
# A dead letter is its original and a few headers: at the broker's default limit the original alone would just fit.
DEAD_LETTER_BYTES = 1_048_588 + 64 * 1024


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that is needed, and how it is made if it is missing."""

    name: str
    purpose: Purpose
    partitions: int
    replication_factor: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic that exists. `id` is None where the broker gives none; `configs` is empty where it may not be read."""

    name: str
    id: str | None
    partitions: int
    replication_factor: int
    configs: Mapping[str, str]

    @property
    def is_compacted(self) -> bool:
        """Takes no record without a key, and keeps the last one of each."""
        return "compact" in self.configs.get("cleanup.policy", "")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def required_topics(
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    dead_letter: str,
    replay: str | None,
    feedback: str | None = None,
    clusters: Sequence[str] = (),
    partitions: int,
    replication_factor: int,
) -> tuple[TopicSpec, ...]:
    """Each topic once, inputs first. A name in several roles keeps the more particular one.

    `clusters` are the topics of the table, of its samples and of its events, or none.
    """
    month = {"cleanup.policy": "delete", "retention.ms": str(MONTH_MS), "max.message.bytes": str(DEAD_LETTER_BYTES)}
    roles: dict[str, tuple[Purpose, dict[str, str]]] = {name: ("input", {}) for name in inputs}
    roles |= {name: ("output", {"cleanup.policy": "delete"}) for name in outputs}
    roles[dead_letter] = ("dead letters", month)
    if replay is not None:
        roles[replay] = ("replay", month)
    if feedback is not None:  # what people have said by hand is not to be said again
        roles[feedback] = ("feedback", {"cleanup.policy": "delete", "retention.ms": "-1"})
    for name, purpose in zip(clusters, CLUSTER_CONFIGS, strict=False):
        roles[name] = (purpose, dict(CLUSTER_CONFIGS[purpose]))
    safe = {"min.insync.replicas": "2"} if replication_factor >= 3 else {}
    return tuple(
        TopicSpec(name, purpose, 1 if name in clusters else partitions, replication_factor, {**configs, **safe})
        for name, (purpose, configs) in roles.items()
    )


def shortcomings(spec: TopicSpec, found: TopicState | None) -> list[str]:
    """What is wrong with a topic for its purpose, a line each, with what to do."""
    if found is None:
        return [f"topic {spec.name} ({spec.purpose}) does not exist: make it with `tagstream topics create`"]
    wrong: list[str] = []
    if spec.purpose == "clusters" and found.configs and not found.is_compacted:
        wrong.append(
            f"topic {spec.name} (clusters) has cleanup.policy={found.configs.get('cleanup.policy')}, which forgets"
            " clusters: set it to compact"
        )
    if spec.purpose in CLUSTER_CONFIGS and found.partitions != 1:
        wrong.append(
            f"topic {spec.name} ({spec.purpose}) has {found.partitions} partitions, and what is on it has one order:"
            " delete it and make it with `tagstream topics create`, or choose another name"
        )
    if found.is_compacted and spec.purpose not in ("input", "clusters"):
        unless = ", unless every record of the input has a key" if spec.purpose == "output" else ""
        wrong.append(
            f"topic {spec.name} ({spec.purpose}) has cleanup.policy={found.configs['cleanup.policy']}, which drops all "
            f"but the last record of a key and takes none without: set it to delete{unless}"
        )
    limit, needed = found.configs.get("max.message.bytes"), spec.configs.get("max.message.bytes")
    if limit and needed and int(limit) < int(needed):
        wrong.append(
            f"topic {spec.name} ({spec.purpose}) takes {limit} bytes a record, so a large original loses its value: "
            f"set max.message.bytes to {needed} or more"
        )
    return wrong


class TopicAdmin:
    """Asks and tells the brokers about topics; a context manager. Every failure is a `Stop` of one line."""

    def __init__(self, connection: Connection) -> None:
        self._where = f"Kafka at {connection.bootstrap}"
        with explained(self._where):
            self._client = connect(KafkaAdminClient, **connection.client_options())

    def __enter__(self) -> TopicAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def names(self) -> list[str]:
        """Every topic that may be seen, the brokers' own left out."""
        with explained(self._where):
            return sorted(t["name"] for t in self._client.describe_topics() if not t["is_internal"])

    def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Those of the named topics that exist."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        with explained(self._where):
            found = [topic for topic in self._client.describe_topics(wanted) if _exists(topic)]
            configs = self._configs([topic["name"] for topic in found])
        return {topic["name"]: _state(topic, configs.get(topic["name"], {})) for topic in found}

    def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Make those that are missing and wait until they can be used; the names of those made."""
        found = self.describe(spec.name for spec in specs)
        missing = [spec for spec in specs if spec.name not in found]
        if not missing:
            return []
        with explained(self._where):
            answer = self._client.create_topics({spec.name: _creation(spec) for spec in missing}, raise_errors=False)
            made = [topic["name"] for topic in answer["topics"] if _was_made(topic)]
            self._client.wait_for_topics([spec.name for spec in missing], timeout_ms=READY_TIMEOUT_MS)
        return made

    def _configs(self, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        if not names:
            return {}
        try:
            resources = [ConfigResource("TOPIC", name) for name in names]
            found: Mapping[str, Any] = self._client.describe_configs(resources, config_filter="all")["topic"]
        except KafkaError:  # needs a permission of its own (DescribeConfigs), which a worker can do without
            return {}
        return found


def _exists(topic: Mapping[str, Any]) -> bool:
    """Raises for a topic that may not be seen; one without a leader exists."""
    error = topic["error_code"]
    if error not in (NO_ERROR, UNKNOWN_TOPIC) and not topic["partitions"]:
        raise for_code(error)(f"topic {topic['name']}")
    return bool(error != UNKNOWN_TOPIC)


def _state(topic: Mapping[str, Any], configs: Mapping[str, Any]) -> TopicState:
    partitions = topic["partitions"]
    return TopicState(
        name=topic["name"],
        id=str(topic["topic_id"]) if topic["topic_id"] else None,
        partitions=len(partitions),
        replication_factor=min((len(partition["replica_nodes"]) for partition in partitions), default=0),
        configs={name: str(configs[name]["value"]) for name in SHOWN_CONFIGS if name in configs},
    )


def _creation(spec: TopicSpec) -> dict[str, Any]:
    return {
        "num_partitions": spec.partitions,
        "replication_factor": spec.replication_factor,
        "configs": dict(spec.configs),
    }


def _was_made(topic: Mapping[str, Any]) -> bool:
    """False if somebody else was faster; raises for any other answer."""
    error = for_code(topic["error_code"])
    if topic["error_code"] == NO_ERROR:
        return True
    if error is TopicAlreadyExistsError:
        return False
    raise error(f"topic {topic['name']}: {topic['error_message']}")
