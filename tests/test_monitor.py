"""What the monitor makes of what it sees: lag, health, verdicts, and an operator's commands."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.doubles import FakeEngine
from tests.memory import MemoryLog
from tests.workbench import Bench
from worker import monitor as module
from worker.clusters.none import NoClusters
from worker.control import Control
from worker.errors import Stalled, Stop
from worker.inflight import InFlight
from worker.metrics import Metrics, total
from worker.monitor import RECOVERY_S, Monitor, Parts
from worker.types import ClusterSummary, Partition
from worker.watchdog import Deadlines

P0, P1 = Partition("in", 0), Partition("in", 1)


@dataclass(frozen=True)
class Lag:
    position: int
    end: int
    stable_end: int
    timestamp_ms: int | None = None


class FakeSource:
    """A source as the monitor sees it."""

    def __init__(self) -> None:
        self.reachable = True
        self.partitions: dict[Partition, Lag] = {}
        self.unplaced: frozenset[Partition] = frozenset()

    @property
    def assigned(self) -> frozenset[Partition]:
        return frozenset(self.partitions) | self.unplaced

    def lags(self) -> Mapping[Partition, Any]:
        return dict(self.partitions)


class Summarised(NoClusters):
    """A table whose summary a test sets."""

    found: ClusterSummary | None = None

    def summary(self) -> ClusterSummary | None:  # type: ignore[override]
        return self.found


class Post:
    """A monitor at its post: over an in-memory pipeline, ticked by the test."""

    def __init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.in_flight = InFlight()
        self.control = Control(log_level="info")
        self.monitor = Monitor(
            metrics=self.metrics, in_flight=self.in_flight, control=self.control, host="127.0.0.1", port=0
        )
        self.source, self.bench, self.clusters = FakeSource(), Bench(MemoryLog()), Summarised()
        self.pipeline = self.bench.pipeline
        self.died: Stop | None = None
        self.control.attach(pipeline=self.pipeline, reload=lambda: None)
        self.monitor.watch(
            Parts(
                pipeline=self.pipeline,
                source=self.source,
                clusters=self.clusters,
                engine=FakeEngine(),
                check=self._check,
            ),
            Deadlines(stall_s=30, stage_deadline_s=100),
        )

    def _check(self) -> None:
        if self.died:
            raise self.died

    def tick(self, now_s: float = 0.0) -> None:
        self.monitor._tick(now_s)

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by its labels' values."""
        return {
            tuple(sample.labels.values()): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"tagstream_{name}"
        }


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Instead of ending the process of the tests, exit codes are collected."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(module, "EXIT_S", 0.0)
    yield codes
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()


@pytest.fixture
def post() -> Iterator[Post]:
    made = Post()
    yield made
    made.monitor.close()


def test_lag_goes_by_what_is_committed(post: Post) -> None:
    """What is polled and not yet delivered is still lag; without a commit the position where reading began counts."""
    post.source.partitions = {P0: Lag(80, 100, 100), P1: Lag(5, 9, 9)}
    post.pipeline.committed[P0] = 30
    post.tick()
    assert post.series("lag_records") == {("in", "0"): 70, ("in", "1"): 4}
    assert [(p.position, p.lag_records) for p in post.monitor.status().partitions] == [(30, 70), (5, 4)]


def test_age_is_nought_once_all_is_committed(post: Post) -> None:
    """No records behind: no age, however old the last one was. An end seen earlier than the position is no debt."""
    post.source.partitions = {P0: Lag(100, 100, 100, timestamp_ms=1), P1: Lag(7, 5, 5, timestamp_ms=1)}
    post.tick()
    assert post.series("lag_records") == post.series("lag_seconds") == {("in", "0"): 0, ("in", "1"): 0}


def test_age_that_is_not_known_has_no_series(post: Post) -> None:
    """With records behind and no timestamp there is a lag in records only; with one, it is as old as that."""
    post.source.partitions = {P0: Lag(1, 100, 100), P1: Lag(1, 100, 100, timestamp_ms=0)}
    post.tick()
    ((labels, age),) = post.series("lag_seconds").items()
    assert labels == ("in", "1")
    assert age > 1e9
    assert [p.lag_seconds is None for p in post.monitor.status().partitions] == [True, False]


def test_series_vanish_with_their_partition(post: Post) -> None:
    """A revoked partition leaves no series and no committed offset behind: its next owner reports it."""
    post.source.partitions = {P0: Lag(1, 2, 2, timestamp_ms=0), P1: Lag(1, 2, 2, timestamp_ms=0)}
    post.pipeline.committed.update({P0: 1, P1: 1})
    post.tick()
    del post.source.partitions[P0]
    post.monitor.revoked(frozenset({P0}))
    post.tick(1.0)
    assert post.series("lag_records").keys() == post.series("lag_seconds").keys() == {("in", "1")}
    assert post.pipeline.committed == {P1: 1}


