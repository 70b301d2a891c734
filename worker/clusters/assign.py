"""Clusters of texts under one table: pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.clusters.deepmap import mapped
from worker.clusters.table import Table
from worker.types import Assignments


def assign(table: Table, embeddings: NDArray[np.float32]) -> Assignments:
    """The nearest cluster of each row of float32 [n, d], None below the table's threshold. Never raises for a row.

    Rows that are zero or not finite are unassigned with similarity 0; so is everything under an empty table.
    """
    count = len(embeddings)
    if not table.ids or not count:
        return Assignments(table.name, table.version, [None] * count, np.zeros(count, dtype=np.float32), table.names)
    usable = usable_rows(embeddings)
    if not usable.all():
        embeddings = np.where(usable[:, None], embeddings, np.float32(0))
    cosines = mapped(embeddings, table.map) @ table.centres.T
    nearest = cosines.argmax(axis=1)
    similarity = cosines[np.arange(count), nearest]
    near = usable & (similarity >= table.threshold)
    ids = [table.ids[i] if inside else None for i, inside in zip(nearest.tolist(), near.tolist(), strict=True)]
    return Assignments(table.name, table.version, ids, similarity, table.names)


def usable_rows(embeddings: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows point anywhere: finite and not zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", embeddings, embeddings)
    usable: NDArray[np.bool_] = np.isfinite(squares) & (squares > 0)
    return usable
