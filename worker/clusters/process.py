"""The worker's side of clustering: assigns by the newest table, while a process of its own learns the next one."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.child import CLOSE_TIMEOUT_S, Lost
from worker.clusters.assign import assign
from worker.clusters.child import LearnerProcess
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.sampling import Offering
from worker.clusters.table import Table
from worker.types import Assignments, ClusterSummary, Output

QUEUED_OFFERS = 4  # rides over one slow step of the learner; more would only be older

log = structlog.get_logger(__name__)


class ClusterProcess:
    """One cluster table of this worker alone, learned in a child process; satisfies `types.Clusters`.

    If the child dies, `assign` goes on with the last table and nothing more is learned: logged once, `alive` is False.
    `left_out` counts the texts offered to `learn` that the learner never got.
    `close` ends the child; it holds nothing that would have to be saved.
    """

    def __init__(self, *, recipe: Recipe, offering: Offering) -> None:
        self._lost = 0
        self._table = Table(recipe.table)
        self._offering = offering
        self._offers: queue.Queue[Samples | None] = queue.Queue(QUEUED_OFFERS)
        self._closing = False
        self._learner = LearnerProcess(recipe)
        self._courier = threading.Thread(target=self._carry, name="clusters", daemon=True)
        self._courier.start()

    @property
    def table(self) -> Table:
        """The newest table. Any thread."""
        return self._table

    @property
    def left_out(self) -> int:
        return self._offering.left_out + self._lost

    @property
    def alive(self) -> bool:
        """Whether the learner learns. Any thread."""
        return self._courier.is_alive() and self._learner.alive

    def summary(self) -> ClusterSummary:
        table = self._table
        sizes = dict(zip(table.ids, table.seen.tolist(), strict=True))
        return ClusterSummary(table.name, table.version, sizes, table.names, self.left_out)

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        return assign(self._table, embeddings)

    def samples(
        self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]
    ) -> tuple[Output, ...]:
        """They do not leave this worker."""
        return ()

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str], times_ms: Sequence[int | None]) -> None:
        samples = self._offering.samples(embeddings, texts, times_ms)
        if samples is None:
            return
        try:
            if self._courier.is_alive():
                self._offers.put_nowait(samples)
                return
        except queue.Full:
            pass
        self._lost += len(samples)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._learner.close()
        with contextlib.suppress(queue.Full):
            self._offers.put_nowait(None)
        self._courier.join(CLOSE_TIMEOUT_S)

    def _carry(self) -> None:
        """Take offers to the child and tables back, one for one, until closed or the child is gone."""
        try:
            while (offer := self._offers.get()) is not None:
                learned = self._learner.learn(offer)
                if learned is not None:
                    self._table = learned.table
        except Lost as error:
            if not self._closing:
                log.error(
                    "cluster_learner_lost", table=self._table.name, version=self._table.version, detail=error.detail
                )
