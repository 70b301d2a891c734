"""While nothing comes, the ends are asked for: is there nothing to read, or can it not be read?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError

from worker.kafka.client import is_fenced
from worker.kafka.failures import decide
from worker.types import Partition

PROBE_S = 5.0  # how often
PROBE_TIMEOUT_S = 2.0  # a stop has to wait for it


class Probe:
    """When it was last asked. The poll thread."""

    def __init__(self, *, grouped: bool) -> None:
        self._grouped = grouped
        self._last_s = 0.0

    def due(self, quiet_since_s: float) -> bool:
        """Nothing has come for a while, and nobody has asked."""
        return time.monotonic() - max(self._last_s, quiet_since_s) >= PROBE_S

    def ends(self, consumer: KafkaConsumer, partitions: Iterable[Partition]) -> Mapping[Any, int] | None:
        """The stable ends, or None where the brokers do not answer. Raises `Stop` for a static member replaced."""
        self._last_s = time.monotonic()
        if self._grouped and is_fenced(consumer):
            raise decide(FencedInstanceIdError())
        try:
            ends: Mapping[Any, int] = consumer.end_offsets(
                [TopicPartition(*p) for p in partitions], PROBE_TIMEOUT_S * 1000
            )
        except KafkaError:
            return None
        return ends
