"""A first table from texts that are all there, so that a worker begins with good clusters rather than a warm-up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.metrics import silhouette_score

from worker.clusters.learner import Learner
from worker.clusters.lineage import Event
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples, usable
from worker.clusters.spherical import Matrix, nearest, normalise, start
from worker.clusters.table import Table

WARMUP = 10_000  # texts that the first centres are made of; the steps of a learner follow
SAMPLED = 2000  # texts that a silhouette is taken of: its cost grows as their square
GRID = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
MIN_PER_CLUSTER = 8


def first_table(samples: Samples, recipe: Recipe) -> Table:
    """Version 1, its ids from 1, before the first sample of a stream; empty where no row points anywhere.

    What a learner makes of the samples, in an order drawn by the recipe's seed. It has no past: an id's first centre
    is the one that it has now.
    """
    found = usable(samples)
    if not len(found):
        return Table(recipe.table)
    shuffled = _shuffled(found, recipe.seed)
    learner = Learner(replace(recipe, warmup=min(len(found), WARMUP), k=min(recipe.k, len(found))))
    learner.learn(shuffled)
    return _begun(learner.table, normalise(found.embeddings), recipe)


def born(table: Table) -> list[Event]:
    return [
        Event("born", (), (one,), table.at_ms, seen, "fitted from a file")
        for one, seen in zip(table.ids, table.seen.tolist(), strict=True)
    ]


def silhouettes(rows: Matrix, seed: int) -> dict[int, float]:
    """Of the numbers of clusters worth trying for so many texts: between -1 and 1, more is better."""
    rows = sampled(rows, seed)
    distances = 1 - rows @ rows.T
    np.clip(distances, 0, None, out=distances)
    np.fill_diagonal(distances, 0)
    found = {}
    for k in GRID:
        if k == GRID[0] or k * MIN_PER_CLUSTER <= len(rows):
            centres, _ = start(rows, k, seed)
            labels = nearest(rows, centres)
            if 1 < len(np.unique(labels)) < len(rows):
                found[k] = float(silhouette_score(distances, labels, metric="precomputed"))
    return found


def sampled(rows: Matrix, seed: int) -> Matrix:
    if len(rows) <= SAMPLED:
        return rows
    return rows[np.random.default_rng(seed % 2**64).choice(len(rows), SAMPLED, replace=False)]


def _shuffled(samples: Samples, seed: int) -> Samples:
    order = np.random.default_rng(seed % 2**64).permutation(len(samples))
    return Samples(
        samples.embeddings[order],
        [samples.words[i] for i in order.tolist()],
        samples.times_ms[order],
        np.arange(len(order)),
    )


def _begun(table: Table, rows: Matrix, recipe: Recipe) -> Table:
    """The same clusters as if each had just been born; those that no text is nearest to are left out."""
    seen = np.bincount(nearest(rows, table.centres), minlength=len(table.ids))
    kept = np.flatnonzero(seen)
    ids = tuple(range(1, len(kept) + 1))
    old = [table.ids[place] for place in kept.tolist()]
    return Table(
        name=recipe.table,
        version=1,
        ids=ids,
        centres=table.centres[kept],
        anchors=table.centres[kept],
        counts=np.minimum(seen[kept], recipe.count_cap),
        seen=seen[kept],
        last_ms=np.full(len(kept), table.at_ms),
        threshold=table.threshold,
        names={new: table.names[one] for new, one in zip(ids, old, strict=True) if one in table.names},
        words={new: table.words[one] for new, one in zip(ids, old, strict=True) if one in table.words},
        next_id=len(kept) + 1,
        position=0,
        at_ms=table.at_ms,
    )
