"""A pipeline over in-memory parts with the real stages, and what a test wants to know of it."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from tests.doubles import FakeEngine
from tests.memory import MemoryDelivery, MemoryLog, MemorySource
from worker.clusters.none import NoClusters
from worker.inflight import InFlight
from worker.metrics import Metrics
from worker.pipeline import Inferred, Pipeline
from worker.policy.routes import Policy
from worker.results import ResultForm
from worker.sizing import BatchSizer, Sizing
from worker.tagging import Rules, Tagging
from worker.text.decode import Decoder
from worker.types import Batch, Engine, Output, Prepared

FORM = ResultForm("tagged", "source", True, "source", "dead", "out")


class Watched(Tagging):
    """The real stages, which a test can hold up or hurt: `hook(verb)` runs ahead of each."""

    hook: Callable[[str], None] = staticmethod(lambda verb: None)

    def prepare(self, batch: Batch) -> list[Prepared]:
        self.hook("prepare")
        return super().prepare(batch)

    def infer(self, prepared: Prepared) -> Inferred:
        self.hook("infer")
        return super().infer(prepared)


class Peak(InFlight):
    """Remembers the most tokens that were ever in flight."""

    def __init__(self, *, max_tokens: int) -> None:
        super().__init__(max_tokens=max_tokens)
        self.most_tokens = 0

    def add(self, *, tokens: int = 0, **more: int) -> None:
        super().add(tokens=tokens, **more)
        self.most_tokens = max(self.most_tokens, self.load.tokens)


class Bench:
    """A pipeline over a log, with everything that a test may want to look at."""

    def __init__(
        self,
        log: MemoryLog,
        *,
        delivery: MemoryDelivery | None = None,
        engine: Engine | None = None,
        bounded: bool = True,
        max_tokens: int = 10_000,
        max_records: int = 4,
        slots: int = 2,
    ) -> None:
        self.log = log
        self.source = MemorySource(log, bounded=bounded)
        self.delivery = delivery or MemoryDelivery(log)
        self.metrics = Metrics(CollectorRegistry())
        self.in_flight = Peak(max_tokens=slots * max_tokens)
        rules = Rules(Policy("out", routes={"a": "a-topic"}), 0.5, FORM, max_tokens)
        self.stages = Watched(
            decode=Decoder(max_bytes=100_000),
            engine=engine or FakeEngine(),
            clusters=NoClusters(),
            rules=rules,
            metrics=self.metrics,
        )
        self.pipeline = Pipeline(
            source=self.source,
            delivery=self.delivery,
            stages=self.stages,
            in_flight=self.in_flight,
            sizer=BatchSizer(Sizing(1.0, max_records)),
            observer=self.metrics,
            slots=slots,
        )

    def run(self) -> Bench:
        self.pipeline.run(drain_timeout_s=5.0)
        return self

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.run, name="loop")
        thread.start()
        return thread

    def outcomes(self) -> list[tuple[int, int]]:
        """Source coordinates of everything that came out, in the order of each topic."""
        return [place for topic in self.log.outputs for place in self.of(topic)]

    def of(self, topic: str) -> list[tuple[int, int]]:
        return [_source(output) for output in self.log.outputs[topic]]


def _source(output: Output) -> tuple[int, int]:
    if output.topic == "dead":
        headers = dict(output.headers)
        return int(headers["tagstream-source-partition"]), int(headers["tagstream-source-offset"])
    source = json.loads(output.value or b"")["source"]
    return source["partition"], source["offset"]


def text(words: str) -> bytes:
    return json.dumps({"text": words}).encode()


def filled(count: int, *, partitions: int = 1, words: int = 3) -> MemoryLog:
    """Every seventh record is broken."""
    log = MemoryLog(partitions=partitions)
    for n in range(count):
        log.write(b"{broken" if n % 7 == 6 else text(" ".join([f"w{n}"] * words)), n % partitions)
    return log


def assert_once_and_in_order(bench: Bench) -> None:
    expected = Counter((p.partition, r.offset) for p, records in bench.log.inputs.items() for r in records)
    assert Counter(bench.outcomes()) == expected
    assert bench.log.lag == 0
    for topic in bench.log.outputs:
        of_partition: dict[int, list[int]] = defaultdict(list)
        for partition, offset in bench.of(topic):
            of_partition[partition].append(offset)
        assert all(offsets == sorted(offsets) for offsets in of_partition.values())
