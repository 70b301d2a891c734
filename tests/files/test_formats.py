"""What a file is taken for, and where its records begin and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.files.formats import guess, json_values, mbox_values, refuse_unreadable, text_values

MOST = 1000


@pytest.mark.parametrize(
    ("ending", "configured", "start", "expected"),
    [
        pytest.param(".jsonl", "text", b"hello", "json", id="the ending before the settings"),
        pytest.param(".MBOX", None, b"", "mbox", id="in any case"),
        pytest.param(".csv", "text", b'{"a": 1}', "text", id="the settings before the content"),
        pytest.param("", None, b'\xef\xbb\xbf {"text": "x"}', "json", id="JSON behind a byte-order mark"),
        pytest.param("", None, b"From a@b Mon Jan", "mbox", id="an mbox"),
        pytest.param("", None, b"hello", "text", id="anything else"),
        pytest.param("", None, b"", "text", id="nothing"),
    ],
)
def test_guess(ending: str, configured: str | None, start: bytes, expected: str) -> None:
    """By ending, then settings, then content."""
    assert guess(ending, configured, start) == expected


@pytest.mark.parametrize(
    ("format", "start", "hint"),
    [("text", "\ufeffa".encode("utf-16-le"), "iconv"), ("json", b' [{"text": "a"}]', "jq")],
    ids=["UTF-16", "one JSON array"],
)
def test_what_cannot_be_split_is_refused(format: str, start: bytes, hint: str) -> None:
    """A file whose every record would be a dead letter is a wrong call, with the command that mends it."""
    with pytest.raises(SettingsError, match=hint):
        refuse_unreadable(format, start, "in.txt")


def test_json_lines_leave_out_blank_lines() -> None:
    """A blank line between objects is no record; both kinds of line end are taken off."""
    assert list(json_values([b'{"a":1}\r\n', b"\n", b" \r\n", b"broken"], MOST)) == [b'{"a":1}', b"broken"]


def test_text_keeps_blank_lines() -> None:
    """A text's number is its line's number."""
    assert list(text_values([b"a\n", b"\n", b"b\r\n"], MOST)) == [b"a", b"", b"b"]


def test_mbox() -> None:
    """Mails begin at a `From ` line behind a blank one; an escaped one inside a mail is unescaped."""
    lines = b"From a\nSubject: 1\n\nHi\nFrom here on\n>From there\n>>From x\n\nFrom b\nSubject: 2\n\nHo\n"
    assert list(mbox_values(lines.splitlines(keepends=True), MOST)) == [
        b"Subject: 1\n\nHi\nFrom here on\nFrom there\n>From x\n\n",
        b"Subject: 2\n\nHo\n",
    ]


def test_a_single_mail_is_an_mbox_of_one() -> None:
    """A file without a `From ` line is one mail."""
    mail = b"Subject: 1\n\nHi\n"
    assert list(mbox_values(mail.splitlines(keepends=True), MOST)) == [mail]


def test_a_huge_mail_is_cut_off() -> None:
    """Memory holds little more than the longest mail that is read; enough is kept for it to be refused."""
    (mail,) = mbox_values([b"Subject: 1\n"] + [b"x" * 99 + b"\n"] * 100, MOST)
    assert MOST < len(mail) <= MOST + 100


@given(st.lists(st.binary().filter(lambda value: b"\n" not in value and not value.endswith(b"\r"))))
def test_every_text_comes_back(texts: list[bytes]) -> None:
    """Lines joined by line ends are split into the same lines, whatever their bytes."""
    assert list(text_values([text + b"\n" for text in texts], MOST)) == texts
