"""A second engine that sees a share of the texts and is compared with the running one. Its results go nowhere else.

It may fall behind, fail or die: the stream does not wait for it and does not hear of it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.errors import SettingsError, TagstreamError
from worker.metrics import Metrics, ShadowCounts
from worker.policy.routes import Decision, Policy, decide_batch
from worker.types import Engine, Predictions

log = structlog.get_logger()

QUEUED_SAMPLES = 1  # one waits while one is compared; more would only be older
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts with what the running engine said of them."""

    texts: Sequence[str]
    predictions: Predictions


class Shadow:
    """Compares one classifier, by its name and its labels' names, on `share` of the texts; draws them by `seed`.

    What each engine gives is as in `policy.routes`. Takes over `engine`. Raises `SettingsError` if it has no
    such classifier.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        share: float,
        classifier: str,
        multi_threshold: float,
        metrics: Metrics,
        seed: int = 0,
    ) -> None:
        names = [c.name for c in engine.classifiers]
        if classifier not in names:
            has = ", ".join(map(repr, names)) or "none"
            raise SettingsError(f"the shadow model has no classifier {classifier!r} to compare; it has {has}")
        self._engine = engine
        self._share = share
        self._policy = Policy(default_topic="", primary=classifier)
        self._multi_threshold = multi_threshold
        self._metrics = metrics
        self._random = np.random.default_rng(seed)
        self._samples: queue.Queue[Sample | None] = queue.Queue(QUEUED_SAMPLES)
        self._closing = False
        self._alive = True
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether anything is still compared. Any thread."""
        return self._alive

    def offer(self, texts: Sequence[str], predictions: Predictions, failed: Collection[int] = ()) -> None:
        """Texts with what was said of them, but for those `failed`. One thread; never blocks, may leave all of it."""
        drawn = self._random.random(len(texts)) < self._share
        drawn[[*failed, *predictions.failed]] = False
        rows = np.flatnonzero(drawn)
        if not len(rows):
            return
        try:
            self._samples.put_nowait(Sample([texts[i] for i in rows.tolist()], _rows(predictions, rows)))
        except queue.Full:
            self._metrics.count_shadow(ShadowCounts(skipped=len(rows)))

    def close(self) -> None:
        """Ends what runs. Bounded; an engine that does not come back in time is left to the end of the process."""
        self._closing = True
        with contextlib.suppress(queue.Full):  # then the thread does not wait, and sees that this is the end
            self._samples.put_nowait(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    # The shadow's thread.

    def _work(self) -> None:
        while (sample := self._samples.get()) is not None and not self._closing:
            self._metrics.count_shadow(self._look_at(sample))
        self._end()

    def _look_at(self, sample: Sample) -> ShadowCounts:
        if not self._alive:
            return ShadowCounts(skipped=len(sample.texts))
        try:
            return self._compare(sample)
        except Exception as error:
            self._end()
            self._say_lost(error)
            return ShadowCounts(failed=len(sample.texts))

    def _end(self) -> None:
        if self._alive:
            self._alive = False
            self._engine.close()

    def _compare(self, sample: Sample) -> ShadowCounts:
        tokenized = self._engine.tokenize(sample.texts)
        predictions = self._engine.infer(tokenized)
        failed = {*tokenized.errors, *predictions.failed}
        rows = np.array([i for i in range(len(sample.texts)) if i not in failed], np.intp)
        ours, theirs = _rows(sample.predictions, rows), _rows(predictions, rows)
        return self._counts(ours, theirs, failed=len(failed))

    def _counts(self, ours: Predictions, theirs: Predictions, *, failed: int) -> ShadowCounts:
        mine, c = decide_batch(self._policy, ours, self._multi_threshold), self._index(ours)
        other, s = decide_batch(self._policy, theirs, self._multi_threshold), self._index(theirs)
        pairs = [(set(a.labels[c]), set(b.labels[s])) for a, b in zip(mine, other, strict=True)]
        agreed = sum(a == b for a, b in pairs)
        labels: Counter[tuple[str, str]] = Counter()
        for a, b in pairs:
            labels.update((label, "agreed") for label in a & b)
            labels.update((label, "lost") for label in a - b)
            labels.update((label, "gained") for label in b - a)
        shifts = _shifts(mine, theirs.classifiers[s].labels, theirs.scores[s])
        return ShadowCounts(
            agreed=agreed, differed=len(pairs) - agreed, failed=failed, labels=labels, score_shifts=shifts
        )

    def _index(self, predictions: Predictions) -> int:
        return [c.name for c in predictions.classifiers].index(str(self._policy.primary))

    def _say_lost(self, error: Exception) -> None:
        if self._closing:
            return  # what hung has been let go
        known = isinstance(error, TagstreamError)
        log.error(
            "shadow lost",
            reason=str(error) if known else type(error).__name__,
            action="the stream goes on without it; restart the worker to compare again",
            exc_info=None if known else error,
        )


def _rows(predictions: Predictions, rows: NDArray[np.intp]) -> Predictions:
    """Of these texts only, all of which could be computed."""
    return replace(
        predictions,
        scores=tuple(scores[rows] for scores in predictions.scores),
        embeddings=predictions.embeddings[rows],
        failed={},
    )


def _shifts(mine: Sequence[Decision], labels: Sequence[str], scores: NDArray[np.float32]) -> list[float]:
    """By how much the other engine scores our label higher; nothing where there is none, or it does not know it."""
    columns = {label: column for column, label in enumerate(labels)}
    return [
        float(row[columns[decision.label]]) - decision.score
        for decision, row in zip(mine, scores, strict=True)
        if decision.label in columns and decision.score is not None
    ]
