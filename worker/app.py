"""The composition root: settings in, a wired worker out. The only place that knows every part."""

from __future__ import annotations

import gc
import os
import platform
import re
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from worker import __version__
from worker.clustering import Shared, make_shared
from worker.control import Control
from worker.engines import check, make_shadow, reloadable
from worker.errors import SettingsError, Stop, Unreachable
from worker.inflight import InFlight, Load
from worker.kafka.client import make_consumer, make_producer
from worker.kafka.delivery import DiscardingDelivery, FlushingDelivery, TransactionalDelivery, pause_s
from worker.kafka.failures import explained
from worker.kafka.input import Reading
from worker.kafka.security import Connection
from worker.kafka.source import KafkaSource
from worker.kafka.topics import TopicAdmin, TopicSpec, required_topics
from worker.metrics import Metrics
from worker.monitor import Monitor, Parts
from worker.pipeline import Pipeline
from worker.policy.routes import findings
from worker.reload import Reloadable
from worker.rules import make_form, make_policy, make_reader
from worker.settings import Settings
from worker.shadow import Shadow
from worker.sizing import BatchSizer, Sizing
from worker.tagging import Rules, Tagging
from worker.types import Clusters, Delivery, Engine
from worker.watchdog import Deadlines

log = structlog.get_logger()

STALL_S = 120.0  # longer than any rebalance or broker restart, shorter than anybody's patience
FETCH_WAIT_MS = 100
# A thread that is woken with a batch, or by the model's process, waits for the interpreter's lock at most so long.
SWITCH_INTERVAL_S = 0.0005

Until = Literal["end"] | datetime
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mode:
    """How `tagstream run` was called: a stream without end, a bounded backfill, or a try without writes."""

    until: Until | None = None
    dry_run: bool = False

    @property
    def suffix(self) -> str:
        """What a bounded run adds to the names that it must not share with the stream: group and transactional id."""
        if self.until is None:
            return ""
        return f"-until-{self.until if isinstance(self.until, str) else _name_of(self.until)}"


@dataclass(frozen=True, slots=True)
class Front:
    """What answers, counts and obeys from the first second on, while the model is read or the brokers are away."""

    metrics: Metrics
    in_flight: InFlight
    control: Control
    monitor: Monitor


@dataclass(frozen=True, slots=True)
class Worker:
    """A wired worker: `run` blocks until it has stopped."""

    pipeline: Pipeline
    monitor: Monitor
    engine: Reloadable
    shadow: Shadow | None
    clusters: Shared
    drain_timeout_s: float

    def run(self) -> None:
        """Raises what stopped it; returns after a graceful stop or at the end of a bounded input."""
        settle_interpreter()
        self.clusters.start(self.pipeline.fail)
        try:
            self.pipeline.run(drain_timeout_s=self.drain_timeout_s)
        finally:
            log.info("stopped", **asdict(self.monitor.status().totals))
            self.clusters.close()
            if self.shadow:
                self.shadow.close()
            self.engine.close()
            self.monitor.close()


def make_tagging(
    settings: Settings, engine: Engine, clusters: Clusters, metrics: Metrics, shadow: Shadow | None = None
) -> Tagging:
    """The stages between input and output, the same with and without Kafka. Raises `SettingsError`."""
    policy = make_policy(settings)
    wrong = findings(policy, engine.classifiers)
    if wrong:
        raise SettingsError(wrong[0])
    rules = Rules(policy, settings.model.multi_threshold, make_form(settings), settings.batch.max_tokens)
    return Tagging(
        decode=make_reader(settings), engine=engine, clusters=clusters, rules=rules, metrics=metrics, shadow=shadow
    )


def topic_specs(settings: Settings) -> tuple[TopicSpec, ...]:
    """Every topic that a worker with these settings reads or writes."""
    return required_topics(
        inputs=[topic.topic for topic in settings.input.topics],
        outputs=settings.result_topics(),
        dead_letter=settings.dead_letter.topic,
        replay=settings.dead_letter.replay_topic,
        clusters=settings.cluster_topics(),
        partitions=settings.kafka.partitions,
        replication_factor=settings.kafka.replication_factor,
    )


