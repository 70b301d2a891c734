"""What a file holds, and where each record in it begins and ends: pure, over lines that keep their line ends."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from worker.errors import SettingsError

FileFormat = Literal["json", "text", "mbox"]
Split = Callable[[Iterable[bytes], int], Iterator[bytes]]

ENDINGS: dict[str, FileFormat] = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".txt": "text",
    ".text": "text",
    ".log": "text",
    ".mbox": "mbox",
    ".mbx": "mbox",
    ".eml": "mbox",
}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def guess(ending: str, configured: FileFormat | None, start: bytes) -> FileFormat:
    """By the file's ending, else what the settings say, else by its first bytes."""
    known = ENDINGS.get(ending.lower())
    if known is not None:
        return known
    return configured or _by_content(start)


def refuse_unreadable(format: FileFormat, start: bytes, name: str) -> None:
    """Raises `SettingsError` where every record would come out wrong."""
    if start.startswith(UTF16):
        raise SettingsError(f"{name} is UTF-16: save it as UTF-8, e.g. with `iconv -f UTF-16 -t UTF-8`")
    if format == "json" and _bare(start).startswith(b"["):
        raise SettingsError(f"{name} is one JSON array: write one object a line, e.g. with `jq -c '.[]'`")


def json_values(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """One value a line; blank lines are no records. `most` is kept by the lines themselves."""
    return (value for line in lines if (value := _without_end(line)).strip())


def text_values(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """One text a line, blank ones too: what becomes of those the settings say."""
    return map(_without_end, lines)


def mbox_values(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Mails, each begun by a `From ` line after a blank one; of a longer one than `most` bytes only so much is kept.

    A file without such lines is one mail. `>From ` is read as the `From ` that it stands for (mboxrd).
    """
    mail, blank = bytearray(), True
    for line in lines:
        if blank and line.startswith(b"From "):
            if mail.strip():
                yield bytes(mail)
            mail.clear()
        elif len(mail) <= most:
            mail += line[1:] if line.lstrip(b">").startswith(b"From ") and line[:1] == b">" else line
        blank = not line.strip(b"\r\n")
    if mail.strip():
        yield bytes(mail)


SPLITS: dict[FileFormat, Split] = {"json": json_values, "text": text_values, "mbox": mbox_values}


def _by_content(start: bytes) -> FileFormat:
    if start.startswith(b"From "):
        return "mbox"
    return "json" if _bare(start).startswith(b"{") else "text"


def _bare(start: bytes) -> bytes:
    return start.removeprefix(codecs.BOM_UTF8).lstrip()


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")
