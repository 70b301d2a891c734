"""A real Apache Kafka for tests: one process (KRaft), run from the jars in `$KAFKA_HOME/libs`.

By hand: `python -m tests.kafka.broker --dir DIR --port N [--set key=value ...]`; Ctrl-C ends it, DIR keeps the data.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

CLUSTER_ID = "q1Sh-9_ZTDeJlQbSaGvWtA"  # any 16 bytes in URL-safe base64
SCRAM_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
FIRST_PORT, PORTS = 15_000, 2_000
_turn = itertools.count(secrets.randbelow(PORTS))  # another beginning for each test run
START_TIMEOUT_S = 90.0  # five seconds alone; much more beside a busy test run
LOGGING = """status=error
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c)%n
"""
# Production waits seconds to minutes for each of these; a test of a fault should not.
QUICK = {
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "2000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}


class KafkaServer:
    """One broker on one data directory; `start` after `kill` or `terminate` is a restart on the same port.

    With `proxy_port`, a second listener (`fault_bootstrap`) tells clients to come back through that port: a test puts
    a proxy there that delays, cuts or swallows bytes, and connects it to `fault_port`.

    `listeners` adds more, by name and protocol (`{"TLS": "SSL"}`; `address` says where); what they need besides is in
    `settings`. `scram` users have their password for each SCRAM mechanism from the first start on.
    """

    def __init__(
        self,
        *,
        directory: Path,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        proxy_port: int | None = None,
        listeners: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.fault_port = free_port() if proxy_port else None
        self._proxy_port = proxy_port
        self._controller_port = free_port()
        self._protocols = dict(listeners or {})
        self._ports = {name: free_port() for name in self._protocols}
        self._scram = dict(scram or {})
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def fault_bootstrap(self) -> str:
        return f"127.0.0.1:{self._proxy_port}"

    def address(self, listener: str) -> str:
        """`host:port` of one of the listeners that were asked for."""
        return f"127.0.0.1:{self._ports[listener]}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> KafkaServer:
        """Run the broker and wait until it answers. Raises `RuntimeError` with the end of its log."""
        self.launch()
        self.wait_ready(timeout_s)
        return self

    def launch(self) -> None:
        """Run the broker and return at once."""
        if self.running:
            raise RuntimeError("the broker runs already")
        self._write_files()
        with self._log_file.open("ab") as log:
            self._format(log)
            command = [*self._java(), "kafka.Kafka", str(self._config_file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.directory)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not answers(self.bootstrap):
            if not self.running or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"Kafka did not start: {self._log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL, as when the machine dies."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM: leaders move, logs are closed."""
        self._end(signal.SIGTERM)

    def stop(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        if self._process:
            self._process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self.cont()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _config_file(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log_file(self) -> Path:
        return self.directory / "broker.log"

    def _write_files(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        kept = self.directory / "controller-port"  # the quorum's address is part of the data
        if kept.exists():
            self._controller_port = int(kept.read_text())
        kept.write_text(str(self._controller_port))
        self._config_file.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
        (self.directory / "log4j2.properties").write_text(LOGGING)

    def _properties(self) -> dict[str, str]:
        advertised = {"PLAINTEXT": self.port, **self._ports}
        listeners = {**advertised, "CONTROLLER": self._controller_port}
        if self.fault_port and self._proxy_port:
            listeners["FAULT"] = self.fault_port
            advertised["FAULT"] = self._proxy_port
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": _addresses(listeners),
            "advertised.listeners": _addresses(advertised),
            "listener.security.protocol.map": ",".join(
                f"{name}:{self._protocols.get(name, 'PLAINTEXT')}" for name in listeners
            ),
            "log.dirs": str(self.directory / "data"),
            **QUICK,
            **self._settings,
        }

    def _java(self) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.properties'}"
        # One small heap and no optimising compiler: a test run is short and shares two cores.
        return ["java", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", logging, "-cp", f"{_libs()}/*"]

    def _format(self, log: IO[bytes]) -> None:
        if not (self.directory / "data" / "meta.properties").exists():
            users = [
                f"--add-scram={mechanism}=[name={name},password={password}]"
                for name, password in self._scram.items()
                for mechanism in SCRAM_MECHANISMS
            ]
            tool = [*self._java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._config_file)]
            subprocess.run([*tool, *users], stdout=log, stderr=subprocess.STDOUT, check=True)


def unavailable() -> str | None:
    """Why no broker can be started here; None if one can."""
    if not os.environ.get("KAFKA_HOME"):
        return "no Kafka: set KAFKA_HOME to a Kafka download (`make kafka` brings one)"
    if not any(_libs().glob("kafka_2.13-*.jar")):
        return "no Kafka: KAFKA_HOME/libs holds no kafka_2.13 jar"
    return None if shutil.which("java") else "no Kafka: java is not installed"


def answers(bootstrap: str) -> bool:
    """Whether a broker takes connections, tells its versions and knows its cluster."""
    host, _, port = bootstrap.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=2000, request_timeout_ms=2000)
    except (OSError, KafkaError):
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()


def free_port() -> int:
    """Nobody listens there, and nobody comes to by chance until the caller does.

    The system gives clients ports from 32768 on; each process of a parallel test run has a range of its own below.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = FIRST_PORT + PORTS * (worker % 8) + next(_turn) % PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _libs() -> Path:
    return Path(os.environ.get("KAFKA_HOME", "")).resolve() / "libs"


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if reason := unavailable():
        parser.error(reason)
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    server = KafkaServer(directory=arguments.dir, port=arguments.port, settings=settings).start()
    print(f"Kafka answers at {server.bootstrap}", flush=True)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
