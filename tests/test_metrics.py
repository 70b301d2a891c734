"""The metrics: what a batch adds, what vanishes, and that docs/metrics.md says the same as the registry."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as PlainHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from worker.metrics import BatchCounts, BatchHistogram, Metrics, latencies_s, sums_by, total
from worker.types import EnginePart

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"
NO_LATENCIES = np.empty(0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def test_a_batch_is_counted_in_one_call(metrics: Metrics) -> None:
    """Everything that a delivered batch adds arrives with `count_batch`, a dead letter for each failed record."""
    counts = BatchCounts(
        processed=6,
        results=Counter({"tagged": 3, "spam": 1}),
        failed=Counter({("decode", "not_utf8"): 1, ("infer", "inference_failed"): 1}),
        dropped=Counter({"tombstone": 1}),
        predictions=Counter({("default", "ham"): 3, ("default", "spam"): 1}),
        tokens=40,
        truncated=2,
    )
    metrics.count_batch(counts, latencies_s=np.array([0.5, 2.0]))
    value = metrics.registry.get_sample_value
    assert value("tagstream_processed_records_total") == 6
    assert value("tagstream_results_total", {"route": "spam"}) == 1
    assert value("tagstream_failed_records_total", {"stage": "decode", "reason": "not_utf8"}) == 1
    assert value("tagstream_dead_letters_total", {"reason": "inference_failed"}) == 1
    assert value("tagstream_dropped_records_total", {"reason": "tombstone"}) == 1
    assert value("tagstream_predictions_total", {"classifier": "default", "label": "ham"}) == 3
    assert value("tagstream_tokens_total") == 40
    assert value("tagstream_truncated_texts_total") == 2
    assert value("tagstream_commits_total") == 1
    assert value("tagstream_end_to_end_latency_seconds_count") == 2
    assert value("tagstream_end_to_end_latency_seconds_sum") == 2.5


def test_known_series_start_at_zero(metrics: Metrics) -> None:
    """Closed label sets are there before their first event, so that `rate()` sees that event."""
    value = metrics.registry.get_sample_value
    assert value("tagstream_dead_letters_total", {"reason": "output_too_large"}) == 0
    assert value("tagstream_transactions_aborted_total", {"reason": "fenced"}) == 0
    assert value("tagstream_stage_duration_seconds_count", {"stage": "infer"}) == 0
    assert value("tagstream_reloads_total", {"outcome": "refused"}) == 0
    assert value("tagstream_shadow_texts_total", {"outcome": "skipped"}) == 0


def test_lag_vanishes_with_its_partition(metrics: Metrics) -> None:
    """A revoked partition leaves no lag behind, others stay, and an unknown partition is nothing to do."""
    metrics.set_lag("texts", 0, 7, 1.5)
    metrics.set_lag("texts", 1, 3, 0.5)
    metrics.forget_partition("texts", 0)
    metrics.forget_partition("texts", 9)
    page = generate_latest(metrics.registry).decode()
    assert 'partition="0"' not in page
    assert 'tagstream_lag_records{partition="1",topic="texts"} 3.0' in page


def test_an_unknown_age_is_no_series(metrics: Metrics) -> None:
    """While the age of the next record is not known, its lag in seconds is absent rather than old."""
    metrics.set_lag("texts", 0, 7, 1.5)
    metrics.set_lag("texts", 0, 8, None)
    labels = {"topic": "texts", "partition": "0"}
    assert metrics.registry.get_sample_value("tagstream_lag_seconds", labels) is None
    assert metrics.registry.get_sample_value("tagstream_lag_records", labels) == 8


@pytest.mark.parametrize(
    ("timestamps_ms", "expected"),
    [
        pytest.param([9_000], [1.0], id="plain"),
        pytest.param([11_000], [0.0], id="clock-ahead"),
        pytest.param([None, 8_000, None], [2.0], id="none-is-left-out"),
        pytest.param([], [], id="empty"),
    ],
)
def test_latency_is_never_negative_nor_made_up(timestamps_ms: list[int | None], expected: list[float]) -> None:
    """A record ahead of our clock counts 0, one without a timestamp not at all."""
    assert latencies_s(timestamps_ms, now_s=10.0).tolist() == expected


@given(st.lists(st.floats(min_value=0, max_value=1e4), max_size=50), st.sampled_from([(), (0.1, 1.0), (2.0,)]))
def test_a_batch_histogram_equals_the_plain_one(values: list[float], more: tuple[float, ...]) -> None:
    """Whole arrays land in the same buckets, with the same sum, as values observed one by one."""
    bounds = (0.1, 1.0, 10.0, 1000.0)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch = BatchHistogram("x_seconds", "X.", bounds, registry=ours)
    plain = PlainHistogram("x_seconds", "X.", buckets=bounds, registry=theirs)
    for array in (values, more):
        batch.observe(array)
        for value in array:
            plain.observe(value)
    for le in ("0.1", "1.0", "10.0", "1000.0", "+Inf"):
        labels = {"le": le}
        assert ours.get_sample_value("x_seconds_bucket", labels) == theirs.get_sample_value("x_seconds_bucket", labels)
    assert ours.get_sample_value("x_seconds_count") == len(values) + len(more)
    assert ours.get_sample_value("x_seconds_sum") == pytest.approx(theirs.get_sample_value("x_seconds_sum"))


def test_quantiles_are_bounds_of_buckets() -> None:
    """A quantile is the bucket's upper bound, the largest finite one at most, and None without values."""
    histogram = BatchHistogram("x_seconds", "X.", (1.0, 2.0, 4.0), "stage", registry=CollectorRegistry())
    assert histogram.quantile(0.5, "infer") is None
    histogram.observe([0.5] * 98 + [3.0, 99.0, float("nan")], "infer")
    assert [histogram.quantile(q, "infer") for q in (0.0, 0.5, 0.985, 1.0)] == [1.0, 1.0, 4.0, 4.0]
    assert histogram.sum("infer") == pytest.approx(49 + 102)


