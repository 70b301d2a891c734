"""A cluster table: one version of the clusters, as workers assign by it and a learner goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.clusters.wordcounts import Word, Words
from worker.frames import Frame

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


def _no_rows() -> Floats:
    return np.zeros((0, 0), dtype=np.float32)


def _none() -> Numbers:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A version of the clusters; version 0 is the empty table of the warm-up.

    Row i of `centres` (float32 [k, d], unit rows) is cluster `ids[i]`, and was `anchors[i]` at its birth; `counts[i]`
    (int64) is its weight in learning, capped; `seen[i]` is how many samples it was nearest to so far, `last_ms[i]` the
    time of the last one. A text less similar than `threshold` to every centre is unassigned. `names` lacks clusters
    without a name; to those in `named` a person gave it, and those in `pinned` a person wants kept. `words` is
    what names are made of, as it was when they were last looked at. `next_id` is greater than every id ever given.
    Samples before `position` are learned; `at_ms` is the time of the last of them. With a `map` (float32 [d, d])
    centres and anchors lie in the space behind it, see `deepmap.mapped`.
    """

    name: str
    version: int = 0
    ids: tuple[int, ...] = ()
    centres: Floats = field(default_factory=_no_rows)
    anchors: Floats = field(default_factory=_no_rows)
    counts: Numbers = field(default_factory=_none)
    seen: Numbers = field(default_factory=_none)
    last_ms: Numbers = field(default_factory=_none)
    threshold: float = 0.0
    names: Mapping[int, str] = field(default_factory=dict)
    named: frozenset[int] = frozenset()
    pinned: frozenset[int] = frozenset()
    words: Mapping[int, Words] = field(default_factory=dict)
    next_id: int = 1
    position: int = 0
    at_ms: int = 0
    map: Floats | None = None

    def to_frame(self) -> Frame:
        header = {
            "name": self.name,
            "version": self.version,
            "ids": self.ids,
            "threshold": self.threshold,
            "names": [self.names.get(i) for i in self.ids],
            "named": sorted(self.named),
            "pinned": sorted(self.pinned),
            # orjson does not take named tuples for tuples
            "words": [
                (found.weight, [tuple(word) for word in found.top]) if (found := self.words.get(i)) else None
                for i in self.ids
            ],
            "next_id": self.next_id,
            "position": self.position,
            "at_ms": self.at_ms,
        }
        more = () if self.map is None else (self.map,)
        return Frame(header, (self.centres, self.anchors, self.counts, self.seen, self.last_ms, *more))

    @classmethod
    def from_frame(cls, frame: Frame) -> Table:
        header, (centres, anchors, counts, seen, last_ms, *more) = frame
        ids = tuple(header["ids"])
        return cls(
            name=header["name"],
            version=header["version"],
            ids=ids,
            centres=centres,
            anchors=anchors,
            counts=counts,
            seen=seen,
            last_ms=last_ms,
            threshold=header["threshold"],
            names={i: name for i, name in zip(ids, header["names"], strict=True) if name},
            named=frozenset(header["named"]),
            pinned=frozenset(header["pinned"]),
            words={
                i: Words(found[0], tuple(Word(*word) for word in found[1]))
                for i, found in zip(ids, header["words"], strict=True)
                if found
            },
            next_id=header["next_id"],
            position=header["position"],
            at_ms=header["at_ms"],
            map=more[0] if more else None,
        )
