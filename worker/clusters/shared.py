"""The one cluster table of all workers, as each of them uses it: assign by the newest version, send samples along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.clusters.assign import assign
from worker.clusters.sampling import Offering
from worker.clusters.table import Table
from worker.clusters.wire import sample_value
from worker.types import Assignments, ClusterSummary, Output


class Follower(Protocol):
    """Where the table comes from."""

    @property
    def table(self) -> Table:
        """The newest whole version. Any thread."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """Where samples go, and whose embeddings they are; None: nothing is sent."""

    topic: str
    encoder: str
    offering: Offering


class SharedClusters:
    """Satisfies `types.Clusters`. Nothing is learned here: samples travel in the batch's transaction, so that an
    aborted batch teaches nothing.
    """

    def __init__(self, follower: Follower, table: str, sending: Sending | None) -> None:
        self._follower = follower
        self._table = table
        self._sending = sending

    def summary(self) -> ClusterSummary:
        table = self._follower.table
        sizes = dict(zip(table.ids, table.seen.tolist(), strict=True))
        left_out = self._sending.offering.left_out if self._sending else 0
        return ClusterSummary(table.name, table.version, sizes, table.names, left_out)

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        return assign(self._follower.table, embeddings)

    def samples(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]
    ) -> tuple[Output, ...]:
        sending = self._sending
        chosen = sending.offering.samples(embeddings, texts, times_ms) if sending else None
        if sending is None or chosen is None:
            return ()
        return tuple(
            Output(
                sending.topic,
                sample_value(self._table, sending.encoder, embedding, list(words), time_ms),
                partition=0,
            )
            for embedding, words, time_ms in zip(chosen.embeddings, chosen.words, chosen.times_ms.tolist(), strict=True)
        )

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]) -> None:
        """The learner reads them from their topic."""

    def close(self) -> None:
        self._follower.close()
