"""Workers killed, frozen, joined and left at random moments, under a stream that never pauses.

Two replicas are two workers of one group, over three partitions.

The short versions are part of `make test`; the long ones (`make chaos`) print what they found.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from tests.kafka.broker import KafkaServer
from tests.kafka.chaos import Account, Fleet, Topics, aborted, account, committed_lag, fill, filling, moments

PARTITIONS = 3
SESSION_S = 6.0  # as `Fleet` sets it


@dataclass(frozen=True)
class Size:
    """How long and how hard: records over the blows, about a second and a half each."""

    records: int
    blows: int

    @property
    def over_s(self) -> float:
        return self.blows * 1.4 + 2


SIZES = [
    pytest.param(Size(3000, 5), id="short"),
    pytest.param(Size(20_000, 25), id="long", marks=pytest.mark.chaos),
]
LONG = [pytest.param(Size(20_000, 12), id="long", marks=pytest.mark.chaos)]


@pytest.fixture
def topics(server: KafkaServer, unique: Callable[[str], str]) -> Topics:
    found = Topics(unique("input"), unique("results"), unique("dead"), unique("workers"))
    names = [found.source, found.results, found.dead_letters]
    admin = KafkaAdminClient(bootstrap_servers=server.bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    admin.wait_for_topics(names)
    admin.close()
    return found


Blow = Callable[[Fleet, random.Random], None]


def _kill_one(fleet: Fleet, rng: random.Random) -> None:
    fleet.kill(rng.choice(fleet.workers))
    fleet.start()


def _join_or_leave(fleet: Fleet, rng: random.Random) -> None:
    if len(fleet.workers) < 3 and (len(fleet.workers) < 2 or rng.random() < 0.5):
        fleet.start()
    else:
        fleet.kill(rng.choice(fleet.workers), signal.SIGTERM)


def _freeze_one(fleet: Fleet, rng: random.Random) -> None:
    """A zombie: frozen for longer than its session, then awake again with what it had in flight."""
    victim = rng.choice(fleet.workers)
    victim.send_signal(signal.SIGSTOP)
    time.sleep(SESSION_S + 2)
    victim.send_signal(signal.SIGCONT)


def _suffer(server: KafkaServer, topics: Topics, logs: Path, size: Size, blow: Blow, *settings: str) -> Account:
    """Two workers, blows at random moments under a steady stream, then the account once all is quiet."""
    rng = random.Random(size.blows)
    with Fleet(server.bootstrap, topics, logs, settings=settings) as fleet:
        fleet.start()
        fleet.start()
        with filling(server.bootstrap, topics.source, PARTITIONS, size.records, size.over_s):
            for pause_s in moments(size.records, size.blows):
                time.sleep(pause_s)
                blow(fleet, rng)
        found = account(server.bootstrap, topics, PARTITIONS, size.records)
        lag = _settled_lag(server, topics)
    print(
        f"{size.records} records, {size.blows} blows, {aborted(server.bootstrap, topics)} aborted: {found}, lag {lag}"
    )
    assert lag == 0
    return found


def _settled_lag(server: KafkaServer, topics: Topics, patience_s: float = 30.0) -> int:
    deadline = time.monotonic() + patience_s
    while (lag := committed_lag(server.bootstrap, topics, PARTITIONS)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return lag


def _exactly(size: Size) -> Account:
    broken = len(range(7, size.records, 100))
    return Account(results=size.records - broken, dead=broken, repeated=0, missing=0, disordered=0)


@pytest.mark.parametrize("size", SIZES)
def test_kills_lose_and_repeat_nothing(server: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """Field report 16: `kill -9` at random moments: every input comes out exactly once, in its partition's order."""
    assert _suffer(server, topics, tmp_path, size, _kill_one) == _exactly(size)


@pytest.mark.parametrize("size", SIZES)
def test_kills_lose_nothing_at_least_once(server: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """In `at_least_once` a kill may repeat results, and loses none."""
    found = _suffer(server, topics, tmp_path, size, _kill_one, "delivery.mode=at_least_once")
    assert found.missing == 0


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 4), id="short"), *LONG])
def test_joins_and_leaves(server: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """Workers that join and leave every few seconds: exactly once, and each leaves with exit code 0."""
    assert _suffer(server, topics, tmp_path, size, _join_or_leave) == _exactly(size)


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 1), id="short"), *LONG])
def test_zombies_are_fenced(server: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """A worker frozen for longer than its session delivers nothing of what is no longer its own."""
    assert _suffer(server, topics, tmp_path, size, _freeze_one) == _exactly(size)


@pytest.fixture
def restarting(server: KafkaServer) -> Blow:
    def restart(fleet: Fleet, rng: random.Random) -> None:
        server.kill()
        server.start()

    return restart


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 1), id="short"), *LONG])
def test_broker_restarts(server: KafkaServer, topics: Topics, tmp_path: Path, size: Size, restarting: Blow) -> None:
    """The broker is killed and comes back on the same data: exactly once all the same."""
    assert _suffer(server, topics, tmp_path, size, restarting) == _exactly(size)


def test_a_worker_may_start_before_its_broker(server: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """It waits, says so, and works once the broker is there."""
    server.kill()
    with Fleet(server.bootstrap, topics, tmp_path) as fleet:
        fleet.start()
        log = tmp_path / "worker-1.log"
        while "waiting for the brokers" not in log.read_text():
            assert fleet.workers[0].poll() is None
            time.sleep(0.1)
        server.start()
        fill(server.bootstrap, topics.source, PARTITIONS, 300)
        assert account(server.bootstrap, topics, PARTITIONS, 300) == _exactly(Size(300, 0))


def test_a_worker_may_be_stopped_while_its_broker_is_gone(server: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """SIGTERM ends it with exit code 0, in its drain's time; the next one delivers what it had in flight."""
    fill(server.bootstrap, topics.source, PARTITIONS, 3000)
    with Fleet(server.bootstrap, topics, tmp_path) as fleet:
        worker, log = fleet.start(), tmp_path / "worker-1.log"
        while "partitions assigned" not in log.read_text():
            time.sleep(0.05)
        time.sleep(0.5)
        server.kill()
        while "trying again" not in log.read_text():
            assert worker.poll() is None
            time.sleep(0.05)
        fleet.kill(worker, signal.SIGTERM)
        server.start()
        fleet.start()
        assert account(server.bootstrap, topics, PARTITIONS, 3000) == _exactly(Size(3000, 0))
