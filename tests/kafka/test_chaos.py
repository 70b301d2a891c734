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
def topics(own_kafka: KafkaServer) -> Topics:
    found = Topics("input", "results", "dead", "workers")
    names = [found.source, found.results, found.dead_letters]
    admin = KafkaAdminClient(bootstrap_servers=own_kafka.bootstrap)
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
def test_kills_lose_and_repeat_nothing(own_kafka: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """`kill -9` at random moments: every input is in the outputs exactly once, in the order of its partition."""
    assert _suffer(own_kafka, topics, tmp_path, size, _kill_one) == _exactly(size)


@pytest.mark.parametrize("size", SIZES)
def test_kills_lose_nothing_at_least_once(own_kafka: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """In `at_least_once` a kill may repeat results, and loses none."""
    found = _suffer(own_kafka, topics, tmp_path, size, _kill_one, "delivery.mode=at_least_once")
    assert found.missing == 0


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 4), id="short"), *LONG])
def test_joins_and_leaves(own_kafka: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """Workers that join and leave every few seconds: exactly once, and each leaves with exit code 0."""
    assert _suffer(own_kafka, topics, tmp_path, size, _join_or_leave) == _exactly(size)


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 1), id="short"), *LONG])
def test_zombies_are_fenced(own_kafka: KafkaServer, topics: Topics, tmp_path: Path, size: Size) -> None:
    """A worker frozen for longer than its session delivers nothing of what is no longer its own."""
    assert _suffer(own_kafka, topics, tmp_path, size, _freeze_one) == _exactly(size)


@pytest.fixture
def restarting(own_kafka: KafkaServer) -> Blow:
    def restart(fleet: Fleet, rng: random.Random) -> None:
        own_kafka.kill()
        own_kafka.start()

    return restart


@pytest.mark.parametrize("size", [pytest.param(Size(3000, 1), id="short"), *LONG])
def test_broker_restarts(own_kafka: KafkaServer, topics: Topics, tmp_path: Path, size: Size, restarting: Blow) -> None:
    """The broker is killed and comes back on the same data: exactly once all the same."""
    assert _suffer(own_kafka, topics, tmp_path, size, restarting) == _exactly(size)


def test_a_worker_may_start_before_its_broker(own_kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """It waits, says so, and works once the broker is there."""
    own_kafka.kill()
    with Fleet(own_kafka.bootstrap, topics, tmp_path) as fleet:
        fleet.start()
        log = tmp_path / "worker-1.log"
        while "waiting for the brokers" not in log.read_text():
            assert fleet.workers[0].poll() is None
            time.sleep(0.1)
        own_kafka.start()
        fill(own_kafka.bootstrap, topics.source, PARTITIONS, 300)
        assert account(own_kafka.bootstrap, topics, PARTITIONS, 300) == _exactly(Size(300, 0))
