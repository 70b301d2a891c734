"""The worker on a real Kafka: what is compared with what, and the targets that come of it (issue 4, "Speed").

Every figure is the median of several rounds; trials that are compared run in turn, each in a process of its own.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.bench.arena import Arena
from worker.bench.runs import Figures, Say, in_turn, median, ratio, run
from worker.bench.targets import Target, at_least, at_most
from worker.bench.texts import as_values, load_texts
from worker.bench.trial import Request

BATCH = 2000  # the records of a batch that the targets without a model are set for
FORWARDS_ALLOWED, MORE_ALLOWED_MS = 3, 30
# Beside stages that never rest: of each batch the model computes one text, so that decoding, tokenising, routing and
# sending the batch take longer than the pass. One thread computes, which leaves them a core.
SATURATED_BATCH, SATURATED_FORWARD, SATURATED_SETTINGS = 500, 1, ("model.threads=1",)

OWN_INTERVAL = "the worker's own switch interval"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured. Texts are per trial."""

    rounds: int
    delivery_rounds: int  # of exactly once against at least once, whose goal is nearer than two trials of it may lie
    records: int
    flat_records: int
    model_texts: int
    model_batches: tuple[int, ...]
    visits: int
    saturated_texts: int
    switch_intervals_s: tuple[float, ...] = ()


QUICK = Effort(
    rounds=2,
    delivery_rounds=5,
    records=60_000,
    flat_records=200_000,
    model_texts=1200,
    model_batches=(32, 256),
    visits=15,
    saturated_texts=10_000,
)
THOROUGH = Effort(
    rounds=5,
    delivery_rounds=9,
    records=200_000,
    flat_records=200_000,
    model_texts=6000,
    model_batches=(8, 32, 128, 256, 1024),
    visits=60,
    saturated_texts=40_000,
    switch_intervals_s=(0.005, 0.001, 0.0005, 0.0001),
)


@dataclass
class Findings:
    """What a comparison adds to: target rows, and the figures behind them."""

    targets: list[Target] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


