"""Everything around the loop that only looks on: metrics, health, status, the watchdog, and an operator's commands."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import structlog

from worker import __version__, logs
from worker.errors import Stalled
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
EXIT_S = 10.0  # after a verdict the loop has so long to end by itself


class Watched(Protocol):
    """What the monitor asks a source."""

    @property
    def reachable(self) -> bool: ...

    @property
    def assigned(self) -> frozenset[Partition]: ...

    def lags(self) -> Mapping[Partition, Any]: ...


class Monitor:
    """A ticking thread and an HTTP server. Also `kafka.source.SourceEvents` and `web.site.Control`."""

    def __init__(self, *, metrics: Metrics, in_flight: InFlight, host: str, port: int, log_level: str) -> None:
        self.health = Health()
        self._metrics = metrics
        self._in_flight = in_flight
        self._log_level = log_level
        self._began_s = time.monotonic()
        self._closed = threading.Event()
        self._lag_lock = threading.Lock()
        self._left_out = 0
        self._reachable = True
        self._processed: list[tuple[float, int]] = []
        self._server = HttpServer(
            Site(registry=metrics.registry, health=self.health, status=self.status, control=self), host=host, port=port
        )
        self._thread = threading.Thread(target=self._tick_until_closed, name="monitor", daemon=True)
        self._pipeline: Pipeline | None = None
        self.health.hold("group", "no partitions yet")

    def watch(
        self,
        *,
        pipeline: Pipeline,
        source: Watched,
        clusters: Clusters,
        engine: Engine,
        stage_deadline_s: float,
        stall_s: float,
    ) -> None:
        """Whom to look at; before `start`."""
        self._pipeline, self._source, self._clusters, self._engine = pipeline, source, clusters, engine
        self._watchdog = Watchdog(Deadlines(stall_s=stall_s, stage_deadline_s=stage_deadline_s))

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def stopping(self) -> bool:
        return self._pipeline is not None and self._pipeline.stopping

    def start(self) -> None:
        self._server.start()
        self._thread.start()
        self.health.set_started()
        log.info("listening", port=self._server.port)

    def close(self) -> None:
        self._closed.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(TICK_S * 2)
        self._server.close()

    # An operator's commands; HTTP threads and signal handlers.

    def pause(self) -> None:
        if self._pipeline:
            self._pipeline.pause()

    def resume(self) -> None:
        if self._pipeline:
            self._pipeline.resume()

    def set_log_level(self, level: str) -> None:
        logs.set_level(level)
        self._log_level = level

    # What the source tells.

    def assigned(self, partitions: frozenset[Partition]) -> None:
        self._forget(partitions)  # once more: a delivery that outlived the revocation left its offsets
        self._metrics.rebalances.inc()
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
                if self._pipeline:
                    self._pipeline.committed.pop(partition, None)

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
        self._metrics.paused.set(bool(self._pipeline and self._pipeline.paused))
        self._processed = [(t, n) for t, n in self._processed if now_s - t < RATE_S]
        self._processed.append((now_s, total(self._metrics.processed)))
        self._export_lags()
        self._note_reachability()
        self._note_clusters()
        reason = self._watchdog.verdict(now_s, self._observe())
        if reason:
            self._give_up(reason)

    def _export_lags(self) -> None:
        with self._lag_lock:  # from the look at the source to the last series, no partition is revoked
            for (topic, partition), lag in self._lags().items():
                behind = max(0, lag.end - lag.position)
                self._metrics.set_lag(topic, partition, behind, _age_s(lag) if behind else 0.0)

    def _observe(self) -> Observation:
        pipeline = self._pipeline
        lags = self._lags()
        return Observation(
            positions={**dict.fromkeys(self._source.assigned), **{p: lag.position for p, lag in lags.items()}},
            stable_ends={p: lag.stable_end for p, lag in lags.items()},
            brokers_reachable=self._source.reachable,
            paused=bool(pipeline and pipeline.paused),
            busy_since=dict(pipeline.busy_since) if pipeline else {},
        )

    def _lags(self) -> dict[Partition, Any]:
        """By what is committed, not by what is polled."""
        committed = self._pipeline.committed if self._pipeline else {}
        return {p: replace(lag, position=committed.get(p, lag.position)) for p, lag in self._source.lags().items()}

    def _note_reachability(self) -> None:
        reachable = self._source.reachable
        if reachable == self._reachable:
            return
        self._reachable = reachable
        if reachable:
            self.health.release("kafka")
            log.info("the brokers answer")
        else:
            self.health.hold("kafka", "the brokers do not answer")
            log.warning("the brokers do not answer, trying again until they do")

    def _note_clusters(self) -> None:
        summary = self._clusters.summary()
        if summary is not None:
            self._metrics.set_clusters(summary.table, version=summary.version, clusters=len(summary.sizes))
            self._metrics.samples_left_out.inc(summary.left_out - self._left_out)
            self._left_out = summary.left_out

    def _give_up(self, reason: str) -> None:
        """The supervisor starts us again; nothing is lost, as nothing of what is in flight is committed."""
        self.health.fail(reason)
        log.error("stuck, ending", reason=reason, stacks=dump_stacks())
        if self._pipeline:
            self._pipeline.fail(Stalled(reason))
        exit_at_last = threading.Timer(EXIT_S, os._exit, (1,))  # the loop may be what is stuck
        exit_at_last.daemon = True
        exit_at_last.start()

    # Status.

    def status(self) -> Status:
        metrics = self._metrics
        return Status(
            state=self._state(),
            version=__version__,
            uptime_s=round(time.monotonic() - self._began_s, 1),
            log_level=self._log_level,
            model=self._model_status(),
            partitions=self._partitions(),
            rates=Rates(self._rate()),
            totals=Totals(
                consumed=total(metrics.consumed),
                processed=total(metrics.processed),
                dead_letters=sums_by(metrics.dead_letters, "reason"),
                by_label=sums_by(metrics.predictions, "label"),
                by_route=sums_by(metrics.results, "route"),
            ),
            stages={stage: self._stage(stage) for stage in STAGES},
            clusters=self._cluster_status(),
        )

    def _state(self) -> State:
        pipeline = self._pipeline
        if pipeline is None:
            return "starting"
        if pipeline.stopping:
            return "draining"
        return "paused" if pipeline.paused else "running"

    def _rate(self) -> float:
        if len(self._processed) < 2:
            return 0.0
        (before_s, before), (now_s, now) = self._processed[0], self._processed[-1]
        return round((now - before) / (now_s - before_s), 1)

    def _stage(self, stage: str) -> StageStatus:
        stages = self._metrics.stages
        busy = stages.sum(stage) / max(time.monotonic() - self._began_s, TICK_S)
        return StageStatus(stages.quantile(0.5, stage), stages.quantile(0.99, stage), round(min(busy, 1.0), 3))

    def _partitions(self) -> tuple[PartitionStatus, ...]:
        return tuple(
            PartitionStatus(topic, partition, lag.position, max(0, lag.end - lag.position), _age_s(lag))
            for (topic, partition), lag in sorted(self._lags().items())
        )

    def _model_status(self) -> ModelStatus | None:
        engine = self._engine
        if not engine.parts:
            return None
        first = next(iter(engine.classifiers), None)
        name, revision = (first.model, first.revision) if first else (engine.parts[0].model, engine.encoder)
        return ModelStatus(name, revision, *engine.place, engine.parts)

    def _cluster_status(self) -> ClusterStatus | None:
        summary = self._clusters.summary()
        if summary is None:
            return None
        outcomes = sums_by(self._metrics.clustered, "outcome")
        texts = sum(outcomes.values())
        share = outcomes.get("unassigned", 0) / texts if texts else None
        largest = sorted(summary.sizes.items(), key=lambda item: -item[1])[:TOP_CLUSTERS]
        top = tuple(ClusterCount(cluster, summary.names.get(cluster), size) for cluster, size in largest)
        return ClusterStatus(summary.table, summary.version, share, top)


def _age_s(lag: Any) -> float | None:
    """Age of the newest record handed out: with records waiting, the next one is no older than that."""
    if lag.position >= lag.end:
        return 0.0
    return None if lag.timestamp_ms is None else max(0.0, time.time() - lag.timestamp_ms / 1000)
