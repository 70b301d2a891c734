"""A table while it is being changed: every change of ids is an event."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.clusters.lineage import Event, Kind
from worker.clusters.spherical import Matrix, normalise
from worker.clusters.table import Table


class Draft:
    """Clusters by place; `origins[i]` are the places of the old table that place i goes on with, none of a new one.

    No count grows above `cap`.
    """

    def __init__(self, table: Table, cap: int) -> None:
        self._table = table
        self._cap = cap
        self.ids = list(table.ids)
        self.centres = table.centres.copy()
        self.anchors = table.anchors.copy()
        self.counts = table.counts.copy()
        self.seen = table.seen.copy()
        self.last_ms = table.last_ms.copy()
        self.origins: list[tuple[int, ...]] = [(place,) for place in range(len(self.ids))]
        self.next_id = table.next_id
        self.events: list[Event] = []

    def merge(self, one: int, other: int) -> int:
        """One that a person has pinned or named keeps its id, else the heavier; the other's place is free then."""
        kept, gone = (one, other) if self._weight(one) >= self._weight(other) else (other, one)
        return self.absorb(kept, gone, "they had become one topic")

    def absorb(self, kept: int, gone: int, reason: str) -> int:
        """`kept` goes on for both; the place of the other is free then, and returned."""
        self._tell("merged", (kept, gone), (self.ids[kept],), int(self.counts[gone]), reason)
        weights = self.counts[[kept, gone]].astype(np.float32)
        self.centres[kept] = normalise((weights @ self.centres[[kept, gone]])[None])[0]
        self.counts[kept] = min(self.counts[kept] + self.counts[gone], self._cap)
        self.seen[kept] += self.seen[gone]
        self.last_ms[kept] = max(self.last_ms[kept], self.last_ms[gone])
        self.origins[kept] += self.origins[gone]
        return gone

    def retire(self, place: int) -> int:
        """The place is free then, and returned."""
        self._tell("retired", (place,), (), int(self.counts[place]), "no text has come near it for long")
        return place

    def split(self, place: int, free: int | None, halves: Matrix, counts: list[int]) -> None:
        """The half nearer to what the id meant at first keeps it, the other gets a new one, in the free place."""
        kept = int((halves @ self.anchors[place]).argmax())
        parent, new = self.ids[place], self._new_id()
        self.events.append(
            Event("split", (parent,), (parent, new), self._table.at_ms, counts[1 - kept], "it held two topics")
        )
        self.centres[place], self.counts[place] = halves[kept], self._capped(counts[kept])
        born = (new, halves[1 - kept], counts[1 - kept])
        if free is None:
            self._append(*born)
        else:
            self._replace(free, *born)

    def drift(self, place: int) -> None:
        """It means something else by now: a new id for what is there."""
        old, new = self.ids[place], self._new_id()
        self.events.append(
            Event("drifted", (old,), (new,), self._table.at_ms, int(self.counts[place]), "its topic has moved away")
        )
        self.ids[place], self.anchors[place], self.seen[place] = new, self.centres[place], 0

    def remove(self, place: int) -> None:
        """A place that is free, and stays so."""
        del self.ids[place], self.origins[place]
        self.centres, self.anchors = np.delete(self.centres, place, axis=0), np.delete(self.anchors, place, axis=0)
        self.counts, self.seen, self.last_ms = (
            np.delete(numbers, place) for numbers in (self.counts, self.seen, self.last_ms)
        )

    def done(self) -> Table:
        """The same version still: who publishes counts them."""
        return replace(
            self._table,
            ids=tuple(self.ids),
            centres=self.centres,
            anchors=self.anchors,
            counts=self.counts,
            seen=self.seen,
            last_ms=self.last_ms,
            named=self._table.named & set(self.ids),
            pinned=self._table.pinned & set(self.ids),
            next_id=self.next_id,
        )

    def _new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def _weight(self, place: int) -> tuple[bool, bool, int]:
        one = self.ids[place]
        return one in self._table.pinned, one in self._table.named, int(self.counts[place])

    def _capped(self, count: int) -> int:
        return min(max(count, 1), self._cap)

    def _tell(self, kind: Kind, parents: tuple[int, ...], children: tuple[int, ...], count: int, reason: str) -> None:
        self.events.append(
            Event(kind, tuple(self.ids[place] for place in parents), children, self._table.at_ms, count, reason)
        )

    def _replace(self, place: int, new: int, centre: Matrix, count: int) -> None:
        self.ids[place], self.origins[place] = new, ()
        self.centres[place] = self.anchors[place] = centre
        self.counts[place], self.seen[place], self.last_ms[place] = self._capped(count), count, self._table.at_ms

    def _append(self, new: int, centre: Matrix, count: int) -> None:
        self.ids.append(new)
        self.origins.append(())
        self.centres = np.concatenate((self.centres, centre[None]))
        self.anchors = np.concatenate((self.anchors, centre[None]))
        self.counts = np.append(self.counts, self._capped(count))
        self.seen = np.append(self.seen, count)
        self.last_ms = np.append(self.last_ms, self._table.at_ms)