class Comparisons:
    """Of one worker (settings and model) on one Kafka."""

    def __init__(
        self,
        *,
        arena: Arena,
        effort: Effort,
        config: Path | None,
        given: Sequence[str],
        folder: Path | None,
        say: Say,
    ) -> None:
        self._arena = arena
        self._effort = effort
        self._config = config
        self._given = tuple(given)
        self._folder = folder
        self._say = say

    def run_all(self) -> Findings:
        """Minutes. Raises what a worker raises."""
        found = Findings()
        self._without_model(found)
        self._memory(found)
        self._with_model(found)
        self._idle(found)
        self._saturated(found)
        return found

    def _without_model(self, found: Findings) -> None:
        """Exactly once against at least once, at batches of 2,000; CPU with results as large as real ones."""
        topic = self._input("plain", self._effort.records, partitions=3)
        once = self._worker(topic, BATCH, "delivery.mode=exactly_once")
        pair = {"exactly once": once, "at least once": self._worker(topic, BATCH, "delivery.mode=at_least_once")}
        large = {"stand-in model": once.model_copy(update={"engine": "stand_in"})}
        trials = in_turn(pair, self._effort.delivery_rounds, self._say)
        trials |= in_turn(large, self._effort.rounds, self._say)
        exactly, at_least_once, stand_in = trials.values()
        found.targets += [
            at_least("exactly once without a model, records/s", median(exactly, "records_per_s"), 20_000),
            at_most("CPU around the model, us a record", median(stand_in, "cpu_us"), 50),
            at_least(
                "exactly once / at least once", ratio(exactly, at_least_once, "records_per_s", "records_per_s"), 0.95
            ),
        ]
        found.figures["without_model"] = {name: _summary(figures) for name, figures in trials.items()}

    def _memory(self, found: Findings) -> None:
        topic = self._input("flat", self._effort.flat_records, partitions=3)
        self._say(f"memory over {self._effort.flat_records:,} records")
        figures = run(self._worker(topic, BATCH).model_copy(update={"engine": "stand_in"}))
        name = f"growth of resident memory over {self._effort.flat_records:,} records"
        found.targets.append(at_most(name, figures["resident_growth"], 0.03))
        found.figures["memory"] = {"resident_bytes": figures["resident_bytes"], "growth": figures["resident_growth"]}

    def _with_model(self, found: Findings) -> None:
        """The worker against the bare engine: the same texts in the same batches, as there is one partition."""
        topic = self._input("texts", self._effort.model_texts, partitions=1)
        for size in self._effort.model_batches:
            worker = self._worker(topic, size).model_copy(update={"engine": "model"})
            requests = {f"bare engine x {size}": self._bare(size), f"worker x {size}": worker}
            bare, whole = in_turn(requests, self._effort.rounds, self._say).values()
            share = ratio(whole, bare, "whole_records_per_s", "texts_per_s")
            slower = ratio(whole, bare, "forward_s", "forward_s")
            found.targets += [
                at_least(f"worker / bare engine, batches of {size}", share, 0.95 if size >= 256 else 0.90),
                at_most(f"forward time in the worker / alone, batches of {size}", slower, 1.1),
            ]
            found.figures[f"model x {size}"] = {
                "bare_texts_per_s": median(bare, "texts_per_s"),
                "worker_records_per_s": median(whole, "whole_records_per_s"),
                "batch_seen": median(whole, "batch"),
                "cpu_us": median(whole, "cpu_us"),
            }

    def _idle(self, found: Findings) -> None:
        """One text at a time to a worker with nothing to do."""
        topic = self._input("idle", 0, partitions=1)
        worker = self._worker(topic, BATCH)
        single = worker.model_copy(update={"kind": "single", "engine": "model", "texts": self._effort.visits})
        alone = self._bare(1).model_copy(update={"texts": self._effort.visits})
        trials = in_turn({"one text, alone": alone, "one text, idle worker": single}, self._effort.rounds, self._say)
        forward, visits = trials.values()
        forward_ms = median(forward, "forward_p50_s") * 1000
        allowed = FORWARDS_ALLOWED * forward_ms + MORE_ALLOWED_MS
        found.targets.append(
            at_most(
                "p50 end to end of one text on an idle worker, ms", median(visits, "end_to_end_p50_s") * 1000, allowed
            )
        )
        found.figures["idle"] = {"forward_p50_ms": forward_ms, "allowed_ms": allowed}

    def _saturated(self, found: Findings) -> None:
        """The price of the interpreter lock, by switch interval: a pass beside stages that never rest."""
        count, few = self._effort.saturated_texts, {"first_of_each": SATURATED_FORWARD}
        topic = self._input("saturated", count, partitions=1)
        worker = self._worker(topic, SATURATED_BATCH, *SATURATED_SETTINGS).model_copy(update={"engine": "model", **few})
        alone = self._bare(SATURATED_BATCH, *SATURATED_SETTINGS).model_copy(update={"texts": count, **few})
        requests = {"forward alone": alone, OWN_INTERVAL: worker}
        for interval_s in self._effort.switch_intervals_s:
            name = f"switch interval {interval_s * 1000:g} ms"
            requests[name] = worker.model_copy(update={"switch_interval_s": interval_s})
        trials = in_turn(requests, self._effort.rounds, self._say)
        bare = trials.pop("forward alone")
        slower = ratio(trials[OWN_INTERVAL], bare, "forward_s", "forward_s")
        found.targets.append(at_most("forward time beside stages that never rest / alone", slower, 1.1))
        found.figures["beside stages that never rest"] = {
            name: {
                "forward_ratio": ratio(busy, bare, "forward_s", "forward_s"),
                "records_per_s": median(busy, "whole_records_per_s"),
            }
            for name, busy in trials.items()
        }

    def _input(self, name: str, count: int, partitions: int) -> str:
        self._say(f"{count:,} texts to topic {name}")
        return self._arena.input(name, as_values(load_texts(self._folder, count)), partitions)

    def _worker(self, topic: str, batch: int, *more: str) -> Request:
        own = self._arena.assignments(topic, f"batch.max_records={batch}", *more)
        assignments = (*self._given, *own)
        return Request(kind="worker", config=self._config, assignments=assignments, folder=self._folder)

    def _bare(self, batch: int, *more: str) -> Request:
        return Request(
            kind="bare",
            config=self._config,
            assignments=(*self._given, *more),
            engine="model",
            folder=self._folder,
            texts=self._effort.model_texts,
            batch=batch,
        )


def _summary(figures: list[Figures]) -> Mapping[str, Any]:
    by_thread = [f["cpu_us_by_thread"] for f in figures]
    names = sorted({name for threads in by_thread for name in threads})
    return {
        "records_per_s": median(figures, "records_per_s"),
        "cpu_us": median(figures, "cpu_us"),
        "cpu_us_by_thread": {
            name: statistics.median(threads.get(name, 0.0) for threads in by_thread) for name in names
        },
    }
