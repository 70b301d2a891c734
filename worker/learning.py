"""The one learner of all workers: whoever is assigned the one partition of the samples learns and publishes.

A source and a delivery of its own, as a worker has them: what is published goes out in one transaction with the offset
of the samples learned, under the group's metadata, so that a learner that was deposed publishes nothing. Nothing is
kept but on the topics: after every rebalance and every failure it starts again at the newest version there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import structlog

from worker.child import Lost
from worker.clusters.child import Learned, LearnerProcess
from worker.clusters.orders import Order
from worker.clusters.recipe import Recipe
from worker.clusters.samples import Samples
from worker.clusters.table import Table
from worker.clusters.wire import (
    ORDER_KEY,
    Pair,
    Versioned,
    event_records,
    order_of,
    records,
    refuse_other_encoder,
    samples_of,
)
from worker.errors import DeliveryFailed, DeliveryRefused, Stop, TagstreamError
from worker.inflight import InFlight
from worker.types import Batch, Delivery, Outcome, Output, Partition, Record, Source

log = structlog.get_logger()

POLL_S = 0.05
REST_S = 0.45  # between two polls without samples: brokers that answer at once would keep a core busy
MAX_SAMPLES = 1000  # of a poll
JOIN_S = 10.0
RESTART_S = 5.0  # after a learner's death, which may come again


@dataclass(frozen=True, slots=True)
class Publishing:
    """What is published, where."""

    encoder: str
    table_topic: str
    event_topic: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What the topics hold: `newest` version, and `recall` gives samples before it that a refresh should see."""

    newest: Callable[[], Versioned | None]
    recall: Callable[[Table], Iterable[Record]]


class LearnerRole:
    """A thread that learns while this worker has the partition of the samples, and waits while it has not.

    `stop` ends it; `delivery` has to look at it where it waits for brokers.
    """

    def __init__(
        self,
        *,
        source: Source,
        delivery: Delivery,
        in_flight: InFlight,
        memory: Memory,
        recipe: Recipe,
        publishing: Publishing,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._delivery = delivery
        self._in_flight = in_flight
        self._memory = memory
        self._recipe = recipe
        self._publishing = publishing
        self._learner: LearnerProcess | None = None
        self._epoch = -1
        self._published: Table | None = None
        self._stop = stop
        self._thread: threading.Thread | None = None

    def start(self, fail: Callable[[Exception], None]) -> None:
        """`fail` is told what should stop the worker."""
        self._thread = threading.Thread(target=self._run, args=(fail,), name="cluster-learning", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leaves the group, so that another learns on at once. Bounded."""
        self._stop.set()
        if self._thread is None:
            self._source.close()
        else:
            self._thread.join(JOIN_S)

    def _run(self, fail: Callable[[Exception], None]) -> None:
        try:
            self._delivery.recover()
            while not self._stop.is_set():
                self._turn()
        except TagstreamError as error:
            fail(error)
        except Exception as error:  # a thread that dies in silence would be a table that stands still
            log.exception("cluster_learning_failed")
            fail(Stop(f"the learner of the clusters failed: {type(error).__name__}; see the log"))
        finally:
            self._forget()
            self._delivery.close()
            self._source.close()

    def _turn(self) -> None:
        batch = self._source.poll(POLL_S, MAX_SAMPLES)
        if batch is None:
            self._stop.wait(REST_S)
            return
        self._in_flight.add(batches=1)
        try:
            self._learn(batch)
        except Lost as lost:
            log.error("cluster_learner_lost", table=self._recipe.table, detail=lost.detail)
            self._forget()
            self._stop.wait(RESTART_S)
            self._source.rewind()
        except DeliveryFailed as failure:
            log.warning("clusters were not published, starting again at the newest version", reason=str(failure))
            self._source.suspend()
            self._forget()
            self._delivery.recover()
            self._source.rewind(refused=batch if isinstance(failure, DeliveryRefused) else None)
        finally:
            self._in_flight.add(batches=-1)

    def _learn(self, batch: Batch) -> None:
        if batch.epoch != self._source.epoch:
            return
        if not batch.records:  # where the partition starts; behind samples that wait for a whole step it must not go
            if self._learner is None or self._epoch != batch.epoch:
                self._delivery.deliver(Outcome(batch, ()))
            return
        learner, learned = self._learner_of(batch.epoch), None
        for piece in _pieces(batch.records, self._recipe.table, self._publishing.encoder):
            came = learner.learn(piece) if isinstance(piece, Samples) else learner.obey(*piece)
            if came is not None:
                learned = Learned(came.table, [*(learned.events if learned else ()), *came.events])
        if learned is not None and batch.epoch == self._source.epoch:
            self._publish(learned, batch)

    def _learner_of(self, epoch: int) -> LearnerProcess:
        """The one that goes on from the topic's newest version, made anew for each time the partition comes."""
        if self._learner is not None and epoch == self._epoch:
            return self._learner
        self._forget()
        found = self._memory.newest()
        if found is not None:
            refuse_other_encoder(found, self._publishing.encoder)
        self._published = found.table if found else None
        self._learner, self._epoch = LearnerProcess(self._recipe, self._published), epoch
        if self._published is not None:
            recalled = _samples(self._memory.recall(self._published), self._recipe.table, self._publishing.encoder)
            if recalled is not None:
                self._learner.recall(recalled)
        log.info(
            "cluster_learning", table=self._recipe.table, version=self._published.version if self._published else 0
        )
        return self._learner

    def _publish(self, learned: Learned, batch: Batch) -> None:
        """The version, what happened to ids, and the offset of the samples learned, or nothing of it."""
        if self._published is None and self._memory.newest() is not None:
            raise DeliveryFailed("a first table has been made elsewhere")
        publishing, table = self._publishing, learned.table
        outputs = [
            *_outputs(publishing.table_topic, records(table, publishing.encoder, self._published), table),
            *_outputs(publishing.event_topic, event_records(learned.events, table, self._published), table),
        ]
        offsets: dict[Partition, int] = dict.fromkeys(batch.offsets, table.position)
        self._delivery.deliver(Outcome(replace(batch, records=(), offsets=offsets), (), tuple(outputs)))
        self._published = table

    def _forget(self) -> None:
        if self._learner is not None:
            self._learner.close()
        self._learner, self._published = None, None


def _pieces(found: Iterable[Record], table: str, encoder: str) -> Iterator[Samples | tuple[Order, int]]:
    """Samples, and orders with their offsets between them, as they came."""
    for is_order, run in groupby(found, lambda record: record.key == ORDER_KEY):
        if is_order:
            yield from _orders(run, table)
        elif (samples := _samples(run, table, encoder)) is not None:
            yield samples


def _orders(found: Iterable[Record], table: str) -> Iterator[tuple[Order, int]]:
    for record in found:
        try:
            order = order_of(record.value, table)
        except ValueError:
            log.warning("an order about clusters cannot be read and is passed over", record=str(record))
            continue
        if order is not None:
            yield order, record.offset


def _samples(found: Iterable[Record], table: str, encoder: str) -> Samples | None:
    kept = list(found)
    return samples_of([record.value for record in kept], [record.offset for record in kept], table, encoder)


def _outputs(topic: str, pairs: Iterable[Pair], table: Table) -> list[Output]:
    return [Output(topic, value, key=key, partition=0) for key, value in pairs]
