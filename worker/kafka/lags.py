"""Where each assigned partition is read, where it ends, and since when it has been quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from worker.kafka.input import Lag
from worker.kafka.positions import Placement
from worker.types import Partition

# Transaction markers take offsets that no record ever fills; the position past them is committed when its partition has
# been quiet for so long, so that a busy transactional input does not cost two commits a batch.
QUIET_S = 0.5


class Lags:
    """The lags of the partitions whose position is known. Any thread.

    A rebalance clears them in the client's I/O thread, perhaps while the poll thread has records of the last poll in
    its hands: what it learns of a partition that is no longer here is dropped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lags: dict[Partition, Lag] = {}
        self._read_at_s: dict[Partition, float] = {}

    def now(self) -> Mapping[Partition, Lag]:
        with self._lock:
            return dict(self._lags)

    def clear(self) -> None:
        with self._lock:
            self._lags, self._read_at_s = {}, {}

    def place(self, placement: Placement) -> None:
        with self._lock:
            self._lags = {p: Lag(at, placement.ends[p], placement.ends[p]) for p, at in placement.offsets.items()}

    def read(self, partition: Partition, lag: Lag) -> None:
        """Records came."""
        with self._lock:
            if partition in self._lags:
                self._lags[partition] = lag
                self._read_at_s[partition] = time.monotonic()

    def skip_to(self, partition: Partition, position: int) -> None:
        self._change(partition, lambda lag: replace(lag, position=position))

    def note_stable_ends(self, ends: Mapping[Any, int]) -> None:
        for tp, stable_end in ends.items():
            self._change(Partition(*tp), partial(_with_stable_end, stable_end))

    def quiet_since_s(self) -> float:
        """When records last came, on the monotonic clock; 0 if never."""
        with self._lock:
            return max(self._read_at_s.values(), default=0.0)

    def behind_markers(self, consumer: KafkaConsumer) -> dict[Partition, int]:
        """Positions that have moved past transaction markers, of the partitions that have been quiet for a while."""
        now = time.monotonic()
        with self._lock:
            quiet = {p: lag for p, lag in self._lags.items() if now - self._read_at_s.get(p, 0.0) >= QUIET_S}
        return dict(self._moved(consumer, quiet))

    def _moved(self, consumer: KafkaConsumer, quiet: Mapping[Partition, Lag]) -> Iterable[tuple[Partition, int]]:
        for partition, lag in quiet.items():
            tp = TopicPartition(*partition)
            position = consumer.position(tp, timeout_ms=0)
            if position is None:
                continue
            end = consumer.highwater(tp) or lag.end
            self._change(partition, partial(_at, position, max(end, position)))
            if position > lag.position:
                yield partition, position

    def _change(self, partition: Partition, changed: Callable[[Lag], Lag]) -> None:
        with self._lock:
            if partition in self._lags:
                self._lags[partition] = changed(self._lags[partition])


def _with_stable_end(stable_end: int, lag: Lag) -> Lag:
    return replace(lag, stable_end=stable_end, end=max(lag.end, stable_end))


def _at(position: int, end: int, lag: Lag) -> Lag:
    return replace(lag, position=position, end=end)
