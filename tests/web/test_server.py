"""The server on a real socket: answers, errors, start and end."""

import http.client
import socket
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from worker.errors import SettingsError
from worker.web.health import Health
from worker.web.server import HttpServer
from worker.web.site import Site
from worker.web.status import Status


class NoControl:
    def pause(self) -> None:
        raise RuntimeError("no worker to pause")

    def resume(self) -> None: ...

    def set_log_level(self, level: str) -> None: ...


def _site() -> Site:
    def status() -> Status:
        return Status(state="running", version="0.1.0", uptime_s=1.0)

    return Site(registry=CollectorRegistry(), health=Health(), status=status, control=NoControl())


@pytest.fixture
def server() -> Iterator[HttpServer]:
    server = HttpServer(_site(), host="127.0.0.1", port=0)
    server.start()
    yield server
    server.close()


def _ask(server: HttpServer, method: str, path: str, **options: object) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, **options)  # type: ignore[arg-type]
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_it_answers_on_a_free_port(server: HttpServer) -> None:
    """Port 0 takes a free one, and says which; answers are not to be cached."""
    status, body, headers = _ask(server, "GET", "/healthz/live")
    assert server.port > 0
    assert (status, body) == (200, b"alive\n")
    assert headers["Cache-Control"] == "no-store"


def test_head_is_get_without_the_body(server: HttpServer) -> None:
    """Load balancers that probe with HEAD see the same status and length."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
        raw.sendall(b"HEAD /healthz/live HTTP/1.0\r\n\r\n")
        answer = raw.makefile("rb").read()  # http.client would not read a body that must not be there
    assert answer.startswith(b"HTTP/1.0 200 ")
    assert b"Content-Length: 6\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        pytest.param("POST", "/api/resume", {"body": b"ignored"}, 200, id="body-is-ignored"),
        pytest.param("POST", "/api/resume", {"headers": {"Content-Length": "9999999"}}, 413, id="huge-body"),
        pytest.param("POST", "/api/resume", {"headers": {"Content-Length": "-1"}}, 413, id="odd-length"),
        pytest.param("PUT", "/api/resume", {}, 405, id="put"),
        pytest.param("BREW", "/", {}, 501, id="unknown-method"),
        pytest.param("POST", "/api/pause", {}, 500, id="a-part-fails"),
    ],
)
def test_each_request_gets_its_answer(
    server: HttpServer, method: str, path: str, options: dict[str, object], status: int
) -> None:
    """Mistakes are answered, and the server goes on."""
    assert _ask(server, method, path, **options)[0] == status
    assert _ask(server, "GET", "/healthz/live")[0] == 200


def test_a_client_that_says_nothing_holds_nobody_up(server: HttpServer) -> None:
    """An open connection without a request leaves the others their answers, and `close` its bound."""
    with socket.create_connection(("127.0.0.1", server.port)):
        assert _ask(server, "GET", "/healthz/live")[0] == 200
        server.close()


def test_a_port_in_use_is_a_setting_to_change(server: HttpServer) -> None:
    """One line names the address and the settings."""
    with pytest.raises(SettingsError, match=rf"cannot listen on 127.0.0.1:{server.port}: .*http.port"):
        HttpServer(_site(), host="127.0.0.1", port=server.port)


def test_a_host_that_does_not_exist_is_a_setting_to_change() -> None:
    """An address that is not ours is refused in the same way."""
    with pytest.raises(SettingsError, match=r"cannot listen on 203\.0\.113\.1:0"):
        HttpServer(_site(), host="203.0.113.1", port=0)


def test_close_frees_the_port_started_or_not(server: HttpServer) -> None:
    """After `close` the port can be had again; closing twice, or what never started, does no harm."""
    port = server.port
    server.close()
    server.close()
    again = HttpServer(_site(), host="127.0.0.1", port=port)
    again.close()
    assert again.port == port
