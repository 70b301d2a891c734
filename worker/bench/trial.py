"""One measurement in a process of its own: a request as JSON on stdin, the figures as one JSON line on stdout.

`python -m worker.bench.trial`; what is compared must not share caches, threads or a heap.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from worker.bench.engines import FirstOfEach, StandIn, TimedEngine
from worker.bench.texts import load_texts
from worker.bench.watch import Watch, growth, steady
from worker.errors import Stop, TagstreamError
from worker.settings import Settings
from worker.types import Engine


class Request(BaseModel):
    """What to measure. `first_of_each` 0 computes all texts of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["worker", "bare", "single"]
    config: Path | None = None
    assignments: tuple[str, ...] = ()
    engine: Literal["none", "stand_in", "model"] = "none"
    folder: Path | None = None
    texts: int = 0
    batch: int = 1
    first_of_each: int = 0
    switch_interval_s: float | None = None


def measure(request: Request) -> dict[str, Any]:
    """Run it. Raises what a worker raises."""
    from worker import app, logs
    from worker.config import load

    app.settle_environment()
    if request.switch_interval_s is not None:
        sys.setswitchinterval(request.switch_interval_s)
    settings = _harmless(load(request.config, request.assignments, os.environ))
    logs.configure("error", "console")
    kinds: dict[str, Callable[[Request, Settings], dict[str, Any]]] = {
        "worker": _worker,
        "bare": _bare,
        "single": _single,
    }
    return kinds[request.kind](request, settings)


def _harmless(settings: Settings) -> Settings:
    """A group of its own, and no results on the topics of the user's routes: `--set` cannot take routes away."""
    group_id = f"{settings.kafka.group_id}-{uuid.uuid4().hex[:8]}"
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"group_id": group_id}),
            "policy": settings.policy.model_copy(update={"routes": {}}),
        }
    )


def _worker(request: Request, settings: Settings) -> dict[str, Any]:
    """The worker over its whole input topic, from the first forward pass to the last commit."""
    from worker import app

    engine = _engine(request, settings)
    worker = app.make_worker(settings, engine, app.Mode(until="end"))
    with Watch(worker.pipeline) as watch:
        worker.run()
    samples = watch.samples
    try:
        begin, end = steady(samples)
    except ValueError as error:
        raise Stop(f"{error}: give the benchmark more texts") from None
    records, seconds = end.records - begin.records, end.at_s - begin.at_s
    whole_s = end.at_s - (engine.began_s or begin.at_s)
    return {
        "records": sum(engine.sizes),  # the last look may have come before the last commit
        "records_per_s": records / seconds,
        "whole_records_per_s": end.records / whole_s,
        "cpu_us": (end.cpu_s - begin.cpu_s) / records * 1e6,
        "cpu_us_by_thread": {
            name: (spent - begin.threads_s.get(name, 0.0)) / records * 1e6 for name, spent in end.threads_s.items()
        },
        "forward_s": sum(engine.forward_s),
        "forwards": len(engine.forward_s),
        "batch": sum(engine.sizes) / len(engine.sizes),
        "resident_bytes": end.resident_bytes,
        "resident_growth": growth(samples),
    }


def _bare(request: Request, settings: Settings) -> dict[str, Any]:
    """The engine alone on tokenised texts, a batch after the other."""
    engine = _engine(request, settings)
    texts = load_texts(request.folder, request.texts)
    batches = [engine.tokenize(chunk) for chunk in _chunks(texts, request.batch)]
    engine.infer(batches[0])  # the first pass of a process allocates
    engine.forward_s.clear()
    began = time.perf_counter()
    for batch in batches:
        engine.infer(batch)
    seconds = time.perf_counter() - began
    return {
        "texts_per_s": len(texts) / seconds,
        "forward_s": sum(engine.forward_s),
        "forward_p50_s": sorted(engine.forward_s)[len(engine.forward_s) // 2],
        "forwards": len(engine.forward_s),
    }


def _single(request: Request, settings: Settings) -> dict[str, Any]:
    """An idle worker that is sent one text at a time; from before the send until a committed reader has the result."""
    from worker import app
    from worker.bench.idle import Visitor

    engine = _engine(request, settings)
    worker = app.make_worker(settings, engine, app.Mode())
    visitor = Visitor(settings, load_texts(request.folder, request.texts), worker.pipeline.stop)
    with visitor:
        worker.run()
    return {"end_to_end_p50_s": visitor.median_s, "visits": len(visitor.latencies_s)}


def _engine(request: Request, settings: Settings) -> TimedEngine:
    from worker import engines
    from worker.model.none import NoModel

    made: Engine
    if request.engine == "model":
        made = engines.load_model(settings, log_level="error")
    else:
        made = StandIn() if request.engine == "stand_in" else NoModel()
    return TimedEngine(FirstOfEach(made, request.first_of_each) if request.first_of_each else made)


def _chunks(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[i : i + size] for i in range(0, len(texts), size))


def main() -> int:
    try:
        figures = measure(Request.model_validate_json(sys.stdin.buffer.read()))
    except TagstreamError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    sys.stdout.buffer.write(to_json(figures) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
