"""Where each assigned partition is read, where it ends, and since when it has been quiet.

Written by the poll thread, or by the client's I/O thread while that one waits in a poll; read by any.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from worker.kafka.input import Lag
from worker.kafka.positions import Placement
from worker.types import Partition

# Transaction markers take offsets that no record ever fills; the position past them is committed when its partition has
# been quiet for so long, so that a busy transactional input does not cost two commits a batch.
QUIET_S = 0.5


class Lags:
    """The lags of the partitions whose position is known."""

    def __init__(self) -> None:
        self._lags: dict[Partition, Lag] = {}
        self._read_at_s: dict[Partition, float] = {}

    def now(self) -> Mapping[Partition, Lag]:
        return dict(self._lags)

    def clear(self) -> None:
        self._lags, self._read_at_s = {}, {}

    def place(self, placement: Placement) -> None:
        self._lags = {p: Lag(at, placement.ends[p], placement.ends[p]) for p, at in placement.offsets.items()}

    def read(self, partition: Partition, lag: Lag) -> None:
        """Records came."""
        self._lags[partition] = lag
        self._read_at_s[partition] = time.monotonic()

    def skip_to(self, partition: Partition, position: int) -> None:
        self._lags[partition] = replace(self._lags[partition], position=position)

    def note_stable_ends(self, ends: Mapping[Any, int]) -> None:
        for tp, stable_end in ends.items():
            lag = self._lags[Partition(*tp)]
            self._lags[Partition(*tp)] = replace(lag, stable_end=stable_end, end=max(lag.end, stable_end))

    def quiet_since_s(self) -> float:
        """When records last came, on the monotonic clock; 0 if never."""
        return max(self._read_at_s.values(), default=0.0)

    def behind_markers(self, consumer: KafkaConsumer) -> dict[Partition, int]:
        """Positions that have moved past transaction markers, of the partitions that have been quiet for a while."""
        now = time.monotonic()
        quiet = [p for p in self._lags if now - self._read_at_s.get(p, 0.0) >= QUIET_S]
        return dict(self._moved(consumer, quiet))

    def _moved(self, consumer: KafkaConsumer, partitions: Iterable[Partition]) -> Iterable[tuple[Partition, int]]:
        for partition in partitions:
            tp, lag = TopicPartition(*partition), self._lags[partition]
            position = consumer.position(tp, timeout_ms=0)
            if position is None:
                continue
            end = consumer.highwater(tp) or lag.end
            self._lags[partition] = replace(lag, position=position, end=max(end, position))
            if position > lag.position:
                yield partition, position
