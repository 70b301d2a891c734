"""A second model beside the stream: how it is compared, and that it can neither slow the stream nor stop it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from queue import Queue
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from structlog.testing import capture_logs

from tests.doubles import FakeEngine
from tests.workbench import Bench, assert_once_and_in_order, filled
from worker.errors import SettingsError, Stop
from worker.metrics import Metrics, ShadowCounts, sums_by
from worker.pipeline import Inferred
from worker.shadow import Shadow
from worker.types import Classifier, Engine, Outcome, Predictions, Tokenized

WAIT_S = 20.0  # for what comes at once, or never


class Told(Metrics):
    """Hands on what is counted for the shadow."""

    def __init__(self) -> None:
        self.told: Queue[ShadowCounts] = Queue()
        super().__init__(CollectorRegistry())
        self.told.get()  # the series at zero

    def count_shadow(self, counts: ShadowCounts) -> None:
        super().count_shadow(counts)
        self.told.put(counts)

    def next(self) -> ShadowCounts:
        return self.told.get(timeout=WAIT_S)


class Spelled(FakeEngine):
    """Gives the scores that a text spells out: `0.9,0.1 0.2,0.8` is what the first and the second engine say."""

    def __init__(self, labels: Sequence[str], *, word: int, kind: Literal["single", "multi"] = "single") -> None:
        super().__init__(labels=labels)
        self._classifier = Classifier("default", kind, tuple(labels), "spelled", "0")
        self._word = word

    def infer(self, tokenized: Tokenized) -> Predictions:
        rows = [[float(score) for score in words[self._word].split(",")] for words in tokenized.ids]
        scores = np.array(rows, np.float32).reshape(-1, len(self._classifier.labels))
        return Predictions((self._classifier,), (scores,), np.ones((len(rows), 1), np.float32))


class Held(FakeEngine):
    """Computes nothing before it may; notes a `close` while it computes."""

    def __init__(self, *, dies: bool = False) -> None:
        super().__init__()
        self._dies = dies
        self.entered = Queue[int]()
        self.go = threading.Event()
        self.closed_at_work = False
        self._at_work = False

    def infer(self, tokenized: Tokenized) -> Predictions:
        self._at_work = True
        self.entered.put(len(tokenized.ids))
        assert self.go.wait(WAIT_S)
        self._at_work = False
        if self._dies:
            raise Stop("told to die")
        return super().infer(tokenized)

    def close(self) -> None:
        super().close()
        self.closed_at_work |= self._at_work


class Dying(FakeEngine):
    """Its process ends with the first batch."""

    def infer(self, tokenized: Tokenized) -> Predictions:
        raise Stop("the model's process has ended")


@pytest.fixture
def metrics() -> Metrics:
    return Told()


def shadow_of(engine: Engine, metrics: Metrics, *, share: float = 1.0, seed: int = 0) -> Shadow:
    return Shadow(engine=engine, share=share, classifier="default", multi_threshold=0.5, metrics=metrics, seed=seed)


def predicted(texts: Sequence[str], by: Engine | None = None) -> Predictions:
    engine = by or FakeEngine()
    return engine.infer(engine.tokenize(texts))


def compared(ours: Engine, shadow: Engine, texts: Sequence[str], metrics: Told) -> ShadowCounts:
    stand = shadow_of(shadow, metrics)
    stand.offer(texts, predicted(texts, ours))
    counts = metrics.next()
    stand.close()
    return counts


def test_single_labels_are_compared_by_name(metrics: Told) -> None:
    """The order of the labels does not matter; the shift is of the score of the running model's label."""
    texts = ["0.9,0.1 0.3,0.7", "0.8,0.2 0.6,0.4", "0.1,0.9 0.2,0.8"]
    counts = compared(Spelled(("ham", "spam"), word=0), Spelled(("spam", "ham"), word=1), texts, metrics)
    assert (counts.agreed, counts.differed, counts.skipped, counts.failed) == (1, 2, 0, 0)
    assert counts.labels == {
        ("ham", "agreed"): 1,
        ("ham", "lost"): 1,
        ("ham", "gained"): 1,
        ("spam", "lost"): 1,
        ("spam", "gained"): 1,
    }
    assert counts.score_shifts == pytest.approx([0.7 - 0.9, 0.4 - 0.8, 0.2 - 0.9])


