"""The engine without a model: what `tagstream bench` measures the pipeline with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.types import Classifier, EnginePart, Predictions, Tokenized


class NoModel:
    """Gives no labels and zero-width embeddings, at once."""

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return ()

    @property
    def encoder(self) -> str:
        return ""

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        return ()

    @property
    def place(self) -> tuple[str, str]:
        return "cpu", "float32"

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        count = len(texts)
        return Tokenized(
            ids=[()] * count,
            lengths=np.zeros(count, np.int32),
            windows=np.ones(count, np.int32),
            truncated=np.zeros(count, np.bool_),
        )

    def infer(self, tokenized: Tokenized) -> Predictions:
        return Predictions(classifiers=(), scores=(), embeddings=np.zeros((len(tokenized.ids), 0), np.float32))

    def close(self) -> None:
        pass
