"""How a consumer joins its group, and the metadata that fences what it has read."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer

from worker.kafka.input import Reading
from worker.kafka.listener import Listener


def subscribe(consumer: KafkaConsumer, reading: Reading, listener: Listener) -> None:
    """Ask the group for partitions; they come in a later poll. Raises the client's errors."""
    if reading.pattern:
        consumer.subscribe(pattern=reading.pattern, listener=listener)
        return
    consumer.subscribe(topics=list(reading.topics), listener=listener)
    consumer.topics()  # newest metadata before the join, known or not: coming later they would cost a second one


def fence_of(consumer: KafkaConsumer, reading: Reading) -> Any:
    """The group metadata as it is now; None without a group."""
    return consumer.group_metadata() if reading.grouped else None


def holds(fence: Any) -> bool:
    """The broker validates a commit under it; metadata of a membership that was lost would let it pass."""
    return fence is None or (fence.generation_id >= 0 and bool(fence.member_id))


def same(one: Any, other: Any) -> bool:
    return (one.generation_id, one.member_id) == (other.generation_id, other.member_id)