def test_several_labels_are_compared_as_sets(metrics: Told) -> None:
    """A text agrees where both models give the same labels, none included; each label counts for itself."""
    texts = ["0.9,0.8,0.1 0.6,0.7,0.2", "0.9,0.8,0.1 0.9,0.2,0.7", "0.1,0.1,0.1 0.2,0.2,0.2", "0.9,0.1,0.1 0.9,0.8,0.1"]
    ours, theirs = (Spelled(("x", "y", "z"), word=word, kind="multi") for word in (0, 1))
    counts = compared(ours, theirs, texts, metrics)
    assert (counts.agreed, counts.differed) == (2, 2)
    assert counts.labels == {
        ("x", "agreed"): 3,
        ("y", "agreed"): 1,
        ("y", "lost"): 1,
        ("y", "gained"): 1,
        ("z", "gained"): 1,
    }
    assert counts.score_shifts == pytest.approx([0.6 - 0.9, 0.0, 0.0])


def test_a_label_that_the_shadow_does_not_know_has_no_shift(metrics: Told) -> None:
    """It is lost, and what the shadow gives instead is gained; scores of other labels say nothing of it."""
    counts = compared(Spelled(("ham", "spam"), word=0), Spelled(("ham", "fraud"), word=1), ["0.1,0.9 0.1,0.9"], metrics)
    assert counts.labels == {("spam", "lost"): 1, ("fraud", "gained"): 1}
    assert counts.score_shifts == []


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("ab "), min_size=1), min_size=1, max_size=30))
def test_a_model_agrees_with_itself(texts: list[str]) -> None:
    """On every text, in every label, without a shift."""
    counts = compared(FakeEngine(), FakeEngine(), texts, Told())
    assert counts.agreed == len(texts)
    assert {outcome for _, outcome in counts.labels} == {"agreed"}
    assert set(counts.score_shifts) == {0.0}


def _drawn(seed: int, batches: int) -> list[list[str]]:
    """The texts of each sample of ten; one is drawn at least."""
    told, seen = Told(), []

    class Listening(FakeEngine):
        def tokenize(self, texts: Sequence[str]) -> Tokenized:
            seen.append(list(texts))
            return super().tokenize(texts)

    shadow = shadow_of(Listening(), told, share=0.3, seed=seed)
    for batch in range(batches):
        texts = [f"{batch} {n}" for n in range(50)]
        shadow.offer(texts, predicted(texts))
        told.next()
    shadow.close()
    return seen


def test_a_share_of_the_texts_is_drawn() -> None:
    """Each text by itself, by the seed: the same ones again with the same seed, others with another."""
    drawn = _drawn(1, 20)
    assert 240 < sum(map(len, drawn)) < 360
    assert len({text for texts in drawn for text in texts}) == sum(map(len, drawn))
    assert drawn == _drawn(1, 20) != _drawn(2, 20)


def test_what_the_running_model_could_not_compute_is_not_compared(metrics: Told) -> None:
    """Nor what could not be tokenised: there is nothing to compare with. What the shadow cannot compute has failed."""
    texts = ["good", "bad", "\ud800", "worse", "fine"]
    running = FakeEngine(fail_on="bad")
    tokenized = running.tokenize(texts)
    shadow = shadow_of(FakeEngine(fail_on="worse"), metrics)
    shadow.offer(texts, running.infer(tokenized), tokenized.errors)
    counts = metrics.next()
    assert (counts.agreed, counts.differed, counts.failed) == (2, 0, 1)
    shadow.offer(texts[1:2], predicted(texts[1:2], running))
    shadow.close()
    assert metrics.told.empty()


def test_a_shadow_that_is_behind_skips(metrics: Told) -> None:
    """One sample is computed, one waits; all others are counted as skipped, and no offer ever waits."""
    engine = Held()
    shadow = shadow_of(engine, metrics)
    texts = ["a", "b", "c"]
    shadow.offer(texts, predicted(texts))
    assert engine.entered.get(timeout=WAIT_S) == 3
    for _ in range(3):
        shadow.offer(texts, predicted(texts))
    assert [metrics.next().skipped for _ in range(2)] == [3, 3]
    engine.go.set()
    assert [metrics.next().agreed for _ in range(2)] == [3, 3]
    shadow.close()
    assert sums_by(metrics.shadow_texts, "outcome") == {"agreed": 6, "skipped": 6}


