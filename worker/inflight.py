"""What is between the poll and the commit: counted by all threads, waited for by a rebalance and by a stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Batches, records, bytes of values and tokens in flight."""

    batches: int = 0
    records: int = 0
    bytes: int = 0
    tokens: int = 0


class InFlight:
    """A counter of batches that have been handed out and are neither delivered nor dropped. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._load = Load()

    def add(self, *, batches: int = 0, records: int = 0, size: int = 0, tokens: int = 0) -> None:
        with self._lock:
            now = self._load
            self._load = Load(now.batches + batches, now.records + records, now.bytes + size, now.tokens + tokens)

    @property
    def load(self) -> Load:
        return self._load

    @property
    def empty(self) -> bool:
        return self._load.batches == 0