def ensure_topics(settings: Settings, connection: Connection, *, dry_run: bool = False) -> None:
    """Refuse to start without its topics, or make them with `kafka.create_topics`. Raises `Stop`."""
    specs = topic_specs(settings)
    with TopicAdmin(connection) as admin:
        if settings.kafka.create_topics and not dry_run:
            admin.create(specs)
        found = admin.describe(spec.name for spec in specs)
    missing = [spec.name for spec in specs if spec.name not in found]
    if missing:
        raise Stop(
            f"missing topics: {', '.join(missing)}: make them with `tagstream topics create`,"
            " or set kafka.create_topics to true"
        )


def await_kafka(attempt: Callable[[], T]) -> T:
    """Try until the brokers answer, as a running worker does: a fleet may start before, or while, its Kafka does."""
    count = 0
    while True:
        try:
            return attempt()
        except Unreachable as error:
            log.warning("waiting for the brokers", reason=str(error))
        time.sleep(pause_s(count))
        count += 1


def make_front(settings: Settings) -> Front:
    """HTTP answers once the monitor is started: alive, and not started. Raises `SettingsError` for a port in use."""
    metrics = Metrics(CollectorRegistry())
    _describe(settings, metrics)
    in_flight = InFlight(max_tokens=in_flight_limit(settings).tokens)
    control = Control(log_level=settings.logging.level)
    monitor = Monitor(
        metrics=metrics, in_flight=in_flight, control=control, host=settings.http.host, port=settings.http.port
    )
    return Front(metrics, in_flight, control, monitor)


def make_worker(settings: Settings, loaded: Engine, mode: Mode, front: Front | None = None) -> Worker:
    """Wire all parts around a loaded engine. Waits for Kafka. Raises `SettingsError` and `Stop`."""
    if front is None:
        front = make_front(settings)
        front.monitor.start()
    try:
        return _wired(settings, loaded, mode, front)
    except BaseException:
        front.monitor.close()
        raise


def _wired(settings: Settings, loaded: Engine, mode: Mode, front: Front) -> Worker:
    if not settings.input.topics and not settings.input.pattern:
        raise SettingsError("nothing to read: set input.topics or input.pattern")
    connection = Connection.of(settings.kafka)
    await_kafka(lambda: ensure_topics(settings, connection, dry_run=mode.dry_run))
    metrics, monitor = front.metrics, front.monitor
    engine = reloadable(settings, loaded, metrics)
    shadow = make_shadow(settings, engine.classifiers, metrics)
    shared = await_kafka(lambda: make_shared(settings, engine.encoder, connection, writes=not mode.dry_run))
    clusters = shared.clusters
    tagging = make_tagging(settings, engine, clusters, metrics, shadow)
    source = await_kafka(lambda: _source(settings, connection, mode, front))
    pipeline = Pipeline(
        source=source,
        delivery=_delivery(settings, connection, mode, source, lambda: front.control.stopping),
        stages=tagging,
        in_flight=front.in_flight,
        sizer=BatchSizer(Sizing(settings.batch.target_s, settings.batch.max_records)),
        observer=metrics,
        slots=settings.batch.slots,
    )
    front.control.attach(pipeline=pipeline, reload=engine.reload)
    monitor.watch(
        Parts(pipeline=pipeline, source=source, clusters=clusters, engine=engine, check=lambda: check(engine)),
        Deadlines(stall_s=STALL_S, stage_deadline_s=settings.delivery.stage_deadline_s),
    )
    return Worker(pipeline, monitor, engine, shadow, shared, settings.delivery.drain_timeout_s)


def in_flight_limit(settings: Settings) -> Load:
    """The most that is between a poll and its commit; a single record of more than a whole batch goes alone."""
    batch = settings.batch
    return Load(
        batch.slots, batch.slots * batch.max_records, batch.slots * batch.max_bytes, batch.slots * batch.max_tokens
    )


