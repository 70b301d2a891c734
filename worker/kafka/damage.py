"""Past a batch that fails its checksum: how far it goes. Only by an explicit setting, and counted.

A batch that is corrupt poisons kafka-python's consumer, and its length cannot be trusted, so its end is found from
outside: the broker gives whole batches, so every offset inside of it fails, and the first behind it does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError

from worker.types import Partition

PROBE_TIMEOUT_MS = 5000
_WHERE = re.compile(r"partition TopicPartition\(topic='([^']+)', partition=(\d+)\) at offset (\d+)")


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
    """Whether the batch that holds an offset is corrupt; a consumer of its own for each, as one failure spoils it."""

    def fails(offset: int) -> bool:
        consumer = make_consumer()
        try:
            tp = TopicPartition(*partition)
            consumer.assign([tp])
            consumer.seek(tp, offset)
            consumer.poll(timeout_ms=PROBE_TIMEOUT_MS, max_records=1)
        except CorruptRecordError:
            return True
        finally:
            consumer.close(autocommit=False)
        return False

    return fails
