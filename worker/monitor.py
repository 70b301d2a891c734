"""Everything around the loop that only looks on: metrics, health, status, and what ends a worker that is stuck."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from worker import __version__
from worker.control import Control
from worker.errors import Stalled, Stop
from worker.inflight import InFlight
from worker.metrics import STAGES, Metrics, sums_by, total
from worker.pipeline import Pipeline
from worker.types import Clusters, Engine, Partition
from worker.watchdog import Deadlines, Observation, Watchdog, dump_stacks
from worker.web.health import Health
from worker.web.server import HttpServer
from worker.web.site import Site
from worker.web.status import (
    ClusterCount,
    ClusterStatus,
    ModelStatus,
    PartitionStatus,
    Rates,
    StageStatus,
    State,
    Status,
    Totals,
)

log = structlog.get_logger()

TICK_S = 1.0
RATE_S = 30.0
TOP_CLUSTERS = 12
RECOVERY_S = 5.0  # a delivery that needs longer to be made ready again waits for brokers
EXIT_S = 10.0  # after a verdict the loop has so long to end by itself


class Watched(Protocol):
    """What the monitor asks a source."""

    @property
    def reachable(self) -> bool: ...

    @property
    def assigned(self) -> frozenset[Partition]: ...

    def lags(self) -> Mapping[Partition, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a monitor looks at. `check` raises `Stop` where a part has died that nobody asks just now."""

    pipeline: Pipeline
    source: Watched
    clusters: Clusters
    engine: Engine
    check: Callable[[], None]


class Monitor:
    """A ticking thread and an HTTP server, from before there is much to look at. Also `kafka.input.SourceEvents`."""

    def __init__(self, *, metrics: Metrics, in_flight: InFlight, control: Control, host: str, port: int) -> None:
        self.health = Health()
        self._metrics = metrics
        self._in_flight = in_flight
        self._control = control
        self._began_s = time.monotonic()
        self._closed = threading.Event()
        self._lag_lock = threading.Lock()
        self._left_out = 0
        self._reachable = True
        self._processed: list[tuple[float, int]] = []
        self._server = HttpServer(
            Site(registry=metrics.registry, health=self.health, status=self.status, control=control),
            host=host,
            port=port,
        )
        self._thread = threading.Thread(target=self._tick_until_closed, name="monitor", daemon=True)
        self._parts: Parts | None = None
        self.health.hold("group", "no partitions yet")

    def watch(self, parts: Parts, deadlines: Deadlines) -> None:
        """The worker is wired: it has started, and this is what to look at."""
        self._watchdog = Watchdog(deadlines)
        self._parts = parts
        self.health.set_started()

    @property
    def port(self) -> int:
        return self._server.port

    def start(self) -> None:
        self._server.start()
        self._thread.start()
        log.info("listening", port=self._server.port)

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(TICK_S * 2)
        self._server.close()

    # What the source tells.

    def assigned(self, partitions: frozenset[Partition]) -> None:
        self._forget(partitions)  # once more: a delivery that outlived the revocation left its offsets
        self._metrics.rebalances.inc()
        if partitions:
            self.health.release("group")
        log.info("partitions assigned", partitions=len(partitions))

    def revoked(self, partitions: frozenset[Partition]) -> None:
        self.health.hold("group", "no partitions")
        self._forget(partitions)

    def drain_missed(self, batches: int) -> None:
        self._metrics.drains_missed.inc()

    def gap_skipped(self, partition: Partition, records: int) -> None:
        self._metrics.gaps.inc(records)

    def corrupt_skipped(self, partition: Partition, records: int) -> None:
        self._metrics.corrupt.inc()

    def _forget(self, partitions: frozenset[Partition]) -> None:
        """The source has no lags of them any more, so that no later tick brings a series back."""
        with self._lag_lock:
            for partition in partitions:
                self._metrics.forget_partition(*partition)
                if self._parts:
                    self._parts.pipeline.committed.pop(partition, None)

    # The ticking thread.

    def _tick_until_closed(self) -> None:
        while not self._closed.wait(TICK_S):
            try:
                self._tick(time.monotonic())
            except Exception:
                log.exception("monitoring failed")

    def _tick(self, now_s: float) -> None:
        load = self._in_flight.load
        self._metrics.set_in_flight(records=load.records, bytes=load.bytes, tokens=load.tokens)
        self._metrics.paused.set(self._control.paused)
        self._processed = [(t, n) for t, n in self._processed if now_s - t < RATE_S]
        self._processed.append((now_s, total(self._metrics.processed)))
        if self._parts:
            self._look_at(self._parts, now_s)

    def _look_at(self, parts: Parts, now_s: float) -> None:
        self._export_lags(parts)
        self._note_reachability(_reachable(parts, now_s))
        self._note_clusters(parts.clusters)
        try:
            parts.check()
        except Stop as error:
            self._give_up(parts, error)
        reason = self._watchdog.verdict(now_s, _observation(parts, now_s))
        if reason:
            log.error("stuck, ending", reason=reason, stacks=dump_stacks())
            self._give_up(parts, Stalled(reason))

    def _export_lags(self, parts: Parts) -> None:
        with self._lag_lock:  # from the look at the source to the last series, no partition is revoked
            for (topic, partition), lag in _lags(parts).items():
                behind = max(0, lag.end - lag.position)
                self._metrics.set_lag(topic, partition, behind, _age_s(lag) if behind else 0.0)

    def _note_reachability(self, reachable: bool) -> None:
        if reachable == self._reachable:
            return
        self._reachable = reachable
        if reachable:
            self.health.release("kafka")
            log.info("the brokers answer")
        else:
            self.health.hold("kafka", "the brokers do not answer")
            log.warning("the brokers do not answer, trying again until they do")

    def _note_clusters(self, clusters: Clusters) -> None:
        summary = clusters.summary()
        if summary is not None:
            self._metrics.set_clusters(summary.table, version=summary.version, clusters=len(summary.sizes))
            self._metrics.samples_left_out.inc(summary.left_out - self._left_out)
            self._left_out = summary.left_out

    def _give_up(self, parts: Parts, error: Stop) -> None:
        """The supervisor starts us again; nothing is lost, as nothing of what is in flight is committed."""
        self.health.fail(str(error))
        parts.pipeline.fail(error)
        exit_at_last = threading.Timer(EXIT_S, os._exit, (1,))  # the loop may be what is stuck
        exit_at_last.daemon = True
        exit_at_last.start()

    # Status.

    def status(self) -> Status:
        metrics, parts = self._metrics, self._parts
        return Status(
            state=self._state(),
            version=__version__,
            uptime_s=round(time.monotonic() - self._began_s, 1),
            log_level=self._control.log_level,
            model=_model_status(parts.engine) if parts else None,
            partitions=_partitions(parts) if parts else (),
            rates=Rates(self._rate()),
            totals=Totals(
                consumed=total(metrics.consumed),
                processed=total(metrics.processed),
                dead_letters=sums_by(metrics.dead_letters, "reason"),
                by_label=sums_by(metrics.predictions, "label"),
                by_route=sums_by(metrics.results, "route"),
            ),
            stages={stage: self._stage(stage) for stage in STAGES},
            clusters=self._cluster_status(parts.clusters) if parts else None,
        )

    def _state(self) -> State:
        if self._parts is None:
            return "starting"
        if self._control.stopping:
            return "draining"
        return "paused" if self._control.paused else "running"

    def _rate(self) -> float:
        if len(self._processed) < 2:
            return 0.0
        (before_s, before), (now_s, now) = self._processed[0], self._processed[-1]
        return round((now - before) / (now_s - before_s), 1)

    def _stage(self, stage: str) -> StageStatus:
        stages = self._metrics.stages
        busy = stages.sum(stage) / max(time.monotonic() - self._began_s, TICK_S)
        return StageStatus(stages.quantile(0.5, stage), stages.quantile(0.99, stage), round(min(busy, 1.0), 3))

    def _cluster_status(self, clusters: Clusters) -> ClusterStatus | None:
        summary = clusters.summary()
        if summary is None:
            return None
        outcomes = sums_by(self._metrics.clustered, "outcome")
        texts = sum(outcomes.values())
        share = outcomes.get("unassigned", 0) / texts if texts else None
        largest = sorted(summary.sizes.items(), key=lambda item: -item[1])[:TOP_CLUSTERS]
        top = tuple(ClusterCount(cluster, summary.names.get(cluster), size) for cluster, size in largest)
        return ClusterStatus(summary.table, summary.version, share, top)


