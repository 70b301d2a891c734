"""Whether the topics to read are still there. A group goes on without a topic that was deleted, and says nothing."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaConsumer

from worker.errors import Stop

# So long must the metadata be without a topic: longer than two refreshes, as a broker that starts may not know it yet.
GONE_S = 65.0


class Presence:
    """The listed topics that the newest metadata does not have, and since when. The poll thread.

    Time is that of the refreshes: brokers that do not answer say nothing of a topic.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = tuple(topics)
        self._missing_since_s: dict[str, float] = {}

    def check(self, consumer: KafkaConsumer) -> None:
        """Asks nobody. Raises `Stop` for a topic that has been missing for too long."""
        cluster = consumer._cluster
        refreshed_s = cluster._last_successful_refresh_ms / 1000
        if not refreshed_s:
            return
        for topic in self._topics:
            if cluster.partitions_for_topic(topic):
                self._missing_since_s.pop(topic, None)
            elif refreshed_s - self._missing_since_s.setdefault(topic, refreshed_s) > GONE_S:
                raise Stop(
                    f"input topic {topic!r} does not exist any more: make it again with `tagstream topics create`,"
                    " or take it out of input.topics"
                )
