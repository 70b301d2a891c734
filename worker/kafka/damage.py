"""Past a batch that fails its checksum: how far it goes. Only by an explicit setting, and counted.

A batch that is corrupt poisons kafka-python's consumer, and its length cannot be trusted, so its end is found from
outside: the broker gives whole batches, so every offset inside of it fails, and the client says at which batch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Literal

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaTimeoutError

from worker.errors import Stop
from worker.kafka.input import Lag
from worker.types import Partition, Record

log = structlog.get_logger()

PROBE_TIMEOUT_S = 5.0
PROBE_POLL_MS = 100
_WHERE = re.compile(r"partition TopicPartition\(topic='([^']+)', partition=(\d+)\) at offset (\d+)")


class Damage:
    """The partitions in which reading has met a corrupt batch and not passed it yet. The poll thread."""

    def __init__(self, make_prober: Callable[[], KafkaConsumer], on_corrupt: Literal["stop", "skip"]) -> None:
        self._make_prober = make_prober
        self._on_corrupt = on_corrupt
        self._found: set[Partition] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, error: CorruptRecordError) -> None:
        """Remember it. Raises `Stop` with `on_corrupt: stop`, and where the error does not say where."""
        partition, offset = located(error)
        if self._on_corrupt == "stop":
            raise _stop(error)
        log.error("a batch failed its checksum", partition=f"{partition}", offset=offset)
        self._found.add(partition)

    def skipped(self, lags: Mapping[Partition, Lag]) -> Record | None:
        """One record that stands for a damaged batch, once all before it has been read; blocks.

        None: read on, it will fail again where it is. Raises the client's errors; what was found stays noted.
        """
        partition = next(iter(self._found))
        lag = lags.get(partition)
        span = self._span(partition, lag) if lag else None
        self._found.remove(partition)
        return Record(*partition, span[0], None, None, None, damaged_to=span[1]) if span else None

    def _span(self, partition: Partition, lag: Lag) -> tuple[int, int] | None:
        """First offset of the damage that comes next, and the one behind it; None where a record comes first."""
        damage_from = prober(self._make_prober, partition, lag.stable_end)
        batch = damage_from(lag.position)
        if batch is None:
            return None
        first = max(batch, lag.position)
        return first, first_behind(lambda offset: damage_from(offset) == batch, first, lag.stable_end)


def located(error: CorruptRecordError) -> tuple[Partition, int]:
    """Partition and first offset of the corrupt batch, as the client's message names them. Raises `Stop`."""
    found = _WHERE.search(str(error))
    if found is None:
        raise _stop(error)
    return Partition(found[1], int(found[2])), int(found[3])


def _stop(error: CorruptRecordError) -> Stop:
    stop = Stop(f"{error}: the data is damaged; input.on_corrupt: skip goes on behind it")
    stop.__cause__ = error
    return stop


def first_behind(inside: Callable[[int], bool], first: int, end: int) -> int:
    """The first offset behind `first` that is not inside, or `end`: doubling steps, then halving.

    `inside` must hold for `first`, and from the answer on it must not.
    """
    step, last_inside = 1, first
    while (offset := min(last_inside + step, end)) < end and inside(offset):
        last_inside, step = offset, step * 2
    low, high = last_inside, offset
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return high


def prober(make_consumer: Callable[[], KafkaConsumer], partition: Partition, end: int) -> Callable[[int], int | None]:
    """Tells the first offset of the corrupt batch that reading meets from an offset on, None where a record comes.

    A consumer of its own for each, as one failure spoils it. Raises the client's errors: a broker that does not answer
    says nothing of an offset.
    """

    def damage_from(offset: int) -> int | None:
        consumer = make_consumer()
        try:
            _read(consumer, TopicPartition(*partition), offset, end)
        except CorruptRecordError as error:
            return located(error)[1]
        finally:
            consumer.close(autocommit=False)
        return None

    return damage_from


def _read(consumer: KafkaConsumer, partition: TopicPartition, offset: int, end: int) -> None:
    """Until a record came, or all up to the end was passed: markers, and what was aborted."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while not consumer.poll(PROBE_POLL_MS, max_records=1) and consumer.position(partition, timeout_ms=0) < end:
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"{Partition(*partition)}@{offset}: no answer within {PROBE_TIMEOUT_S:g} s")
