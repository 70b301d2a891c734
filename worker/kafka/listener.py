"""The rebalance listener: forwards to the source, and never raises, as the client would stop to rebalance for good.

Runs on the client's I/O thread; a coroutine there may wait while heartbeats go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from worker.types import Partition

log = structlog.get_logger()


class Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """`drain` may wait, within its own deadline; a member that was thrown out loses its partitions at once."""

    def __init__(
        self,
        *,
        drain: Callable[[frozenset[Partition]], Awaitable[None]],
        lose: Callable[[frozenset[Partition]], None],
        take: Callable[[list[Any]], None],
    ) -> None:
        self._drain_partitions = drain
        self._lose_partitions = lose
        self._take_partitions = take

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        try:
            await self._drain_partitions(_ours(revoked))
        except Exception:
            log.exception("draining failed")

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        try:
            self._lose_partitions(_ours(lost))
        except Exception:
            log.exception("giving up partitions failed")

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        try:
            self._take_partitions(list(assigned))
        except Exception:
            log.exception("taking partitions failed")


def _ours(partitions: Iterable[Any]) -> frozenset[Partition]:
    return frozenset(Partition(*tp) for tp in partitions)
