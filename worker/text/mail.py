"""The `mail` format: subject and text of an RFC 822 mail. Whatever a sender declares wrongly is guessed and flagged."""

from __future__ import annotations

import binascii
import re

from schemas import Reason
from worker.errors import Skip
from worker.text.charset import Decoded, decode_declared
from worker.text.clean import is_blank
from worker.text.content import Content
from worker.text.markup import to_lines
from worker.text.mime import Part, plain_base64, split_headers, text_parts

_MBOX_LINE = re.compile(rb"(?:\xef\xbb\xbf)?(?:From [^\r\n]*\r?\n)?")
_ENCODED_WORD = re.compile(rb"=\?([^?\s]{1,99})\?([bBqQ])\?([^?\s]*)\?=")


def read_mail(value: bytes) -> Content:
    """Subject, blank line, body: the plain text parts, or where there are none the lines of the HTML ones.

    Attachments are left out; an mbox `From ` line is passed over. Raises `Skip` for a value that has no header, or
    more MIME parts than `mime` takes.
    """
    start = _MBOX_LINE.match(value)
    headers, body = split_headers(value[start.end() if start else 0 :])
    if not headers:
        raise Skip(Reason.INVALID_MAIL, "the value does not begin with a mail header; set input.format for this topic")
    subject = _decode_subject(headers.get("subject", b""))
    bodies = _bodies(list(text_parts(headers, body)))
    texts = [part.text.strip() for part in (subject, *bodies)]
    return Content(
        "\n\n".join(text for text in texts if text),
        charset=bodies[0].charset if bodies else subject.charset,
        charset_guessed=any(part.guessed for part in (subject, *bodies)),
    )


def _bodies(parts: list[Part]) -> list[Decoded]:
    """All parts of the best kind that shows anything: plain text, else HTML, else any other text."""
    plain = [part for part in parts if part.content_type == "text/plain"]
    markup = [part for part in parts if part.content_type == "text/html"]
    other = [part for part in parts if part.content_type not in ("text/plain", "text/html")]
    for kind in (plain, markup, other):
        shown = [decoded for decoded in map(_decode, kind) if not is_blank(decoded.text)]
        if shown:
            return shown
    return []


def _decode(part: Part) -> Decoded:
    decoded = decode_declared(part.body, part.charset)
    return decoded._replace(text=to_lines(decoded.text)) if part.content_type == "text/html" else decoded


def _decode_subject(raw: bytes) -> Decoded:
    """A header with encoded words: two may share a character, and the white space between them is not text."""
    pieces: list[tuple[bytes, str | None]] = []
    end = 0
    for word in _ENCODED_WORD.finditer(raw):
        between = raw[end : word.start()]
        if between.strip() or not pieces:
            pieces.append((between, None))
        _append(pieces, *_word(word))
        end = word.end()
    pieces.append((raw[end:], None))
    decoded = [decode_declared(data, charset) for data, charset in pieces if data]
    charset = next((piece.charset for piece in decoded if piece.charset != "utf-8"), "utf-8")
    return Decoded("".join(piece.text for piece in decoded), charset, any(piece.guessed for piece in decoded))


def _word(word: re.Match[bytes]) -> tuple[bytes, str]:
    charset = word[1].partition(b"*")[0].decode("latin-1")  # RFC 2231 puts a language behind the asterisk
    if word[2] in b"qQ":
        return binascii.a2b_qp(word[3], header=True), charset
    return plain_base64(word[3]), charset


def _append(pieces: list[tuple[bytes, str | None]], data: bytes, charset: str) -> None:
    if pieces and pieces[-1][1] == charset:
        data = pieces.pop()[0] + data
    pieces.append((data, charset))
