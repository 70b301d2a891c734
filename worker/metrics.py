"""Every metric, built on a registry that is passed in. Counting is per batch, from any thread.

docs/metrics.md lists them for people; a test keeps the two alike.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily

from schemas import Reason
from worker.errors import AbortReason
from worker.types import EnginePart

Stage = Literal["poll", "prepare", "infer", "route", "deliver"]
ReloadOutcome = Literal["done", "refused"]
STAGES: tuple[Stage, ...] = get_args(Stage)
ABORT_REASONS: tuple[AbortReason, ...] = get_args(AbortReason)
RELOAD_OUTCOMES: tuple[ReloadOutcome, ...] = get_args(ReloadOutcome)

# From one forward pass of a short text to the deadline of a stage.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_LATENCY_SECONDS = (*_SECONDS, 3600, 21_600, 86_400)  # a backlog is as old as its retention
_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_TOKENS = tuple(4**n for n in range(2, 11))  # 16 to 1,048,576
_UNITS = ("records", "bytes", "tokens")  # what is in flight is counted in each
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1)
_SHIFTS = (-0.5, -0.2, -0.1, -0.05, -0.01, 0.01, 0.05, 0.1, 0.2, 0.5, 1)  # of a score: from -1 to 1


class BatchHistogram:
    """A Prometheus histogram that takes a batch of values at once; prometheus_client's own takes one at a time."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[float], *labels: str, registry: CollectorRegistry
    ) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._bounds = np.array([*bounds, np.inf])
        self._le = [*(str(float(bound)) for bound in bounds), "+Inf"]
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        if not labels:
            self.observe(())
        registry.register(self)

    def observe(self, values: ArrayLike, *labels: str) -> None:
        """Count a number or an array of numbers into the series of `labels`, which an empty array creates at zero."""
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
        array = array[~np.isnan(array)]
        counts = np.bincount(np.searchsorted(self._bounds, array), minlength=len(self._bounds))
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + float(array.sum())

    def quantile(self, q: float, *labels: str) -> float | None:
        """The upper bound of the bucket that quantile `q` falls into; None without values."""
        with self._lock:
            counts = self._counts.get(labels)
        if counts is None or not counts.any():
            return None
        cumulative = np.cumsum(counts)
        index = int(np.searchsorted(cumulative, q * cumulative[-1]))
        return float(self._bounds[min(index, len(self._bounds) - 2)])

    def sum(self, *labels: str) -> float:
        """All values of a series added up; 0 where there is none."""
        with self._lock:
            return self._sums.get(labels, 0.0)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        with self._lock:
            series = [(labels, np.cumsum(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        for labels, cumulative, total in series:
            buckets = [(le, float(n)) for le, n in zip(self._le, cumulative, strict=True)]
            family.add_metric(labels, buckets=buckets, sum_value=total)
        yield family


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """What one delivered batch adds to the counters; every mapping is an aggregate (`collections.Counter`)."""

    processed: int = 0
    results: Mapping[str, int] = field(default_factory=dict)  # by route
    failed: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by stage and reason
    dropped: Mapping[str, int] = field(default_factory=dict)  # by reason
    predictions: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by classifier and label
    tokens: int = 0
    truncated: int = 0
    clustered: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by table and whether assigned


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowCounts:
    """What a sample for the shadow adds: its texts by what became of them, `labels` by label and fate, score shifts."""

    agreed: int = 0
    differed: int = 0
    skipped: int = 0
    failed: int = 0
    labels: Mapping[tuple[str, str], int] = field(default_factory=dict)
    score_shifts: Sequence[float] = ()


class Metrics:
    """All metrics of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._declare_records()
        self._declare_batches()
        self._declare_delivery()
        self._declare_models()
        self._declare_state()
        self._start_known_series_at_zero()

    def _declare_records(self) -> None:
        self.consumed = self._counter("consumed_records_total", "Records read.", "topic")
        self.processed = self._counter(
            "processed_records_total", "Records whose outcome is committed, whatever it was."
        )
        self.results = self._counter("results_total", "Results committed.", "route")
        self.failed = self._counter("failed_records_total", "Records that could not be tagged.", "stage", "reason")
        self.dead_letters = self._counter("dead_letters_total", "Dead letters committed.", "reason")
        self.dropped = self._counter("dropped_records_total", "Records left out as the settings say.", "reason")
        self.predictions = self._counter("predictions_total", "Labels given.", "classifier", "label")
        self.tokens = self._counter("tokens_total", "Tokens of the texts processed.")
        self.truncated = self._counter("truncated_texts_total", "Texts whose end the model did not see.")
        self.latency = self._histogram(
            "end_to_end_latency_seconds", "From a record's timestamp to its commit.", _LATENCY_SECONDS
        )

    def _declare_batches(self) -> None:
        self.batch_records = self._histogram("batch_records", "Records of a batch.", _RECORDS)
        self.batch_tokens = self._histogram("batch_tokens", "Tokens of a batch.", _TOKENS)
        self.batch_padding = self._histogram(
            "batch_padding_ratio", "Share of padding in a batch's forward passes.", _SHARES
        )
        self.stages = self._histogram("stage_duration_seconds", "A stage's work on one batch.", _SECONDS, "stage")

    def _declare_delivery(self) -> None:
        self.commits = self._counter("commits_total", "Batches committed.")
        self.aborts = self._counter("transactions_aborted_total", "Deliveries given up, to be tried again.", "reason")
        self.rebalances = self._counter("rebalances_total", "Changes of this member's assignment.")
        self.drains_missed = self._counter("drains_missed_total", "Drains whose deadline passed: work dropped unsent.")
        self.gaps = self._counter("gap_skipped_records_total", "Offsets that retention took before they were read.")
        self.corrupt = self._counter("corrupt_batches_total", "Batches of the input that failed their checksum.")
        self.clustered = self._counter("cluster_texts_total", "Texts by what became of them.", "table", "outcome")
        self.samples_left_out = self._counter("cluster_samples_left_out_total", "Texts not offered to the learner.")

    def _declare_models(self) -> None:
        self.reloads = self._counter("reloads_total", "Models loaded beside the running one.", "outcome")
        self.shadow_texts = self._counter(
            "shadow_texts_total", "Texts drawn for the shadow, by what became of them.", "outcome"
        )
        self.shadow_labels = self._counter(
            "shadow_labels_total", "Labels given by both models, or by one of them.", "label", "outcome"
        )
        self.shadow_shift = self._histogram(
            "shadow_score_shift", "The shadow's score of the running model's label less that model's own.", _SHIFTS
        )

    def _declare_state(self) -> None:
        self.lag_records = self._gauge("lag_records", "Offsets up to the end of the partition.", "topic", "partition")
        self.lag_seconds = self._gauge("lag_seconds", "Age of the next record to read.", "topic", "partition")
        self.in_flight = {u: self._gauge(f"in_flight_{u}", f"{u.capitalize()} read, not committed.") for u in _UNITS}
        self.limits = {u: self._gauge(f"in_flight_limit_{u}", f"Most {u} in flight at once.") for u in _UNITS}
        self.paused = self._gauge("paused", "1 while an operator has paused the worker.")
        self.cluster_version = self._gauge("cluster_table_version", "Version in use; 0: still gathering.", "table")
        self.cluster_size = self._gauge("cluster_table_clusters", "Clusters in the version in use.", "table")
        self.build = self._gauge("build_info", "Always 1; the labels say what runs.", "version", "python")
        self.model = self._gauge(
            "model_info",
            "Always 1; the labels say what is loaded.",
            "classifier",
            "model",
            "revision",
            "device",
            "dtype",
        )
        self.model_layers = self._gauge(
            "model_layers",
            "Layers of a model, computed for it alone or shared with another.",
            "names",
            "layout",
            "work",
        )

    def _start_known_series_at_zero(self) -> None:
        """A counter that appears with its first event hides that event from `rate()`."""
        for stage in STAGES:
            self.stages.observe((), stage)
        for abort in ABORT_REASONS:
            self.aborts.labels(abort)
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        for outcome in RELOAD_OUTCOMES:
            self.reloads.labels(outcome)
        self.count_shadow(ShadowCounts())

    def count_consumed(self, records: Mapping[str, int]) -> None:
        """Records polled, by topic."""
        _count(self.consumed, (((topic,), n) for topic, n in records.items()))

    def count_batch(self, counts: BatchCounts, *, latencies_s: NDArray[np.float64]) -> None:
        """A batch whose delivery succeeded; `latencies_s` as `latencies_s()` gives them."""
        self.processed.inc(counts.processed)
        _count(self.results, (((route,), n) for route, n in counts.results.items()))
        _count(self.failed, counts.failed.items())
        _count(self.dropped, (((reason,), n) for reason, n in counts.dropped.items()))
        _count(self.predictions, counts.predictions.items())
        _count(self.dead_letters, (((reason,), n) for (_, reason), n in counts.failed.items()))
        self.tokens.inc(counts.tokens)
        self.truncated.inc(counts.truncated)
        _count(self.clustered, counts.clustered.items())
        self.latency.observe(latencies_s)
        self.commits.inc()

    def observe_batch(self, *, records: int, tokens: int, padding_share: float) -> None:
        """The shape of a batch that went through the model."""
        self.batch_records.observe(records)
        self.batch_tokens.observe(tokens)
        self.batch_padding.observe(padding_share)

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        self.stages.observe(seconds, stage)

    def count_abort(self, reason: AbortReason) -> None:
        self.aborts.labels(reason).inc()

    def count_reload(self, outcome: ReloadOutcome) -> None:
        self.reloads.labels(outcome).inc()

    def count_shadow(self, counts: ShadowCounts) -> None:
        for outcome in ("agreed", "differed", "skipped", "failed"):
            self.shadow_texts.labels(outcome).inc(getattr(counts, outcome))
        _count(self.shadow_labels, counts.labels.items())
        self.shadow_shift.observe(counts.score_shifts)

    def set_lag(self, topic: str, partition: int, records: int, seconds: float | None) -> None:
        """`seconds` is None while the age of the next record is not known: then there is no such series."""
        self.lag_records.labels(topic, partition).set(records)
        if seconds is None:
            self.lag_seconds.remove(topic, partition)
        else:
            self.lag_seconds.labels(topic, partition).set(max(0.0, seconds))

    def forget_partition(self, topic: str, partition: int) -> None:
        """Remove the series of a partition that is no longer ours; unknown ones are nothing to do."""
        self.lag_records.remove(topic, partition)
        self.lag_seconds.remove(topic, partition)

    def set_in_flight(self, *, records: int, bytes: int, tokens: int) -> None:
        for unit, value in zip(_UNITS, (records, bytes, tokens), strict=True):
            self.in_flight[unit].set(value)

    def set_limits(self, *, records: int, bytes: int, tokens: int) -> None:
        for unit, value in zip(_UNITS, (records, bytes, tokens), strict=True):
            self.limits[unit].set(value)

    def set_clusters(self, table: str, *, version: int, clusters: int) -> None:
        self.cluster_version.labels(_clean(table)).set(version)
        self.cluster_size.labels(_clean(table)).set(clusters)

    def set_build(self, *, version: str, python: str) -> None:
        self.build.clear()
        self.build.labels(version, python).set(1)

    def set_model(self, *, classifier: str, model: str, revision: str, device: str, dtype: str) -> None:
        """Of one classifier. After a change of models call `forget_models` first."""
        values = (classifier, model, revision, device, dtype)
        self.model.labels(*map(_clean, values)).set(1)

    def forget_models(self) -> None:
        self.model.clear()

    def set_parts(self, parts: Iterable[EnginePart]) -> None:
        """What the engine is made of; what it was made of before is forgotten."""
        self.model_layers.clear()
        for part in parts:
            names, layout = _clean(",".join(part.names)), "packed" if part.packed else "padded"
            self.model_layers.labels(names, layout, "computed").set(part.computed)
            self.model_layers.labels(names, layout, "shared").set(part.layers - part.computed)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"tagstream_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"tagstream_{name}", documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, bounds: Sequence[float], *labels: str) -> BatchHistogram:
        return BatchHistogram(f"tagstream_{name}", documentation, bounds, *labels, registry=self.registry)


def latencies_s(timestamps_ms: Iterable[int | None], now_s: float) -> NDArray[np.float64]:
    """Seconds from each record's timestamp to `now_s`: none for a record without one, 0 where its clock is ahead."""
    stamps = np.array([stamp for stamp in timestamps_ms if stamp is not None], dtype=np.float64)
    return np.maximum(now_s - stamps / 1000.0, 0.0)


def total(counter: Counter) -> int:
    """A counter over all its series."""
    return sum(sums_by(counter, None).values())


def sums_by(counter: Counter, label: str | None) -> dict[str, int]:
    """A counter summed over all labels but one; series at zero are left out."""
    sums: dict[str, int] = {}
    for family in counter.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.value:
                key = sample.labels[label] if label else ""
                sums[key] = sums.get(key, 0) + int(sample.value)
    return sums


def _count(counter: Counter, counts: Iterable[tuple[tuple[str, ...], int]]) -> None:
    for labels, n in counts:
        counter.labels(*map(_clean, labels)).inc(n)


def _clean(value: str) -> str:
    """A label value that can be encoded: one lone surrogate in a model's label would take down the whole page."""
    return value.encode("utf-8", "replace").decode()
