"""Which texts share a padded forward pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def micro_batches(lengths: NDArray[np.int32], max_tokens: int) -> list[Rows]:
    """Cut texts, longest first, into groups whose padded size (longest x count) is at most `max_tokens`.

    A text that alone is longer makes a group by itself. Longest first: what memory cannot hold shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        width = max(1, int(lengths[order[start]]))
        stop = start + max(1, max_tokens // width)
        batches.append(order[start:stop])
        start = stop
    return batches
