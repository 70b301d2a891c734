"""The loop and its threads: poll ► prepare ► infer ► deliver, one batch in each.

The poll thread is the caller's. Slots bound what is in flight, so the queues between the threads never block a put
for long; when no slot is free the poll thread keeps its membership alive and reads nothing. A failed delivery makes
all that is behind it stale, starts a fresh producer and rewinds to the committed offsets.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog

from worker.errors import AbortReason, DeliveryFailed, DeliveryRefused, RecordRefused, Refusal, TooSlow
from worker.inflight import InFlight
from worker.metrics import Stage
from worker.sizing import BatchSizer
from worker.types import Assignments, Batch, Delivery, Outcome, Output, Partition, Predictions, Prepared, Record, Source

log = structlog.get_logger()

T = TypeVar("T")

POLL_S = 0.1  # bounds how late a stop or a failure of another thread is seen
KEEP_ALIVE_S = 0.1
DRAIN_CHECK_S = 0.01
FINISH_S = 1.0  # beyond the drain, for the threads to end: a transaction that has begun may be at its commit


@dataclass(frozen=True, slots=True)
class Inferred:
    """A prepared batch with what the model and the clusters say of its messages."""

    prepared: Prepared
    predictions: Predictions
    assignments: Assignments


class Stages(Protocol):
    """What is done to a batch; each verb runs in the thread of its name, and never raises for a record."""

    def prepare(self, batch: Batch) -> list[Prepared]:
        """Decode and tokenise; more than one part where the batch has more tokens than fit."""

    def infer(self, prepared: Prepared) -> Inferred:
        """One pass of the model, and the clusters. Raises `TooSlow` where a part of the batch may go through."""

    def halve(self, prepared: Prepared) -> list[Prepared]:
        """Two parts of what was too slow."""

    def route(self, inferred: Inferred) -> Outcome:
        """The outputs of each record."""

    def reject(self, record: Record, outputs: tuple[Output, ...], refusal: Refusal) -> tuple[Output, ...]:
        """What to send instead of outputs that their topic does not take. Raises `Stop` where there is nothing."""

    def delivered(self, inferred: Inferred, outcomes: list[Outcome]) -> None:
        """The batch, or as many of its first records as these outcomes hold, is through: count it, learn from it."""


class Observer(Protocol):
    """Is told what the loop does. Any thread; must not block or raise."""

    def observe_stage(self, stage: Stage, seconds: float) -> None: ...
    def count_abort(self, reason: AbortReason) -> None: ...


class Pipeline:
    """Runs until stopped, until the source is exhausted, or until a stage fails."""

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        stages: Stages,
        in_flight: InFlight,
        sizer: BatchSizer,
        observer: Observer,
        slots: int,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._stages = stages
        self._in_flight = in_flight
        self._sizer = sizer
        self._observer = observer
        self._slots = threading.BoundedSemaphore(slots)
        self._lock = threading.Lock()
        self._unslotted = 0  # parts in flight that share the slot of their batch
        # The slots bound the batches in the queues; as many places and one for the end, so that only parts ever wait.
        self._to_prepare: queue.Queue[Batch | None] = queue.Queue(slots + 1)
        self._to_infer: queue.Queue[Prepared | None] = queue.Queue(slots + 1)
        self._to_deliver: queue.Queue[Inferred | None] = queue.Queue(slots + 1)
        self._stop = threading.Event()
        self._stopped_s: float | None = None
        self._paused = threading.Event()
        self._failure: BaseException | None = None
        self.busy_since: dict[str, float] = {}
        self.recovering_since: float | None = None
        self.committed: dict[Partition, int] = {}

    # Any thread, a signal handler included.

    def stop(self) -> None:
        """Poll no more, drain, return."""
        self._stopped_s = self._stopped_s or time.monotonic()
        self._stop.set()

    def fail(self, error: BaseException) -> None:
        """Have `run` raise it."""
        self._failure = self._failure or error

    def pause(self) -> None:
        """Poll no more until `resume`; the membership is kept."""
        self._paused.set()

    def resume(self) -> None:
        self._paused.clear()

    @property
    def paused(self) -> bool:
        return self._paused.is_set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def run(self, *, drain_timeout_s: float) -> None:
        """The loop. Raises what a stage raised; otherwise returns when all that was polled has been delivered.

        After `stop` it returns within the timeout, whether the destination can be reached or not: what could not be
        delivered is uncommitted, and read again.
        """
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (("prepare", self._prepare), ("infer", self._infer), ("deliver", self._deliver))
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set() and not self._exhausted():
                self._turn()
            self._drain((self._stopped_s or time.monotonic()) + drain_timeout_s)
        finally:
            self._stop.set()
            if self._failure is not None:
                self._source.suspend()  # nobody works on what is in flight: leaving the group must not wait for it
            self._to_prepare.put(None)
            _join(threads, KEEP_ALIVE_S if self._failure else FINISH_S)
            failure = self._failure  # what a thread meets later is that its destination was closed
            self._delivery.close()
            self._source.close()
        if failure is not None:
            raise failure

    def _turn(self) -> None:
        self._raise_failure()
        if self._paused.is_set():
            self._source.idle()
            self._stop.wait(KEEP_ALIVE_S)
        elif not self._slots.acquire(timeout=KEEP_ALIVE_S):
            self._source.idle()
        elif not self._poll():
            self._slots.release()

    def _poll(self) -> bool:
        with self._timed("poll"):
            batch = self._source.poll(POLL_S, self._sizer.records)
        if batch is None:
            return False
        self._in_flight.add(batches=1, records=len(batch.records), size=_size(batch))
        self._to_prepare.put(batch)
        return True

    def _exhausted(self) -> bool:
        return self._in_flight.empty and self._source.exhausted

    def _drain(self, deadline_s: float) -> None:
        while not self._in_flight.empty and time.monotonic() < deadline_s:
            self._raise_failure()
            self._source.idle()
            time.sleep(DRAIN_CHECK_S)
        if not self._in_flight.empty:
            log.warning("stopped before everything in flight was delivered", batches=self._in_flight.load.batches)
            self._source.suspend()  # what is left is stale: it stays uncommitted and is read again

    # The prepare thread.

    def _prepare(self) -> None:
        while (batch := self._to_prepare.get()) is not None:
            if self._stale(batch):
                self._done(batch)
                continue
            with self._timed("prepare"):
                parts = self._stages.prepare(batch)
            self._count_parts(parts)
            for part in parts:
                self._hand_on(part)
        self._put(self._to_infer, None)

    def _hand_on(self, part: Prepared) -> None:
        """Once there is room for its tokens. All that takes up room is ahead of it, so the wait ends."""
        tokens = _tokens(part)
        while not (self._in_flight.wait_for_room(tokens, POLL_S) or self._stale(part.batch)):
            self._raise_failure()
        self._in_flight.add(tokens=tokens)
        self._put(self._to_infer, part)

    # The infer thread.

    def _infer(self) -> None:
        while (prepared := self._to_infer.get()) is not None:
            self._infer_or_cut(prepared)
        self._put(self._to_deliver, None)

    def _infer_or_cut(self, prepared: Prepared) -> None:
        """Hand on what the model says of a batch; where it takes too long for it, of its halves in turn."""
        if self._stale(prepared.batch):
            self._done(prepared.batch, _tokens(prepared))
            return
        began = time.monotonic()
        try:
            with self._timed("infer"):
                inferred = self._stages.infer(prepared)
        except TooSlow:
            inferred = None
        self._sizer.observe(len(prepared.batch.records), time.monotonic() - began)
        if inferred is not None:
            self._put(self._to_deliver, inferred)
            return
        parts = self._stages.halve(prepared)
        self._count_parts(parts)
        for part in parts:
            self._infer_or_cut(part)

    # The deliver thread.

    def _deliver(self) -> None:
        self._recover()
        while (inferred := self._to_deliver.get()) is not None:
            batch = inferred.prepared.batch
            if not self._stale(batch):
                with self._timed("route"):
                    outcome = self._stages.route(inferred)
                self._deliver_and_count(inferred, outcome)
            self._done(batch, _tokens(inferred.prepared))

    def _deliver_and_count(self, inferred: Inferred, outcome: Outcome) -> None:
        """What got through counts, also where the rest failed or stops the worker."""
        through: list[Outcome] = []
        try:
            with self._timed("deliver"):
                self._try_to_deliver(outcome, through)
        finally:
            if through:
                self._stages.delivered(inferred, through)

    def _try_to_deliver(self, outcome: Outcome, through: list[Outcome]) -> None:
        try:
            self._deliver_or_cut(outcome, through)
        except DeliveryFailed as failure:
            log.warning("delivery failed, starting again at the committed offsets", reason=str(failure))
            self._observer.count_abort(failure.reason)
            self._source.suspend()
            self._recover()
            self._source.rewind(refused=outcome.batch if isinstance(failure, DeliveryRefused) else None)

    def _deliver_or_cut(self, outcome: Outcome, through: list[Outcome]) -> None:
        """Deliver; where a record is refused, halve until it is known or stands alone, and send its rejection instead.

        `through` gets what was committed, in order: the outcome, or its parts and rejections in its place.
        """
        try:
            self._delivery.deliver(outcome)
        except RecordRefused as refused:
            self._observer.count_abort(refused.reason)
            self._recover()
            for part in self._smaller(outcome, refused):
                self._deliver_or_cut(part, through)
        else:
            through.append(outcome)
            self.committed.update(outcome.batch.offsets)
            self.busy_since["deliver"] = time.monotonic()  # the deadline is for what does not move

    def _recover(self) -> None:
        """For as long as the brokers need, which whoever looks on may see."""
        self.recovering_since = time.monotonic()
        try:
            self._delivery.recover()
        finally:
            self.recovering_since = None

    def _smaller(self, outcome: Outcome, refused: RecordRefused) -> tuple[Outcome, ...]:
        if self._stale(outcome.batch):
            raise DeliveryFailed("the partitions were revoked", "revoked")
        alone = len(outcome.outputs) == 1
        known = refused.records or ({0} if alone else set())
        outputs = tuple(
            self._stages.reject(record, sent, refused.refusal) if i in known else sent
            for i, (record, sent) in enumerate(zip(outcome.batch.records, outcome.outputs, strict=True))
        )
        rest = replace(outcome, outputs=outputs)
        return (rest,) if alone else rest.cut(len(outputs) // 2)

    # All threads.

    def _put(self, to: queue.Queue[T | None], item: T | None) -> None:
        """Waits for a place, unless nobody works there any more: then it raises what ended the work."""
        while True:
            try:
                to.put(item, timeout=POLL_S)
                return
            except queue.Full:
                self._raise_failure()

    def _count_parts(self, parts: Sequence[Prepared]) -> None:
        """In place of their batch. Waiting for a slot each would deadlock: batches behind it may hold them all."""
        self._in_flight.add(batches=len(parts) - 1)
        with self._lock:
            self._unslotted += len(parts) - 1

    def _stale(self, batch: Batch) -> bool:
        return batch.epoch != self._source.epoch

    def _done(self, batch: Batch, tokens: int = 0) -> None:
        self._in_flight.add(batches=-1, records=-len(batch.records), size=-_size(batch), tokens=-tokens)
        with self._lock:
            if self._unslotted:
                self._unslotted -= 1
                return
        self._slots.release()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # reaches the loop, which raises it
            self.fail(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        began = self.busy_since[stage] = time.monotonic()
        try:
            yield
        finally:
            self.busy_since.pop(stage, None)
            self._observer.observe_stage(stage, time.monotonic() - began)


def _join(threads: Sequence[threading.Thread], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))


def _size(batch: Batch) -> int:
    return sum(record.size for record in batch.records)


def _tokens(prepared: Prepared) -> int:
    return int(prepared.tokenized.lengths.sum())
