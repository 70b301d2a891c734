"""Mails give subject and text, whatever senders write into their headers."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from schemas import Reason
from worker.errors import Skip
from worker.text.content import Content
from worker.text.mail import read_mail
from worker.text.mime import MAX_DEPTH, MAX_PARTS

PLAIN = b"Content-Type: text/plain; charset=utf-8\n"

CASES = {
    "plain": (b"Subject: Hello\n\nWorld\n", "Hello\n\nWorld"),
    "crlf": (b"Subject: Hello\r\nTo: b@example.org\r\n\r\nWorld\r\n", "Hello\n\nWorld"),
    "no_subject": (b"From: a@example.org\n\nWorld", "World"),
    "no_body": (b"Subject: Hello", "Hello"),
    "mbox_line": (b"From a@example.org Thu Jan  1 00:00:00 2015\nSubject: Hello\n\nWorld", "Hello\n\nWorld"),
    "byte_order_mark": (b"\xef\xbb\xbfSubject: Hello\n\nWorld", "Hello\n\nWorld"),
    "folded_subject": (b"Subject: Hello\n  there\n\nWorld", "Hello  there\n\nWorld"),
    "first_subject": (b"Subject: one\nSubject: two\n\nWorld", "one\n\nWorld"),
    "quoted_printable": (
        PLAIN + b"Content-Transfer-Encoding: Quoted-Printable\n\ncaf=C3=A9 au=\n lait =ZZ\n",
        "café au lait =ZZ",
    ),
    "base64": (PLAIN + b"Content-Transfer-Encoding: base64\n\nY2Fmw6k=\n", "café"),
    "base64_torn": (PLAIN + b"Content-Transfer-Encoding: base64\n\nY2F\n!! mw6k", "café"),
    "base64_cut_within_a_group": (PLAIN + b"Content-Transfer-Encoding: base64\n\nY2FmZmVlA", "caffee"),
    "latin1": (b"Content-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9", "café"),
    "koi8_u": (b"Content-Type: text/plain; charset=KOI8-U\n\n" + "їжак".encode("koi8-u"), "їжак"),
    "encoded_words": (b"Subject: =?utf-8?q?caf=C3=A9_?= =?iso-8859-1?Q?cr=E8me?= now\n\nx", "café crème now\n\nx"),
    "character_across_words": (b"Subject: =?utf-8?b?w6nD?=\n =?utf-8?b?qQ==?=\n\nx", "éé\n\nx"),
    "word_with_language": (b"Subject: =?utf-8*fr?q?caf=C3=A9?=\n\nx", "café\n\nx"),
    "html": (b"Content-Type: text/html\n\n<html><style>p {}</style><p>a<b>b</b>c<p>d &amp; e</html>", "abc\nd & e"),
    "parts_without_boundary": (b"Content-Type: multipart/mixed\n\nstill here", "still here"),
    "unclosed_boundary": (b'Content-Type: multipart/mixed; boundary="b"\n\npreamble\n--b\n\nhere', "here"),
    "part_without_headers": (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nno header here\n--b--\n",
        "no header here",
    ),
    "forwarded_mail_is_left_out": (
        b"Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhere\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nnot here\n--b--\n",
        "x\n\nhere",
    ),
    "only_a_calendar": (b"Content-Type: text/calendar\n\nBEGIN:VCALENDAR", "BEGIN:VCALENDAR"),
}


@pytest.mark.parametrize(("mail", "text"), CASES.values(), ids=CASES.keys())
def test_mail(mail: bytes, text: str) -> None:
    """Subject, blank line, body; encodings are undone and defects forgiven."""
    content = read_mail(mail)
    assert (content.text, content.id, content.language) == (text, None, None)
    assert not content.charset_guessed


def test_plain_text_is_preferred_and_attachments_are_not_read() -> None:
    """Of alternatives the plain one is read; an attached text is not part of the mail's own."""
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail.set_content("plain ünd simple\n")
    mail.add_alternative("<p>rich</p>", subtype="html")
    mail.add_attachment("attached", filename="a.txt")
    mail.add_attachment(b"\x00\x01", maintype="image", subtype="png")
    assert read_mail(mail.as_bytes()).text == "Grüße\n\nplain ünd simple"


