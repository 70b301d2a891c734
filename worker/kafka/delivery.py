"""How an outcome gets out: in one Kafka transaction together with its offsets, or flushed and then committed.

KIP-98 (transactions), KIP-447 (group metadata fences what a former owner still had in flight).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from worker.errors import DeliveryFailed, RecordRefused, Stop
from worker.kafka.client import commit_transaction, committable, discard, flush, send_offsets
from worker.kafka.failures import FENCED, check, decide
from worker.types import Batch, Outcome, Output

log = structlog.get_logger()

FENCED_TWICE_S = 60.0
BACKOFF_S, MAX_BACKOFF_S = 0.1, 10.0
STOP_CHECK_S = 0.1


class _Producing:
    """A producer that is made anew after every failure: after a lost record the old one would report success.

    Deliver thread only. `topics` are resolved before anything is sent, as an unknown topic blocks inside a transaction.
    """

    def __init__(
        self,
        *,
        make: Callable[[], KafkaProducer],
        topics: Sequence[str],
        timeout_s: float,
        stopping: Callable[[], bool],
    ) -> None:
        self._make = make
        self._topics = topics
        self._timeout_s = timeout_s
        self._stopping = stopping
        self._producer: KafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    def recover(self) -> None:
        """Replace the producer; tries until the brokers answer. Raises `Stop` where trying again cannot help.

        Once the worker is stopping it gives up after an attempt; without a producer each delivery fails.
        """
        attempt = 0
        while True:
            try:
                self._replace()
                return
            except Stop:
                raise
            except Exception as error:
                decision = decide(error)
                if isinstance(decision, Stop):
                    raise decision from error
                log.warning("cannot reach the output, trying again", error=type(error).__name__, attempt=attempt + 1)
            if self._pause(pause_s(attempt)):
                log.warning("stopping while the brokers cannot be reached: what is in flight stays uncommitted")
                self.close()
                return
            attempt += 1

    def close(self) -> None:
        if self._producer is not None:
            discard(self._producer)
            self._producer = None

    def _pause(self, seconds: float) -> bool:
        """Whether the worker is stopping, as soon as it is."""
        deadline_s = time.monotonic() + seconds
        while not (stopping := self._stopping()) and time.monotonic() < deadline_s:
            time.sleep(STOP_CHECK_S)
        return stopping

    def _replace(self) -> None:
        self.close()
        self._producer = self._make()
        self._begin_life(self._producer)
        self._partitions = {topic: _partitions(self._producer, topic) for topic in self._topics}

    def _begin_life(self, producer: KafkaProducer) -> None:
        """What a new producer must do before its first record."""

    def _send(self, outputs: Iterable[Output]) -> list[Any]:
        producer = self._ready()
        return [
            producer.send(
                output.topic,
                value=output.value,
                key=output.key,
                headers=list(output.headers),
                partition=None if output.partition is None else output.partition % self._partitions[output.topic],
                timestamp_ms=output.timestamp_ms,
            )
            for output in outputs
        ]

    def _ready(self) -> KafkaProducer:
        if self._producer is None:
            raise DeliveryFailed("no producer yet")
        return self._producer


class TransactionalDelivery(_Producing):
    """`exactly_once`: results, dead letters and offsets in one transaction."""

    _fenced_at_s: float | None = None

    def deliver(self, outcome: Outcome) -> None:
        """All outputs and the offsets in one transaction.

        1 begin, 2 send, 3 flush, 4 check every future (a commit after a lost record reports success), 5 offsets under
        the group metadata of the batch's own poll, 6 commit. `timeout_s` bounds all steps together. Raises
        `DeliveryFailed` or `Stop`; then nothing counts, or `recover` finds out what became of it.
        """
        producer, deadline_s = self._ready(), time.monotonic() + self._timeout_s
        try:
            producer.begin_transaction()  # 1
            futures = self._send(_outputs(outcome))  # 2
            flush(producer, _left_s(deadline_s))  # 3
            _check(outcome, futures)  # 4
            send_offsets(producer, committable(outcome.batch), outcome.batch.fence, _left_s(deadline_s))  # 5
            commit_transaction(producer, _left_s(deadline_s))  # 6
        except KafkaError as error:
            self._note_fencing(error)
            raise decide(error) from error

    def _begin_life(self, producer: KafkaProducer) -> None:
        """Settle what a predecessor with the same id left open, an unknown commit of our own included."""
        producer.init_transactions()

    def _note_fencing(self, error: KafkaError) -> None:
        if not isinstance(error, FENCED):
            return
        now = time.monotonic()
        if self._fenced_at_s is not None and now - self._fenced_at_s < FENCED_TWICE_S:
            raise Stop("another worker uses the same transactional id: give each kafka.instance_id to one worker only")
        self._fenced_at_s = now


class FlushingDelivery(_Producing):
    """`at_least_once`: the same path without the transaction; offsets go through the consumer's group."""

    def __init__(self, *, commit: Callable[[Batch], None], **producing: Any) -> None:
        super().__init__(**producing)
        self._commit = commit

    def deliver(self, outcome: Outcome) -> None:
        """1 send, 2 flush, 3 check every future, 4 commit. Raises `DeliveryFailed` or `Stop`."""
        try:
            futures = self._send(_outputs(outcome))  # 1
            flush(self._ready(), self._timeout_s)  # 2
            _check(outcome, futures)  # 3
            self._commit(outcome.batch)  # 4
        except KafkaError as error:
            raise decide(error) from error


class DiscardingDelivery:
    """`--dry-run`: counts, writes nothing."""

    def deliver(self, outcome: Outcome) -> None:
        pass

    def recover(self) -> None:
        pass

    def close(self) -> None:
        pass


def pause_s(attempt: int) -> float:
    """Doubling from attempt 0 up to a bound, with jitter: a fleet must not come back all at once."""
    return min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


def _partitions(producer: KafkaProducer, topic: str) -> int:
    """The brokers have just answered, so a topic that cannot be found within the bound is not there."""
    try:
        return len(producer.partitions_for(topic))
    except KafkaTimeoutError:
        raise Stop(f"output topic {topic!r} does not exist: make it with `tagstream topics create`") from None


def _left_s(deadline_s: float) -> float:
    """What is left of a transaction's time. Raises where that is nothing, so that no further step is begun."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise KafkaTimeoutError("the transaction took longer than delivery.transaction_timeout_s")
    return left_s


def _outputs(outcome: Outcome) -> list[Output]:
    return [*(output for outputs in outcome.outputs for output in outputs), *outcome.extras]


def _check(outcome: Outcome, futures: Sequence[Any]) -> None:
    owners = [record for record, outputs in enumerate(outcome.outputs) for _ in outputs]
    check(futures[: len(owners)], owners)
    try:
        check(futures[len(owners) :], [0] * len(outcome.extras))
    except RecordRefused as refused:  # no record of the input is to blame
        raise Stop(f"topic {outcome.extras[0].topic} does not take what the worker writes there: {refused}") from None
