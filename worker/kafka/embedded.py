"""A small broker from a Python package, for demos and development. It keeps no promise of delivery; Kafka does."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from worker.errors import SettingsError, Stop

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 10.0  # it writes its data on the way out
# The broker must not outlive us, even killed: the shell holds a pipe from us, and its end is the order to stop.
GUARD = """
exec 3<&0
"$@" </dev/null 3<&- & broker=$!
{ read -r _ <&3; kill "$broker"; } & guard=$!
wait "$broker"; status=$?
kill "$guard" 2>/dev/null; exit "$status"
"""


class EmbeddedBroker:
    """One broker process that keeps its data in `directory` from one clean stop to the next start."""

    def __init__(self, *, directory: Path, port: int = 0) -> None:
        self.port = port or _free_port()
        self.log_file = directory / "broker.log"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> EmbeddedBroker:
        """Run it and wait until it takes connections. Raises `SettingsError` without the extra, `Stop` otherwise."""
        binary = _binary()
        if _connects(self.port):
            raise Stop(f"port {self.port} is in use; choose another with --port")
        self._directory.mkdir(parents=True, exist_ok=True)
        command = [str(binary), "start", "--data-dir", str(self._directory / "data"), "--only", "kafka"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "sh", *command, "--kafka-port", str(self.port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: the broker is stopped last
            )
        self._wait_ready()
        return self

    def stop(self) -> None:
        """Stop it; what it holds is on disk afterwards. Bounded; never raises."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.running and _connects(self.port)):
            if not self.running or time.monotonic() > deadline:
                self.stop()
                raise Stop(f"the embedded broker did not start on port {self.port}; see {self.log_file}")
            time.sleep(0.02)


def _binary() -> Path:
    found = importlib.util.find_spec("noida_db")
    if found is None or found.origin is None:
        raise SettingsError("the embedded broker is not installed: pip install 'tagstream[broker]'")
    binary = Path(found.origin).with_name("noida-db")
    if not binary.is_file():
        raise SettingsError("the embedded broker has no binary for this platform; use a Kafka of your own")
    return binary


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
