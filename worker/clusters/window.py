"""The samples that a refresh looks at: a bounded number, spread over a span of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLOTS = 24  # of the span: an hour each of a day


class Window:
    """Up to `size` rows of the last `span_ms`; where these are fewer, older ones too, so that a slow stream is judged
    by as many as a fast one. Where there are too many, the fullest hours give theirs up first: a burst does not push
    out the quiet night before it. Times are the samples' own, in milliseconds.
    """

    def __init__(self, *, size: int, span_ms: int) -> None:
        self.rows = np.zeros((0, 0), dtype=np.float32)
        self._times_ms = np.zeros(0, dtype=np.int64)
        self._size = size
        self._span_ms = span_ms
        self._slot_ms = max(span_ms // SLOTS, 1)

    def add(self, rows: NDArray[np.float32], times_ms: NDArray[np.int64], random: np.random.Generator) -> None:
        """`random` chooses who leaves."""
        self.rows = np.concatenate((self.rows, rows)) if len(self.rows) else rows
        self._times_ms = np.concatenate((self._times_ms, times_ms))
        kept = self._recent()
        kept = kept[_spread(self._times_ms[kept] // self._slot_ms, self._size, random)]
        self.rows, self._times_ms = self.rows[kept], self._times_ms[kept]

    def _recent(self) -> NDArray[np.intp]:
        """Those of the span, and the newest of all until there are `size`."""
        recent = np.flatnonzero(self._times_ms > self._times_ms.max() - self._span_ms)
        if len(recent) >= self._size:
            return recent
        return np.sort(np.argsort(self._times_ms, kind="stable")[-self._size :])


def _spread(slots: NDArray[np.int64], size: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Which to keep: at most `size`, by one limit for all slots."""
    if len(slots) <= size:
        return np.arange(len(slots))
    _, slot, counts = np.unique(slots, return_inverse=True, return_counts=True)
    limits = np.arange(1, counts.max() + 1)
    totals = np.minimum(counts[:, None], limits).sum(axis=0)
    limit = limits[max(int(np.searchsorted(totals, size, side="right")) - 1, 0)]
    order = np.lexsort((random.random(len(slots)), slot))
    rank = np.empty(len(slots), dtype=np.intp)
    rank[order] = np.arange(len(slots)) - np.repeat(counts.cumsum() - counts, counts)
    return np.flatnonzero(rank < limit)
