"""A fitted table that goes on with other centres, as deep clustering has made them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.clusters.deepmap import Floats, mapped
from worker.clusters.learner import SLACK
from worker.clusters.naming import first_names
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples, usable
from worker.clusters.spherical import nearest, normalise
from worker.clusters.table import Table
from worker.clusters.wordcounts import WordCounts, Words
from worker.errors import SettingsError

WIDEST = 600  # dimensions: in float16 and base64 a map of them is 0.92 MiB, and a record is 1 MiB at most


def deepened(table: Table, samples: Samples, centres: Floats, matrix: Floats | None, recipe: Recipe) -> Table:
    """`table`, version 1, with these centres behind this map, as if each cluster had just been born of the samples.

    Those that no text is nearest to are left out; ids count from 1. Later samples move the centres behind the map.
    """
    found = usable(samples)
    rows = mapped(normalise(found.embeddings), matrix)
    kept = np.unique(nearest(rows, centres))
    centres = centres[kept]
    places = nearest(rows, centres)
    seen = np.bincount(places, minlength=len(kept))
    own = np.einsum("ij,ij->i", rows, centres[places])
    made = replace(
        table,
        ids=tuple(range(1, len(kept) + 1)),
        centres=centres,
        anchors=centres,
        counts=np.minimum(seen, recipe.count_cap),
        seen=seen,
        last_ms=np.full(len(kept), table.at_ms),
        threshold=float(np.quantile(own, recipe.unassigned_quantile)) - SLACK,
        next_id=len(kept) + 1,
        map=matrix,
    )
    return _named(made, places, found, recipe)


def refuse_wide(dimensions: int) -> None:
    """Raises `SettingsError` where a map would not fit into a record."""
    if dimensions > WIDEST:
        raise SettingsError(
            f"--method dec: the map of an encoder of {dimensions} dimensions would not fit into a record of the cluster"
            f" topic, {WIDEST} would; use --tune top:1, which needs no map, or k-means"
        )


def _named(table: Table, places: NDArray[np.intp], samples: Samples, recipe: Recipe) -> Table:
    if not recipe.names:
        return replace(table, names={}, words={})
    counts = WordCounts([Words()] * len(table.ids))
    counts.add(places, samples.words)
    words = dict(zip(table.ids, counts.typical(), strict=True))
    return replace(table, names=first_names(words, {}), words=words)
