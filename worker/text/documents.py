"""The `json` format: a `TextMessage`, plain or behind schema-registry framing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from schemas import Reason, TextMessage
from worker.errors import Skip
from worker.text.charset import decode_unicode
from worker.text.content import Content, Read
from worker.text.fields import Document, mapping
from worker.text.framing import unframe

_WANTED = {
    "text": "a string",
    "id": "a string, an integer or null",
    "timestamp": "a string, a number or null",
    "language": "a string or null",
    "metadata": "an object or null",
}


def json_reader(fields: Mapping[str, str | None], *, keep_unknown_fields: bool) -> Read:
    """A reader of JSON documents whose fields are where `fields` says (TextMessage field → dotted path or None)."""
    select = mapping(fields, keep_unknown=keep_unknown_fields)
    validate, read_time = TextMessage.model_validate, TypeAdapter(datetime).validate_python

    def read(value: bytes) -> Content:
        document, charset = _parse(value)
        if not isinstance(document, dict):
            raise Skip(Reason.WRONG_TYPE, f"the value is {_kind(document)}; it must be an object with a text field")
        found = select(document)
        try:
            message = validate(found)
        except ValidationError as error:
            raise _refusal(error, found, fields) from None
        # An empty id identifies nothing: the coordinates take its place.
        identity = None if message.id is None or message.id == "" else str(message.id)
        written = None if message.timestamp is None else _time(message.timestamp, read_time)
        return Content(message.text, identity, message.language, message.metadata, charset, timestamp=written)

    return read


def redact_document(value: bytes, redact: Callable[[Any], Any]) -> bytes:
    """The document with all its strings redacted, and its frame; the value itself where nothing was found.

    A value that had to be changed is written anew: compact, in UTF-8, numbers in JSON's plainest form.
    """
    document, _ = _parse(value)
    changed = redact(document)
    if changed == document:
        return value
    return value[: len(value) - len(unframe(value))] + to_json(changed)


def _time(stamp: str | float, read: Callable[[Any], datetime]) -> datetime | None:
    """Numbers beyond 2e10 are milliseconds. What is no time is as good as none: it does not spoil the text."""
    if isinstance(stamp, str) and stamp[4:5] != "-":
        return None  # digits alone may be a day as well as a number of seconds
    try:
        found = read(stamp)
    except ValidationError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parse(value: bytes) -> tuple[Any, str]:
    """The parser bounds nesting (200) and refuses lone surrogates and NaN; of a repeated key the last counts."""
    try:
        return from_json(value, allow_inf_nan=False), "utf-8"
    except ValueError:
        pass  # rare: a byte-order mark, a frame, or bad input
    decoded = decode_unicode(unframe(value))
    try:
        return from_json(decoded.text, allow_inf_nan=False), decoded.charset
    except ValueError as error:  # its text names a position, never the content
        raise Skip(Reason.INVALID_JSON, f"the value is not JSON: {error}; mend the producer") from None


def _refusal(error: ValidationError, found: Document, fields: Mapping[str, str | None]) -> Skip:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = str(first["loc"][0])
    if name not in found:
        hint = f"send it, or name the right field in input.fields.{name}"
        return Skip(Reason.MISSING_TEXT, f"the document has no field {fields.get(name) or name}; {hint}")
    held = f"the field {fields.get(name) or name} is {_kind(found[name])}"
    return Skip(Reason.WRONG_TYPE, f"{held}; it must be {_WANTED[name]}: mend the producer, or input.fields.{name}")


def _kind(value: object) -> str:
    """The JSON name of a value's type, with its article."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    kinds = {str: "a string", int: "an integer", float: "a number", list: "an array", dict: "an object"}
    return kinds.get(type(value), "of an unknown type")
