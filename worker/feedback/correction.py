"""A correction: what one record of the feedback topic says, or why it says nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from schemas import Coordinates, Feedback, Reason
from worker.errors import Skip
from worker.text.charset import decode_unicode
from worker.text.clean import is_blank
from worker.text.framing import unframe
from worker.types import Record

# Beside those of `schemas.Reason` that a value can have.
WRONG_FIELDS, OTHER_VERSION = "wrong_fields", "other_version"


@dataclass(frozen=True, slots=True)
class Correction:
    """The right labels of a message that is named by `source`, or by its `text`. `at` is in UTC."""

    source: Coordinates | None
    text: str | None
    labels: tuple[str, ...]
    by: str
    at: datetime | None
    note: str | None = None

    @property
    def identity(self) -> bytes:
        """The same for all corrections of one message, if they name it in the same way."""
        source = self.source
        named = f"{source.topic}\n{source.partition}\n{source.offset}" if source else f"\n{self.text}"
        return hashlib.sha256(named.encode()).digest()[:16]


def read_correction(record: Record, max_bytes: int) -> Correction:
    """What the record says. Raises `Skip`, whose words hold nothing of it but names of fields."""
    if record.value is None:
        raise Skip(Reason.TOMBSTONE, "the value is null")
    text = decode_unicode(unframe(record.value)).text
    try:
        said = Feedback.model_validate_json(text)
    except ValidationError as error:
        raise _refusal(error) from None
    if said.text is not None and is_blank(said.text):
        raise Skip(Reason.BLANK_TEXT, "its text shows nothing")
    if said.text is not None and len(said.text.encode()) > max_bytes:
        raise Skip(Reason.TOO_MANY_BYTES, f"its text has more bytes than text.max_bytes ({max_bytes})")
    labels = tuple(sorted({label.strip() for label in said.labels}))
    return Correction(said.source, said.text, labels, said.by, _when(said.at, record.timestamp_ms), said.note)


def _when(said: datetime | None, timestamp_ms: int | None) -> datetime | None:
    """None where neither is there, or lies in no year that can be written."""
    try:
        if said is not None:
            return said.astimezone(UTC)
        return None if timestamp_ms is None else datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _refusal(error: ValidationError) -> Skip:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "json_invalid":
        return Skip(Reason.INVALID_JSON, "the value is not JSON")
    if name == "schema_version":
        return Skip(OTHER_VERSION, "its schema_version is another one; a later tagstream may read it")
    what = first["msg"].removeprefix("Value error, ")
    return Skip(WRONG_FIELDS, f"{name}: {what}" if name else what)
