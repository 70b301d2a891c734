"""Engines to measure with: one with a clock, one that computes little, and one that computes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worker.types import Classifier, Engine, EnginePart, Predictions, Tokenized

WIDTH = 384  # of a small encoder's embedding


class _Around:
    """Another engine, all but what it infers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def classifiers(self) -> tuple[Classifier, ...]:
        return self._engine.classifiers

    @property
    def encoder(self) -> str:
        return self._engine.encoder

    @property
    def place(self) -> tuple[str, str]:
        return self._engine.place

    @property
    def parts(self) -> tuple[EnginePart, ...]:
        return self._engine.parts

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        return self._engine.tokenize(texts)

    def close(self) -> None:
        self._engine.close()


class TimedEngine(_Around):
    """Another engine, with a note of when and how long it computed. One thread infers; read it when that is done."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.forward_s: list[float] = []
        self.sizes: list[int] = []
        self.began_s: float | None = None

    def infer(self, tokenized: Tokenized) -> Predictions:
        """Batches without texts, which only commit positions, are not noted."""
        began = time.perf_counter()
        predictions = self._engine.infer(tokenized)
        if len(tokenized.ids):
            self.began_s = began if self.began_s is None else self.began_s
            self.forward_s.append(time.perf_counter() - began)
            self.sizes.append(len(tokenized.ids))
        return predictions


class FirstOfEach(_Around):
    """Computes the first `count` texts of a batch and says the same of all: the other stages then never rest."""

    def __init__(self, engine: Engine, count: int) -> None:
        super().__init__(engine)
        self._count = count

    def infer(self, tokenized: Tokenized) -> Predictions:
        computed = self._engine.infer(first_of(tokenized, self._count))
        rows = np.arange(len(tokenized.ids)) % self._count
        scores = tuple(column[rows] for column in computed.scores)
        return replace(computed, scores=scores, embeddings=computed.embeddings[rows])


class StandIn:
    """Gives every text the same scores, at once: results as large as real ones, and no computing."""

    classifiers = (Classifier("default", "single", ("one", "two", "three", "four"), "stand-in", "0"),)
    encoder = ""
    place = ("cpu", "float32")
    parts: tuple[EnginePart, ...] = ()

    def tokenize(self, texts: Sequence[str]) -> Tokenized:
        count = len(texts)
        return Tokenized([()] * count, np.zeros(count, np.int32), np.ones(count, np.int32), np.zeros(count, np.bool_))

    def infer(self, tokenized: Tokenized) -> Predictions:
        count = len(tokenized.ids)
        scores = np.tile(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (count, 1))
        return Predictions(self.classifiers, (scores,), np.zeros((count, WIDTH), np.float32))

    def close(self) -> None:
        pass


def first_of(tokenized: Tokenized, count: int) -> Tokenized:
    """Its first texts alone."""
    return replace(
        tokenized,
        ids=tokenized.ids[:count],
        lengths=tokenized.lengths[:count],
        windows=tokenized.windows[:count],
        truncated=tokenized.truncated[:count],
        errors={i: why for i, why in tokenized.errors.items() if i < count},
    )
