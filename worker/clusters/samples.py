"""What the learner learns from: embeddings, with words for names and the texts' own times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.clusters.assign import usable_rows
from worker.frames import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Of n texts: float32 [n, d] unit rows, different words of each, times in ms, and `positions` in the stream of all
    samples, ascending; a learner that goes on from a table begins behind the table's.
    """

    embeddings: NDArray[np.float32]
    words: Sequence[Sequence[str]]
    times_ms: NDArray[np.int64]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.embeddings)

    def cut(self, index: int) -> tuple[Samples, Samples]:
        """The first `index` of them, and the rest."""
        first, rest = (
            Samples(self.embeddings[part], self.words[part], self.times_ms[part], self.positions[part])
            for part in (slice(None, index), slice(index, None))
        )
        return first, rest

    def joined(self, other: Samples) -> Samples:
        """These, and the others behind them."""
        if not len(self):
            return other
        return Samples(
            np.concatenate((self.embeddings, other.embeddings)),
            [*self.words, *other.words],
            np.concatenate((self.times_ms, other.times_ms)),
            np.concatenate((self.positions, other.positions)),
        )

    def to_frame(self, *, recall: bool = False) -> Frame:
        """`recall`: the learner is to remember them, and not to learn from them."""
        return Frame({"words": self.words, "recall": recall}, (self.embeddings, self.times_ms, self.positions))

    @classmethod
    def from_frame(cls, frame: Frame) -> Samples:
        embeddings, times_ms, positions = frame.arrays
        return cls(embeddings, frame.header["words"], times_ms, positions)


def no_samples() -> Samples:
    return Samples(np.zeros((0, 0), np.float32), [], np.zeros(0, np.int64), np.zeros(0, np.int64))


def usable(samples: Samples) -> Samples:
    """Without rows that are zero or not finite."""
    kept = np.flatnonzero(usable_rows(samples.embeddings))
    return Samples(
        np.asarray(samples.embeddings[kept], np.float32),
        [samples.words[i] for i in kept.tolist()],
        samples.times_ms[kept],
        samples.positions[kept],
    )
