"""A rolling restart of three workers under a steady stream: how long no result is committed, by input partition.

`python -m benchmarks.rolling`, on a broker of its own from KAFKA_HOME. Once with dynamic members and once with static
ones (`kafka.instance_id`); the model is a fake that computes nothing.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from tests.kafka.broker import KafkaServer, unavailable
from tests.kafka.chaos import Fleet, Topics

WORKERS = PARTITIONS = 3
PER_SECOND = 300
SETTLE_S = 3.0  # before the first restart and after each
PATIENCE_S = 120.0
SETTINGS = ("kafka.session_timeout_s=30", "delivery.drain_timeout_s=10", "batch.max_records=500")


class Gaps(threading.Thread):
    """Reads committed results and keeps, for each partition, when the last one came and the longest wait for one."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", group_id=None)
        self._consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        self._consumer.seek_to_beginning()
        self._closing = threading.Event()
        self.last_s: dict[int, float] = {}
        self.longest_s: dict[int, float] = {}

    def run(self) -> None:
        while not self._closing.is_set():
            polled = self._consumer.poll(timeout_ms=100)
            now = time.monotonic()
            for partition in (tp.partition for tp in polled):
                gap = now - self.last_s.get(partition, now)
                self.longest_s[partition] = max(gap, self.longest_s.get(partition, 0.0))
                self.last_s[partition] = now
        self._consumer.close()

    def wait_for_all(self, since_s: float) -> None:
        """Until each partition has had a result since then."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.last_s) < PARTITIONS or min(self.last_s.values()) < since_s:
            if time.monotonic() > deadline:
                raise SystemExit(f"no results within {PATIENCE_S:g} s")
            time.sleep(0.05)

    def close(self) -> None:
        self._closing.set()
        self.join()


@contextmanager
def streaming(bootstrap: str, topic: str) -> Iterator[None]:
    """Texts at a steady pace, a third of them on each partition, as long as the block runs."""
    ended = threading.Event()

    def send() -> None:
        producer, number = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5), 0
        while not ended.wait(0.01):
            for _ in range(PER_SECOND // 100):
                producer.send(topic, b'{"text": "a text of some words"}', partition=number % PARTITIONS)
                number += 1
        producer.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure(server: KafkaServer, directory: Path, *, static: bool) -> dict[int, float]:
    """The longest time without a committed result, by partition, while each worker in turn is restarted."""
    kind = "static" if static else "dynamic"
    topics = Topics(f"in-{kind}", f"out-{kind}", f"dead-{kind}", f"workers-{kind}")
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    names = [topics.source, topics.results, topics.dead_letters]
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    admin.wait_for_topics(names)
    admin.close()
    own = [(f"kafka.instance_id=worker-{number}",) if static else () for number in range(WORKERS)]
    with Fleet(server.bootstrap, topics, directory, settings=SETTINGS) as fleet, streaming(server.bootstrap, names[0]):
        workers = [fleet.start(*settings) for settings in own]
        while sum(_holds(directory, number + 1) for number in range(WORKERS)) < WORKERS:
            time.sleep(0.1)
        gaps = Gaps(server.bootstrap, topics.results)
        gaps.start()
        gaps.wait_for_all(time.monotonic())
        time.sleep(SETTLE_S)
        gaps.longest_s.clear()
        for worker, settings in zip(workers, own, strict=True):
            fleet.kill(worker, signal.SIGTERM)
            fleet.start(*settings)
            while not _holds(directory, fleet.started):
                time.sleep(0.05)
            gaps.wait_for_all(time.monotonic())
            time.sleep(SETTLE_S)
        gaps.close()
    return gaps.longest_s


def _holds(directory: Path, number: int) -> bool:
    """The newest assignment of this worker is not empty."""
    told = [
        line for line in (directory / f"worker-{number}.log").read_text().splitlines() if "partitions assigned" in line
    ]
    return bool(told) and '"partitions": 0' not in told[-1]


def main() -> int:
    reason = unavailable()
    if reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="tagstream-rolling-") as folder:
        server = KafkaServer(directory=Path(folder) / "kafka").start()
        try:
            found = {}
            for kind in ("dynamic", "static"):
                (logs := Path(folder) / kind).mkdir()
                found[kind] = measure(server, logs, static=kind == "static")
        finally:
            server.kill()
    print("| partition | dynamic members, s | static members, s |\n|---|---|---|")
    for partition in range(PARTITIONS):
        print(f"| {partition} | {found['dynamic'][partition]:.1f} | {found['static'][partition]:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
