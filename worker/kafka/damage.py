"""Past a batch that fails its checksum: how far it goes. Only by an explicit setting, and counted.

A batch that is corrupt poisons kafka-python's consumer, and its length cannot be trusted, so its end is found from
outside: the broker gives whole batches, so every offset inside of it fails, and the first behind it does not.
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
    """The corrupt batches that reading has met and not passed yet. The poll thread."""

    def __init__(self, make_prober: Callable[[], KafkaConsumer], on_corrupt: Literal["stop", "skip"]) -> None:
        self._make_prober = make_prober
        self._on_corrupt = on_corrupt
        self._found: dict[Partition, int] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, error: CorruptRecordError) -> None:
        """Remember where it begins. Raises `Stop` with `on_corrupt: stop`, and where the error does not say where."""
        found = damaged_at(error)
        if self._on_corrupt == "stop" or found is None:
            raise Stop(f"{error}: the data is damaged; input.on_corrupt: skip goes on behind it") from error
        partition, offset = found
        log.error("a batch failed its checksum", partition=f"{partition}", offset=offset)
        self._found[partition] = offset

    def skipped(self, lags: Mapping[Partition, Lag]) -> Record | None:
        """One record that stands for a damaged batch, once all before it has been read; blocks.

        None: read on, it will fail again where it is. Raises the client's errors; what was found stays noted.
        """
        partition, first = next(iter(self._found.items()))
        lag = lags.get(partition)
        end = self._end(partition, lag) if lag is not None and lag.position >= first else None
        del self._found[partition]
        return Record(*partition, lag.position, None, None, None, damaged_to=end) if lag and end else None

    def _end(self, partition: Partition, lag: Lag) -> int | None:
        fails = prober(self._make_prober, partition)
        return first_readable(fails, lag.position, lag.stable_end) if fails(lag.position) else None


def damaged_at(error: CorruptRecordError) -> tuple[Partition, int] | None:
    """Partition and first offset of the corrupt batch, as the client's message names them."""
    found = _WHERE.search(str(error))
    return (Partition(found[1], int(found[2])), int(found[3])) if found else None


def first_readable(fails: Callable[[int], bool], first: int, end: int) -> int:
    """The first offset behind `first` that does not fail, or `end`: doubling steps, then halving.

    `fails` must hold for `first`, and from the answer on it must not, up to the next damage.
    """
    step, last_failing = 1, first
    while (offset := min(last_failing + step, end)) < end and fails(offset):
        last_failing, step = offset, step * 2
    low, high = last_failing, offset
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fails(middle) else (low, middle)
    return high


def prober(make_consumer: Callable[[], KafkaConsumer], partition: Partition) -> Callable[[int], bool]:
    """Whether the batch that holds an offset is corrupt; a consumer of its own for each, as one failure spoils it.

    Raises the client's errors: a broker that does not answer says nothing of an offset.
    """

    def fails(offset: int) -> bool:
        consumer = make_consumer()
        try:
            _read(consumer, TopicPartition(*partition), offset)
        except CorruptRecordError:
            return True
        finally:
            consumer.close(autocommit=False)
        return False

    return fails


def _read(consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> None:
    """Until something came: a record, or a position that has moved past markers and what was aborted."""
    consumer.assign([partition])
    consumer.seek(partition, offset)
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    while not (consumer.poll(PROBE_POLL_MS, max_records=1) or consumer.position(partition, timeout_ms=0) != offset):
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"{Partition(*partition)}@{offset}: no answer within {PROBE_TIMEOUT_S:g} s")
