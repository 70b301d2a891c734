"""Each way not to reach a broker has its own words; the brokers here only pretend. Real ones: test_security.py."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from worker.kafka.reach import NotReached, parse, reach
from worker.kafka.security import Connection
from worker.kafka.wire import Address

TIMEOUT_S = 0.5


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


def options(servers: str, protocol: str = "PLAINTEXT") -> dict[str, Any]:
    return Connection(bootstrap=servers, security_protocol=protocol, request_timeout_s=TIMEOUT_S).client_options()


def failure(server: str, protocol: str = "PLAINTEXT") -> NotReached:
    with pytest.raises(NotReached) as raised:
        reach(options(server, protocol), server)
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
    found = [failure("no.such.invalid:9092"), failure("x" * 70 + ":9092")]
    assert [(each.step, each.lasting) for each in found] == [("name", False)] * 2


def test_a_closed_port() -> None:
    """Trap 7: nothing listens there any more; the client would call it the same timeout as all that is below."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = failure(f"127.0.0.1:{port}")
    assert (found.what, found.lasting) == (f"port {port} is closed", False)


@pytest.mark.parametrize(
    ("answer", "what", "lasting"),
    [
        (b"", "hangs up", False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "another protocol", True),
        (b"\x15\x03\x03\x00\x02\x02\x0a", "it wants TLS", True),
        (b"\x00\x00\x00\x04\x00\x00\x00\x12" + b"\x00\x00\x00\x05", "hangs up", False),
        (b"\x00\x00\x00\x02\x00\x00", "another protocol", True),
    ],
    ids=["silence", "HTTP", "TLS", "cut off", "too short to be an answer"],
)
def test_a_port_that_is_no_plain_broker(answer: bytes, what: str, lasting: bool) -> None:
    """What answers in another language goes on doing so; what hangs up may be a broker on its way down."""
    with listener(speak(answer)) as server:
        found = failure(server)
    assert found.step in ("Kafka", "SASL")
    assert what in found.what
    assert found.lasting is lasting


def test_tls_to_a_port_without() -> None:
    """The setting is wrong, or the port is."""
    with listener(speak(b"hello")) as server:
        found = failure(server, "SSL")
    assert (found.what, found.lasting) == ("the port does not speak TLS", True)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_port_that_is_silent_or_hangs_up_may_be_a_broker_that_comes_back(protocol: str) -> None:
    """A stopped broker, one that is starting, a proxy without a backend: a worker waits for them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = failure(f"127.0.0.1:{server.getsockname()[1]}", protocol)
    with listener(lambda accepted: None) as address:
        hangs_up = failure(address, protocol)
    assert (silent.what, silent.lasting) == ("the port takes connections and does not answer", False)
    assert hangs_up.lasting is False
