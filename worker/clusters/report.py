"""A table for people: how large each cluster is, how that changes, and which are near to each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worker.clusters.table import Table

Trend = Literal["new", "growing", "steady", "shrinking", "quiet"]

SNAPSHOTS = 64  # of the versions that are looked back at, evenly spread
FEW = 20  # samples in either half of them that show no trend
GROWING = 1.5  # times the share that it had


@dataclass(frozen=True, slots=True)
class Size:
    """`share` is of all samples that the clusters of the table were nearest to; `trend` None: too little is known."""

    id: int
    name: str | None
    named: bool
    pinned: bool
    seen: int
    share: float
    trend: Trend | None
    last_seen_ms: int


class Past:
    """How many samples came to each cluster from version to version; bounded. `merges` are those that the events tell:
    version, who went on, who ended.
    """

    def __init__(self, merges: Iterable[tuple[int, int, int]] = ()) -> None:
        self._merges = sorted(merges)
        self._seen: dict[int, int] = {}
        self._version = 0
        self._came: dict[int, int] = {}
        self._total = 0
        self._snapshots: list[tuple[int, dict[int, int]]] = []
        self._every, self._noted = 1, 0

    def note(self, table: Table) -> None:
        """The versions in their order."""
        seen = dict(zip(table.ids, table.seen.tolist(), strict=True))
        came = {one: count - self._seen.get(one, count) for one, count in seen.items()}  # a new one's came to others
        for version, kept, gone in self._merges:
            if self._version < version <= table.version and kept in came:
                came[kept] -= self._seen.get(gone, 0)
        self._came = {one: self._came.get(one, 0) + max(count, 0) for one, count in came.items()}
        self._total += sum(max(count, 0) for count in came.values())
        self._seen, self._version = seen, table.version
        if self._noted % self._every == 0:
            self._snapshots.append((self._total, self._came))
        self._noted += 1
        if len(self._snapshots) > SNAPSHOTS:
            self._snapshots, self._every = self._snapshots[::2], self._every * 2

    def trend(self, one: int) -> Trend | None:
        """The share of the newer half of the samples, against that of the older half."""
        half, before = min(self._snapshots or [(0, {})], key=lambda taken: abs(2 * taken[0] - self._total))
        if min(half, self._total - half) < FEW or one not in self._came:
            return None
        if one not in before:
            return "new"
        early, late = before[one] / half, (self._came[one] - before[one]) / (self._total - half)
        if not late:
            return "quiet"
        return "growing" if late > GROWING * early else "shrinking" if early > GROWING * late else "steady"


def sizes(table: Table, past: Past) -> list[Size]:
    """The largest first."""
    total = max(int(table.seen.sum()), 1)
    found = [
        Size(
            id=one,
            name=table.names.get(one),
            named=one in table.named,
            pinned=one in table.pinned,
            seen=seen,
            share=seen / total,
            trend=past.trend(one),
            last_seen_ms=last_ms,
        )
        for one, seen, last_ms in zip(table.ids, table.seen.tolist(), table.last_ms.tolist(), strict=True)
    ]
    return sorted(found, key=lambda size: (-size.seen, size.id))


def neighbours(table: Table, one: int, most: int) -> list[tuple[int, float]]:
    """The clusters whose centres are nearest to this one's, with the cosines."""
    place = table.ids.index(one)
    cosines = table.centres @ table.centres[place]
    nearest = [i for i in np.argsort(-cosines, kind="stable").tolist() if i != place]
    return [(table.ids[i], float(cosines[i])) for i in nearest[:most]]


def moved(table: Table, one: int) -> float:
    """Cosine of its centre to what it was when it got its id."""
    place = table.ids.index(one)
    return float(table.centres[place] @ table.anchors[place])