def _reachable(parts: Parts, now_s: float) -> bool:
    """A source whose batches all wait for a delivery asks nobody: then the delivery knows."""
    since_s = parts.pipeline.recovering_since
    return parts.source.reachable and (since_s is None or now_s - since_s < RECOVERY_S)


def _observation(parts: Parts, now_s: float) -> Observation:
    pipeline, lags = parts.pipeline, _lags(parts)
    return Observation(
        positions={**dict.fromkeys(parts.source.assigned), **{p: lag.position for p, lag in lags.items()}},
        stable_ends={p: lag.stable_end for p, lag in lags.items()},
        brokers_reachable=_reachable(parts, now_s),
        paused=pipeline.paused,
        busy_since=dict(pipeline.busy_since),
    )


def _lags(parts: Parts) -> dict[Partition, Any]:
    """By what is committed, not by what is polled."""
    committed = parts.pipeline.committed
    return {p: replace(lag, position=committed.get(p, lag.position)) for p, lag in parts.source.lags().items()}


def _partitions(parts: Parts) -> tuple[PartitionStatus, ...]:
    return tuple(
        PartitionStatus(topic, partition, lag.position, max(0, lag.end - lag.position), _age_s(lag))
        for (topic, partition), lag in sorted(_lags(parts).items())
    )


def _model_status(engine: Engine) -> ModelStatus | None:
    if not engine.parts:
        return None
    first = next(iter(engine.classifiers), None)
    name, revision = (first.model, first.revision) if first else (engine.parts[0].model, engine.encoder)
    return ModelStatus(name, revision, *engine.place, engine.parts)


def _age_s(lag: Any) -> float | None:
    """Age of the newest record handed out: with records waiting, the next one is no older than that."""
    if lag.position >= lag.end:
        return 0.0
    return None if lag.timestamp_ms is None else max(0.0, time.time() - lag.timestamp_ms / 1000)