HOSTILE = ['say "no"', "two\nlines", "back\\slash", "Spam", "spam", "tab\t{}=,", "größe 🙂"]


def test_hostile_label_values_survive(metrics: Metrics) -> None:
    """Quotes, newlines and case in a model's labels come back from both text formats as they were."""
    counts = BatchCounts(predictions={("default", label): 1 for label in HOSTILE})
    metrics.count_batch(counts, latencies_s=NO_LATENCIES)
    for families in (
        parse(generate_latest(metrics.registry).decode()),
        parse_openmetrics(generate_openmetrics(metrics.registry).decode()),
    ):
        read = {s.labels["label"] for f in families for s in f.samples if s.name == "tagstream_predictions_total"}
        assert read == set(HOSTILE)


def test_a_lone_surrogate_does_not_take_the_page_down(metrics: Metrics) -> None:
    """A label that is no valid Unicode is shown with a question mark; the page can still be encoded."""
    metrics.count_batch(BatchCounts(predictions={("default", "a\ud800"): 2}), latencies_s=NO_LATENCIES)
    metrics.set_model(classifier="default", model="m\udfff", revision="r", device="cpu", dtype="float32")
    assert b'label="a?"' in generate_latest(metrics.registry)


def test_counters_can_be_summed_for_the_status(metrics: Metrics) -> None:
    """The status reads its totals from the counters: whole, or by one label over the others."""
    metrics.count_consumed({"a": 2, "b": 3})
    metrics.count_batch(BatchCounts(predictions={("x", "ham"): 1, ("y", "ham"): 2}), latencies_s=NO_LATENCIES)
    assert total(metrics.consumed) == 5
    assert sums_by(metrics.predictions, "label") == {"ham": 3}
    assert sums_by(metrics.dead_letters, "reason") == {}


def test_gauges_follow_what_is_set(metrics: Metrics) -> None:
    """In flight, limits, clusters, build and model are what was set last; a new model replaces the old one."""
    metrics.set_in_flight(records=1, bytes=2, tokens=3)
    metrics.set_limits(records=10, bytes=20, tokens=30)
    metrics.set_clusters("default", version=4, clusters=32)
    metrics.set_build(version="1.0", python="3.11")
    metrics.set_model(classifier="c", model="old", revision="r", device="cpu", dtype="float32")
    metrics.forget_models()
    metrics.set_model(classifier="c", model="new", revision="r", device="cpu", dtype="float32")
    value = metrics.registry.get_sample_value
    assert (value("tagstream_in_flight_tokens"), value("tagstream_in_flight_limit_bytes")) == (3, 20)
    assert value("tagstream_cluster_table_version", {"table": "default"}) == 4
    assert value("tagstream_build_info", {"version": "1.0", "python": "3.11"}) == 1
    models = [
        s.labels["model"] for f in metrics.registry.collect() if f.name == "tagstream_model_info" for s in f.samples
    ]
    assert models == ["new"]


def test_what_an_engine_is_made_of_is_shown(metrics: Metrics) -> None:
    """Layers by whether they are shared, and texts by how they are laid out; another engine replaces all of it."""
    metrics.set_parts([EnginePart(("gone",), "m", 6, 6, packed=True, why_padded="")])
    metrics.set_parts(
        [
            EnginePart(("default", "encoder"), "m", 6, 6, packed=True, why_padded=""),
            EnginePart(("topic",), "n", 6, 2, packed=False, why_padded="probe"),
        ]
    )
    (family,) = metrics.model_layers.collect()
    assert {(s.labels["names"], s.labels["layout"], s.labels["work"]): s.value for s in family.samples} == {
        ("default,encoder", "packed", "computed"): 6,
        ("default,encoder", "packed", "shared"): 0,
        ("topic", "padded", "computed"): 2,
        ("topic", "padded", "shared"): 4,
    }


def test_the_docs_list_every_metric(metrics: Metrics) -> None:
    """docs/metrics.md has one row per metric: name, type, labels and meaning as in the registry, in its order."""
    rows = re.findall(r"^\| `(tagstream_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [_row(collector) for collector in metrics.registry._collector_to_names]


def test_names_keep_the_rules(metrics: Metrics) -> None:
    """Prefix, base units, `_total` on counters only, no reserved or open-ended label names."""
    for name, kind, labels, _ in (_row(collector) for collector in metrics.registry._collector_to_names):
        assert re.fullmatch(r"tagstream_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter")
        assert not re.search(r"_(ms|milliseconds|kb|percent|count|sum|bucket)$", name)
        assert not {"`id`", "`offset`", "`key`", "`text`"} & set(labels.split(", "))


def _row(collector: object) -> tuple[str, str, str, str]:
    family = next(iter(collector.describe()))  # type: ignore[attr-defined]
    labels = collector._labels if isinstance(collector, BatchHistogram) else collector._labelnames  # type: ignore[attr-defined]
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return name, family.type, ", ".join(f"`{label}`" for label in labels), family.documentation
