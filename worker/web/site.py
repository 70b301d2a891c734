"""What the HTTP side answers, without any socket: method, path, query and headers in, a response out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Protocol
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.errors import SettingsError
from worker.web.health import Check, Health
from worker.web.status import Status


class Control(Protocol):
    """What an operator can do. Called by HTTP threads; returns at once, the worker follows when it can."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def set_log_level(self, level: str) -> None:
        """Raises `SettingsError` for a level that does not exist."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """`headers` has its names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def parameter(self, name: str) -> str:
        return parse_qs(self.target.partition("?")[2]).get(name, [""])[0]


Answer = Callable[[Request], Response]

# The page needs nothing from anywhere else; nobody may frame it.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Site:
    """The routes. Any number of threads."""

    def __init__(
        self, *, registry: CollectorRegistry, health: Health, status: Callable[[], Status], control: Control
    ) -> None:
        self._registry = registry
        self._status = status
        self._control = control
        self._routes: dict[str, dict[str, Answer]] = {
            "/": {"GET": self._page},
            "/metrics": {"GET": self._metrics},
            "/healthz/startup": {"GET": lambda _: _probe(health.startup())},
            "/healthz/live": {"GET": lambda _: _probe(health.live())},
            "/healthz/ready": {"GET": lambda _: _probe(health.ready())},
            "/api/status": {"GET": self._status_json},
            "/api/pause": {"POST": self._pause},
            "/api/resume": {"POST": self._resume},
            "/api/log-level": {"POST": self._log_level},
        }

    def answer(self, request: Request) -> Response:
        """Never raises for what a client sends; what a part raises goes through."""
        methods = self._routes.get(request.path)
        if methods is None:
            return _text(404, f"no such page; there are {' '.join(self._routes)}")
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            allowed = ", ".join(methods)
            return Response(405, f"use {allowed}\n".encode(), headers={"Allow": allowed})
        if method == "POST" and not _is_same_origin(request.headers):
            return _text(403, "refused: the request comes from a page of another site")
        return methods[method](request)

    def _page(self, _: Request) -> Response:
        page = resources.files("worker.web").joinpath("page.html").read_bytes()
        return Response(200, page, "text/html; charset=utf-8", {"Content-Security-Policy": _PAGE_POLICY})

    def _metrics(self, request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except TypeError:  # its answer to `version=x`
            encode, content_type = choose_encoder("")
        return Response(200, encode(self._registry), content_type)

    def _status_json(self, _: Request) -> Response:
        return Response(200, self._status().to_json(), "application/json")

    def _pause(self, _: Request) -> Response:
        self._control.pause()
        return _text(200, "pausing")

    def _resume(self, _: Request) -> Response:
        self._control.resume()
        return _text(200, "resuming")

    def _log_level(self, request: Request) -> Response:
        level = request.parameter("level")
        try:
            self._control.set_log_level(level)
        except SettingsError as error:
            return _text(400, str(error))
        return _text(200, f"log level {level}")


def _probe(check: Check) -> Response:
    return _text(200 if check.ok else 503, check.reason)


def _text(status: int, line: str) -> Response:
    return Response(status, f"{line}\n".encode("utf-8", "replace"))


def _is_same_origin(headers: Mapping[str, str]) -> bool:
    """Browsers name the page that sent a POST; curl and probes name none, and are let in."""
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")
