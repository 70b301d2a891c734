"""The routes, without a socket."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from worker.errors import SettingsError
from worker.metrics import Metrics
from worker.web.health import Health
from worker.web.site import Request, Response, Site
from worker.web.status import Status


class RecordingControl:
    """Writes down what it was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def set_log_level(self, level: str) -> None:
        if level != "debug":
            raise SettingsError(f"log level {level!r} is unknown; use debug")
        self.calls.append(level)


def _status() -> Status:
    return Status(state="running", version="0.1.0", uptime_s=1.0)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def control() -> RecordingControl:
    return RecordingControl()


Ask = Callable[..., Response]


@pytest.fixture
def ask(health: Health, control: RecordingControl) -> Ask:
    site = Site(registry=Metrics(CollectorRegistry()).registry, health=health, status=_status, control=control)
    return lambda method, target, **headers: site.answer(Request(method, target, headers))


def test_probes_answer_200_or_503_with_a_line(ask: Ask, health: Health) -> None:
    """Supervisors read the status code, people the line."""
    health.hold("broker", "unreachable")
    assert ask("GET", "/healthz/startup") == Response(503, b"starting\n")
    assert ask("GET", "/healthz/live") == Response(200, b"alive\n")
    health.set_started()
    assert ask("GET", "/healthz/ready") == Response(503, b"broker: unreachable\n")
    health.release("broker")
    assert ask("GET", "/healthz/ready") == Response(200, b"ready\n")


def test_status_is_json(ask: Ask) -> None:
    """`/api/status` is what `Status` says."""
    response = ask("GET", "/api/status?x=1")
    assert response.content_type == "application/json"
    assert json.loads(response.body)["state"] == "running"


@pytest.mark.parametrize(
    ("accept", "content_type", "last_line"),
    [
        pytest.param("", "text/plain; version=0.0.4", None, id="nothing-asked"),
        pytest.param("*/*", "text/plain; version=0.0.4", None, id="anything"),
        pytest.param("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF", id="open"),
        pytest.param("text/plain;version=x", "text/plain; version=0.0.4", None, id="nonsense"),
    ],
)
def test_metrics_speak_the_format_asked_for(ask: Ask, accept: str, content_type: str, last_line: str | None) -> None:
    """Prometheus asks for OpenMetrics and gets it; anybody else gets the text format."""
    response = ask("GET", "/metrics", accept=accept)
    assert response.status == 200
    assert response.content_type.startswith(content_type)
    assert b"tagstream_processed_records_total 0.0" in response.body
    assert last_line is None or response.body.decode().rstrip().endswith(last_line)


@given(accept=st.text(alphabet="texplain/;,=.version*q1 0"), target=st.text())
def test_no_request_raises(accept: str, target: str) -> None:
    """Whatever a client sends is answered."""
    site = Site(registry=CollectorRegistry(), health=Health(), status=_status, control=RecordingControl())
    assert site.answer(Request("GET", "/metrics", {"accept": accept})).status == 200
    assert site.answer(Request("GET", target, {})).status in (200, 400, 404, 405)


def test_operators_pause_resume_and_set_the_level(ask: Ask, control: RecordingControl) -> None:
    """Each POST is one call of the control."""
    for target in ("/api/pause", "/api/resume", "/api/log-level?level=debug"):
        assert ask("POST", target).status == 200
    assert control.calls == ["pause", "resume", "debug"]


@pytest.mark.parametrize("query", ["?level=loud", "?level=", ""])
def test_a_wrong_level_is_the_clients_mistake(ask: Ask, control: RecordingControl, query: str) -> None:
    """400, with the line that names the levels."""
    response = ask("POST", f"/api/log-level{query}")
    assert response.status == 400
    assert b"use debug" in response.body
    assert control.calls == []


@pytest.mark.parametrize(
    ("method", "target", "status", "allowed"),
    [
        pytest.param("GET", "/api/pause", 405, "POST", id="pause-by-get"),
        pytest.param("HEAD", "/api/pause", 405, "POST", id="pause-by-head"),
        pytest.param("POST", "/metrics", 405, "GET", id="post-metrics"),
        pytest.param("DELETE", "/", 405, "GET", id="delete-page"),
        pytest.param("GET", "/nowhere", 404, None, id="unknown"),
        pytest.param("GET", "/metrics/", 404, None, id="slash"),
        pytest.param("GET", "//[", 404, None, id="no-url"),
    ],
)
def test_other_requests_are_refused(ask: Ask, method: str, target: str, status: int, allowed: str | None) -> None:
    """404 for what is not there, 405 with the method that would do."""
    response = ask(method, target)
    assert (response.status, response.headers.get("Allow")) == (status, allowed)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="curl"),
        pytest.param({"origin": "http://worker:9108", "host": "worker:9108"}, 200, id="own-page"),
        pytest.param({"origin": "http://evil.example", "host": "worker:9108"}, 403, id="other-page"),
        pytest.param({"origin": "null", "host": "worker:9108"}, 403, id="hidden-page"),
        pytest.param({"origin": "http://[", "host": "worker:9108"}, 403, id="no-url"),
    ],
)
def test_pages_of_other_sites_cannot_pause(ask: Ask, headers: dict[str, str], status: int) -> None:
    """A browser names the page that sent a POST; only the worker's own is let in."""
    assert ask("POST", "/api/pause", **headers).status == status


def test_the_page_is_self_contained(ask: Ask) -> None:
    """HTML without anything from elsewhere, which builds its content from text only."""
    response = ask("GET", "/")
    page = response.body.decode()
    assert response.content_type.startswith("text/html")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "http://" not in page
    assert "https://" not in page
    assert "innerHTML" not in page
