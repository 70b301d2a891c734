"""Embeddings of texts from a file, as a worker's engine makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.clusters.assign import usable_rows
from worker.types import Engine

PART = 256  # texts of one pass


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Unit rows, not a number where the model could not read a text; and whose embeddings they are."""

    rows: NDArray[np.float32]
    encoder: str

    def readable(self) -> NDArray[np.float32]:
        """The rows that point anywhere."""
        return self.rows[usable_rows(self.rows)]


def embedded(engine: Engine, texts: Sequence[str], advance: Callable[[int], None]) -> Embedded:
    """Of texts as they are prepared for the model, at least one. `advance` is told how many more are done."""
    parts = []
    for start in range(0, len(texts), PART):
        tokenized = engine.tokenize(texts[start : start + PART])
        predictions = engine.infer(tokenized)
        rows = np.array(predictions.embeddings, dtype=np.float32)
        rows[[*tokenized.errors, *predictions.failed]] = np.nan
        parts.append(rows)
        advance(len(rows))
    return Embedded(np.concatenate(parts), engine.encoder)
