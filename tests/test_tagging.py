"""What the stages do to a batch: each record gets its outcome, and the counters say what went out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from schemas import TaggedMessage
from tests.doubles import FakeEngine
from worker.clusters.none import NoClusters
from worker.metrics import Metrics, sums_by, total
from worker.pipeline import Inferred
from worker.policy.routes import Policy
from worker.results import ResultForm
from worker.tagging import Rules, Tagging
from worker.text.decode import Decoder
from worker.types import (
    Assignments,
    Batch,
    Classifier,
    Decoded,
    Message,
    Origin,
    Outcome,
    Output,
    Partition,
    Predictions,
    Record,
    Tokenized,
)

FORM = ResultForm("tagged", "source", True, "source", "dead", "out")
THRESHOLD = 0.5


class MultiEngine(FakeEngine):
    """Three independent labels with the scores that a text spells out, as in `0.9 0.1 0.6`."""

    def infer(self, tokenized: Tokenized) -> Predictions:
        classifier = Classifier("topics", "multi", ("x", "y", "z"), "fake", "0")
        scores = np.array([[float(w) for w in words] for words in tokenized.ids], np.float32).reshape(-1, 3)
        return Predictions((classifier,), (scores,), np.ones((len(scores), 1), np.float32))


class Remembering(NoClusters):
    """Remembers what it was given to learn; every other text is in cluster 5 of a table."""

    def __init__(self) -> None:
        self.learned: list[str] = []

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        count = len(embeddings)
        ids = [5 if i % 2 == 0 else None for i in range(count)]
        return Assignments("topics", 2, ids, np.full(count, 0.5, np.float32), {5: "cats"})

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]) -> None:
        assert len(embeddings) == len(texts) == len(times_ms)
        self.learned += texts


class Stand:
    """Tagging over doubles, and a walk of a batch through its verbs."""

    def __init__(self, engine: FakeEngine | None = None, *, max_tokens: int = 1000, **policy: Any) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.clusters = Remembering()
        self.tagging = Tagging(
            decode=Decoder(max_bytes=1000),
            engine=engine or FakeEngine(),
            clusters=self.clusters,
            rules=Rules(Policy("out", **policy), THRESHOLD, FORM, max_tokens),
            metrics=self.metrics,
        )

    def walk(self, batch: Batch) -> list[tuple[Output, ...]]:
        """The outputs of each record, delivered."""
        return [outputs for outcome in self.outcomes(batch) for outputs in outcome.outputs]

    def outcomes(self, batch: Batch) -> list[Outcome]:
        outcomes = []
        for inferred in self.inferred(batch):
            outcomes.append(self.tagging.route(inferred))
            self.tagging.delivered(inferred, outcomes[-1:])
        return outcomes

    def inferred(self, batch: Batch) -> list[Inferred]:
        return [self.tagging.infer(part) for part in self.tagging.prepare(batch)]


def _batch(*values: bytes | str | None, partitions: int = 1) -> Batch:
    """A text for each string, the bytes as they are, null for None; a transaction marker behind each partition."""
    found = [json.dumps({"text": v}).encode() if isinstance(v, str) else v for v in values]
    records = tuple(Record("in", n % partitions, n, 1000 + n, None, value) for n, value in enumerate(found))
    return Batch(records, {Partition("in", r.partition): r.offset + 2 for r in records})


def _tagged(outputs: tuple[Output, ...]) -> TaggedMessage:
    (output,) = outputs
    return TaggedMessage.model_validate_json(output.value or b"", strict=True)


def _reason(outputs: tuple[Output, ...]) -> str:
    (output,) = outputs
    assert output.topic == "dead"
    return dict(output.headers)["tagstream-error-reason"].decode()


def test_one_text_never_fails_its_neighbours() -> None:
    """Broken, untokenisable and failing records are dead letters with their reason; the others are tagged in order."""
    values = ("one", b"{broken", "two bad words", "three", b"", None, "four")
    got = Stand(FakeEngine(fail_on="bad")).walk(_batch(*values))
    assert [_tagged(got[n]).text for n in (0, 3, 6)] == ["one", "three", "four"]
    assert [_reason(got[n]) for n in (1, 2)] == ["invalid_json", "inference_failed"]
    assert got[5] == ()  # a tombstone, dropped by default


@pytest.mark.parametrize("max_tokens", [1000, 2])
def test_a_text_that_cannot_be_tokenised_is_a_dead_letter_alone(max_tokens: int) -> None:
    """A lone surrogate that got past the decoder is refused by the tokeniser; its neighbours are tagged."""

    def decode(record: Record) -> Decoded:
        text = "\ud800 alone" if record.offset == 2 else f"text {record.offset}"
        return Message(str(record), Origin("in", 0, record.offset, None), text)

    stand = Stand()
    stand.tagging = Tagging(
        decode=decode,
        engine=FakeEngine(),
        clusters=stand.clusters,
        rules=Rules(Policy("out"), THRESHOLD, FORM, max_tokens),
        metrics=stand.metrics,
    )
    got = stand.walk(_batch("a", "b", "c", "d"))
    assert _reason(got[2]) == "untokenizable"
    assert [_tagged(got[n]).text for n in (0, 1, 3)] == ["text 0", "text 1", "text 3"]
    assert sums_by(stand.metrics.failed, "stage") == {"prepare": 1}


def test_a_result_holds_what_the_parts_said() -> None:
    """Label, score of every label, cluster with its version, and the facts of the text are each its own record's."""
    engine = FakeEngine(labels=("a", "b", "c"))
    got = [_tagged(outputs) for outputs in Stand(engine).walk(_batch("one two", "three", "four five six"))]
    assert [m.label for m in got] == [engine.label_of(m.text or "") for m in got]
    assert [m.text_facts.tokens for m in got] == [2, 1, 3]
    assert [m.clusters[0].id for m in got] == [5, None, 5]
    assert [m.clusters[0].name for m in got] == ["cats", None, "cats"]
    for message in got:
        (classification,) = message.classifications
        assert classification.labels == [message.label]
        assert message.score == max(classification.scores.values())
        assert classification.scores.keys() == {"a", "b", "c"}


