"""The worker's other stages as a load that never rests: one thread decodes and tokenises, one routes and serialises."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from worker import app
from worker.clusters.none import NoClusters
from worker.config import load
from worker.metrics import Metrics
from worker.types import Batch, Engine, Partition, Record

RECORDS = 250


class OtherStages:
    """Of a worker with default settings, over one batch of texts again and again."""

    def __init__(self, texts: Sequence[str], model: Path) -> None:
        values = [json.dumps({"text": text}).encode() for text in texts[:RECORDS]]
        records = tuple(Record("bench", 0, i, 0, None, value) for i, value in enumerate(values))
        self._batch = Batch(records, {Partition("bench", 0): len(records)})
        self._settings = load(None, (f"model.path={model}", "input.topics=[bench]", "input.format=json"), {})

    @contextlib.contextmanager
    def busy(self, engine: Engine) -> Iterator[None]:
        """Threads of this process that work until the context ends; `engine` may compute meanwhile."""
        tagging = app.make_tagging(self._settings, engine, NoClusters(), Metrics(CollectorRegistry()))
        inferred = [tagging.infer(prepared) for prepared in tagging.prepare(self._batch)]
        ended = threading.Event()
        work = (lambda: tagging.prepare(self._batch), lambda: [tagging.route(one) for one in inferred])
        threads = [threading.Thread(target=_until, args=(ended, each)) for each in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _until(ended: threading.Event, work: Callable[[], object]) -> None:
    while not ended.is_set():
        work()
