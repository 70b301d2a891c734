"""K-means on the unit sphere: the start, Lloyd steps, and the mini-batch update. Pure; float32 throughout."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

Matrix = NDArray[np.float32]
Counts = NDArray[np.int64]

STARTS = 5
LLOYD_STEPS = 10
SAME_COSINE = 1 - 1e-5  # copies of one text, embedded beside other neighbours, differ by less


def normalise(rows: Matrix) -> Matrix:
    """Unit rows; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def start(rows: Matrix, k: int, seed: int) -> tuple[Matrix, Counts]:
    """Centres and cluster sizes of n ≥ 1 unit rows: the best of several k-means++ starts.

    At most `k` clusters: none is empty, no two are the same, so that copies of one text are one cluster.
    """
    centres = max(_runs(rows, min(k, len(rows)), seed), key=lambda found: float(_closeness(rows, found).sum()))
    centres = _distinct(centres)
    counts = np.bincount(nearest(rows, centres), minlength=len(centres))
    return centres[counts > 0], counts[counts > 0]


def nearest(rows: Matrix, centres: Matrix) -> NDArray[np.intp]:
    """Index of the nearest centre of each row."""
    closest: NDArray[np.intp] = (rows @ centres.T).argmax(axis=1)
    return closest


def lloyd(rows: Matrix, centres: Matrix) -> Matrix:
    """One spherical Lloyd step; a centre without rows, or whose rows cancel out, stays where it is."""
    members = np.zeros((len(rows), len(centres)), dtype=np.float32)
    members[np.arange(len(rows)), nearest(rows, centres)] = 1
    moved = normalise(members.T @ rows)
    return np.where(moved.any(axis=1, keepdims=True), moved, centres)


def update(rows: Matrix, centres: Matrix, counts: Counts, cap: int) -> tuple[Matrix, Counts]:
    """One mini-batch step: new centres and counts, capped so that centres go on following their topics.

    The first `partial_fit` only seeds scikit-learn's counts: each centre is its own single row, weighted.
    `reassignment_ratio=0` keeps it from moving rarely used centres elsewhere, which would change what an id means.
    """
    model = MiniBatchKMeans(n_clusters=len(centres), init=centres, n_init=1, reassignment_ratio=0, random_state=0)
    model.partial_fit(centres, sample_weight=counts.astype(np.float32)).partial_fit(rows)
    moved = normalise(model.cluster_centers_)
    gained = np.bincount(model.labels_, minlength=len(centres))
    return np.where(moved.any(axis=1, keepdims=True), moved, centres), np.minimum(counts + gained, cap)


def _runs(rows: Matrix, k: int, seed: int) -> Iterator[Matrix]:
    for run in range(STARTS):
        picked, _ = kmeans_plusplus(rows, k, random_state=(seed + run) % 2**32)
        centres = normalise(picked)
        for _ in range(LLOYD_STEPS):
            centres = lloyd(rows, centres)
        yield centres


def _closeness(rows: Matrix, centres: Matrix) -> Matrix:
    closest: Matrix = (rows @ centres.T).max(axis=1)
    return closest


def _distinct(centres: Matrix) -> Matrix:
    """The centres without those that repeat an earlier one."""
    same = np.tril(centres @ centres.T > SAME_COSINE, k=-1)
    return centres[~same.any(axis=1)]
