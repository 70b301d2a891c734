"""A fleet of workers, the ways to hurt it, and the account of what came out."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 180.0


@dataclass
class Topics:
    """Of one scenario."""

    source: str
    results: str
    dead_letters: str
    group: str


@dataclass
class Fleet:
    """Worker processes over one broker; use as a context manager, which kills what is left."""

    bootstrap: str
    topics: Topics
    logs: Path
    settings: tuple[str, ...] = ()
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0
    _log_of: dict[int, Path] = field(default_factory=dict)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()

    def start(self, *settings: str) -> subprocess.Popen[bytes]:
        """One more, with settings of its own; its log is `worker-<number>.log`."""
        self.started += 1
        path = self.logs / f"worker-{self.started}.log"
        log = path.open("wb")
        call = [sys.executable, "-m", "tests.kafka.fake_worker", *self._settings(), *settings]
        worker = subprocess.Popen(call, cwd=REPOSITORY, stderr=log, stdout=log)
        log.close()
        self.workers.append(worker)
        self._log_of[worker.pid] = path
        return worker

    def kill(self, worker: subprocess.Popen[bytes], how: signal.Signals = signal.SIGKILL) -> None:
        """End one. Whoever is asked to leave (SIGTERM), once it has begun, has to leave with exit code 0."""
        while how is signal.SIGTERM and "listening" not in self._log_of[worker.pid].read_text():
            time.sleep(0.02)  # until then it is a bare interpreter, which knows no signals
        worker.send_signal(how)
        code = worker.wait(60)
        self.workers.remove(worker)
        assert code == (0 if how is signal.SIGTERM else -how)

    def _settings(self) -> list[str]:
        topics = self.topics
        return [
            f"kafka.bootstrap={self.bootstrap}",
            f"kafka.group_id={topics.group}",
            f"input.topics=[{topics.source}]",
            f"output.topic={topics.results}",
            f"dead_letter.topic={topics.dead_letters}",
            "kafka.request_timeout_s=2",
            "delivery.delivery_timeout_s=3",
            "delivery.transaction_timeout_s=4",
            "kafka.session_timeout_s=6",
            "delivery.drain_timeout_s=3",
            "batch.max_records=12",  # a transaction is then nearly always open: a blow meets it
            *self.settings,
        ]


def value(number: int) -> bytes:
    """A numbered text; every hundredth is broken."""
    return b"{broken" if number % 100 == 7 else json.dumps({"text": f"text number {number}"}).encode()


def fill(bootstrap: str, topic: str, partitions: int, count: int, *, over_s: float = 0.0) -> None:
    """`count` texts over all partitions, at once or spread over a time, so that every blow meets work in flight."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, batch_size=256 * 1024)
    began, sent = time.monotonic(), []
    for number in range(count):
        while over_s and (ahead := number / count * over_s - (time.monotonic() - began)) > 0:
            time.sleep(min(ahead, 0.05))
        sent.append(producer.send(topic, value=value(number), key=str(number).encode(), partition=number % partitions))
    producer.flush()
    for future in sent:
        future.get()
    producer.close()


@contextmanager
def filling(bootstrap: str, topic: str, partitions: int, count: int, over_s: float) -> Iterator[None]:
    """`fill` beside the caller's block; its failure is the caller's."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fill, bootstrap, topic, partitions, count, over_s=over_s)
        yield
        future.result()


@dataclass(frozen=True)
class Account:
    """What a read-committed reader of both outputs finds. `repeated` and `missing` are source coordinates."""

    results: int
    dead: int
    repeated: int
    missing: int
    disordered: int

    @property
    def found(self) -> int:
        return self.results + self.dead - self.repeated


def account(bootstrap: str, topics: Topics, partitions: int, count: int, patience_s: float = PATIENCE_S) -> Account:
    """Read both outputs until every input has been seen, or patience ends."""
    seen: Counter[tuple[int, int]] = Counter()
    last: dict[tuple[str, int], int] = defaultdict(lambda: -1)
    kinds: Counter[str] = Counter()
    disordered = 0
    deadline = time.monotonic() + patience_s
    for topic, partition, offset in _coordinates(bootstrap, topics, deadline, lambda: len(seen) >= count):
        seen[partition, offset] += 1
        kinds[topic] += 1
        disordered += offset < last[topic, partition]
        last[topic, partition] = max(last[topic, partition], offset)
    repeated = sum(n - 1 for n in seen.values())
    return Account(kinds[topics.results], kinds[topics.dead_letters], repeated, count - len(seen), disordered)


def _coordinates(bootstrap: str, topics: Topics, deadline: float, done) -> Iterator[tuple[str, int, int]]:  # type: ignore[no-untyped-def]
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest", group_id=None
    )
    names = (topics.results, topics.dead_letters)
    outputs = [TopicPartition(name, p) for name in names for p in consumer.partitions_for_topic(name)]
    consumer.assign(outputs)
    consumer.seek_to_beginning()
    quiet = 0
    while time.monotonic() < deadline and quiet < 3:
        polled = consumer.poll(timeout_ms=500, max_records=5000)
        quiet = quiet + 1 if done() and not polled else 0
        for records in polled.values():
            for record in records:
                yield record.topic, *_source_of(record, topics)
    consumer.close()


def _source_of(record, topics: Topics) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    if record.topic == topics.results:
        source = json.loads(record.value)["source"]
        return source["partition"], source["offset"]
    headers = dict(record.headers)
    return int(headers["tagstream-source-partition"]), int(headers["tagstream-source-offset"])


def committed_lag(bootstrap: str, topics: Topics, partitions: int) -> int:
    """Offsets between what the group has committed and the ends of the input."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=topics.group, enable_auto_commit=False)
    inputs = [TopicPartition(topics.source, p) for p in range(partitions)]
    ends = consumer.end_offsets(inputs)
    lag = sum(ends[tp] - (consumer.committed(tp) or 0) for tp in inputs)
    consumer.close()
    return lag


def aborted(bootstrap: str, topics: Topics) -> int:
    """Records on the result topic that no read-committed reader sees: work that a blow caught in the middle."""
    counts = []
    for level in ("read_uncommitted", "read_committed"):
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level=level, group_id=None)
        outputs = [TopicPartition(topics.results, p) for p in consumer.partitions_for_topic(topics.results)]
        consumer.assign(outputs)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(outputs)
        seen = 0
        while any(consumer.position(tp) < ends[tp] for tp in outputs):
            seen += sum(map(len, consumer.poll(timeout_ms=500, max_records=5000).values()))
        counts.append(seen)
        consumer.close()
    return counts[0] - counts[1]


def moments(seed: int, kills: int, low_s: float = 0.3, high_s: float = 2.5) -> Iterator[float]:
    """Random pauses between blows: what a kill meets must not depend on a rhythm."""
    rng = random.Random(seed)
    for _ in range(kills):
        yield rng.uniform(low_s, high_s)