def test_a_shadow_that_dies_is_said_once(metrics: Told) -> None:
    """Its last sample has failed, all later ones are skipped, and it is closed."""
    engine = Dying()
    with capture_logs() as logs:
        shadow = shadow_of(engine, metrics)
        shadow.offer(["a", "b"], predicted(["a", "b"]))
        assert metrics.next().failed == 2
        for _ in range(3):
            shadow.offer(["a"], predicted(["a"]))
            assert metrics.next().skipped == 1
        shadow.close()
    assert [(line["event"], line["reason"]) for line in logs] == [("shadow lost", "the model's process has ended")]
    assert not shadow.alive
    assert engine.closed == 1


def test_the_end_does_not_wait_for_a_shadow_that_hangs(metrics: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left alone then, never closed under its own work, and says nothing more."""
    monkeypatch.setattr("worker.shadow.CLOSE_TIMEOUT_S", 0)
    engine = Held(dies=True)
    shadow = shadow_of(engine, metrics)
    for _ in range(2):
        shadow.offer(["a"], predicted(["a"]))
    engine.entered.get(timeout=WAIT_S)
    shadow.close()
    assert not engine.closed
    with capture_logs() as logs:
        engine.go.set()
        shadow._thread.join(WAIT_S)
    assert logs == []
    assert (engine.closed, engine.closed_at_work) == (1, False)


def test_a_shadow_needs_the_classifier_that_is_compared(metrics: Told) -> None:
    """It is told apart by name; without it the start is refused, with what there is."""
    with pytest.raises(SettingsError, match="no classifier 'spam' to compare; it has 'default'"):
        Shadow(engine=FakeEngine(), share=1.0, classifier="spam", multi_threshold=0.5, metrics=metrics)


def test_the_page_can_be_read_with_negative_shifts(metrics: Told) -> None:
    """OpenMetrics allows no sum beside negative buckets."""
    metrics.count_shadow(ShadowCounts(agreed=1, score_shifts=[-0.3, 0.0, 0.7]))
    assert list(parse_openmetrics(generate_openmetrics(metrics.registry).decode()))
    page = generate_latest(metrics.registry).decode()
    assert 'tagstream_shadow_score_shift_bucket{le="-0.2"} 1.0' in page
    assert 'tagstream_shadow_score_shift_bucket{le="0.01"} 2.0' in page
    assert "tagstream_shadow_score_shift_sum" not in page


@pytest.mark.parametrize(
    ("engine", "outcomes"),
    [
        pytest.param(FakeEngine(), {"agreed", "skipped"}, id="works"),
        pytest.param(Dying(), {"failed", "skipped"}, id="dies"),
        pytest.param(Held(), {"agreed", "skipped"}, id="hangs"),
    ],
)
def test_the_stream_is_the_same_with_a_shadow(engine: FakeEngine, outcomes: set[str], metrics: Told) -> None:
    """Whatever becomes of the shadow: each record once and in order, and every text drawn is accounted for."""
    shadow = shadow_of(engine, metrics)
    bench = Bench(filled(60))
    deliver = bench.stages.delivered

    def delivered(inferred: Inferred, parts: list[Outcome]) -> None:
        deliver(inferred, parts)
        prepared = inferred.prepared
        shadow.offer([m.text for m in prepared.messages], inferred.predictions, prepared.tokenized.errors)

    bench.stages.delivered = delivered  # type: ignore[method-assign]
    assert_once_and_in_order(bench.run())
    if isinstance(engine, Held):
        engine.go.set()
    counted: Counter[str] = Counter()
    while counted.total() < 52:  # of 60 records 8 are broken
        counts = metrics.next()
        counted.update({outcome: getattr(counts, outcome) for outcome in ("agreed", "differed", "skipped", "failed")})
    shadow.close()
    assert engine.closed == 1
    assert counted.total() == 52
    assert {outcome for outcome, texts in counted.items() if texts} <= outcomes
