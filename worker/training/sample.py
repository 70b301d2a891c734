"""A bounded sample of a stream that depends on its items and a seed, not on their order."""

from __future__ import annotations

import hashlib
import heapq
import json
from itertools import count

from worker.training.splitting import Keyed

_Ranked = tuple[int, int, Keyed]


class Sample:
    """Keeps the `most` rows of lowest rank. Copies of a text rank side by side, so that they stay or go together."""

    def __init__(self, *, most: int | None, seed: int) -> None:
        self._most = most
        self._seed = seed.to_bytes(8, "big", signed=True)
        self._numbers = count()
        self._heap: list[_Ranked] = []
        self._all: list[Keyed] = []
        self.left_out = 0

    @property
    def rows(self) -> list[Keyed]:
        return self._all if self._most is None else [row for _, _, row in self._heap]

    def add(self, row: Keyed) -> None:
        if self._most is None:
            self._all.append(row)
            return
        ranked = (-self._rank(row), next(self._numbers), row)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, ranked)
        else:
            heapq.heappushpop(self._heap, ranked)
            self.left_out += 1

    def _rank(self, row: Keyed) -> int:
        packed = json.dumps([row.example.text, row.example.labels, row.given]).encode("ascii")
        of_text, of_row = hashlib.sha256(self._seed + row.key).digest(), hashlib.sha256(packed).digest()
        return int.from_bytes(of_text[:8] + of_row[:8], "big")
