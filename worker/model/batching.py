"""Which texts share a forward pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def micro_batches(lengths: NDArray[np.int32], max_tokens: int, *, padded: bool) -> list[Rows]:
    """Cut texts, longest first, into groups of at most `max_tokens`: their sum, or longest x count where padded.

    A text that alone is longer makes a group by itself. Longest first: what memory cannot hold shows at once, and equal
    lengths lie together.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        count = _fitting(lengths[order[start:]], max_tokens, padded)
        batches.append(order[start : start + count])
        start += count
    return batches


def _fitting(lengths: NDArray[np.int32], max_tokens: int, padded: bool) -> int:
    """How many of the first fit."""
    if padded:
        return max(1, max_tokens // max(1, int(lengths[0])))
    return max(1, int(np.searchsorted(np.cumsum(lengths, dtype=np.int64), max_tokens, side="right")))


def padding_share(batches: list[Rows], lengths: NDArray[np.int32]) -> float:
    """The part of all computed tokens that is padding, where these groups are padded."""
    computed = sum(len(rows) * int(lengths[rows[0]]) for rows in batches)  # the longest text comes first
    return 1.0 - sum(int(lengths[rows].sum()) for rows in batches) / computed if computed else 0.0
