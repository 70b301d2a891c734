"""What clusters a stream: tagstream's learner, scikit-learn as it comes, and batch k-means, which knows the future."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans

from worker.clusters.assign import assign
from worker.clusters.learner import Learner
from worker.clusters.lineage import Event
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.table import Table

OURS, PLAIN, ORACLE = "tagstream", "partial_fit", "k-means of all"
WARM_UP, STEP = 2000, 256
EVERYTHING = -2.0  # a threshold that every text reaches

Rows = NDArray[np.float32]
Ids = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Of some texts: the nearest cluster's id, and whether the text is near enough to be given it."""

    ids: Ids
    near: NDArray[np.bool_]

    @property
    def told(self) -> Ids:
        """The ids that a result carries, -1 for none."""
        return np.where(self.near, self.ids, -1)


class Way(Protocol):
    """`learn` changes what `assign` says; `stale` is what it said before the last change."""

    events: list[Event]

    def learn(self, rows: Rows, times_ms: NDArray[np.int64]) -> None: ...

    def assign(self, rows: Rows) -> Given: ...

    def stale(self, rows: Rows) -> Given: ...


class Ours:
    """The learner at its defaults but `k`. Events of the warm-up are left out."""

    def __init__(self, k: int, seed: int) -> None:
        self._learner = Learner(Recipe(k=k, warmup=WARM_UP, seed=seed))
        self._before = self._learner.table
        self._learned = 0
        self.events: list[Event] = []

    def learn(self, rows: Rows, times_ms: NDArray[np.int64]) -> None:
        self._before = self._learner.table
        positions = self._learned + np.arange(len(rows))
        self._learner.learn(Samples(rows, [[]] * len(rows), times_ms, positions))
        self._learned += len(rows)
        self.events += [event for event in self._learner.take_events() if event.kind != "born"]

    def assign(self, rows: Rows) -> Given:
        return _given(self._learner.table, rows)

    def stale(self, rows: Rows) -> Given:
        return _given(self._before, rows)


class Plain:
    """`MiniBatchKMeans` at its defaults: `partial_fit` with the warm-up, then with each step. An id is a number."""

    def __init__(self, k: int, seed: int) -> None:
        self._model = MiniBatchKMeans(k, random_state=seed, n_init=3)
        self._before = np.zeros((0, 0), dtype=np.float32)
        self.events: list[Event] = []

    def learn(self, rows: Rows, times_ms: NDArray[np.int64]) -> None:
        self._before = getattr(self._model, "cluster_centers_", self._before).copy()
        self._model.partial_fit(rows)

    def assign(self, rows: Rows) -> Given:
        return _everywhere(_nearest(rows, self._model.cluster_centers_))

    def stale(self, rows: Rows) -> Given:
        return _everywhere(_nearest(rows, self._before))


def oracle(rows: Rows, k: int) -> Ids:
    """Labels of the best k-means of the whole stream."""
    labels: Ids = KMeans(k, n_init=3, random_state=0).fit(rows).labels_
    return labels


def ways(k: int, seed: int) -> Sequence[tuple[str, Way]]:
    return (OURS, Ours(k, seed)), (PLAIN, Plain(k, seed))


def _given(table: Table, rows: Rows) -> Given:
    found = assign(replace(table, threshold=EVERYTHING), rows)
    return Given(np.array(found.ids), found.similarity >= table.threshold)


def _everywhere(ids: Ids) -> Given:
    return Given(ids, np.ones(len(ids), dtype=bool))


def _nearest(rows: Rows, centres: Rows) -> Ids:
    """Of centres that are not of length 1."""
    nearest: Ids = (rows @ centres.T - np.einsum("ij,ij->i", centres, centres) / 2).argmax(axis=1)
    return nearest
