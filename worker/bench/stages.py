"""The stages in one process and without Kafka: what the model does on this machine, and what the others cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from worker import app
from worker.clusters.none import NoClusters
from worker.metrics import Metrics
from worker.rules import make_reader
from worker.settings import Settings
from worker.types import Batch, Engine, Partition, Prepared, Record, Tokenized

BATCHES = (1, 8, 32, 128, 1024)
REPEATS = 3  # the quickest counts: what is slower was disturbed
ENOUGH_S = 10.0  # of forward passes for one batch size

T = TypeVar("T")


def by_batch_size(engine: Engine, texts: Sequence[str], enough_s: float = ENOUGH_S) -> dict[str, float]:
    """Texts a second of the bare engine, by batch size; small batches see as many texts as the time allows."""
    engine.infer(engine.tokenize(texts[:8]))  # the first pass of a process allocates
    return {str(size): _rate(engine, texts, size, enough_s) for size in BATCHES if size <= len(texts)}


def _rate(engine: Engine, texts: Sequence[str], size: int, enough_s: float) -> float:
    batches: list[Tokenized] = [engine.tokenize(texts[i : i + size]) for i in range(0, len(texts), size)]
    done, began = 0, time.perf_counter()
    for batch in batches:
        engine.infer(batch)
        done += len(batch.ids)
        if time.perf_counter() - began > enough_s:
            break
    return done / (time.perf_counter() - began)


def by_stage(settings: Settings, engine: Engine, texts: Sequence[str]) -> dict[str, float]:
    """CPU microseconds a text of each stage that works on one batch of all these texts; the forward pass in time."""
    clusters = NoClusters()
    tagging = app.make_tagging(settings, engine, clusters, Metrics(CollectorRegistry()))
    batch = _batch(settings, texts)
    decode = make_reader(settings)
    decoded, decode_us = _timed(lambda: tuple(map(decode, batch.records)), len(texts))
    tokenized, tokenise_us = _timed(lambda: engine.tokenize(texts), len(texts))
    prepared = Prepared(batch, decoded, tokenized)
    began = time.perf_counter()
    inferred = tagging.infer(prepared)
    forward_us = (time.perf_counter() - began) / len(texts) * 1e6
    _, route_us = _timed(lambda: tagging.route(inferred), len(texts))
    return {"decode": decode_us, "tokenise": tokenise_us, "forward": forward_us, "route": route_us}


def _timed(work: Callable[[], T], count: int) -> tuple[T, float]:
    best = float("inf")
    for _ in range(REPEATS):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return result, best / count * 1e6


def _batch(settings: Settings, texts: Sequence[str]) -> Batch:
    """Records as the settings' first topic has them."""
    topic = next(iter(settings.input_topics()), "bench")
    now_ms = int(time.time() * 1000)
    records = tuple(Record(topic, 0, i, now_ms, None, _value(settings, text)) for i, text in enumerate(texts))
    return Batch(records, {Partition(topic, 0): len(records)})


def _value(settings: Settings, text: str) -> bytes:
    if settings.input.format == "text":
        return text.encode()
    if settings.input.format == "mail":
        return b"Content-Type: text/plain; charset=utf-8\n\n" + text.encode()
    document: Any = text
    for name in reversed(settings.input.fields.text.split(".")):
        document = {name: document}
    return json.dumps(document).encode()
