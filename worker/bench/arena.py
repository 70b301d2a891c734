"""Topics for one benchmark on one Kafka, gone when it ends."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from worker.errors import Stop
from worker.kafka.failures import explained
from worker.kafka.security import Connection
from worker.kafka.topics import Purpose, TopicAdmin, TopicSpec

NAME = "tagstream-bench"


class Arena:
    """A context manager. Its names are new each time, so nothing of the user's is read or written."""

    def __init__(self, connection: Connection, *, replication_factor: int) -> None:
        self._connection = connection
        self._replication_factor = replication_factor
        self._name = f"{NAME}-{uuid.uuid4().hex[:8]}"
        self._made: list[str] = []

    def __enter__(self) -> Arena:
        self.results, self.dead_letters = self._make("results", "output", 3), self._make("dead", "dead letters", 1)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(KafkaError, Stop):  # what is left has our name, and the figures are worth more
            client = KafkaAdminClient(**self._connection.client_options())
            try:
                client.delete_topics(self._made)
                client.delete_groups(
                    [g["group_id"] for g in client.list_groups() if g["group_id"].startswith(self._name)]
                )
            finally:
                client.close()

    def input(self, name: str, values: Sequence[bytes], partitions: int) -> str:
        """A topic that holds these values, spread evenly and in order; its name."""
        topic = self._make(name, "input", partitions)
        with explained():
            producer = KafkaProducer(
                **self._connection.client_options(), linger_ms=20, batch_size=256 * 1024, compression_type="lz4"
            )
            futures = [producer.send(topic, value, partition=i % partitions) for i, value in enumerate(values)]
            producer.flush()
            for future in futures:
                future.get()
            producer.close()
        return topic

    def assignments(self, topic: str, *more: str) -> tuple[str, ...]:
        """Settings of a worker from that topic to ours, whatever the user's own say of topics; `more` goes over it."""
        return (
            f"kafka.bootstrap={self._connection.bootstrap}",
            f"kafka.group_id={self._name}",
            f"input.topics=[{topic}]",
            "input.pattern=null",
            "input.format=json",
            "input.start=earliest",
            f"output.topic={self.results}",
            f"dead_letter.topic={self.dead_letters}",
            "dead_letter.replay_topic=null",
            "kafka.instance_id=null",
            "policy.review=null",
            "clusters.enabled=false",
            "http.host=127.0.0.1",
            "http.port=0",
            "batch.target_s=60",
            *more,
        )

    def _make(self, name: str, purpose: Purpose, partitions: int) -> str:
        topic = f"{self._name}-{name}"
        with TopicAdmin(self._connection) as admin:
            admin.create([TopicSpec(topic, purpose, partitions, self._replication_factor)])
        self._made.append(topic)
        return topic
