"""The engine: from one pass over a batch's texts, the scores of every classifier and the embedding.

Texts are sorted by length and packed under a token budget; results come back in their order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.model.budget import Budget
from worker.model.characters import CharacterLogits
from worker.model.lane import EMBEDDING, Lane
from worker.model.offer import Offer, Offered
from worker.model.recipe import WindowPooling
from worker.model.runner import Computed, run
from worker.types import Classifier, Predictions, Tokenized


class TransformersEngine(Offered):
    """`types.Engine` on transformers models."""

    def __init__(
        self,
        *,
        offer: Offer,
        lanes: Sequence[Lane],
        budget: Budget,
        window_pooling: WindowPooling,
        heads: Mapping[str, NDArray[np.float32]] | None = None,
        characters: Mapping[str, CharacterLogits] | None = None,
    ) -> None:
        super().__init__(offer, characters or {})
        self._heads = dict(heads or {})
        self._lanes = tuple(lanes)
        self._budget = budget
        self._window_pooling = window_pooling

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """For what is done to them at load."""
        return self._lanes

    def infer(self, tokenized: Tokenized) -> Predictions:
        """As the Protocol says; raises `Stop` when the device itself has failed."""
        started_s = time.perf_counter()
        texts = [i for i, ids in enumerate(tokenized.ids) if ids is not None]
        gathered = _Gathered(tokenized, self.offer)
        shares = [self._pass(lane, texts, tokenized.ids, gathered) for lane in self._lanes] if texts else []
        for name, weights in self._heads.items():
            gathered.columns[name] = gathered.columns[EMBEDDING] @ weights.T
        for name in self.characters:
            gathered.columns[name] += tokenized.added[name]
        return gathered.predictions(time.perf_counter() - started_s, max(shares, default=0.0))

    def with_head(self, classifier: Classifier, weights: NDArray[np.float32]) -> TransformersEngine:
        """With one more classifier, whose logits are `weights` [labels, d] times the embedding."""
        return TransformersEngine(
            offer=replace(self.offer, classifiers=(*self.classifiers, classifier)),
            lanes=self._lanes,
            budget=self._budget,
            window_pooling=self._window_pooling,
            heads=self._heads | {classifier.name: weights},
            characters=self.characters,
        )

    def close(self) -> None:
        """Nothing to wait for."""

    def _pass(self, lane: Lane, texts: Sequence[int], ids: Sequence[Any], gathered: _Gathered) -> float:
        """One lane over all windows of all texts; the share of padding."""
        each = [ids[text][lane.tokens] for text in texts]
        counts = np.array([len(windows) for windows in each])
        windows = list(chain.from_iterable(each))
        computed = run(lane, windows, self._budget)
        owners = np.repeat(np.array(texts), counts)
        gathered.failed.update((int(owners[row]), why) for row, why in computed.failed.items())
        weights = np.array([len(window) for window in windows], np.float32)
        for name, column in pooled(computed, counts, weights, self._window_pooling).items():
            gathered.columns[name][texts] = column
        return computed.padding_share


def pooled(
    computed: Computed, counts: NDArray[np.int_], weights: NDArray[np.float32], pooling: WindowPooling
) -> dict[str, NDArray[np.float32]]:
    """Windows to texts, `counts` of them each: logits by `pooling`, embeddings by their mean over the tokens."""
    if (counts == 1).all():
        return computed.columns
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    columns = {}
    for name, column in computed.columns.items():
        if name == EMBEDDING:
            summed = np.add.reduceat(column * weights[:, None], starts)
            columns[name] = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
        elif pooling == "max":
            columns[name] = np.maximum.reduceat(column, starts)
        else:
            columns[name] = np.add.reduceat(column, starts) / counts[:, None].astype(np.float32)
    return columns


class _Gathered:
    """Logits and embeddings of all texts, by name, in their order; zeros where there is nothing."""

    def __init__(self, tokenized: Tokenized, offer: Offer) -> None:
        count = len(tokenized.ids)
        self._offer = offer
        self._missing = [i for i, ids in enumerate(tokenized.ids) if ids is None]
        self.failed: dict[int, str] = {}
        widths = {classifier.name: len(classifier.labels) for classifier in offer.classifiers}
        self.columns = {
            name: np.zeros((count, width), np.float32) for name, width in {**widths, EMBEDDING: offer.width}.items()
        }

    def predictions(self, forward_s: float, padding_share: float) -> Predictions:
        """A number that is none (half precision can overflow) is its text's failure."""
        broken = np.logical_or.reduce([~np.isfinite(column).all(axis=1) for column in self.columns.values()])
        for row in np.flatnonzero(broken).tolist():
            self.failed.setdefault(row, "forward pass: not a finite number")
        for column in self.columns.values():
            column[list(self.failed)] = 0.0
        scores = tuple(_scores(self.columns[c.name], c.kind) for c in self._offer.classifiers)
        for each in scores:
            each[[*self._missing, *self.failed]] = 0.0
        return Predictions(
            classifiers=self._offer.classifiers,
            scores=scores,
            embeddings=self.columns[EMBEDDING],
            forward_s=forward_s,
            padding_share=padding_share,
            failed=self.failed,
        )


def _scores(logits: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    """Independent sigmoids, or a softmax over the labels."""
    if kind == "multi":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0))), np.float32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True)) if logits.size else logits
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