def _describe(settings: Settings, metrics: Metrics) -> None:
    limit = in_flight_limit(settings)
    metrics.set_build(version=__version__, python=platform.python_version())
    metrics.set_limits(records=limit.records, bytes=limit.bytes, tokens=limit.tokens)


def _source(settings: Settings, connection: Connection, mode: Mode, front: Front) -> KafkaSource:
    grouped = not mode.dry_run
    reading = Reading(
        topics=settings.input_topics(),
        pattern=_pattern(settings),
        start=settings.input.start,
        on_gap=settings.input.on_gap,
        on_corrupt=settings.input.on_corrupt,
        until=mode.until,
        grouped=grouped,
    )
    consumer = partial(
        make_consumer,
        connection.client_options(),
        group_id=settings.kafka.group_id + mode.suffix if grouped else None,
        group_instance_id=settings.kafka.instance_id if grouped else None,
        session_timeout_ms=int(settings.kafka.session_timeout_s * 1000),
        heartbeat_interval_ms=int(settings.kafka.session_timeout_s * 1000 / 15),
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_poll_interval_ms=int(settings.delivery.stage_deadline_s * 1000),
    )
    with explained(f"Kafka at {connection.bootstrap}"):
        return KafkaSource(
            make_consumer=consumer,
            make_prober=partial(make_consumer, connection.client_options(), group_id=None),
            reading=reading,
            in_flight=front.in_flight,
            drain_timeout_s=settings.delivery.drain_timeout_s,
            max_batch_bytes=settings.batch.max_bytes,
            linger_s=settings.batch.linger_ms / 1000,
            events=front.monitor,
        )


def _pattern(settings: Settings) -> str | None:
    """The listed topics and the replay topic have to be matched as well."""
    pattern = settings.input.pattern
    if pattern is None:
        return None
    named = (f"^{re.escape(topic)}$" for topic in settings.input_topics())
    return "|".join([pattern, *named])  # the user's part first: inline flags stand at the beginning


def _name_of(time: datetime) -> str:
    """One name for one moment, in whichever zone it was given."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "").replace("-", "").replace(":", "")


def _delivery(
    settings: Settings, connection: Connection, mode: Mode, source: KafkaSource, stopping: Callable[[], bool]
) -> Delivery:
    if mode.dry_run:
        return DiscardingDelivery()
    delivery = settings.delivery
    more: dict[str, Any] = {}
    if delivery.mode == "exactly_once":
        more = {
            "transactional_id": transactional_id(settings, mode),
            "transaction_timeout_ms": int(delivery.transaction_timeout_s * 1000),
        }
    producing: dict[str, Any] = {
        "make": partial(
            make_producer,
            connection.client_options(),
            compression=settings.output.compression,
            delivery_timeout_s=delivery.delivery_timeout_s,
            **more,
        ),
        "topics": (*settings.output_topics(), *settings.cluster_topics()[1:2]),
        "timeout_s": delivery.transaction_timeout_s,
        "stopping": stopping,
    }
    if delivery.mode == "exactly_once":
        return TransactionalDelivery(**producing)
    return FlushingDelivery(commit=source.commit, **producing)


def transactional_id(settings: Settings, mode: Mode) -> str:
    """One per process, the same across rebuilds of its producer; static only with static membership.

    A bounded run with the stream's own settings must not fence the stream.
    """
    return f"{settings.delivery.transactional_id_prefix}-{settings.kafka.instance_id or uuid.uuid4()}{mode.suffix}"


def settle_interpreter() -> None:
    """Once all is loaded, for the whole process. The full `benchmarks.pipeline` compares switch intervals."""
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    gc.set_threshold(50_000, 20, 100)  # a batch makes thousands of objects, none of them in cycles
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def settle_environment() -> None:
    """What the libraries read from the environment, decided before they are imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the forward pass has the cores
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
