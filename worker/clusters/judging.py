"""How good a table is for some texts: how far its clusters are apart, and how far they agree with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score
from sklearn.metrics.cluster import contingency_matrix

from worker.clusters.assign import assign, usable_rows
from worker.clusters.deepmap import mapped
from worker.clusters.fitting import SAMPLED
from worker.clusters.spherical import Matrix, nearest
from worker.clusters.table import Table


@dataclass(frozen=True, slots=True)
class Agreement:
    """With labels, of the nearest clusters. `accuracy`: each cluster standing for one label at most, the best way."""

    labels: int
    nmi: float
    ari: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Judged:
    """`unassigned` is a share. `silhouette` is of the nearest clusters, by cosine, of a sample of the texts."""

    texts: int
    unread: int
    unassigned: float
    sizes: dict[int, int]
    silhouette: float | None
    agreement: Agreement | None


def judged(table: Table, rows: Matrix, labels: Sequence[str] | None, seed: int) -> Judged:
    """Rows that point nowhere are `unread`, and in no figure. The table must not be empty."""
    given, kept = len(rows), np.flatnonzero(usable_rows(rows))
    rows = rows[kept]
    if not len(rows):
        return Judged(0, given, 0.0, {}, None, None)
    places = nearest(mapped(rows, table.map), table.centres)
    assigned = [one for one in assign(table, rows).ids if one is not None]
    counts = {one: assigned.count(one) for one in table.ids}
    known = None if labels is None else [labels[i] for i in kept.tolist()]
    return Judged(
        texts=len(rows),
        unread=given - len(rows),
        unassigned=1 - len(assigned) / len(rows),
        sizes=counts,
        silhouette=_silhouette(rows, places, seed),
        agreement=None if known is None else _agreement(known, places),
    )


def _silhouette(rows: Matrix, places: np.ndarray, seed: int) -> float | None:
    if len(rows) > SAMPLED:
        chosen = np.random.default_rng(seed % 2**64).choice(len(rows), SAMPLED, replace=False)
        rows, places = rows[chosen], places[chosen]
    if not 1 < len(np.unique(places)) < len(rows):
        return None
    return float(silhouette_score(rows, places, metric="cosine"))


def _agreement(labels: Sequence[str], places: np.ndarray) -> Agreement:
    table = contingency_matrix(labels, places)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return Agreement(
        labels=len(set(labels)),
        nmi=float(normalized_mutual_info_score(labels, places)),
        ari=float(adjusted_rand_score(labels, places)),
        accuracy=float(table[rows, columns].sum() / len(labels)),
    )
