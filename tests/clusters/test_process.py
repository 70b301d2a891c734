"""The learner's process, seen from the worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
import structlog

from tests.children import assert_gone, pid_of_child
from worker.clusters.process import QUEUED_OFFERS, ClusterProcess
from worker.clusters.recipe import Recipe
from worker.clusters.sampling import Offering, Sampler

RECIPE = Recipe(table="t", k=2, warmup=20)
ROWS = np.tile(np.eye(2, 3, dtype=np.float32), (10, 1))
TIMES = [None] * 20
TEXTS = [f"{text} {word * 3}" for word in "abcdefghij" for text in ("refund my card", "parcel came late")]


@pytest.fixture
def clusters() -> Iterator[ClusterProcess]:
    with closing(
        ClusterProcess(recipe=RECIPE, offering=Offering(per_s=1000, names=True, clock=lambda: 0.0))
    ) as process:
        yield process


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again; give up after a minute."""
    pause, deadline = threading.Event(), time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "never came true"
        pause.wait(0.005)


def test_a_table_comes_back(clusters):
    """Texts are unassigned until the learner's first table has come; then they have its ids and names."""
    assert clusters.assign(ROWS).ids == [None] * 20
    clusters.learn(ROWS, TEXTS, TIMES)
    wait_until(lambda: clusters.table.version == 1)
    found = clusters.assign(ROWS)
    assert set(found.ids) == {1, 2}
    assert (found.table, found.version, clusters.left_out) == ("t", 1, 0)
    assert {frozenset(name.split(", ")) for name in found.names.values()} == {
        frozenset({"refund", "card"}),
        frozenset({"parcel", "came", "late"}),
    }


def test_names_are_made_of_redacted_texts():
    """What is redacted is in no cluster's name, which goes out with every result."""
    hide = {text: text.replace("card", "").replace("late", "") for text in TEXTS}
    offering = Offering(per_s=1000, names=True, clock=lambda: 0.0, redact=hide.__getitem__)
    with closing(ClusterProcess(recipe=RECIPE, offering=offering)) as process:
        process.learn(ROWS, TEXTS, TIMES)
        wait_until(lambda: process.table.version == 1)
        assert set(process.assign(ROWS).names.values()) == {"refund", "parcel, came"}


def test_a_dead_learner_harms_nobody(clusters):
    """The child was killed: assign goes on with the last table, learn counts what is left out, one line is logged."""
    clusters.learn(ROWS, TEXTS, TIMES)
    wait_until(lambda: clusters.table.version == 1)
    os.kill(pid_of_child(), signal.SIGKILL)
    with structlog.testing.capture_logs() as logs:
        wait_until(lambda: not clusters.alive)
        wait_until(lambda: clusters.learn(ROWS, TEXTS, TIMES) or not clusters._courier.is_alive())
        before = clusters.left_out
        clusters.learn(ROWS, TEXTS, TIMES)
    assert clusters.left_out == before + 20
    assert set(clusters.assign(ROWS).ids) == {1, 2}
    assert [entry["event"] for entry in logs] == ["cluster_learner_lost"]


def test_a_learner_that_fails_says_where(clusters):
    """What a failure says names its place, never a text; assign goes on."""
    with structlog.testing.capture_logs() as logs:
        clusters.learn(ROWS, TEXTS, TIMES)
        clusters.learn(
            np.ones((256, 5), dtype=np.float32), ["secret"] * 256, [None] * 256
        )  # another width than the warm-up's
        wait_until(lambda: not clusters.alive)
    (entry,) = logs
    assert entry["detail"].startswith("ValueError in ")
    assert "secret" not in str(entry)
    assert clusters.assign(ROWS).version == 1


def test_a_learner_that_hangs_blocks_nobody(clusters):
    """With a child that answers nothing, the bounded queue fills, the rest is left out, and close still ends it."""
    pid = pid_of_child()
    os.kill(pid, signal.SIGSTOP)
    for _ in range(QUEUED_OFFERS + 2):
        clusters.learn(ROWS, TEXTS, TIMES)
    assert clusters.left_out >= 20
    clusters.close()
    assert_gone(pid)


def test_close_leaves_no_process_behind(clusters):
    """After close there is neither child nor zombie nor thread; closing again does nothing."""
    pid = pid_of_child()
    clusters.close()
    clusters.close()
    assert_gone(pid)
    assert not clusters.alive
    assert not clusters._courier.is_alive()
    assert clusters.assign(ROWS).ids == [None] * 20


def test_samples_are_bounded_by_the_rate():
    """A second's worth at most, spread over the batch; what time has passed is what may be taken."""
    sampler = Sampler(per_s=4)
    assert sampler.pick(8, 100.0) == [0, 2, 4, 6]
    assert sampler.pick(8, 100.0) == []
    assert sampler.pick(8, 100.5) == [0, 4]
    assert sampler.pick(2, 1000.0) == [0, 1]
    assert sampler.pick(9, 1000.0) == [0, 4]
    assert sampler.pick(0, 2000.0) == []


def test_a_rate_below_one_still_samples():
    """One sample every ten seconds."""
    sampler = Sampler(per_s=0.1)
    assert [len(sampler.pick(5, now)) for now in (0.0, 5.0, 10.0, 10.0)] == [1, 0, 1, 0]


def test_what_the_rate_leaves_out_is_counted():
    """`left_out` counts every text that the learner does not get."""
    clusters = ClusterProcess(recipe=RECIPE, offering=Offering(per_s=5, names=False, clock=lambda: 0.0))
    with closing(clusters):
        clusters.learn(ROWS, TEXTS, TIMES)
        assert clusters.left_out == 15


def test_a_text_of_the_future_is_of_now():
    """One wrong clock, or a whole batch of them, does not move the time of the table."""
    offering = Offering(per_s=10, names=False, clock=lambda: 1000.0)
    found = offering.samples(ROWS[:3], TEXTS[:3], [None, 999_000, 4_070_908_800_000])
    assert found is not None
    assert found.times_ms.tolist() == [0, 999_000, 1_000_000]