def test_html_stands_in_for_a_blank_plain_part() -> None:
    """A plain part that shows nothing does not hide the HTML beside it."""
    mail = EmailMessage()
    mail.set_content(" \n")
    mail.add_alternative("<p>rich</p>", subtype="html")
    assert read_mail(mail.as_bytes()).text == "rich"


MADE_UP: dict[str, tuple[bytes, Content]] = {
    "body": (
        b"Subject: x\nContent-Type: text/plain; charset=x-nope\n\ncaf\xc3\xa9",
        Content("x\n\ncafé", charset_guessed=True),
    ),
    "body_not_utf8": (
        b"Content-Type: text/plain; charset=x-nope\n\nun caf\xe9, d\xe9j\xe0 vu",
        Content("un café, déjà vu", charset="cp1252", charset_guessed=True),
    ),
    "body_ascii": (
        b"Content-Type: text/plain; charset=x-nope\n\nplain",
        Content("plain", charset_guessed=True),
    ),
    "subject": (b"Subject: =?x-nope?q?caf=C3=A9?= now\n\nx", Content("café now\n\nx", charset_guessed=True)),
    "subject_base64": (b"Subject: =?x-nope?B?w6k?=\n\nx", Content("é\n\nx", charset_guessed=True)),
    "no_text_codec": (
        b"Content-Type: text/plain; charset=rot13\n\nuryyb",
        Content("uryyb", charset_guessed=True),
    ),
    "odd_name": (
        b'Content-Type: text/plain; charset="a\0b/../\xff"\n\nplain',
        Content("plain", charset_guessed=True),
    ),
    "rfc2231_name": (
        b"Content-Type: text/plain; charset*=x-nope''x%FFnope\n\nplain",
        Content("plain", charset_guessed=True),
    ),
    "declared_wrongly": (
        b"Content-Type: text/plain; charset=utf-8\n\ncaf\xe9 au lait",
        Content("café au lait", charset="cp1252", charset_guessed=True),
    ),
    "undeclared": (b"Subject: caf\xc3\xa9\n\nx", Content("café\n\nx", charset_guessed=True)),
    "smuggled_surrogate": (
        b"Content-Type: text/plain; charset=utf-7\n\n+2AA- x",
        Content("+2AA- x", charset_guessed=True),
    ),
}


@pytest.mark.parametrize(("mail", "content"), MADE_UP.values(), ids=MADE_UP.keys())
def test_charsets_that_do_not_exist_are_guessed_and_flagged(mail: bytes, content: Content) -> None:
    """Field report 10: what a sender declares never raises: the best guess is read, and the result says so."""
    assert read_mail(mail) == content


def nested(depth: int) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(depth))
    return b"".join(levels) + b"\nhere\n"


def test_depth_is_bounded() -> None:
    """Parts within parts are read to a depth that no real mail reaches, then the mail is refused."""
    assert read_mail(nested(MAX_DEPTH)).text == "here"
    with pytest.raises(Skip, match=f"deeper than {MAX_DEPTH}") as refused:
        read_mail(nested(MAX_DEPTH + 1))
    assert refused.value.reason == Reason.INVALID_MAIL


def test_parts_are_counted() -> None:
    """So many parts are read, the outermost one counted, and not one more."""
    head = b"Content-Type: multipart/mixed; boundary=b\n\n"
    assert read_mail(head + b"--b\n\nx\n" * (MAX_PARTS - 1)).text.count("x") == MAX_PARTS - 1
    with pytest.raises(Skip, match=f"more than {MAX_PARTS}"):
        read_mail(head + b"--b\n\nx\n" * MAX_PARTS)
