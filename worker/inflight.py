"""What is between the poll and the commit: counted by all threads, waited for by a rebalance and by a stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Batches, records, bytes (`Record.size`) and tokens in flight."""

    batches: int = 0
    records: int = 0
    bytes: int = 0
    tokens: int = 0


class InFlight:
    """A counter of batches that have been handed out and are neither delivered nor dropped. Any thread.

    `max_tokens` bounds the tokens for whoever asks with `wait_for_room`; None is no bound.
    """

    def __init__(self, *, max_tokens: int | None = None) -> None:
        self._max_tokens = max_tokens
        self._changed = threading.Condition()
        self._load = Load()

    def add(self, *, batches: int = 0, records: int = 0, size: int = 0, tokens: int = 0) -> None:
        with self._changed:
            now = self._load
            self._load = Load(now.batches + batches, now.records + records, now.bytes + size, now.tokens + tokens)
            if tokens < 0:
                self._changed.notify_all()

    def wait_for_room(self, tokens: int, timeout_s: float) -> bool:
        """Whether so many more tokens fit, at the latest after that time. More than the bound fit alone."""
        with self._changed:
            return self._changed.wait_for(lambda: self._fits(tokens), timeout_s)

    @property
    def load(self) -> Load:
        return self._load

    @property
    def empty(self) -> bool:
        return self._load.batches == 0

    def _fits(self, tokens: int) -> bool:
        held = self._load.tokens
        return self._max_tokens is None or held == 0 or held + tokens <= self._max_tokens
