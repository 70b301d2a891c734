"""`tagstream run` as a process, while it starts: what probes and signals get."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.children import ROOT, wait_for_end
from tests.kafka.broker import free_port
from tests.model.tiny import config_of, write_classifier

PATIENCE_S = 60.0
FAKE_MODEL = "tests.kafka.fake_worker"  # loaded at once, so that it waits for the brokers
COMMON = ["input.topics=[in]", "output.topic=out", "dead_letter.topic=dead", "clusters.enabled=false"]


class Starting:
    """A worker whose brokers are not there."""

    def __init__(self, call: list[str], log: Path) -> None:
        self.port, self.log = free_port(), log
        assignments = [f"kafka.bootstrap=127.0.0.1:{free_port()}", f"http.port={self.port}", *COMMON]
        flags = assignments if call[1] == FAKE_MODEL else [f for a in assignments for f in ("--set", a)]
        with log.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, *call, *flags], cwd=ROOT, stdout=out, stderr=out)

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and line, as soon as it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request(method, path)
                response = connection.getresponse()
                return response.status, response.read().decode()
            except ConnectionRefusedError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            finally:
                connection.close()

    def wait_for(self, line: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while line not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def children(self) -> dict[str, int]:
        """Its processes by what they are called."""
        found: dict[str, int] = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):  # it has ended meanwhile
                fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                if int(fields["PPid"]) == self.process.pid:
                    found[fields["Name"]] = int(fields["Pid"])
        return found


@contextmanager
def starting(call: list[str], folder: Path) -> Iterator[Starting]:
    worker = Starting(call, folder / "log")
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Starting]:
    """A worker that waits for its brokers."""
    with starting(["-m", FAKE_MODEL], tmp_path) as worker:
        worker.wait_for("waiting for the brokers")
        yield worker


def test_a_worker_that_waits_for_its_brokers_is_alive(waiting: Starting) -> None:
    """A probe of *live* gets 200, so that nobody restarts it; it has not started and is not ready."""
    assert waiting.ask("/healthz/live") == (200, "alive\n")
    assert waiting.ask("/healthz/startup")[0] == 503
    status, line = waiting.ask("/healthz/ready")
    assert (status, "starting" in line) == (503, True)
    assert '"state":"starting"' in waiting.ask("/api/status")[1].replace(" ", "")
    assert waiting.ask("/metrics")[0] == 200


def test_signals_do_not_end_a_wait_but_a_stop_does(waiting: Starting) -> None:
    """Pause, resume and reload are kept for later; SIGTERM is exit code 0, though no broker ever answered."""
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        waiting.process.send_signal(number)
    assert waiting.ask("/api/log-level?level=debug", "POST")[0] == 200
    assert waiting.process.poll() is None
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in waiting.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_model_loads(tmp_path: Path, number: signal.Signals) -> None:
    """Exit code 0 at once, and the model's process is gone too."""
    model = write_classifier(tmp_path / "model", config_of("bert", num_labels=2))
    with starting(["-m", "worker.cli.main", "run", "--set", f"model.path={model}"], tmp_path) as worker:
        assert worker.ask("/healthz/live")[0] == 200
        deadline = time.monotonic() + PATIENCE_S
        while "tagstream-model" not in worker.children():
            assert time.monotonic() < deadline, worker.log.read_text()
        child = worker.children()["tagstream-model"]
        worker.process.send_signal(number)
        assert worker.process.wait(PATIENCE_S) == 0
        wait_for_end(child)
        assert worker.log.read_text().count("\n") <= 1  # that it listens
