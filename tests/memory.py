"""An in-memory log with a real source and a real delivery behind the Protocols: for tests of the loop without Kafka.

Outputs and offsets of a delivery appear together or not at all; a generation fences deliveries as a group's does.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from worker.errors import DeliveryFailed, DeliveryRefused, RecordRefused, Stop
from worker.types import Batch, Outcome, Output, Partition, Record

# lost: nothing appears. unanswered: all appears, yet the caller hears of a failure. refused: the group has moved on.
Fault = Literal["lost", "unanswered", "refused", "stop"]


class MemoryLog:
    """Topics of records, committed offsets, and the generation of the one group that reads. Any thread."""

    def __init__(self, *, topic: str = "in", partitions: int = 1) -> None:
        self.lock = threading.RLock()
        self.inputs: dict[Partition, list[Record]] = {Partition(topic, p): [] for p in range(partitions)}
        self.committed: dict[Partition, int] = {}
        self.outputs: dict[str, list[Output]] = defaultdict(list)
        self.generation = 1

    def write(self, value: bytes | None, partition: int = 0, **more: object) -> Record:
        with self.lock:
            place = list(self.inputs)[partition]
            offset = len(self.inputs[place])
            record = Record(*place, offset, more.pop("timestamp_ms", 0), more.pop("key", None), value, **more)  # type: ignore[arg-type]
            self.inputs[place].append(record)
            return record

    def commit(self, outputs: tuple[Output, ...], offsets: Mapping[Partition, int]) -> None:
        with self.lock:
            for output in outputs:
                self.outputs[output.topic].append(output)
            self.committed.update(offsets)

    @property
    def lag(self) -> int:
        with self.lock:
            return sum(len(records) - self.committed.get(p, 0) for p, records in self.inputs.items())


class MemorySource:
    """A group member that owns every partition of the log. `bounded`: exhausted once all has been handed out."""

    def __init__(self, log: MemoryLog, *, bounded: bool = True) -> None:
        self.log = log
        self.bounded = bounded
        self.idled = 0
        self.closed = False
        self._epoch = 0
        self._positions: dict[Partition, int] = {}
        self._suspended = False
        self._placed = False
        self._refused_fence: object = None

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def exhausted(self) -> bool:
        with self.log.lock:
            ends = {p: len(records) for p, records in self.log.inputs.items()}
            return self.bounded and self._placed and self._positions == ends

    def poll(self, timeout_s: float, max_records: int) -> Batch | None:
        with self.log.lock:
            if self._suspended or self._refused_fence == self.log.generation:
                return None
            if not self._placed:
                self._positions = {p: self.log.committed.get(p, 0) for p in self.log.inputs}
                self._placed = True
            return self._batch(max_records)

    def idle(self) -> None:
        self.idled += 1

    def suspend(self) -> None:
        with self.log.lock:
            self._epoch += 1
            self._suspended, self._placed = True, False

    def rewind(self, refused: Batch | None = None) -> None:
        with self.log.lock:
            self._epoch += 1
            self._suspended, self._placed = False, False
            self._refused_fence = refused.fence if refused else None

    def close(self) -> None:
        self.closed = True

    def rebalance(self) -> None:
        """The partitions go away and come back in the next generation; what was handed out is fenced."""
        with self.log.lock:
            self._epoch += 1
            self._placed = False
            self.log.generation += 1

    def _batch(self, max_records: int) -> Batch | None:
        taken: list[Record] = []
        offsets: dict[Partition, int] = {}
        for partition, position in self._positions.items():
            share = self.log.inputs[partition][position : position + max_records - len(taken)]
            if share:
                taken += share
                offsets[partition] = self._positions[partition] = position + len(share)
        return Batch(tuple(taken), offsets, self._epoch, self.log.generation) if taken else None


class MemoryDelivery:
    """Commits to the log, with faults at chosen calls of `deliver` (from 0), and a limit to a value's size.

    Topics in `keyed` take no record without a key, as compacted ones do; with `naming` it says which records these are.
    `before` is called ahead of each delivery with its number: a test hurts the source there, at a known moment.
    """

    def __init__(
        self,
        log: MemoryLog,
        *,
        faults: Mapping[int, Fault] | None = None,
        max_bytes: Mapping[str, int] | None = None,
        keyed: Collection[str] = (),
        naming: bool = False,
        before: Callable[[int], None] = lambda number: None,
    ) -> None:
        self.log = log
        self.calls = 0
        self.recoveries = 0
        self.closed = False
        self._faults = dict(faults or {})
        self._max_bytes = dict(max_bytes or {})
        self._keyed = keyed
        self._naming = naming
        self._before = before
        self._ready = False

    def deliver(self, outcome: Outcome) -> None:
        number, self.calls = self.calls, self.calls + 1
        self._before(number)
        if not self._ready:
            raise AssertionError("deliver without recover after a failure")
        self._ready = False  # until it has gone well
        outputs = tuple(output for outputs in outcome.outputs for output in outputs)
        fault = self._faults.get(number)
        with self.log.lock:
            self._refuse(outcome, outputs, fault)
            self.log.commit(outputs, outcome.batch.offsets)
        if fault == "unanswered":
            raise DeliveryFailed("no answer")
        self._ready = True

    def _refuse(self, outcome: Outcome, outputs: tuple[Output, ...], fault: Fault | None) -> None:
        if fault == "stop":
            raise Stop("told to stop")
        if fault == "lost":
            raise DeliveryFailed("told to fail")
        if fault == "refused":
            self.log.generation += 1
        if outcome.batch.fence != self.log.generation:
            raise DeliveryRefused("another generation")
        if any(len(o.value or b"") > self._max_bytes.get(o.topic, 1 << 30) for o in outputs):
            raise RecordRefused("a value is larger than its topic takes", "output_too_large")
        keyless = {
            i for i, sent in enumerate(outcome.outputs) for o in sent if o.key is None and o.topic in self._keyed
        }
        if keyless:
            named = frozenset(keyless if self._naming else ())
            raise RecordRefused("a topic takes no record without a key", "output_refused", named)

    def recover(self) -> None:
        self.recoveries += 1
        self._ready = True

    def close(self) -> None:
        self.closed = True
