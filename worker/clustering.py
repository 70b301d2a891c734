"""Settings to clusters: one table of this worker alone, or the one of all workers with its learner."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from worker.clusters.none import NoClusters
from worker.clusters.process import ClusterProcess
from worker.clusters.recipe import DAY_MS, HOUR_MS, Recipe
from worker.clusters.sampling import Offering
from worker.clusters.shared import Sending, SharedClusters
from worker.clusters.table import Table
from worker.clusters.window import SLOTS
from worker.inflight import InFlight
from worker.kafka.client import make_consumer, make_producer
from worker.kafka.clustertopic import TableFollower, read_samples, read_table
from worker.kafka.delivery import TransactionalDelivery
from worker.kafka.failures import explained
from worker.kafka.input import Reading
from worker.kafka.security import Connection
from worker.kafka.source import KafkaSource
from worker.learning import LearnerRole, Memory, Publishing
from worker.rules import make_redaction
from worker.settings import Settings
from worker.text.stopwords import LANGUAGES, stop_words
from worker.types import Clusters, Partition, Record

FETCH_WAIT_MS = 500  # a table is no hurry
MAX_BATCH_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Shared:
    """The clusters of a worker; `role` learns where this worker is assigned the samples, None where it never may."""

    clusters: Clusters
    follower: TableFollower | None = None
    role: LearnerRole | None = None

    def start(self, fail: Callable[[Exception], None]) -> None:
        """`fail` is told what should stop the worker."""
        if self.follower is not None:
            self.follower.start(fail)
        if self.role is not None:
            self.role.start(fail)

    def close(self) -> None:
        if self.role is not None:
            self.role.close()
        self.clusters.close()


def recipe_of(settings: Settings) -> Recipe:
    clusters = settings.clusters
    return Recipe(
        table=clusters.table,
        k=clusters.k,
        warmup=clusters.warmup,
        unassigned_quantile=clusters.unassigned_quantile,
        seed=clusters.seed,
        count_cap=clusters.count_cap,
        window=clusters.window,
        window_ms=clusters.window_h * HOUR_MS,
        swap_ratio=clusters.swap_ratio,
        dormant_after_ms=clusters.dormant_after_days * DAY_MS,
        drift_cosine=clusters.drift_cosine,
        names=clusters.names,
    )


def make_local(settings: Settings) -> Clusters:
    """A table that this worker learns for itself, in a process of its own."""
    clusters = settings.clusters
    if not clusters.enabled:
        return NoClusters()
    return ClusterProcess(recipe=recipe_of(settings), offering=make_offering(settings, per_s=clusters.samples_per_s))


def make_shared(settings: Settings, encoder: str, connection: Connection, *, writes: bool) -> Shared:
    """The table of all workers, as it is now; with `writes` this worker will send samples, and learn if it is its turn.

    Raises `Stop` and `Unreachable`.
    """
    clusters = settings.clusters
    if not clusters.enabled:
        return Shared(NoClusters())
    options = connection.client_options()
    with explained(f"Kafka at {connection.bootstrap}"):
        follower = TableFollower(options, topic=clusters.topic, table=clusters.table, encoder=encoder)
    if not writes:
        return Shared(SharedClusters(follower, clusters.table, None), follower)
    sending = Sending(clusters.sample_topic, encoder, make_offering(settings, per_s=clusters.samples_per_s))
    try:
        role = _role(settings, encoder, connection)
    except BaseException:
        follower.close()
        raise
    return Shared(SharedClusters(follower, clusters.table, sending), follower, role)


def make_offering(settings: Settings, *, per_s: float) -> Offering:
    """Takes samples, at most so many a second."""
    return Offering(
        per_s=per_s,
        names=settings.clusters.names,
        clock=time.time,
        redact=make_redaction(settings),
        stop_words=stop_words(LANGUAGES),
    )


def _role(settings: Settings, encoder: str, connection: Connection) -> LearnerRole:
    clusters, options, in_flight = settings.clusters, connection.client_options(), InFlight()
    recipe, stop = recipe_of(settings), threading.Event()

    def recall(table: Table) -> Iterator[Record]:
        slot_ms = recipe.window_ms // SLOTS
        starts_ms = [int(time.time() * 1000) - slot_ms * number for number in range(SLOTS, 0, -1)]
        return read_samples(options, clusters.sample_topic, starts_ms, table.position, -(-recipe.window // SLOTS))

    return LearnerRole(
        source=_source(settings, connection, in_flight),
        delivery=_delivery(settings, connection, stop.is_set),
        in_flight=in_flight,
        memory=Memory(newest=lambda: read_table(options, clusters.topic, clusters.table), recall=recall),
        recipe=recipe,
        publishing=Publishing(encoder, clusters.topic, clusters.event_topic),
        stop=stop,
    )


def _source(settings: Settings, connection: Connection, in_flight: InFlight) -> KafkaSource:
    options, kafka = connection.client_options(), settings.kafka
    consumer = partial(
        make_consumer,
        options,
        group_id=f"{kafka.group_id}-clusters",
        session_timeout_ms=int(kafka.session_timeout_s * 1000),
        heartbeat_interval_ms=int(kafka.session_timeout_s * 1000 / 15),
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_poll_interval_ms=int(settings.delivery.stage_deadline_s * 1000),
    )
    reading = Reading(
        topics=(settings.clusters.sample_topic,), pattern=None, start="earliest", on_gap="skip", on_corrupt="skip"
    )
    return KafkaSource(
        make_consumer=consumer,
        make_prober=partial(make_consumer, options, group_id=None),
        reading=reading,
        in_flight=in_flight,
        drain_timeout_s=settings.delivery.drain_timeout_s,
        max_batch_bytes=MAX_BATCH_BYTES,
        linger_s=0.0,
        events=_Quiet(),
    )


def _delivery(settings: Settings, connection: Connection, stopping: Callable[[], bool]) -> TransactionalDelivery:
    delivery, clusters = settings.delivery, settings.clusters
    return TransactionalDelivery(
        make=partial(
            make_producer,
            connection.client_options(),
            compression=settings.output.compression,
            delivery_timeout_s=delivery.delivery_timeout_s,
            transactional_id=f"{delivery.transactional_id_prefix}-clusters-{uuid.uuid4()}",
            transaction_timeout_ms=int(delivery.transaction_timeout_s * 1000),
        ),
        topics=(clusters.topic, clusters.event_topic),
        timeout_s=delivery.transaction_timeout_s,
        stopping=stopping,
    )


class _Quiet:
    """Nobody counts what becomes of the partition of the samples; satisfies `kafka.input.SourceEvents`."""

    def assigned(self, partitions: frozenset[Partition]) -> None: ...
    def revoked(self, partitions: frozenset[Partition]) -> None: ...
    def drain_missed(self, batches: int) -> None: ...
    def gap_skipped(self, partition: Partition, records: int) -> None: ...
    def corrupt_skipped(self, partition: Partition, records: int) -> None: ...
