"""The worker's side of clustering: assigns by the newest table, while a process of its own learns the next one."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import structlog
from numpy.typing import NDArray

from worker.child import CLOSE_TIMEOUT_S, Child, Lost
from worker.clusters.assign import assign
from worker.clusters.child import learning
from worker.clusters.naming import words
from worker.clusters.recipe import Recipe
from worker.clusters.sampling import Sampler
from worker.clusters.table import Table
from worker.frames import Frame
from worker.types import Assignments, ClusterSummary

QUEUED_OFFERS = 4  # rides over one slow step of the learner; more would only be older

log = structlog.get_logger(__name__)


class ClusterProcess:
    """One cluster table, learned in a child process; satisfies `types.Clusters`.

    If the child dies, `assign` goes on with the last table and nothing more is learned: logged once, `alive` is False.
    `left_out` counts the texts offered to `learn` that the learner never got. `clock` is monotonic, in seconds.
    `redact` is done to a text before its words may become names.
    `close` ends the child; it holds nothing that would have to be saved.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        samples_per_s: float,
        names: bool,
        clock: Callable[[], float],
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self.left_out = 0
        self._table = Table(recipe.table)
        self._sampler = Sampler(per_s=samples_per_s)
        self._names = names
        self._redact = redact
        self._clock = clock
        self._offers: queue.Queue[Frame | None] = queue.Queue(QUEUED_OFFERS)
        self._closing = False
        self._child = Child(learning, Frame(asdict(recipe)), name="cluster-learner")
        self._courier = threading.Thread(target=self._carry, name="clusters", daemon=True)
        self._courier.start()

    @property
    def table(self) -> Table:
        """The newest table. Any thread."""
        return self._table

    @property
    def alive(self) -> bool:
        """Whether the learner learns. Any thread."""
        return self._courier.is_alive() and self._child.alive

    def summary(self) -> ClusterSummary:
        table = self._table
        sizes = dict(zip(table.ids, table.seen.tolist(), strict=True))
        return ClusterSummary(table.name, table.version, sizes, table.names, self.left_out)

    def assign(self, embeddings: NDArray[np.float32]) -> Assignments:
        return assign(self._table, embeddings)

    def learn(self, embeddings: NDArray[np.float32], texts: Sequence[str]) -> None:
        taken = self._sampler.pick(len(texts), self._clock()) if self._courier.is_alive() else []
        self.left_out += len(texts) - len(taken)
        if not taken:
            return
        header = {"words": [self._words(texts[i]) for i in taken]}
        try:
            self._offers.put_nowait(Frame(header, (embeddings[taken],)))
        except queue.Full:
            self.left_out += len(taken)

    def _words(self, text: str) -> list[str]:
        if not self._names:
            return []
        return words(self._redact(text) if self._redact else text)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._child.close()
        with contextlib.suppress(queue.Full):
            self._offers.put_nowait(None)
        self._courier.join(CLOSE_TIMEOUT_S)

    def _carry(self) -> None:
        """Take offers to the child and tables back, one for one, until closed or the child is gone."""
        try:
            while (offer := self._offers.get()) is not None:
                reply = self._child.ask(offer)
                if reply.header:
                    self._table = Table.from_frame(reply)
        except Lost as error:
            if not self._closing:
                log.error(
                    "cluster_learner_lost", table=self._table.name, version=self._table.version, detail=error.detail
                )
