"""Whether the worker has started, lives, and is ready: set by any thread, asked for by the supervisor."""

from __future__ import annotations

import threading
from typing import NamedTuple


class Check(NamedTuple):
    """An answer to a probe: `reason` is one line, also where all is well."""

    ok: bool
    reason: str


class Health:
    """Alive and not started at first. Ready is: started, not failed, and held back by no part. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._failure: str | None = None
        self._held: dict[str, str] = {}

    def set_started(self) -> None:
        with self._lock:
            self._started = True

    def hold(self, part: str, reason: str) -> None:
        """Not ready because of `part`, until `release(part)`; each part has one reason, the newest."""
        with self._lock:
            self._held[part] = reason

    def release(self, part: str) -> None:
        with self._lock:
            self._held.pop(part, None)

    def fail(self, reason: str) -> None:
        """Dead for good: only a restart helps. The first reason stays."""
        with self._lock:
            self._failure = self._failure or reason

    def startup(self) -> Check:
        with self._lock:
            return Check(self._started, "started" if self._started else "starting")

    def live(self) -> Check:
        with self._lock:
            return Check(self._failure is None, self._failure or "alive")

    def ready(self) -> Check:
        with self._lock:
            reasons = [self._failure] if self._failure else [f"{part}: {why}" for part, why in self._held.items()]
            if not self._started:
                reasons.append("starting")
            return Check(not reasons, "; ".join(reasons) or "ready")
