"""The worker's side of clustering: assigns by the newest table, while a process of its own learns the next one."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import queue
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from worker.clusters import child, wire
from worker.clusters.assign import assign
from worker.clusters.naming import words
from worker.clusters.recipe import Recipe
from worker.clusters.sampling import Sampler
from worker.clusters.table import Table
from worker.types import Assignments, ClusterSummary

QUEUED_OFFERS = 4  # rides over one slow step of the learner; more would only be older
CLOSE_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class ClusterProcess:
    """One cluster table, learned in a child process; satisfies `types.Clusters`.

    If the child dies, `assign` goes on with the last table and nothing more is learned: logged once, `alive` is False.
    `left_out` counts the texts offered to `learn` that the learner never got. `clock` is monotonic, in seconds.
    `close` ends the child; it holds nothing that would have to be saved.
    """

    def __init__(self, *, recipe: Recipe, samples_per_s: float, names: bool, clock: Callable[[], float]) -> None:
        self.left_out = 0
        self._table = Table(recipe.table)
        self._sampler = Sampler(per_s=samples_per_s)
        self._names = names
        self._clock = clock
        self._offers: queue.Queue[bytes | None] = queue.Queue(QUEUED_OFFERS)
        self._closing = False
        spawn = multiprocessing.get_context("spawn")
        self._connection, childs_end = spawn.Pipe()
        self._process = spawn.Process(
            target=child.serve, args=(childs_end, orjson.dumps(recipe)), name="cluster-learner", daemon=True
        )
        self._process.start()
        childs_end.close()  # only the child may hold it: its death must be seen here as the end of the stream
        self._courier = threading.Thread(target=self._carry, args=(self._connection,), name="clusters", daemon=True)
        self._courier.start()
        atexit.register(self.close)  # before multiprocessing's own, which would wait for the child for ever

    @property
    def table(self) -> Table:
        """The newest table. Any thread."""
        return self._table

    @property
    def alive(self) -> bool:
        """Whether the learner learns. Any thread."""
        return self._courier.is_alive() and self._process.is_alive()

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
        header = {"words": [words(texts[i]) if self._names else [] for i in taken]}
        try:
            self._offers.put_nowait(wire.pack(header, embeddings[taken]))
        except queue.Full:
            self.left_out += len(taken)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        atexit.unregister(self.close)
        self._process.kill()  # a courier that waits for it sees the end of the stream
        with contextlib.suppress(queue.Full):
            self._offers.put_nowait(None)
        self._courier.join(CLOSE_TIMEOUT_S)
        self._process.join(CLOSE_TIMEOUT_S)
        self._connection.close()

    def _carry(self, connection: Connection) -> None:
        """Take offers to the child and tables back, one for one, until closed or the child is gone."""
        detail = "the process ended"
        with contextlib.suppress(EOFError, OSError):
            while (offer := self._offers.get()) is not None:
                connection.send_bytes(offer)
                reply = connection.recv_bytes()
                if reply.startswith(child.TABLE):
                    self._table = Table.from_bytes(reply[len(child.TABLE) :])
                elif reply.startswith(child.FAILED):
                    detail = reply[len(child.FAILED) :].decode()
                    break
        if not self._closing:
            log.error("cluster_learner_lost", table=self._table.name, version=self._table.version, detail=detail)
