"""Both ends of the worker: sends messages in a thread of its own, and reads what comes out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from kafka import KafkaProducer

from worker.demo.messages import Outbound
from worker.demo.process import WorkerProcess
from worker.demo.tally import Coordinates, Tally
from worker.kafka.client import make_producer
from worker.kafka.failures import explained
from worker.kafka.reading import Reader
from worker.types import Partition, Record

T = TypeVar("T")

SETTLE_S = 1.0
PATIENCE_S = 60.0  # without any new output what is missing counts as lost


class Span(NamedTuple):
    """What was sent in one go, and how long it took until the last of it was out."""

    sent: frozenset[Coordinates]
    seconds: float


class Stream:
    """One input topic and all outputs of a running worker."""

    def __init__(self, *, producer: KafkaProducer, reader: Reader, worker: WorkerProcess, tally: Tally) -> None:
        self._producer = producer
        self._worker = worker
        self._tally = tally
        self._reader = reader
        self._pieces: Iterator[list[Record]] = iter(())

    def follow(self, topics: Iterable[str]) -> None:
        """Read the outputs from here on."""
        partitions: list[Partition] = self._reader.partitions(topics)
        starts: Mapping[Partition, int] = {p: first for p, (first, _) in self._reader.spans(partitions).items()}
        self._pieces = self._reader.follow(starts)

    def run(self, topic: str, messages: Iterable[Outbound], per_s: float | None, show: Callable[[int], None]) -> Span:
        """Send, and read until all of it has come out; `show` gets the number of outputs so far. Raises `Stop`."""
        before, began_s, stop = len(self._tally), time.time(), threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
            sending = pool.submit(send, self._producer, topic, messages, per_s, stop)
            try:
                for _ in self._take_pieces():
                    show(len(self._tally) - before)
                    if sending.done() and not self._tally.lost(sending.result()):
                        break
            finally:
                stop.set()
        return Span(sending.result(), self._tally.last_s - began_s)

    def settle(self) -> None:
        """Read on until nothing more comes: a duplicate may follow its original."""
        quiet_s = time.monotonic()
        for piece in self._pieces:
            self._take(piece)
            quiet_s = time.monotonic() if piece else quiet_s
            if time.monotonic() - quiet_s > SETTLE_S:
                return

    def _take_pieces(self) -> Iterator[None]:
        """A turn for each piece, until outputs have stayed away for too long."""
        moved_s = time.monotonic()
        for piece in self._pieces:
            self._worker.check()
            self._take(piece)
            moved_s = time.monotonic() if piece else moved_s
            if time.monotonic() - moved_s > PATIENCE_S:
                return
            yield

    def _take(self, piece: list[Record]) -> None:
        arrived_s = time.time()
        for record in piece:
            self._tally.take(record, arrived_s)


def producer(options: Mapping[str, Any]) -> KafkaProducer:
    return make_producer(options, compression="lz4", delivery_timeout_s=20.0)


def send(
    producer: KafkaProducer, topic: str, messages: Iterable[Outbound], per_s: float | None, stop: threading.Event
) -> frozenset[Coordinates]:
    """Send at a pace, or as fast as the broker takes it; what the broker has acknowledged. Raises `Stop`."""
    futures = []
    with explained():
        for outbound in paced(messages, per_s, stop):
            futures.append(producer.send(topic, key=outbound.key, value=outbound.value))
            if per_s:
                producer.flush()  # else a message waits for company
        producer.flush()
        acknowledged = [future.get() for future in futures]
    return frozenset(Coordinates(a.topic, a.partition, a.offset) for a in acknowledged)


def paced(items: Iterable[T], per_s: float | None, stop: threading.Event) -> Iterator[T]:
    """The items at `per_s` a second, or at once, until `stop` is set."""
    began_s = time.monotonic()
    for index, item in enumerate(items):
        due_s = began_s + index / per_s - time.monotonic() if per_s else 0.0
        if stop.wait(max(0.0, due_s)):
            return
        yield item
