"""The logs: one door for ours and the libraries', a level that can change, and no text of messages."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from worker import logs
from worker.errors import DeliveryFailed, SettingsError

SECRET = "my card number is 1234"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is global to the process: put back what a test changed."""
    names = (None, "kafka", "kafka.producer.kafka", "worker", "tagstream")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = list(logging.getLogger().handlers)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


class UnstableOffsetCommitError(Exception):
    """Named as kafka-python's."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("level", logs.LEVELS)
def test_the_level_can_be_asked_for(level: logs.Level) -> None:
    """A process beside the worker's is to say as much as it does."""
    logs.set_level(level)
    assert logs.level() == level


def test_json_lines_carry_level_time_logger_and_values() -> None:
    """A line is one JSON object, whatever its values hold."""
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    structlog.get_logger("worker.app").info("started", topic='a"b\nc', port=9108)
    (line,) = _lines(stream)
    assert line.pop("timestamp")
    assert line == {"event": "started", "level": "info", "logger": "worker.app", "topic": 'a"b\nc', "port": 9108}


@pytest.mark.parametrize(
    ("format", "stream", "is_json"),
    [
        pytest.param("auto", io.StringIO(), True, id="auto-to-a-file"),
        pytest.param("auto", Terminal(), False, id="auto-on-a-terminal"),
        pytest.param("console", io.StringIO(), False, id="console"),
        pytest.param("json", Terminal(), True, id="json-on-a-terminal"),
    ],
)
def test_auto_is_console_on_a_terminal(format: logs.Format, stream: io.StringIO, is_json: bool) -> None:
    """`auto` looks at the stream; the others do as they say."""
    logs.configure("info", format, stream)
    structlog.get_logger("worker.app").info("started")
    assert stream.getvalue().startswith("{") == is_json
    assert "started" in stream.getvalue()


def test_the_level_changes_at_run_time() -> None:
    """`set_level` works on loggers that exist already, in both directions."""
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    log = structlog.get_logger("worker.app")
    log.debug("one")
    logs.set_level("debug")
    log.debug("two")
    logs.set_level("error")
    log.warning("three")
    assert [line["event"] for line in _lines(stream)] == ["two"]


def test_an_unknown_level_names_the_known_ones() -> None:
    """A wrong level is one line for the operator, and changes nothing."""
    with pytest.raises(SettingsError, match="'loud' is unknown; use one of debug, info, warning, error"):
        logs.set_level("loud")


def test_configuring_again_replaces_the_handler() -> None:
    """Lines come once, on the newest stream, also from a logger made before."""
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", "json", first)
    log = structlog.get_logger("worker.app")
    log.info("one")
    logs.configure("info", "json", second)
    log.info("two")
    assert [line["event"] for line in _lines(first)] == ["one"]
    assert [line["event"] for line in _lines(second)] == ["two"]


def test_libraries_go_through_the_same_door_from_warning_on() -> None:
    """A library's warning is a structured line; its debug and info lines, which may quote texts, are not shown."""
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    for name in ("kafka.client", "some.library"):
        logging.getLogger(name).info("info %s", SECRET)
        logging.getLogger(name).warning("careful: %s", 7)
    lines = _lines(stream)
    assert [(line["logger"], line["event"]) for line in lines] == [
        ("kafka.client", "careful: 7"),
        ("some.library", "careful: 7"),
    ]


def test_kafka_never_logs_below_info() -> None:
    """kafka-python prints keys and values at debug: not shown even if somebody turns its loggers up."""
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    producer = logging.getLogger("kafka.producer.kafka")
    assert not producer.isEnabledFor(logging.DEBUG)
    producer.setLevel(logging.DEBUG)
    producer.debug("Sending (key=%r value=%r headers=%r) to %s", b"k", SECRET.encode(), [], "texts")
    assert stream.getvalue() == ""


def test_waiting_for_a_predecessors_transaction_is_no_error() -> None:
    """The line per retry of an unstable offset is dropped; other errors of the same place are shown."""
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    log = logging.getLogger("kafka.coordinator.consumer")
    log.error("Unknown error fetching offsets for %s: %s", "texts-0", UnstableOffsetCommitError())
    log.error("Unknown error fetching offsets for %s: %s", "texts-0", OSError("refused"))
    assert [line["event"] for line in _lines(stream)] == ["Unknown error fetching offsets for texts-0: refused"]


@pytest.mark.filterwarnings("ignore:.*_text is deprecated")  # kafka-python's own, at its import
def test_the_filter_knows_the_real_error_by_name() -> None:
    """The error's name, which the filter goes by, is still that of the installed kafka-python."""
    from kafka.errors import UnstableOffsetCommitError as Real

    assert Real.__name__ == UnstableOffsetCommitError.__name__


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("through", ["ours", "library"])
def test_a_traceback_shows_no_text(format: logs.Format, through: str) -> None:
    """A logged failure has frames and types; local variables and messages that quote their input stay out."""
    stream = io.StringIO()
    logs.configure("info", format, stream)
    logger = structlog.get_logger("worker.app") if through == "ours" else logging.getLogger("kafka.client")
    text = SECRET
    try:
        try:
            int(text)
        except ValueError as error:
            raise DeliveryFailed("the broker is gone") from error
    except DeliveryFailed:
        logger.exception("failed")
    shown = stream.getvalue()
    assert "test_a_traceback_shows_no_text" in shown
    assert "DeliveryFailed: the broker is gone" in shown
    assert "ValueError: (message withheld" in shown
    assert SECRET not in shown


def test_a_circular_chain_of_errors_ends() -> None:
    """Errors that caused each other are described without end-less walking."""
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__cause__, two.__cause__ = two, one
    assert logs.describe_exception(one).endswith("RuntimeError: one")