def test_several_labels_or_none() -> None:
    """A multi-label model gives every label above the threshold, best first; the route is the best one's."""
    stand = Stand(MultiEngine(), routes={"z": "z-topic"})
    got = [_tagged(outputs) for outputs in stand.walk(_batch("0.6 0.1 0.9", "0.1 0.2 0.3", "0.1 0.8 0.5"))]
    assert [m.classifications[0].labels for m in got] == [["z", "x"], [], ["y"]]
    assert [m.classifications[0].kind for m in got] == ["multi"] * 3
    assert [(m.label, m.route) for m in got] == [("z", "z-topic"), (None, "out"), ("y", "out")]
    assert sums_by(stand.metrics.predictions, "label") == {"z": 1, "x": 1, "y": 1}


TEXTS = st.lists(st.sampled_from([b"{broken", None, "a", "b c", "d e f", "g h i j k"]), max_size=20)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=TEXTS, partitions=st.integers(1, 3), most=st.integers(1, 12))
def test_cutting_by_tokens_keeps_offsets_and_order(
    values: list[bytes | str | None], partitions: int, most: int
) -> None:
    """Parts hold at most so many tokens or one record; together they are the batch, its offsets and its outputs."""
    batch = _batch(*values, partitions=partitions)
    parts = Stand(max_tokens=most).tagging.prepare(batch)
    committed: dict[Partition, int] = {}
    for part in parts:
        assert int(part.tokenized.lengths.sum()) <= most or len(part.batch.records) == 1
        assert len(part.decoded) == len(part.batch.records)
        assert len(part.tokenized.lengths) == len(part.messages)
        committed.update(part.batch.offsets)
    assert committed == batch.offsets
    assert [r for part in parts for r in part.batch.records] == list(batch.records)
    assert _values(Stand(max_tokens=most).walk(batch)) == _values(Stand().walk(batch))


def _values(walked: list[tuple[Output, ...]]) -> list[list[tuple[str, Any]]]:
    """Topic and text or bytes of each record's outputs: what does not depend on the clock or the parts."""
    return [[(o.topic, o.value if o.topic == "dead" else _tagged((o,)).text) for o in outputs] for outputs in walked]


def test_a_part_keeps_the_errors_of_its_own_texts() -> None:
    """Which texts failed is counted anew in each part."""
    stand = Stand(FakeEngine(fail_on="bad"), max_tokens=2)
    got = stand.walk(_batch("one", "two", "bad x", "three", "y bad"))
    assert [o.topic for outputs in got for o in outputs] == ["out", "out", "dead", "out", "dead"]


def test_a_damaged_batch_is_one_dead_letter_with_its_span() -> None:
    """The marker of a batch that failed its checksum says which offsets were skipped, whatever its value."""
    marker = Record("in", 0, 10, None, None, b"", damaged_to=15)
    stand = Stand()
    (outputs,) = stand.walk(Batch((marker,), {Partition("in", 0): 15}))
    assert _reason(outputs) == "corrupt_batch"
    assert b"offsets 10 to 14 failed" in dict(outputs[0].headers)["tagstream-error-message"]
    assert sums_by(stand.metrics.dead_letters, "reason") == {"corrupt_batch": 1}


