"""The learner's process, seen from the worker."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import orjson
import pytest
import structlog

from worker.clusters import child, wire
from worker.clusters.process import QUEUED_OFFERS, ClusterProcess
from worker.clusters.recipe import Recipe
from worker.clusters.sampling import Sampler
from worker.clusters.table import Table

RECIPE = Recipe(table="t", k=2, warmup=20)
ROWS = np.tile(np.eye(2, 3, dtype=np.float32), (10, 1))
TEXTS = ["refund my card", "parcel came late"] * 10
ROOT = Path(__file__).parents[2]


@pytest.fixture
def clusters() -> Iterator[ClusterProcess]:
    with closing(ClusterProcess(recipe=RECIPE, samples_per_s=1000, names=True, clock=lambda: 0.0)) as process:
        yield process


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again; give up after a minute."""
    pause, deadline = threading.Event(), time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "never came true"
        pause.wait(0.005)


def pid_of_child() -> int:
    (process,) = multiprocessing.active_children()
    assert process.pid is not None
    return process.pid


def test_a_table_comes_back(clusters):
    """Texts are unassigned until the learner's first table has come; then they have its ids and names."""
    assert clusters.assign(ROWS).ids == [None] * 20
    clusters.learn(ROWS, TEXTS)
    wait_until(lambda: clusters.table.version == 1)
    found = clusters.assign(ROWS)
    assert set(found.ids) == {1, 2}
    assert (found.table, found.version, clusters.left_out) == ("t", 1, 0)
    assert {frozenset(name.split(", ")) for name in found.names.values()} == {
        frozenset({"refund", "card"}),
        frozenset({"parcel", "came", "late"}),
    }


def test_a_dead_learner_harms_nobody(clusters):
    """The child was killed: assign goes on with the last table, learn counts what is left out, one line is logged."""
    clusters.learn(ROWS, TEXTS)
    wait_until(lambda: clusters.table.version == 1)
    os.kill(pid_of_child(), signal.SIGKILL)
    with structlog.testing.capture_logs() as logs:
        wait_until(lambda: not clusters.alive)
        wait_until(lambda: clusters.learn(ROWS, TEXTS) or not clusters._courier.is_alive())
        before = clusters.left_out
        clusters.learn(ROWS, TEXTS)
    assert clusters.left_out == before + 20
    assert set(clusters.assign(ROWS).ids) == {1, 2}
    assert [entry["event"] for entry in logs] == ["cluster_learner_lost"]


def test_a_learner_that_fails_says_where(clusters):
    """What a failure says names its place, never a text; assign goes on."""
    with structlog.testing.capture_logs() as logs:
        clusters.learn(ROWS, TEXTS)
        clusters.learn(np.ones((256, 5), dtype=np.float32), ["secret"] * 256)  # another width than the warm-up's
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
        clusters.learn(ROWS, TEXTS)
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


def assert_gone(pid: int) -> None:
    with pytest.raises(ProcessLookupError):  # a zombie could still be signalled
        os.kill(pid, 0)


def test_the_child_outlives_signals_but_not_its_parent():
    """SIGINT and SIGTERM are the worker's business; the end of the pipe, as when the worker dies, ends the child."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=child.serve, args=(theirs, orjson.dumps(RECIPE)), daemon=True)
    process.start()
    theirs.close()
    frame = wire.pack({"words": [[]] * 20}, ROWS)
    ours.send_bytes(frame)
    assert Table.from_bytes(ours.recv_bytes()[1:]).ids == (1, 2)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    ours.send_bytes(frame)
    assert ours.recv_bytes() == child.UNCHANGED
    ours.close()
    process.join(60)
    assert process.exitcode == 0


def test_a_worker_that_forgets_to_close_still_ends(tmp_path):
    """The interpreter's exit ends the child, although it ignores SIGTERM."""
    script = tmp_path / "main.py"
    script.write_text(
        "from worker.clusters.process import ClusterProcess\n"
        "from worker.clusters.recipe import Recipe\n"
        "if __name__ == '__main__':\n"
        "    clusters = ClusterProcess(recipe=Recipe(), samples_per_s=1, names=False, clock=lambda: 0.0)\n"
        "    assert clusters.alive\n"
    )
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


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
    clusters = ClusterProcess(recipe=RECIPE, samples_per_s=5, names=False, clock=lambda: 0.0)
    with closing(clusters):
        clusters.learn(ROWS, TEXTS)
        assert clusters.left_out == 15