def test_a_partition_revoked_during_a_tick_leaves_no_series(post: Post) -> None:
    """Field report 7: the lags were looked at just before the revocation; the series still do not outlive it."""
    post.source.partitions = {P0: Lag(1, 2, 2, timestamp_ms=0)}
    look = post.source.lags

    def revoke() -> None:
        post.source.partitions = {}
        post.monitor.revoked(frozenset({P0}))

    revocation = threading.Thread(target=revoke)

    def look_and_lose() -> Mapping[Partition, Any]:
        found = look()
        if revocation.ident is None:
            revocation.start()
            revocation.join(0.2)  # ends within the tick, or waits for the end of the tick
        return found

    post.source.lags = look_and_lose  # type: ignore[method-assign]
    post.tick()
    revocation.join()
    assert post.series("lag_records") == post.series("lag_seconds") == {}
    post.tick(1.0)
    assert post.series("lag_records") == {}


def test_a_delivery_that_outlives_the_revocation_tells_nothing_of_the_next_assignment(post: Post) -> None:
    """Its offsets come in after the partition has gone; when it is ours again, its position is the one read from."""
    post.monitor.revoked(frozenset({P0}))
    post.pipeline.committed[P0] = 10
    post.monitor.assigned(frozenset({P0}))
    post.source.partitions = {P0: Lag(80, 100, 100)}
    post.tick()
    assert post.series("lag_records") == {("in", "0"): 20}


def test_ready_from_the_first_assignment_on(post: Post) -> None:
    """Without partitions the worker is alive and not ready."""
    post.monitor.health.set_started()
    assert post.monitor.health.ready() == (False, "group: no partitions yet")
    post.monitor.assigned(frozenset({P0}))
    assert post.monitor.health.ready().ok
    post.monitor.revoked(frozenset({P0}))
    assert post.monitor.health.ready() == (False, "group: no partitions")
    assert post.monitor.health.live().ok
    assert total(post.metrics.rebalances) == 1


def test_an_assignment_of_nothing_makes_nobody_ready(post: Post) -> None:
    """A worker too many joins the group and gets no partition: it is alive, and not ready."""
    post.monitor.health.set_started()
    post.monitor.assigned(frozenset())
    assert post.monitor.health.ready() == (False, "group: no partitions yet")


def test_a_delivery_that_waits_for_brokers_makes_unready_not_stuck(post: Post) -> None:
    """With every batch behind it the source asks nobody; a recovery that is soon over is no outage."""
    post.monitor.health.set_started()
    post.monitor.assigned(frozenset({P0}))
    post.source.partitions = {P0: Lag(1, 100, 100)}
    post.pipeline.busy_since["deliver"] = post.pipeline.recovering_since = 0.0
    post.tick(RECOVERY_S / 2)
    assert post.monitor.health.ready().ok
    for now in (20, 99, 120, 10_000):
        post.tick(now)
        assert post.monitor.health.ready() == (False, "kafka: the brokers do not answer")
    assert post.monitor.health.live().ok
    post.pipeline.recovering_since = None
    post.tick(10_001)
    assert post.monitor.health.ready().ok


def test_unreachable_brokers_make_unready_not_dead(post: Post) -> None:
    """While brokers do not answer the worker is unready, alive, and never called stuck, however long it takes."""
    post.monitor.health.set_started()
    post.monitor.assigned(frozenset({P0}))
    post.source.partitions = {P0: Lag(1, 100, 100)}
    post.source.reachable = False
    for now in (0, 20, 40, 10_000):
        post.tick(now)
    assert post.monitor.health.ready() == (False, "kafka: the brokers do not answer")
    assert post.monitor.health.live().ok
    post.source.reachable = True
    post.tick(10_001)
    assert post.monitor.health.ready().ok


def test_a_verdict_ends_the_loop(post: Post, exits: list[int]) -> None:
    """Records in reach and no commit for the deadline: dead for the supervisor, and the loop raises `Stalled`."""
    post.source.partitions = {P0: Lag(50, 100, 100)}  # polls go on, nothing is committed
    post.pipeline.committed[P0] = 10
    for now in (0, 10, 20):
        post.tick(now)
        post.source.partitions = {P0: replace(post.source.partitions[P0], position=50 + now)}
    assert post.monitor.health.live().ok
    post.tick(31)
    live = post.monitor.health.live()
    assert not live.ok
    assert "no position moved" in live.reason
    with pytest.raises(Stalled, match="no position moved for 31 s"):
        post.bench.run()


