"""Each way not to reach a broker has its own words; the brokers here only pretend. Real ones: tests/kafka."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from worker.checks.reach import Unreachable, parse, reach
from worker.checks.wire import Address
from worker.kafka.security import Connection

TIMEOUT_S = 2.0


@contextmanager
def listener(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A port that does so with the first connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                behave(accepted)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def speak(answer: bytes) -> Callable[[socket.socket], None]:
    """Read a request, answer it so, hang up."""

    def behave(accepted: socket.socket) -> None:
        accepted.recv(1000)
        accepted.sendall(answer)

    return behave


def failure(server: str, protocol: str = "PLAINTEXT") -> Unreachable:
    with pytest.raises(Unreachable) as raised:
        reach(Connection(bootstrap=server, security_protocol=protocol, request_timeout_s=TIMEOUT_S), server)
    return raised.value


@pytest.mark.parametrize(
    ("server", "expected"),
    [("a.b:1", Address("a.b", 1)), ("[::1]:2", Address("::1", 2)), ("a.b", Address("a.b", 9092))],
)
def test_servers(server: str, expected: Address) -> None:
    """With a port, as IPv6, without a port."""
    assert parse(server) == expected


def test_a_name_that_does_not_resolve() -> None:
    """`.invalid` never does (RFC 6761)."""
    assert (failure("no.such.invalid:9092").step, failure("x" * 70 + ":9092").step) == ("name", "name")


def test_a_closed_port() -> None:
    """Nothing listens there any more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert failure(f"127.0.0.1:{port}").what == f"port {port} is closed"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"", "hangs up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "another protocol"),
        (b"\x15\x03\x03\x00\x02\x02\x0a", "it wants TLS"),
        (b"\x00\x00\x00\x04\x00\x00\x00\x12" + b"\x00\x00\x00\x05", "hangs up"),
        (b"\x00\x00\x00\x02\x00\x00", "another protocol"),
    ],
    ids=["silence", "HTTP", "TLS", "cut off", "too short to be an answer"],
)
def test_a_port_that_is_no_plain_broker(answer: bytes, what: str) -> None:
    """It answers, but in another language."""
    with listener(speak(answer)) as server:
        found = failure(server)
    assert found.step in ("Kafka", "SASL")
    assert what in found.what


def test_tls_to_a_port_without() -> None:
    """The setting is wrong, or the port is."""
    with listener(speak(b"hello")) as server:
        assert failure(server, "SSL").what == "the port does not speak TLS"
