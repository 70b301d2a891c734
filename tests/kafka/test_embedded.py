"""The embedded broker: starts, keeps its data over a clean stop, ends with its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.broker import free_port
from worker.errors import Stop
from worker.kafka.embedded import EmbeddedBroker
from worker.kafka.security import Connection
from worker.kafka.topics import TopicAdmin, TopicSpec

pytest.importorskip("noida_db")
PARENT = """
import sys
from pathlib import Path
from worker.kafka.embedded import EmbeddedBroker
broker = EmbeddedBroker(directory=Path(sys.argv[1])).start()
print(broker.port, flush=True)
sys.stdin.read()
"""


def test_topics_survive_a_clean_stop(tmp_path: Path) -> None:
    """What was made before `stop` is there after the next `start`, on the same port."""
    broker = EmbeddedBroker(directory=tmp_path)
    with broker, TopicAdmin(Connection(bootstrap=broker.bootstrap)) as admin:
        assert admin.create([TopicSpec("kept", "input", 2, 1)]) == ["kept"]
    assert not broker.running
    with broker, TopicAdmin(Connection(bootstrap=broker.bootstrap)) as admin:
        assert admin.describe(["kept"])["kept"].partitions == 2


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    """Somebody else's broker is never taken for ours."""
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Stop, match="in use"):
        EmbeddedBroker(directory=tmp_path, port=other.getsockname()[1]).start()


def test_it_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Even a parent that cannot clean up leaves no broker behind."""
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        port = int(parent.stdout.readline())
        socket.create_connection(("127.0.0.1", port)).close()
        os.kill(parent.pid, signal.SIGKILL)
    while _listens(port):
        pass


def test_stop_without_start_does_nothing(tmp_path: Path) -> None:
    """`stop` may be called at any time, any number of times."""
    broker = EmbeddedBroker(directory=tmp_path, port=free_port())
    broker.stop()
    broker.stop()
    assert not broker.running


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
