"""One poll of the client; where a batch may linger, as many more as make it grow."""

from __future__ import annotations

import time
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import CorruptRecordError

from worker.kafka.client import resume_join


def gather(
    consumer: KafkaConsumer, timeout_s: float, max_records: int, linger_s: float
) -> tuple[dict[Any, list[Any]], CorruptRecordError | None]:
    """Records by partition, and the damage behind them: from then on this consumer may be polled paused only.

    Raises the client's other errors.
    """
    resume_join(consumer)
    polled: dict[Any, list[Any]] = {}
    try:
        _poll(consumer, timeout_s, max_records, polled)
        deadline = time.monotonic() + linger_s
        while polled and linger_s and (left_s := deadline - time.monotonic()) > 0:
            room = max_records - sum(map(len, polled.values()))
            if room <= 0:
                break
            _poll(consumer, left_s + 0.001, room, polled)
    except CorruptRecordError as error:
        return polled, error
    return polled, _announced(consumer)


def _poll(consumer: KafkaConsumer, timeout_s: float, most: int, polled: dict[Any, list[Any]]) -> None:
    for partition, records in consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=most).items():
        polled.setdefault(partition, []).extend(records)


def _announced(consumer: KafkaConsumer) -> CorruptRecordError | None:
    """What the next poll would raise: a poll that is paused forgets it instead, and the one after never returns."""
    found = consumer._fetcher._next_in_line_exception_metadata
    return found.exception if found and isinstance(found.exception, CorruptRecordError) else None
