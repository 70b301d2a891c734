"""No bytes make the decoder raise, and what it gives can always be written out again."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import Reason
from worker.text.decode import Decoder, TopicFormat
from worker.types import DeadLetter, Decoded, Header, Message, Record

FORMATS = {name: TopicFormat(name) for name in ("json", "text", "mail")}
FORMATS["mapped"] = TopicFormat("json", {"text": "a.b", "metadata": "a"}, keep_unknown_fields=True)
DECODE = Decoder(max_bytes=500, topics=FORMATS, replay_topic="replay")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "id", "timestamp", "language", "metadata", "a", "b"]), inner)
    ),
    max_leaves=10,
)

# Fragments that mails are made of, so that arbitrary sequences reach deep into the parser.
PIECES = [
    "Subject: ",
    "From x",
    "--b",
    "--b--",
    "=?utf-8?q?=C3?=",
    "=?x-nope?b?",
    "?=",
    "Content-Type: ",
    "multipart/mixed; boundary=b",
    "text/html\n",
    "; charset=",
    "utf-7",
    "x-nope",
    "Content-Transfer-Encoding: ",
    "base64",
    "quoted-printable",
    "=",
    "<p",
    ">",
    "<!--",
    "&#",
    "999;",
    "Content-Disposition: ",
    '"',
    "\n",
    "attachment",
    "*0*=",
    "''%",
    "+2AA-",
    " ",
    "\r\n",
    "\n\n",
    "\x00",
    "é",
    "ÿþ",
]
MAIL = st.lists(st.sampled_from(PIECES), max_size=25).map(lambda pieces: "".join(pieces).encode("latin-1"))


def check(decoded: Decoded) -> None:
    assert isinstance(decoded, get_args(Decoded))
    if isinstance(decoded, Message):
        decoded.text.encode("utf-8")
        decoded.id.encode("utf-8")
        assert decoded.text
        assert decoded.id
    if isinstance(decoded, DeadLetter):
        assert decoded.reason in set(Reason)
        assert decoded.detail.isprintable()
        assert "please report" not in decoded.detail


@pytest.mark.parametrize("topic", FORMATS)
@given(value=st.binary(max_size=600))
def test_arbitrary_bytes_never_raise(topic: str, value: bytes) -> None:
    """Any value in any format is a message or a foreseen dead letter."""
    check(DECODE(Record(topic, 0, 0, None, None, value)))


@given(MAIL)
def test_arbitrary_mails_never_raise(value: bytes) -> None:
    """Nor does anything that is made of the pieces of mails."""
    check(DECODE(Record("mail", 0, 0, None, None, b"Subject: x\n" + value)))


@pytest.mark.parametrize("topic", ["json", "mapped"])
@given(document=JSON)
def test_arbitrary_documents_never_raise(topic: str, document: Any) -> None:
    """Nor does any JSON document, with NaN and Infinity among its numbers."""
    check(DECODE(Record(topic, 0, 0, None, None, json.dumps(document).encode())))


@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=20))), st.binary(max_size=20))
def test_arbitrary_headers_never_raise(pairs: list[tuple[str, bytes | None]], value: bytes) -> None:
    """Nor do headers that claim a replay."""
    found = tuple(Header(f"tagstream-{name}", held) for name, held in pairs)
    check(DECODE(Record("replay", 0, 0, None, None, value, found)))


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()))
def test_texts_arrive_as_they_are(text: str) -> None:
    """Every text that shows something is the message's, to the character, as JSON and as text."""
    for topic, value in (("json", json.dumps({"text": text})), ("text", text)):
        decoded = Decoder(max_bytes=10_000, topics=FORMATS)(Record(topic, 1, 2, None, None, value.encode()))
        assert isinstance(decoded, Message)
        assert (decoded.text, decoded.id) == (text, f"{topic}-1-2")


def test_a_fault_of_our_own_is_a_dead_letter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw costs one record, and its message is not repeated."""

    def fail(value: bytes) -> Any:
        raise RuntimeError("hunter2")

    monkeypatch.setattr("worker.text.decode.read_mail", fail)
    letter = Decoder(max_bytes=100, default=TopicFormat("mail"))(Record("m", 0, 0, None, None, b"x"))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == Reason.INVALID_MAIL
    assert "RuntimeError" in letter.detail
    assert "hunter2" not in letter.detail
