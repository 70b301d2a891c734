"""Which texts the learner is offered: a bounded rate, spread over each batch, with words for names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.clusters.samples import Samples
from worker.clusters.words import words


class Sampler:
    """A bucket of `per_s` samples a second that holds one second's worth (at least one sample); it starts full.

    Time is passed in, in seconds; where the clock goes back nothing is gained.
    """

    def __init__(self, *, per_s: float) -> None:
        self._per_s = per_s
        self._room = max(per_s, 1.0)
        self._left = self._room
        self._filled_at_s: float | None = None

    def pick(self, count: int, now_s: float) -> list[int]:
        """Which of `count` texts to take, evenly spread; they are paid for."""
        elapsed_s = now_s - self._filled_at_s if self._filled_at_s is not None else 0.0
        self._left = min(self._room, self._left + max(elapsed_s, 0.0) * self._per_s)
        self._filled_at_s = now_s
        taken = min(count, int(self._left))
        self._left -= taken
        return (np.arange(taken) * count // max(taken, 1)).tolist()


class Offering:
    """Makes samples of batches. `left_out` counts the texts that were not taken; `clock` gives seconds since 1970.

    `redact` is done to a text before its words may become names, and `stop_words` never do; without `names` no words
    are taken.
    """

    def __init__(
        self,
        *,
        per_s: float,
        names: bool,
        clock: Callable[[], float],
        redact: Callable[[str], str] | None = None,
        stop_words: frozenset[str] = frozenset(),
    ) -> None:
        self.left_out = 0
        self._sampler = Sampler(per_s=per_s)
        self._names = names
        self._clock = clock
        self._redact = redact
        self._stop_words = stop_words
        self._offered = 0

    def samples(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]
    ) -> Samples | None:
        """Of a batch; a text without a time has 0, which is before all others, and none is of the future."""
        now_s = self._clock()
        taken = self._sampler.pick(len(texts), now_s)
        self.left_out += len(texts) - len(taken)
        if not taken:
            return None
        positions = self._offered + np.arange(len(taken))
        self._offered += len(taken)
        times = np.minimum([times_ms[i] or 0 for i in taken], int(now_s * 1000)).astype(np.int64)
        return Samples(embeddings[taken], [self._words(texts[i]) for i in taken], times, positions)

    def _words(self, text: str) -> list[str]:
        if not self._names:
            return []
        return words(self._redact(text) if self._redact else text, self._stop_words)
