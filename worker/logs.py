"""Structured logs to stderr: ours by structlog, those of libraries through the same door. No text of messages in them.

What could let a text in is shut: kafka-python prints keys and values at debug, rich tracebacks print local variables,
and the messages of some errors quote their input.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Literal, TextIO, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from worker.errors import SettingsError, TagstreamError

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]
LEVELS: tuple[Level, ...] = get_args(Level)

_HANDLER = "tagstream"
# Ten lines a second while a broker is away, where one of ours says it.
_CHATTY = ("kafka.net", "kafka.cluster")
_OURS = ("worker", "tagstream")
# Their messages tend to quote what they were given: int("…"), a missing key, pydantic's input_value, a bad codec.
_QUOTING_ERRORS = (ValueError, LookupError)


def configure(level: Level, format: Format = "auto", stream: TextIO | None = None) -> None:
    """Send all logs of the process to `stream` (stderr). Calling it again replaces what it did before."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # so that a logger made earlier follows a second `configure`
    )
    _install(_handler(stream, _renderer(console, stream)))
    set_level(level)


def set_level(level: str) -> None:
    """Change the least level shown, at run time, from any thread. Libraries never fall below warning."""
    if level not in LEVELS:
        raise SettingsError(f"log level {level!r} is unknown; use one of {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    for ours in _OURS:
        logging.getLogger(ours).setLevel(number)
    for theirs in (None, "kafka"):
        logging.getLogger(theirs).setLevel(max(number, logging.WARNING))
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING if level == "debug" else logging.CRITICAL)


def level() -> Level:
    """The least level shown now, for a process beside this one that is to say as much. Any thread."""
    number = logging.getLogger(_OURS[0]).getEffectiveLevel()
    return next((name for name in LEVELS if logging.getLevelNamesMapping()[name.upper()] >= number), "error")


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderer(console: bool, stream: TextIO) -> Processor:
    if console:
        return structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )
    return structlog.processors.JSONRenderer()


def _handler(stream: TextIO, renderer: Processor) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.set_name(_HANDLER)
    handler.addFilter(_is_wanted)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[_describe_exception, structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    return handler


def _install(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Not kafka-python below info, whoever turned it on, nor one error line per retry of a wait that is normal."""
    if record.name != "kafka" and not record.name.startswith("kafka."):
        return True
    return record.levelno >= logging.INFO and not _is_unstable_offset(record)


def _is_unstable_offset(record: logging.LogRecord) -> bool:
    """kafka-python logs each retry while a predecessor's transaction is still open as an unknown error."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return str(record.msg).startswith("Unknown error fetching offsets") and any(
        type(argument).__name__ == "UnstableOffsetCommitError" for argument in arguments
    )


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Turn `exc_info` into frames, types, and the messages that quote no input."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        event["exception"] = describe_exception(given)
    return event


def describe_exception(error: BaseException) -> str:
    """The traceback of an error and of those that led to it, without any text of a message; newest error last."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None and len(parts) < 10:  # chains can be circular
        frames = "".join(traceback.format_tb(link.__traceback__))
        quoting = isinstance(link, _QUOTING_ERRORS) and not isinstance(link, TagstreamError)
        message = "(message withheld: may quote input)" if quoting else str(link)
        parts.append(f"{frames}{type(link).__name__}: {message}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(reversed(parts))