def test_a_rejected_record_is_counted_as_what_it_became() -> None:
    """A result too large for its topic is counted with the dead letters, and not with the results."""
    stand = Stand()
    batch = _batch("one", b"{broken", "two")
    (inferred,) = stand.inferred(batch)
    outcome = stand.tagging.route(inferred)
    rejected = stand.tagging.reject(batch.records[2], outcome.outputs[2], "output_too_large")
    assert _reason(rejected) == "output_too_large"
    stand.tagging.delivered(inferred, [Outcome(batch, (*outcome.outputs[:2], rejected))])
    assert sums_by(stand.metrics.results, "route") == {"out": 1}
    assert sums_by(stand.metrics.dead_letters, "reason") == {"invalid_json": 1, "output_too_large": 1}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.sampled_from([b"{broken", None, "a", "b c", "bad", "d"]), max_size=12), data=st.data())
def test_the_head_of_a_batch_counts_as_a_batch_of_its_own(
    values: list[bytes | str | None], data: st.DataObject
) -> None:
    """Where only the first records got through, the counters and the learner are as if there had been no others."""
    count = data.draw(st.integers(0, len(values)))
    part, whole = Stand(FakeEngine(fail_on="bad")), Stand(FakeEngine(fail_on="bad"))
    (inferred,) = part.inferred(_batch(*values))
    part.tagging.delivered(inferred, [part.tagging.route(inferred).cut(count)[0]])
    whole.walk(_batch(*values[:count]))
    for name in ("processed", "results", "failed", "dead_letters", "dropped", "predictions", "tokens", "clustered"):
        assert _samples(getattr(part.metrics, name)) == _samples(getattr(whole.metrics, name)), name
    assert part.clusters.learned == whole.clusters.learned


def _samples(metric: Any) -> dict[tuple[str, ...], float]:
    (family,) = metric.collect()
    return {(s.name, *s.labels.values()): s.value for s in family.samples if not s.name.endswith("_created")}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.sampled_from([b"{broken", b"\xff", None, "a", "b", "c", "bad", "d"]), max_size=20))
def test_counters_equal_what_went_out(values: list[bytes | str | None]) -> None:
    """Records, results by route, dead letters by reason, and labels: counted once each, and only the delivered."""
    stand = Stand(FakeEngine(fail_on="bad"), routes={"a": "a-topic"})
    outputs = [o for found in stand.walk(_batch(*values)) for o in found]
    results = [_tagged((o,)) for o in outputs if o.topic != "dead"]
    metrics = stand.metrics
    assert total(metrics.consumed) == total(metrics.processed) == len(values)
    assert sums_by(metrics.results, "route") == Counter(m.route for m in results)
    assert sums_by(metrics.predictions, "label") == Counter(m.label for m in results)
    assert sums_by(metrics.dead_letters, "reason") == Counter(_reason((o,)) for o in outputs if o.topic == "dead")
    assert total(metrics.dropped) == sum(value is None for value in values)
    assert total(metrics.tokens) == sum(isinstance(value, str) for value in values)
    clusters = Counter("unassigned" if m.clusters[0].id is None else "assigned" for m in results)
    assert sums_by(metrics.clustered, "outcome") == clusters


@pytest.mark.parametrize("label", ['sp"am', "two\nlines", "back\\slash", "", "ü €", "{a=b}"])
def test_a_label_may_hold_anything(label: str) -> None:
    """Quotes, newlines and nothing at all in a label's name break neither the result, its route, nor the metrics."""
    stand = Stand(FakeEngine(labels=(label,)), routes={label: "own"})
    (outputs,) = stand.walk(_batch("text"))
    assert (_tagged(outputs).label, outputs[0].topic) == (label, "own")
    assert sums_by(stand.metrics.predictions, "label") == {label: 1}


def test_learns_only_from_what_was_delivered() -> None:
    """A batch whose delivery failed teaches nothing; one that went through teaches its texts, each once."""
    stand = Stand()
    (lost,) = stand.inferred(_batch("lost"))
    stand.tagging.route(lost)
    assert stand.clusters.learned == []
    assert total(stand.metrics.processed) == 0
    stand.walk(_batch("one", b"{broken", "two"))
    assert stand.clusters.learned == ["one", "two"]


def test_a_batch_without_records_commits_positions_only() -> None:
    """Transaction markers alone go through all verbs and count as a commit."""
    stand = Stand()
    (outcome,) = stand.outcomes(Batch((), {Partition("in", 0): 9}))
    assert (outcome.outputs, outcome.batch.offsets) == ((), {Partition("in", 0): 9})
    assert total(stand.metrics.commits) == 1
    assert stand.metrics.batch_records.quantile(0.5) is None
