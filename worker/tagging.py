"""What is done to a batch between the poll and the transaction; satisfies `pipeline.Stages`.

Each verb runs in the thread of its name. Counting is per batch, and only when the batch is through.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas import Reason
from worker.cutting import cut_to_tokens, halves, head
from worker.errors import Refusal
from worker.metrics import BatchCounts, Metrics, latencies_s
from worker.pipeline import Inferred
from worker.policy.routes import Decision, Policy, decide_batch, limits
from worker.results import (
    Fields,
    ResultForm,
    Tags,
    cause,
    dead_letter,
    passed,
    refused_dead_letter,
    refused_result,
    result,
)
from worker.shadow import Shadow
from worker.types import (
    Assignments,
    Batch,
    Clusters,
    DeadLetter,
    Decode,
    Decoded,
    Dropped,
    Engine,
    Message,
    Outcome,
    Output,
    Predictions,
    Prepared,
    Record,
    Tokenized,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings decide about results."""

    policy: Policy
    multi_threshold: float
    form: ResultForm
    max_batch_tokens: int


class Tagging:
    """The stages over one engine and one cluster table."""

    def __init__(
        self,
        *,
        decode: Decode,
        engine: Engine,
        clusters: Clusters,
        rules: Rules,
        metrics: Metrics,
        shadow: Shadow | None = None,
    ) -> None:
        self._decode = decode
        self._engine = engine
        self._clusters = clusters
        self._rules = rules
        self._metrics = metrics
        self._shadow = shadow

    def prepare(self, batch: Batch) -> list[Prepared]:
        self._metrics.count_consumed(Counter(record.topic for record in batch.records))
        decoded = tuple(_damage(record) or self._decode(record) for record in batch.records)
        tokenized = self._engine.tokenize([d.text for d in decoded if isinstance(d, Message)])
        return cut_to_tokens(Prepared(batch, decoded, tokenized), self._rules.max_batch_tokens)

    def infer(self, prepared: Prepared) -> Inferred:
        predictions = self._engine.infer(prepared.tokenized)
        return Inferred(prepared, predictions, self._clusters.assign(predictions.embeddings))

    def halve(self, prepared: Prepared) -> list[Prepared]:
        return halves(prepared)

    def route(self, inferred: Inferred) -> Outcome:
        now = datetime.now(UTC)
        prepared = inferred.prepared
        tags = iter(self._tags(inferred))
        outputs = tuple(
            self._outputs(record, decoded, next(tags) if isinstance(decoded, Message) else None, now)
            for record, decoded in zip(prepared.batch.records, prepared.decoded, strict=True)
        )
        return Outcome(prepared.batch, outputs, self._samples(inferred))

    def reject(self, record: Record, outputs: tuple[Output, ...], refusal: Refusal) -> tuple[Output, ...]:
        topic = self._rules.form.dead_letter_topic
        if outputs and outputs[0].topic == topic:
            return (refused_dead_letter(outputs[0], refusal),)
        decoded = self._decode(record)
        message = decoded if isinstance(decoded, Message) else None
        return (dead_letter(topic, record, refused_result(record, message, refusal), datetime.now(UTC)),)

    def delivered(self, inferred: Inferred, outcomes: list[Outcome]) -> None:
        inferred = head(inferred, sum(len(outcome.outputs) for outcome in outcomes))
        prepared, predictions = inferred.prepared, inferred.predictions
        lengths = prepared.tokenized.lengths
        counts = _count(inferred, outcomes, self._rules)
        timestamps = [record.timestamp_ms for record in prepared.batch.records]
        self._metrics.count_batch(counts, latencies_s=latencies_s(timestamps, time.time()))
        if prepared.batch.records:
            self._metrics.observe_batch(
                records=len(prepared.batch.records), tokens=int(lengths.sum()), padding_share=predictions.padding_share
            )
        texts = [message.text for message in prepared.messages]
        self._clusters.learn(predictions.embeddings, texts, _times_ms(prepared))
        if self._shadow:
            self._shadow.offer(texts, predictions, prepared.tokenized.errors)

    def _samples(self, inferred: Inferred) -> tuple[Output, ...]:
        messages = inferred.prepared.messages
        texts = [message.text for message in messages]
        return self._clusters.samples(inferred.predictions.embeddings, texts, _times_ms(inferred.prepared))

    def _outputs(
        self, record: Record, decoded: Decoded, tags: Tags | DeadLetter | None, now: datetime
    ) -> tuple[Output, ...]:
        form = self._rules.form
        outcome = tags if isinstance(decoded, Message) else decoded
        if isinstance(outcome, Dropped):
            return ()
        if isinstance(outcome, DeadLetter):
            return (dead_letter(form.dead_letter_topic, record, outcome, now),)
        if isinstance(outcome, Tags) and isinstance(decoded, Message):
            return (result(form, record, decoded, outcome, now),)
        return (passed(form, record, now),)

    def _tags(self, inferred: Inferred) -> list[Tags | DeadLetter]:
        """For each message of the batch what it is tagged with, or why it cannot be."""
        predictions, tokenized = inferred.predictions, inferred.prepared.tokenized
        decisions = decide_batch(self._rules.policy, predictions, self._rules.multi_threshold)
        classified = _classifications(predictions, decisions)
        clusters = _cluster_assignments(inferred)
        messages = inferred.prepared.messages
        facts = _facts(messages, tokenized)
        failed = tokenized.errors.keys() | predictions.failed.keys()
        return [
            _failure(message, tokenized, predictions, i)
            if i in failed
            else Tags(d.label, d.score, d.route, classified[i], clusters[i], facts[i])
            for i, (message, d) in enumerate(zip(messages, decisions, strict=True))
        ]


