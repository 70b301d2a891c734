"""How well ids agree with classes, and whether they keep their word. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from benchmarks.clusters_streams.streams import Stream
from worker.clusters.lineage import Event

Ids = NDArray[np.intp]


def mutual_information(classes: Ids, ids: Ids) -> float:
    return float(normalized_mutual_info_score(classes, ids))


def adjusted_rand(classes: Ids, ids: Ids) -> float:
    return float(adjusted_rand_score(classes, ids))


def accuracy(classes: Ids, ids: Ids) -> float:
    """Share of texts whose id is their class's, each class having the one id that suits all best (Hungarian)."""
    together = contingency_matrix(classes, ids)
    return float(together[linear_sum_assignment(-together)].sum() / len(ids))


def meaning(windows: Sequence[tuple[Ids, Ids]]) -> float:
    """Share of texts whose id's majority class in their window is still that of the id's first window."""
    first: dict[int, int] = {}
    kept = total = 0
    for classes, ids in windows:
        for one in np.unique(ids).tolist():
            own = classes[ids == one]
            majority = int(np.bincount(own).argmax())
            kept += len(own) * (first.setdefault(one, majority) == majority)
            total += len(own)
    return kept / total


def lost_while_away(events: Sequence[Event], ids: Ids, classes: Ids, stream: Stream, dormant_after_ms: int) -> float:
    """Classes whose id ended while they were away, though they came back within the time that ids are kept for.

    A class's id is the one that most of its texts were given before. `ids` are those of the last texts of the stream.
    """
    if stream.away_ms is None:
        return 0.0
    coming, times_ms = classes[stream.order][-len(ids) :], stream.times_ms[-len(ids) :]
    lost = 0
    for event in events:
        past = times_ms <= event.at_ms
        for one in set(event.parents) - set(event.children):
            for topic in np.unique(coming[past & (ids == one)]):
                if np.bincount(ids[past & (coming == topic)]).argmax() == one:
                    before, after = times_ms[past & (coming == topic)], times_ms[~past & (coming == topic)]
                    away = event.at_ms - before[-1] > stream.away_ms
                    lost += bool(away and len(after) and after[0] - before[-1] <= dormant_after_ms)
    return float(lost)
