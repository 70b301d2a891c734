"""Workers of one shared cluster table, without their models: samples, roles and followers on a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from kafka import KafkaProducer

from worker import clustering
from worker.clusters.spherical import normalise
from worker.clusters.wire import Replica, Versioned, sample_value
from worker.config import load
from worker.kafka.reading import Reader
from worker.kafka.security import Connection
from worker.settings import Settings

ENCODER = "enc"
PATIENCE_S = 90.0
SETTINGS = (
    "clusters.k=4",
    "clusters.warmup=300",
    "kafka.session_timeout_s=12",
    "kafka.request_timeout_s=3",
    "delivery.delivery_timeout_s=5",
    "delivery.transaction_timeout_s=8",
    "delivery.drain_timeout_s=3",
)


@dataclass(frozen=True)
class Topics:
    """Of one table."""

    table: str
    samples: str
    events: str


def settings_of(bootstrap: str, group: str, topics: Topics, *more: str) -> Settings:
    names = (
        f"clusters.topic={topics.table}",
        f"clusters.sample_topic={topics.samples}",
        f"clusters.event_topic={topics.events}",
        f"kafka.bootstrap={bootstrap}",
        f"kafka.group_id={group}",
    )
    return load(None, [*SETTINGS, *names, *more], {})


@contextmanager
def member(settings: Settings, fail: Callable[[Exception], None]) -> Iterator[clustering.Shared]:
    """A worker's clusters, learning where it is its turn."""
    shared = clustering.make_shared(settings, ENCODER, Connection.of(settings.kafka), writes=True)
    try:
        shared.start(fail)
        yield shared
    finally:
        shared.close()


def send_samples(bootstrap: str, topics: Topics, count: int, *, seed: int = 0, topic_count: int = 4) -> None:
    """Of some topics well apart, one a second of their own time."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(topic_count, 8))
    rows = normalise(
        (directions[random.integers(0, topic_count, count)] + random.normal(size=(count, 8)) * 0.2).astype(np.float32)
    )
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for number, row in enumerate(rows):
        value = sample_value("default", ENCODER, row, ["word"], (seed * 100_000 + number + 1) * 1000)
        producer.send(topics.samples, value, partition=0)
    producer.flush()
    producer.close()


def versions(bootstrap: str, topic: str) -> list[Versioned]:
    """Every whole version on the topic, in order."""
    replica, found = Replica("default"), []
    with Reader({"bootstrap_servers": bootstrap}) as reader:
        (partition,) = reader.partitions([topic])
        for record in reader.read_settled(partition):
            if replica.take(record.key, record.value) and replica.newest is not None:
                found.append(replica.newest)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again; give up in the end."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "never came true"
        pause.wait(0.05)