def test_partitions_that_never_find_their_place_are_a_stall(post: Post, exits: list[int]) -> None:
    """A member that has partitions and no position to read at is stuck as well."""
    post.source.unplaced = frozenset({P0})
    for now in (0, 10, 20, 31):
        post.tick(now)
    assert not post.monitor.health.live().ok


def test_a_loop_that_cannot_end_is_ended(post: Post, exits: list[int]) -> None:
    """The loop may be what is stuck: after a while the process exits with code 1 all the same."""
    post.source.partitions = {P0: Lag(50, 50, 50)}
    post.pipeline.busy_since["deliver"] = 0.0
    post.tick(99)
    assert exits == []
    post.tick(100)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    assert exits == [1]
    assert "stage deliver" in post.monitor.health.live().reason


def test_a_part_that_died_unasked_ends_the_worker(post: Post, exits: list[int]) -> None:
    """The model's process may die while there is nothing to compute: seen at the next tick, with its own line."""
    post.tick(0)
    assert post.monitor.health.live().ok
    post.died = Stop("the model's process is gone: it was killed by SIGKILL; give it more memory")
    post.tick(1)
    assert post.monitor.health.live() == (False, str(post.died))
    with pytest.raises(Stop, match="killed by SIGKILL"):
        post.bench.run()


def test_before_there_is_a_worker(exits: list[int]) -> None:
    """While the model is read or the brokers are away: alive, not started, not ready, with a status."""
    monitor = Monitor(
        metrics=Metrics(CollectorRegistry()),
        in_flight=InFlight(),
        control=Control(log_level="info"),
        host="127.0.0.1",
        port=0,
    )
    monitor._tick(0.0)
    health, status = monitor.health, monitor.status()
    assert [health.live().ok, health.startup().ok, health.ready().ok] == [True, False, False]
    assert (status.state, status.model, status.partitions, status.clusters) == ("starting", None, (), None)
    monitor.close()


def test_an_operator_pauses_and_resumes(post: Post) -> None:
    """A pause shows in the status and the metric, and a paused worker is not called stuck."""
    assert post.monitor.status().state == "running"
    post.control.pause()
    post.source.partitions = {P0: Lag(1, 100, 100)}
    for now in (0, 100, 200):
        post.tick(now)
    assert post.pipeline.paused
    assert post.monitor.status().state == "paused"
    assert post.series("paused") == {(): 1}
    assert post.monitor.health.live().ok
    post.control.resume()
    post.tick(201)
    assert not post.pipeline.paused
    assert post.series("paused") == {(): 0}


def test_stopping_shows_as_draining(post: Post) -> None:
    """The state follows the pipeline."""
    assert not post.control.stopping
    post.pipeline.stop()
    assert post.control.stopping
    assert post.monitor.status().state == "draining"


def test_what_is_in_flight_and_the_rate_are_measured(post: Post) -> None:
    """Gauges show the load at the tick; the rate is that of the last half minute."""
    post.in_flight.add(batches=1, records=3, size=40, tokens=5)
    post.tick(0)
    assert [post.series(f"in_flight_{unit}") for unit in ("records", "bytes", "tokens")] == [{(): 3}, {(): 40}, {(): 5}]
    assert post.monitor.status().rates.records_per_s == 0
    post.metrics.processed.inc(50)
    post.tick(10)
    assert post.monitor.status().rates.records_per_s == 5
    post.tick(60)
    assert post.monitor.status().rates.records_per_s == 0


def test_what_the_source_tells_is_counted(post: Post) -> None:
    """Missed drains by their number, gaps by their records, damaged batches by their number."""
    post.monitor.drain_missed(3)
    post.monitor.gap_skipped(P0, 17)
    post.monitor.corrupt_skipped(P0, 5)
    counted = [total(c) for c in (post.metrics.drains_missed, post.metrics.gaps, post.metrics.corrupt)]
    assert counted == [1, 17, 1]


def test_clusters_show_in_status_and_metrics(post: Post) -> None:
    """The largest clusters come first; what was left out of learning is counted by its growth."""
    assert post.monitor.status().clusters is None
    for now, left_out in enumerate((4, 9)):
        post.clusters.found = ClusterSummary("topics", 2, {0: 5, 1: 50}, {1: "cats"}, left_out)
        post.tick(now)
    status = post.monitor.status().clusters
    assert status is not None
    assert [(c.id, c.name, c.count) for c in status.top] == [(1, "cats", 50), (0, None, 5)]
    assert total(post.metrics.samples_left_out) == 9
    assert post.series("cluster_table_version") == {("topics",): 2}


def test_the_model_shows_in_the_status(post: Post) -> None:
    """Which model runs, and where."""
    model = post.monitor.status().model
    assert model is not None
    assert (model.name, model.revision, model.device, model.dtype) == ("fake", "0", "cpu", "float32")
