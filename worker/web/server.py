"""The HTTP server: metrics, probes, status and control, in threads that never keep the process alive."""

from __future__ import annotations

import functools
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import structlog

from worker.errors import SettingsError
from worker.web.site import Request, Response, Site

_log = structlog.get_logger(__name__)

_CLIENT_TIMEOUT_S = 10.0  # a client that sends nothing must not hold a thread
_MAX_BODY_BYTES = 65_536  # no request needs a body; what comes is read and thrown away
_CLOSE_TIMEOUT_S = 2.0


class HttpServer:
    """Listens from the constructor on; answers between `start` and `close`."""

    def __init__(self, site: Site, *, host: str, port: int) -> None:
        """`port` 0 takes any free one. Raises `SettingsError` where the address cannot be had."""
        try:
            self._server = _Server((host, port), functools.partial(_Handler, site))
        except OSError as error:
            reason = error.strerror or error
            raise SettingsError(f"cannot listen on {host}:{port}: {reason}; set http.host and http.port") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port; requests in progress are left to their threads. Never raises."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_CLOSE_TIMEOUT_S)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As the parent's, without its look-up of the host's name, which can take many seconds."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        _log.debug("http client lost", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def __init__(self, site: Site, *connection: Any) -> None:
        self._site = site
        super().__init__(*connection)  # handles the request

    def _handle(self) -> None:
        if not self._discard_body():
            return self._send(Response(413, b"no request needs so large a body\n"))
        return self._send(self._answer())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle  # noqa: N815

    def _answer(self) -> Response:
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            return self._site.answer(Request(self.command, self.path, headers))
        except Exception:
            _log.exception("http request failed", method=self.command)
            return Response(500, b"failed; the log says why\n")

    def _discard_body(self) -> bool:
        """Closing a socket that has unread bytes would reset it before the client sees its answer."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
            return False
        self.rfile.read(int(length))
        return True

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        fixed = {
            "Content-Type": response.content_type,
            "Content-Length": str(len(response.body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in {**fixed, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def version_string(self) -> str:
        return "tagstream"

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: no access log."""
