"""`tagstream run` as a process of its own, as a user would start it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from worker.errors import Stop
from worker.kafka.embedded import GUARD

USUAL_PORT = 9108
START_TIMEOUT_S = 120.0  # a cold disk has 900 MB of torch to read
STOP_TIMEOUT_S = 30.0
LOOK_S = 0.1


class WorkerProcess:
    """A context manager. The worker ends with us however we end: the guard holds a pipe from this process."""

    def __init__(self, *, config: Path, log_file: Path, http_port: int, environment: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{http_port}"
        self._command = [sys.executable, "-m", "worker.cli.main", "run", "--config", str(config)]
        self._log_file = log_file
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WorkerProcess:
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us: the worker is asked to stop in its turn
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_ready(self) -> None:
        """Until it has its partitions. Raises `Stop`."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers("/healthz/ready"):
            self.check()
            if time.monotonic() > deadline:
                raise Stop(f"the worker was not ready after {START_TIMEOUT_S:g} s; see {self._log_file}")
            time.sleep(LOOK_S)

    def check(self) -> None:
        """Raises `Stop` if it has ended by itself."""
        code = self._process.poll() if self._process else None
        if code is not None:
            lines = self._log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise Stop(f"the worker ended with {code}: {lines[-1] if lines else 'nothing said'}; see {self._log_file}")

    def stop(self) -> int:
        """Drain, commit, leave; its exit code. Bounded; never raises."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.stdin:
            process.stdin.close()  # the guard's order to stop
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return process.wait()

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """The usual port of the worker's status, or any free one if that is taken."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise Stop("this machine has no free port")
