"""Clusters switched off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.types import Assignments, Output


class NoClusters:
    """Assigns nothing, learns nothing; its table has no name."""

    def summary(self) -> None:
        """There is no table."""

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        count = len(embeddings)
        return Assignments("", 0, [None] * count, np.zeros(count, dtype=np.float32), {})

    def samples(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]
    ) -> tuple[Output, ...]:
        return ()

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""
