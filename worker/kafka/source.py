"""Batches from the partitions that the consumer group gives us.

Eager, sticky assignment. A revocation waits, within a deadline, until what is in flight has been delivered; what
missed it is dropped unsent. The group metadata is taken with each batch, so that a later generation fences it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from worker.errors import Stop
from worker.inflight import InFlight
from worker.kafka.client import committable
from worker.kafka.codecs import CODECS, importable_codecs
from worker.kafka.damage import Damage
from worker.kafka.ends import Ends
from worker.kafka.failures import decide
from worker.kafka.input import Lag, Reading, SourceEvents, all_partitions, batch_of_bytes, record_of
from worker.kafka.lags import Lags
from worker.kafka.listener import Listener
from worker.kafka.membership import fence_of, holds, same, subscribe
from worker.kafka.polling import gather
from worker.kafka.positions import Placement, check_topic_id, current_topic_ids, place
from worker.kafka.presence import Presence
from worker.kafka.probe import Probe
from worker.types import Batch, Partition, Record

log = structlog.get_logger()

DRAIN_CHECK_S = 0.005
ASK_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 3.0  # one request; a stop waits for it, also where nobody answers


class KafkaSource:
    """The input partitions of this member of the group; satisfies `types.Source`."""

    def __init__(
        self,
        *,
        make_consumer: Callable[[], KafkaConsumer],
        make_prober: Callable[[], KafkaConsumer],
        reading: Reading,
        in_flight: InFlight,
        drain_timeout_s: float,
        max_batch_bytes: int,
        linger_s: float,
        events: SourceEvents,
    ) -> None:
        self._make_consumer = make_consumer
        self._reading = reading
        self._in_flight = in_flight
        self._drain_timeout_s = drain_timeout_s
        self._max_batch_bytes = max_batch_bytes
        self._linger_s = linger_s
        self._events = events
        self._lock = threading.Lock()
        self._epoch = 0
        self._placed = False
        self._suspended = False
        self._refused_fence: Any = None
        self._held: Batch | None = None
        self._lags = Lags()
        self._ends = Ends(reading.until)
        self._topic_ids: dict[str, str] = {}
        self._damage = Damage(make_prober, reading.on_corrupt)
        self._starts: dict[Partition, int] = {}  # of partitions without a commit, until there is one
        self._drains_first = False
        self._placed_s = 0.0
        self._probe = Probe(grouped=reading.grouped)
        self._presence = Presence(() if reading.pattern else reading.topics)
        self._answering = True
        self._spoiled = self._closed = False
        _warn_of_codecs()
        self._open()

    # Any thread.

    @property
    def epoch(self) -> int:
        return self._epoch

    def suspend(self) -> None:
        with self._lock:
            self._epoch += 1
            self._suspended, self._placed = True, False

    def rewind(self, refused: Batch | None = None) -> None:
        with self._lock:
            self._epoch += 1
            self._suspended, self._placed, self._drains_first = False, False, False
            self._refused_fence = refused.fence if refused else None

    @property
    def reachable(self) -> bool:
        """The brokers answer, as far as was seen when they were last asked; not while a delivery recovers."""
        return self._answering and not self._suspended

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions of this member, those included whose position is still being found."""
        return frozenset(Partition(*tp) for tp in self._consumer.assignment())

    def lags(self) -> Mapping[Partition, Lag]:
        """Each assigned partition's position and end; empty while positions are being found."""
        return self._lags.now()

    def commit(self, batch: Batch) -> None:
        """Commit through the group (`at_least_once`). The deliver thread; raises the client's errors."""
        self._consumer.commit(committable(batch), timeout_ms=ASK_TIMEOUT_S * 1000)

    # The poll thread.

    @property
    def exhausted(self) -> bool:
        """All assigned partitions have been read to the end that `until` asked for."""
        if not self._placed or self._held is not None:
            return False
        return self._ends.reached(self.lags(), time.monotonic() - self._placed_s)

    def poll(self, timeout_s: float, max_records: int) -> Batch | None:
        try:
            if self._held is not None and self._held.epoch == self._epoch:
                return self._hand_out(self._held)
            if self._spoiled:
                self._renew(timeout_s)
                return None
            self._presence.check(self._consumer)
            if not self._placed:
                return self._find_places(timeout_s)
            return self._skip_damage() if self._damage else self._read(timeout_s, max_records)
        except KafkaError as error:
            self._failed(error)
            return None

    def _read(self, timeout_s: float, max_records: int) -> Batch | None:
        epoch, fence = self._epoch, fence_of(self._consumer, self._reading)
        polled = self._poll_client(timeout_s, max_records)
        for topic, now in current_topic_ids(self._consumer, self._topic_ids).items():
            check_topic_id(topic, self._topic_ids[topic], now)
        if not self._still_ours(epoch, fence):
            return None
        if polled:
            self._answering = True
            return self._batch(polled, epoch, fence)
        self._ask_for_ends()
        moved = self._lags.behind_markers(self._consumer)
        return self._new_batch((), moved, epoch, fence) if moved else None

    def idle(self) -> None:
        if self._closed:
            return
        try:
            self._stay(0.0)
        except KafkaError as error:
            self._failed(error)
        if self._placed and not self._spoiled:
            self._consumer.resume(*self._consumer.assignment())

    def close(self) -> None:
        self._closed = True
        try:
            self._consumer.close(autocommit=False, timeout_ms=min(self._drain_timeout_s, LEAVE_TIMEOUT_S) * 1000)
        except Exception as error:  # leaving is a courtesy: the session times out without it
            log.warning("the consumer did not close cleanly", error=type(error).__name__)

    def _open(self) -> None:
        self._consumer, self._closed = self._make_consumer(), False
        try:
            if self._ends.bounded:
                self._ends.note(self._consumer, all_partitions(self._consumer, self._reading))
            self._subscribe()
        except (KafkaError, Stop):  # whoever tries again makes another one
            self.close()
            raise

    def _subscribe(self) -> None:
        if self._reading.grouped:
            subscribe(self._consumer, self._reading, Listener(drain=self._drain, lose=self._lose, take=self._take))
        else:
            partitions = all_partitions(self._consumer, self._reading)
            self._consumer.assign(partitions)
            self._take(partitions)

    def _poll_client(self, timeout_s: float, max_records: int) -> Mapping[Any, list[Any]]:
        polled, damage = gather(self._consumer, timeout_s, max_records, self._linger_s)
        if damage is not None:
            self._damage.note(damage)
            self._spoiled = True
        return polled

    def _stay(self, timeout_s: float) -> None:
        """Keep the membership alive, or join, without reading."""
        self._consumer.pause(*self._consumer.assignment())
        self._poll_client(timeout_s, 1)

    def _failed(self, error: KafkaError) -> None:
        """Read again from the positions that are asked for anew, for as long as it takes. Raises `Stop`."""
        if not isinstance(error, OffsetOutOfRangeError):  # placing again decides about the gap
            _stop_or_warn(error, "poll failed, trying again")
        self._misplace()

    def _renew(self, timeout_s: float) -> None:
        """Another consumer in place of the one that damage has spoiled, as soon as the brokers answer.

        What was read before the damage is delivered first, however long that takes: read again, it would meet it again.
        """
        if not self._closed and not self._in_flight.empty:
            self._stay(timeout_s)
            return
        if not self._closed:
            self.close()
            self._misplace()
        try:
            self._open()
            self._spoiled = False
        except KafkaError as error:
            _stop_or_warn(error, "cannot make another consumer, trying again")
            self._answering = False
            time.sleep(timeout_s)

    def _misplace(self) -> None:
        """Ask for all positions again; a suspension, or a wait for another generation, goes on.

        The generation is still the same, so nothing fences a delivery that has begun: it has to end first. Without a
        group nothing is committed, and reading goes on behind what is in flight.
        """
        with self._lock:
            self._epoch += 1 if self._reading.grouped else 0
            self._placed, self._drains_first = False, True

    def _still_ours(self, epoch: int, fence: Any) -> bool:
        """What was read since may be handed out; where the membership was lost, it may be somebody else's."""
        if self._epoch != epoch or not self._placed:
            return False
        if fence_of(self._consumer, self._reading) != fence or not holds(fence):
            self._misplace()
            return False
        return True

    def _find_places(self, timeout_s: float) -> Batch | None:
        """Ask, seek, resume; with partitions that had no commit, a batch that commits where they start."""
        epoch, fence = self._epoch, fence_of(self._consumer, self._reading)
        partitions = {Partition(*p) for p in self._consumer.assignment()}
        waits = self._suspended or (self._refused_fence is not None and same(self._refused_fence, fence))
        waits = waits or (self._drains_first and not self._in_flight.empty)
        if waits or not holds(fence):
            self._stay(timeout_s)
            return None
        try:
            placement = self._place(partitions)
        except KafkaError as error:
            _stop_or_warn(error, "cannot ask for positions, trying again")
            self._answering = False
            self._stay(timeout_s)
            return None
        self._answering = True
        with self._lock:
            if self._epoch != epoch:
                return None
            self._go_to(placement)
        self._tell_gaps(placement)
        starts = {p: placement.offsets[p] for p in placement.fresh | placement.skipped.keys()}
        return self._new_batch((), starts, epoch, fence) if starts and self._reading.grouped else None

    def _place(self, partitions: Iterable[Partition]) -> Placement:
        reading = self._reading
        self._topic_ids = current_topic_ids(self._consumer, {p.topic for p in partitions})
        placement = place(
            self._consumer,
            partitions,
            start=reading.start,
            on_gap=reading.on_gap,
            topic_ids=self._topic_ids,
            known=None if reading.grouped else {p: lag.position for p, lag in self.lags().items()},
            started=self._starts,
            timeout_s=ASK_TIMEOUT_S,
        )
        self._starts = {p: placement.offsets[p] for p in placement.fresh}
        self._ends.note(self._consumer, partitions)  # of what was made since the start
        self._ends.begin(placement.offsets)
        return placement

    def _tell_gaps(self, placement: Placement) -> None:
        for partition, records in placement.skipped.items():
            log.warning("records were gone before they could be read", partition=f"{partition}", records=records)
            self._events.gap_skipped(partition, records)

    def _go_to(self, placement: Placement) -> None:
        for partition, offset in placement.offsets.items():
            self._consumer.seek(TopicPartition(*partition), offset)
        self._lags.place(placement)
        self._held, self._refused_fence, self._placed = None, None, True
        self._placed_s = time.monotonic()
        self._consumer.resume(*self._consumer.assignment())

    def _batch(self, polled: Mapping[Any, list[Any]], epoch: int, fence: Any) -> Batch:
        records: list[Record] = []
        offsets: dict[Partition, int] = {}
        for tp, consumed in polled.items():
            partition = Partition(*tp)
            records.extend(map(record_of, self._ends.before(partition, consumed)))
            offsets[partition] = position = consumed[-1].offset + 1
            newest = max(r.timestamp for r in consumed)
            end = int(self._consumer.highwater(tp) or position)
            self._lags.read(partition, Lag(position, end, end, newest if newest > 0 else None))
        offsets |= self._lags.behind_markers(self._consumer)
        return self._hand_out(self._new_batch(tuple(records), offsets, epoch, fence))

    def _hand_out(self, batch: Batch) -> Batch:
        """As much of it as fits; the rest is held for the next poll."""
        first, self._held = batch_of_bytes(batch, self._max_batch_bytes)
        return first

    def _new_batch(
        self, records: tuple[Record, ...], offsets: Mapping[Partition, int], epoch: int, fence: Any
    ) -> Batch:
        return Batch(records, self._ends.capped(offsets), epoch, fence, self._topic_ids)

    def _skip_damage(self) -> Batch | None:
        epoch, fence = self._epoch, fence_of(self._consumer, self._reading)
        marker = self._damage.skipped(self.lags())
        self._answering = True
        if marker is None or marker.damaged_to is None or not self._still_ours(epoch, fence):
            return None
        partition, end = Partition(marker.topic, marker.partition), marker.damaged_to
        self._consumer.seek(TopicPartition(*partition), end)
        self._lags.skip_to(partition, end)
        self._events.corrupt_skipped(partition, end - marker.offset)
        return self._new_batch((marker,), {partition: end}, epoch, fence)

    def _ask_for_ends(self) -> None:
        if self._probe.due(self._lags.quiet_since_s()):
            ends = self._probe.ends(self._consumer, self.lags())
            self._answering = ends is not None
            self._lags.note_stable_ends(ends or {})

    # The client's I/O thread, while the poll thread waits inside a poll.

    async def _drain(self, revoked: frozenset[Partition]) -> None:
        deadline = time.monotonic() + self._drain_timeout_s
        while not self._in_flight.empty and not self._suspended and time.monotonic() < deadline:
            await self._consumer._net.sleep(DRAIN_CHECK_S)
        if not self._in_flight.empty:
            log.warning("a rebalance could not wait for what was in flight", batches=self._in_flight.load.batches)
            self._events.drain_missed(self._in_flight.load.batches)
        self._lose(revoked)

    def _lose(self, partitions: frozenset[Partition]) -> None:
        with self._lock:
            self._epoch += 1
            self._placed, self._held, self._drains_first, self._starts = False, None, False, {}
            self._lags.clear()
        self._events.revoked(partitions)

    def _take(self, assigned: Iterable[Any]) -> None:
        """Pause what came and give it a placeholder, so that the client asks for no position of its own."""
        with self._lock:
            self._epoch += 1
            self._placed, self._held, self._drains_first = False, None, False
        self._consumer.pause(*assigned)
        for tp in assigned:
            self._consumer.seek(tp, 0)
        self._events.assigned(frozenset(Partition(*tp) for tp in assigned))


def _warn_of_codecs() -> None:
    for name, there in importable_codecs().items():
        if not there:
            log.warning(
                "input in a codec cannot be read, the first of it will stop us", codec=name, install=CODECS[name]
            )


def _stop_or_warn(error: KafkaError, doing: str) -> None:
    decision = decide(error)
    if isinstance(decision, Stop):
        raise decision from error
    log.warning(doing, error=type(error).__name__)
