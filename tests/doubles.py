"""Small real classes behind the Protocols of `worker.types`, for tests that need neither torch nor Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from worker.types import Classifier, EnginePart, Predictions, Tokenized

TOP_SCORE = 0.9


class FakeEngine:
    """Labels a text by its hash and embeds it as hashed bag of words: always the same, at once, without torch.

    A text has as many tokens as words. One with a lone surrogate cannot be tokenised; one that holds `fail_on` is
    reported as failed by `infer`. `closed` counts the calls of `close`.
    """

    def __init__(
        self,
        *,
        labels: Sequence[str] = ("a", "b"),
        dim: int = 8,
        fail_on: str | None = None,
        revision: str = "0",
        encoder: str = "fake",
        name: str = "default",
    ) -> None:
        self.closed = 0
        self.encoder = encoder
        self._dim = dim
        self._fail_on = fail_on
        self._classifier = Classifier(name, "single", tuple(labels), model="fake", revision=revision)

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return (self._classifier,)

    def label_of(self, text: str) -> str:
        """The label that `infer` gives the highest score."""
        return self._classifier.labels[self._winner(text.split())]

    @property
    def place(self) -> tuple[str, str]:
        return "cpu", "float32"

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        return (EnginePart((self._classifier.name, "encoder"), "fake", 1, 1, packed=True, why_padded=""),)

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        errors = {i: "holds a lone surrogate" for i, text in enumerate(texts) if not _is_unicode(text)}
        ids = [None if i in errors else text.split() for i, text in enumerate(texts)]
        return Tokenized(
            ids=ids,
            lengths=np.array([len(words or ()) for words in ids], np.int32),
            windows=np.array([words is not None for words in ids], np.int32),
            truncated=np.zeros(len(texts), np.bool_),
            errors=errors,
        )

    def infer(self, tokenized: Tokenized) -> Predictions:
        labels = len(self._classifier.labels)
        scores = np.zeros((len(tokenized.ids), labels), np.float32)
        embeddings = np.zeros((len(tokenized.ids), self._dim), np.float32)
        failed: dict[int, str] = {}
        for i, words in enumerate(tokenized.ids):
            if words is None:
                continue
            if self._fail_on is not None and self._fail_on in " ".join(words):
                failed[i] = "told to fail"
                continue
            scores[i] = (1 - TOP_SCORE) / max(labels - 1, 1)
            scores[i, self._winner(words)] = TOP_SCORE if labels > 1 else 1.0
            embeddings[i] = self._embed(words)
        return Predictions((self._classifier,), (scores,), embeddings, failed=failed)

    def close(self) -> None:
        self.closed += 1

    def _winner(self, words: Sequence[str]) -> int:
        return crc32(" ".join(words).encode()) % len(self._classifier.labels)

    def _embed(self, words: Sequence[str]) -> np.ndarray:
        counts = np.zeros(self._dim, np.float32)
        for word in words or ("",):
            counts[crc32(word.encode()) % self._dim] += 1
        return counts / np.linalg.norm(counts)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