def _damage(record: Record) -> DeadLetter | None:
    if record.damaged_to is None:
        return None
    span = f"offsets {record.offset} to {record.damaged_to - 1}"
    return DeadLetter("decode", Reason.CORRUPT_BATCH, f"the batch with {span} failed its checksum and was skipped")


def _failure(message: Message, tokenized: Tokenized, predictions: Predictions, index: int) -> DeadLetter:
    if index in tokenized.errors:
        return DeadLetter("prepare", Reason.UNTOKENIZABLE, tokenized.errors[index], message.replays, message.origin)
    return DeadLetter("infer", Reason.INFERENCE_FAILED, predictions.failed[index], message.replays, message.origin)


def _classifications(predictions: Predictions, decisions: Sequence[Decision]) -> list[list[Fields]]:
    """For each text the fields of its `schemas.Classification`s."""
    rows = [scores.tolist() for scores in predictions.scores]
    return [
        [
            {
                "classifier": classifier.name,
                "kind": classifier.kind,
                "labels": decision.labels[c],
                "scores": dict(zip(classifier.labels, rows[c][i], strict=True)),
                "model": classifier.model,
                "revision": classifier.revision,
            }
            for c, classifier in enumerate(predictions.classifiers)
        ]
        for i, decision in enumerate(decisions)
    ]


def _cluster_assignments(inferred: Inferred) -> list[list[Fields]]:
    """For each text the fields of its `schemas.ClusterAssignment`, if there is a table."""
    assigned = inferred.assignments
    if not assigned.table:
        return [[] for _ in assigned.ids]
    return [
        [
            {
                "table": assigned.table,
                "id": cluster,
                "name": None if cluster is None else assigned.names.get(cluster),
                "similarity": similarity if assigned.version else None,
                "version": assigned.version,
            }
        ]
        for cluster, similarity in zip(assigned.ids, assigned.similarity.tolist(), strict=True)
    ]


def _facts(messages: Sequence[Message], tokenized: Tokenized) -> list[Fields]:
    """For each text its `schemas.TextFacts`; whole columns become Python numbers at once."""
    columns = tokenized.lengths.tolist(), tokenized.windows.tolist(), tokenized.truncated.tolist()
    return [
        {
            "tokens": tokens,
            "windows": windows,
            "truncated": truncated,
            "language": message.language,
            "charset": message.charset,
            "charset_guessed": message.charset_guessed,
        }
        for message, tokens, windows, truncated in zip(messages, *columns, strict=True)
    ]


def _count(inferred: Inferred, outcomes: Sequence[Outcome], rules: Rules) -> BatchCounts:
    prepared, predictions = inferred.prepared, inferred.predictions
    kept = _kept(prepared, predictions)
    sent = [output for outcome in outcomes for outputs in outcome.outputs for output in outputs]
    dead = [output for output in sent if output.topic == rules.form.dead_letter_topic]
    routes = Counter(output.topic for output in sent)
    del routes[rules.form.dead_letter_topic]
    return BatchCounts(
        processed=len(prepared.batch.records),
        results=routes,
        failed=Counter(map(cause, dead)),
        dropped=Counter(decoded.reason for decoded in prepared.decoded if isinstance(decoded, Dropped)),
        predictions=_predictions(predictions, kept, rules.multi_threshold),
        tokens=int(prepared.tokenized.lengths.sum()),
        truncated=int(np.count_nonzero(prepared.tokenized.truncated)),
        clustered=_clustered(inferred.assignments, kept),
    )


def _times_ms(prepared: Prepared) -> list[int | None]:
    return [message.origin.timestamp_ms for message in prepared.messages]


def _kept(prepared: Prepared, predictions: Predictions) -> NDArray[np.bool_]:
    """Which texts could be computed."""
    kept = np.ones(len(predictions.embeddings), dtype=np.bool_)
    kept[[*prepared.tokenized.errors, *predictions.failed]] = False
    return kept


def _clustered(assignments: Assignments, kept: NDArray[np.bool_]) -> Counter[tuple[str, str]]:
    if not assignments.table:
        return Counter()
    ids = [cluster for cluster, computed in zip(assignments.ids, kept.tolist(), strict=True) if computed]
    unassigned = sum(cluster is None for cluster in ids)
    found = {"assigned": len(ids) - unassigned, "unassigned": unassigned}
    return Counter({(assignments.table, outcome): n for outcome, n in found.items() if n})


def _predictions(predictions: Predictions, kept: NDArray[np.bool_], multi_threshold: float) -> Counter[tuple[str, str]]:
    """How often each classifier gave each label; what it gives is as in `policy.routes.decide_batch`."""
    counts: Counter[tuple[str, str]] = Counter()
    for classifier, scores in zip(predictions.classifiers, predictions.scores, strict=True):
        if classifier.kind == "multi":
            given = (scores[kept] > limits(classifier, multi_threshold)).sum(axis=0)
        else:
            given = np.bincount(scores[kept].argmax(axis=1), minlength=len(classifier.labels))
        counts.update({(classifier.name, classifier.labels[i]): int(n) for i, n in enumerate(given) if n})
    return counts
