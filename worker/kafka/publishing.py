"""Records that a command writes, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kafka import KafkaProducer

from worker.kafka.client import commit_transaction, discard, flush
from worker.kafka.failures import check, explained
from worker.types import Output


def publish(make: Callable[[], KafkaProducer], outputs: Sequence[Output], timeout_s: float) -> None:
    """In one transaction of a producer with a transactional id of its own. Raises `Stop`."""
    with explained():
        producer = make()
    try:
        with explained():
            producer.init_transactions()
            producer.begin_transaction()
            futures = [
                producer.send(output.topic, value=output.value, key=output.key, partition=output.partition)
                for output in outputs
            ]
            flush(producer, timeout_s)
            check(futures, [0] * len(futures))
            commit_transaction(producer, timeout_s)
    finally:
        discard(producer)


def publish_one(make: Callable[[], KafkaProducer], output: Output) -> None:
    """Acknowledged by all replicas."""
    with explained():
        producer = make()
        try:
            producer.send(output.topic, value=output.value, key=output.key, partition=output.partition).get()
        finally:
            discard(producer)
