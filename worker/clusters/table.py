"""A snapshot of the clusters: what workers assign by, and the frame it travels in between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.frames import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One version of the clusters; version 0 is the empty table of the warm-up.

    Row i of `centres` (float32 [k, d], unit rows) is cluster `ids[i]`; `counts[i]` (int64) is its weight in learning,
    capped; `seen[i]` (int64) is how many samples it was nearest to so far. A text less similar than `threshold` to
    every centre is unassigned. `names` lacks clusters without a name.
    """

    name: str
    version: int = 0
    ids: tuple[int, ...] = ()
    centres: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    seen: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    threshold: float = 0.0
    names: Mapping[int, str] = field(default_factory=dict)

    def to_frame(self) -> Frame:
        header = {
            "name": self.name,
            "version": self.version,
            "ids": self.ids,
            "threshold": self.threshold,
            "names": [self.names.get(i) for i in self.ids],
        }
        return Frame(header, (self.centres, self.counts, self.seen))

    @classmethod
    def from_frame(cls, frame: Frame) -> Table:
        header, (centres, counts, seen) = frame
        ids = tuple(header["ids"])
        return cls(
            name=header["name"],
            version=header["version"],
            ids=ids,
            centres=centres,
            counts=counts,
            seen=seen,
            threshold=header["threshold"],
            names={i: name for i, name in zip(ids, header["names"], strict=True) if name},
        )
