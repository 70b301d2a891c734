"""How many texts the learner may be offered: a bounded rate, spread over each batch."""

from __future__ import annotations

import numpy as np


class Sampler:
    """A bucket of `per_s` samples a second that holds one second's worth (at least one sample); it starts full.

    Time is passed in, in seconds of any clock that does not go back.
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
