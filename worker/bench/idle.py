"""A visitor to an idle worker: sends one text, waits for its result, sends the next."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from worker.bench.texts import as_values
from worker.errors import Stop
from worker.kafka.client import make_consumer
from worker.kafka.security import Connection
from worker.settings import Settings

WARM_VISITS = 3  # connections, metadata, the first transaction
PAUSE_S = 0.15  # longer than the worker's poll, so that each visit finds it idle
PATIENCE_S = 60.0


class Visitor:
    """A context manager around the worker's run; calls `done` after the last visit, whatever became of it."""

    def __init__(self, settings: Settings, texts: Sequence[str], done: Callable[[], None]) -> None:
        self._options = Connection.of(settings.kafka).client_options()
        self._source = settings.input_topics()[0]
        self._results = settings.output.topic
        self._values = as_values(texts)
        self._done = done
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._guarded, name="bench-visitor", daemon=True)
        self.latencies_s: list[float] = []

    @property
    def median_s(self) -> float:
        return statistics.median(self.latencies_s[WARM_VISITS:])

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _guarded(self) -> None:
        try:
            self._visit_all()
        except Exception as error:  # raised in the thread that left the context
            self._failure = error
        finally:
            self._done()

    def _visit_all(self) -> None:
        consumer = make_consumer(self._options, group_id=None)
        producer = KafkaProducer(**self._options, linger_ms=0)
        try:
            self._go_to_end(consumer)
            for value in self._values:
                time.sleep(PAUSE_S)
                self.latencies_s.append(self._visit(producer, consumer, value))
        finally:
            producer.close()
            consumer.close(autocommit=False)

    def _go_to_end(self, consumer: KafkaConsumer) -> None:
        partitions = [TopicPartition(self._results, p) for p in sorted(consumer.partitions_for_topic(self._results))]
        consumer.assign(partitions)
        for partition, end in consumer.end_offsets(partitions).items():
            consumer.seek(partition, end)

    def _visit(self, producer: KafkaProducer, consumer: KafkaConsumer, value: bytes) -> float:
        began = time.perf_counter()
        producer.send(self._source, value=value)
        while not consumer.poll(timeout_ms=1000):
            if time.perf_counter() - began > PATIENCE_S:
                raise Stop(f"no result within {PATIENCE_S:g} s; is another worker reading {self._source}?")
        return time.perf_counter() - began
