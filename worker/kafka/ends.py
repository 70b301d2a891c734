"""How far a bounded run reads: each partition to where it ended when the run began, or to a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition

from worker.kafka.input import Lag
from worker.kafka.positions import offsets_at
from worker.types import Partition

# A bounded run without partitions ends after so long: longer than a session, in which a dead member still has them.
EMPTY_HANDED_S = 60.0


class Ends:
    """The ends of a run, none with `until` None. The poll thread.

    Each end is noted once, and those of all partitions at the start: a rebalance may bring any of them later, when more
    has been written to it.
    """

    def __init__(self, until: Literal["end"] | datetime | None) -> None:
        self._until = until
        self._offsets: dict[Partition, int] = {}

    @property
    def bounded(self) -> bool:
        return self._until is not None

    def note(self, consumer: KafkaConsumer, partitions: Iterable[Any]) -> None:
        """The ends of those that have none yet. Raises the client's errors."""
        asked = [TopicPartition(*p) for p in partitions if Partition(*p) not in self._offsets]
        if not asked or self._until is None:
            return
        ends = consumer.end_offsets(asked)
        if isinstance(self._until, datetime):
            self._offsets |= offsets_at(consumer, asked, self._until, ends)
        else:
            self._offsets |= {Partition(*p): end for p, end in ends.items()}

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """A partition whose reading begins behind its end has it there: nothing is ever committed backwards."""
        for partition in self._offsets.keys() & starts.keys():
            self._offsets[partition] = max(self._offsets[partition], starts[partition])

    def before(self, partition: Partition, consumed: list[Any]) -> list[Any]:
        """What belongs to this run; what lies beyond the end is for another one."""
        end = self._offsets.get(partition)
        return consumed if end is None else [record for record in consumed if record.offset < end]

    def capped(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        """Positions to commit, none of them beyond its end."""
        return {p: min(offset, self._offsets.get(p, offset)) for p, offset in offsets.items()}

    def reached(self, lags: Mapping[Partition, Lag], placed_for_s: float) -> bool:
        """All has been read; a member without partitions waits first, as the others may be about to leave."""
        if not self.bounded or not lags:
            return self.bounded and placed_for_s > EMPTY_HANDED_S
        return all(lag.position >= self._offsets[p] for p, lag in lags.items())
