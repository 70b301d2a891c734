"""The structure of a mail: headers and text parts, within bounds that no sender can move.

The standard library's parser recurses once per nested part and tests every line against every open boundary:
some hundred levels hold it up for minutes. Here depth, parts and headers are counted; its helpers read the values.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator
from email.message import Message as HeaderValues
from itertools import count
from typing import NamedTuple

from schemas import Reason
from worker.errors import Skip

MAX_DEPTH = 20  # real mails: forwarded and signed ones reach 5
MAX_PARTS = 500  # real mails: an album of pictures has some dozens
_MAX_HEADERS_BYTES = 262_144  # what the large providers accept, and more
_MAX_HEADER_BYTES = 8_192  # a long subject
_MAX_PARAMETERS_BYTES = 1_024  # the standard library takes quadratic time over them

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\r?\n[ \t].*)*)", re.MULTILINE)
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))

Headers = dict[str, bytes]


class Part(NamedTuple):
    """One text part that is not an attachment; `body` has its transfer encoding taken off."""

    content_type: str
    charset: str | None
    body: bytes


def split_headers(data: bytes) -> tuple[Headers, bytes]:
    """Headers by lower-case name, unfolded and cut to a bounded length, the first of each name; then the body.

    Data that does not begin with a header is all body. Raises `Skip` for headers that do not end in time.
    """
    if not _HEADER.match(data):
        return {}, data
    blank = _BLANK_LINE.search(data, 0, _MAX_HEADERS_BYTES)
    if blank is None and len(data) > _MAX_HEADERS_BYTES:
        raise Skip(Reason.INVALID_MAIL, f"headers of more than {_MAX_HEADERS_BYTES} bytes; such a mail is not read")
    end, start = blank.span() if blank else (len(data), len(data))
    headers: Headers = {}
    for name, value in _HEADER.findall(data[:end]):
        unfolded = value[:_MAX_HEADER_BYTES].replace(b"\r", b"").replace(b"\n", b"").strip()
        headers.setdefault(name.decode("ascii").lower(), unfolded)
    return headers, data[start:]


def text_parts(headers: Headers, body: bytes) -> Iterator[Part]:
    """Every text part in order, attachments left out. Raises `Skip` beyond `MAX_DEPTH` or `MAX_PARTS`."""
    return _walk(headers, body, 0, count(1))


def _walk(headers: Headers, body: bytes, depth: int, numbers: Iterator[int]) -> Iterator[Part]:
    _check_bounds(depth, next(numbers))
    values = _values(headers)
    content_type, boundary = values.get_content_type(), values.get_boundary()
    if content_type.startswith("multipart/") and boundary:
        for part in _split(body, boundary.encode("latin-1", errors="replace")):
            yield from _walk(*split_headers(part), depth + 1, numbers)
    elif content_type.startswith(("text/", "multipart/")) and values.get_content_disposition() != "attachment":
        encoding = headers.get("content-transfer-encoding", b"").strip().lower()
        yield Part(content_type, _charset(values), _plain_bytes(body, encoding))


def _check_bounds(depth: int, number: int) -> None:
    if depth > MAX_DEPTH:
        raise Skip(Reason.INVALID_MAIL, f"MIME parts nested deeper than {MAX_DEPTH}; such a mail is not read")
    if number > MAX_PARTS:
        raise Skip(Reason.INVALID_MAIL, f"more than {MAX_PARTS} MIME parts; such a mail is not read")


def _values(headers: Headers) -> HeaderValues:
    """The headers that describe a part, for the standard library to take their parameters apart."""
    values = HeaderValues()
    for name in ("content-type", "content-disposition"):
        if name in headers:
            values[name] = headers[name][:_MAX_PARAMETERS_BYTES].decode("latin-1")
    return values


def _charset(values: HeaderValues) -> str | None:
    """The name as declared, or empty where no charset can have it."""
    declared = values.get_param("charset") is not None
    return values.get_content_charset("" if declared else None)


def _split(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """The parts between the lines of a boundary; a missing last line is forgiven."""
    lines = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
    start = None
    for line in lines.finditer(body):
        if start is not None:
            yield body[start : line.start()]
        start = line.end()
        if line[1]:
            return
    if start is not None:
        yield body[start:]


def _plain_bytes(body: bytes, encoding: bytes) -> bytes:
    if encoding == b"quoted-printable":
        return quopri.decodestring(body)
    return plain_base64(body) if encoding == b"base64" else body


def plain_base64(data: bytes) -> bytes:
    """Base64 as senders write it: foreign characters are passed over, a cut end is forgiven."""
    digits = data.translate(None, _NOT_BASE64)
    whole = digits[: len(digits) - 1] if len(digits) % 4 == 1 else digits
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
