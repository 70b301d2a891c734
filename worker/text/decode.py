"""Decode: one record to a message, a dead letter, or the outcome that the settings choose. It never raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from schemas import Reason
from worker.errors import Skip
from worker.text.charset import decode_unicode
from worker.text.clean import is_blank
from worker.text.content import Content, Read
from worker.text.documents import json_reader
from worker.text.fields import own_names
from worker.text.mail import read_mail
from worker.text.replay import Arrival, arrival
from worker.types import DeadLetter, Decoded, Dropped, Message, Origin, Passed, Record


@dataclass(frozen=True, slots=True)
class TopicFormat:
    """How a topic's values are read. `fields`: each field of a `TextMessage` → dotted path, or None for not there."""

    format: Literal["json", "text", "mail"] = "json"
    fields: Mapping[str, str | None] = field(default_factory=own_names)
    keep_unknown_fields: bool = False


class _Format(NamedTuple):
    read: Read
    reason: Reason  # of what its reader did not foresee


class Decoder:
    """A `types.Decode`; holds no state, any thread may call it.

    `topics` names the topics whose format differs from `default`. Records of `replay_topic` are read as what their
    headers say they were: the format, id and coordinates are those of the topic they first came from. `prepare` gives
    what the model is to read of a text, None: all of it. `hide_id` is done to every id that a sender gave.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        default: TopicFormat | None = None,
        topics: Mapping[str, TopicFormat] | None = None,
        tombstones: Literal["drop", "pass", "dead_letter"] = "drop",
        blank_text: Literal["drop", "dead_letter"] = "dead_letter",
        replay_topic: str | None = None,
        prepare: Callable[[str], str] | None = None,
        hide_id: Callable[[str], str] | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._default = _compiled(default or TopicFormat())
        self._topics = {name: _compiled(topic) for name, topic in (topics or {}).items()}
        self._tombstones = tombstones
        self._blank_text = blank_text
        self._replay_topic = replay_topic
        self._prepare = prepare
        self._hide_id = hide_id

    def __call__(self, record: Record) -> Decoded:
        came = Arrival(Origin(record.topic, record.partition, record.offset, record.timestamp_ms))
        if record.topic == self._replay_topic:
            try:
                came = arrival(record)
            except Skip as skip:
                return _dead(skip.reason, skip.detail, came)
        value = None if came.was_null else record.value  # Kafka's clients cannot send null without a key
        return self._tombstone(record, came) if value is None else self._decode(value, came)

    def _decode(self, value: bytes, came: Arrival) -> Decoded:
        if not value:
            return self._blank(came)
        form = self._topics.get(came.origin.topic, self._default)
        try:
            if len(value) > self._max_bytes:
                raise _too_many_bytes(len(value), self._max_bytes)
            content = form.read(value)
            text = self._prepare(content.text) if self._prepare else content.text
            return self._blank(came) if is_blank(text) else self._message(text, content, came)
        except Skip as skip:
            return _dead(skip.reason, skip.detail, came)
        except Exception as error:  # one value must never fail a batch; the class is all that holds no text
            return _dead(form.reason, f"{type(error).__name__} in the decoder; please report it", came)

    def _message(self, text: str, content: Content, came: Arrival) -> Message:
        origin = came.origin
        given = came.id or content.id
        if given and self._hide_id:
            given = self._hide_id(given)
        return Message(
            given or f"{origin.topic}-{origin.partition}-{origin.offset}",
            origin,
            text,
            content.language,
            content.metadata,
            content.charset,
            content.charset_guessed,
            came.replays,
            content.timestamp,
            None if text == content.text else content.text,
        )

    def _tombstone(self, record: Record, came: Arrival) -> Decoded:
        if self._tombstones == "drop":
            return Dropped(Reason.TOMBSTONE)
        if self._tombstones == "dead_letter":
            return _dead(Reason.TOMBSTONE, "the value is null; choose another outcome with input.tombstones", came)
        if record.key is None:
            return _dead(Reason.TOMBSTONE, "a null value without a key deletes nothing, so it is not passed on", came)
        return Passed(Reason.TOMBSTONE)

    def _blank(self, came: Arrival) -> Decoded:
        if self._blank_text == "drop":
            return Dropped(Reason.BLANK_TEXT)
        return _dead(Reason.BLANK_TEXT, "the text shows nothing; choose another outcome with input.blank_text", came)


def read_text(value: bytes) -> Content:
    """The `text` format: UTF-8, or what a byte-order mark declares. Raises `Skip`."""
    decoded = decode_unicode(value)
    return Content(decoded.text, charset=decoded.charset)


def _compiled(topic: TopicFormat) -> _Format:
    if topic.format == "json":
        return _Format(json_reader(topic.fields, keep_unknown_fields=topic.keep_unknown_fields), Reason.INVALID_JSON)
    if topic.format == "mail":
        return _Format(read_mail, Reason.INVALID_MAIL)
    return _Format(read_text, Reason.NOT_UTF8)


def _dead(reason: str, detail: str, came: Arrival) -> DeadLetter:
    return DeadLetter("decode", reason, detail, replays=came.replays, origin=came.origin)


def _too_many_bytes(size: int, limit: int) -> Skip:
    hint = "raise it, or have the producer send less"
    return Skip(Reason.TOO_MANY_BYTES, f"the value has {size} bytes, text.max_bytes is {limit}; {hint}")
