"""The linear map of a deep clustering: what a table's centres are compared with. Pure, and no library but numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def mapped(rows: Floats, matrix: Floats | None) -> Floats:
    """Unit rows of `rows @ matrix`; without a map the rows themselves. Zero rows stay zero."""
    if matrix is None:
        return rows
    moved = rows @ matrix
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / np.where(norms > 0, norms, 1), np.float32)
