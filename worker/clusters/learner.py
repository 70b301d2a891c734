"""Learns clusters from samples: a warm-up, then mini-batches. The same samples in the same order, the same table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.clusters.assign import usable_rows
from worker.clusters.naming import Naming
from worker.clusters.recipe import Recipe
from worker.clusters.spherical import nearest, normalise, start, update
from worker.clusters.table import Table

COUNT_CAP = 200  # above it a centre would follow its topic ever more slowly
CHUNK = 256  # samples of one step, cut by their position in the stream: how calls are cut changes nothing
WINDOW = 2000  # similarities that the threshold is taken from
SLACK = 1e-5  # a product of another shape differs in its last bits; a copy of a known text must not fall below


class Learner:
    """Clusters learned from samples, published as a new table version per step.

    Until `warmup` samples have come (at least `k`), the table is empty. Rows that are zero or not finite are left out.
    Ids count from 1 and are never given twice. Holds no thread and no file; not safe to share between threads.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._table = Table(recipe.table)
        self._rows: list[NDArray[np.float32]] = []
        self._words: list[Sequence[str]] = []
        self._similarities = np.zeros(0, dtype=np.float32)
        self._naming = Naming(clusters=0)

    @property
    def table(self) -> Table:
        """The newest version."""
        return self._table

    def learn(self, embeddings: NDArray[np.float32], words: Sequence[Sequence[str]]) -> None:
        """Take float32 [n, d] unit rows with the words of each text; learn as many whole steps as have come."""
        rows = np.asarray(embeddings, dtype=np.float32)
        usable = np.flatnonzero(usable_rows(rows)).tolist()
        self._rows.extend(rows[i].copy() for i in usable)
        self._words.extend(words[i] for i in usable)
        while len(self._rows) >= self._step_size():
            self._step(self._step_size())

    def _step_size(self) -> int:
        return CHUNK if self._table.version else max(self._recipe.warmup, self._recipe.k)

    def _step(self, size: int) -> None:
        rows, words = normalise(np.stack(self._rows[:size])), self._words[:size]
        del self._rows[:size], self._words[:size]
        if self._table.version:
            self._update(rows, words)
        else:
            self._warm_up(rows, words)

    def _warm_up(self, rows: NDArray[np.float32], words: Sequence[Sequence[str]]) -> None:
        centres, counts = start(rows, self._recipe.k, self._recipe.seed)
        self._naming = Naming(clusters=len(centres))
        ids = tuple(range(1, len(centres) + 1))
        threshold = self._observe(rows, nearest(rows, centres), centres, words)
        self._publish(ids, centres, np.minimum(counts, COUNT_CAP), counts, threshold)

    def _update(self, rows: NDArray[np.float32], words: Sequence[Sequence[str]]) -> None:
        old = self._table
        labels = nearest(rows, old.centres)
        threshold = self._observe(rows, labels, old.centres, words)  # before these rows have moved the centres
        centres, counts = update(rows, old.centres, old.counts, COUNT_CAP)
        seen = old.seen + np.bincount(labels, minlength=len(old.ids))
        self._publish(old.ids, centres, counts, seen, threshold)

    def _observe(
        self,
        rows: NDArray[np.float32],
        labels: NDArray[np.intp],
        centres: NDArray[np.float32],
        words: Sequence[Sequence[str]],
    ) -> float:
        """Note the rows' similarities and words; the similarity that all but the given share of texts reach."""
        self._naming.add(labels, words)
        similarities = np.einsum("ij,ij->i", rows, centres[labels])
        self._similarities = np.concatenate((self._similarities, similarities))[-WINDOW:]
        return float(np.quantile(self._similarities, self._recipe.unassigned_quantile)) - SLACK

    def _publish(
        self,
        ids: tuple[int, ...],
        centres: NDArray[np.float32],
        counts: NDArray[np.int64],
        seen: NDArray[np.int64],
        threshold: float,
    ) -> None:
        names = {i: name for i, name in zip(ids, self._naming.names(), strict=True) if name}
        version = self._table.version + 1
        self._table = Table(self._recipe.table, version, ids, centres, counts, seen, threshold, names)
