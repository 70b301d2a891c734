"""Mails sorted into folders, one folder per label: mbox files, single mails, Maildir."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worker.errors import SettingsError
from worker.training.columns import SPLIT_VALUES
from worker.training.corpus import Split
from worker.training.lines import MAX_ROW_BYTES, binary_lines

_MAILDIR = {"cur", "new", "tmp"}
# With its time, so that a sentence in a mail does not begin another one.
_BEGIN = re.compile(rb"From [^\r\n]*\d\d:\d\d")


class MailFile(NamedTuple):
    path: Path
    label: str
    split: Split | None


def mail_files(root: Path) -> list[MailFile]:
    """The files of each label's folder, in a fixed order. Raises `SettingsError` where there are no such folders.

    `root` holds the folders, or one such set under each of `train`, `valid`, `test`, or is itself one label's folder.
    """
    folders = _folders(root)
    if not folders or {folder.name.lower() for folder in folders} <= _MAILDIR:
        found = [MailFile(path, _name(root), None) for path in _files(root)]
    elif all(folder.name.lower() in SPLIT_VALUES for folder in folders):
        found = [
            MailFile(path, label.name, SPLIT_VALUES[split.name.lower()])
            for split in folders
            for label in _folders(split)
            for path in _files(label)
        ]
    else:
        found = [MailFile(path, label.name, None) for label in folders for path in _files(label)]
    if not found:
        raise SettingsError(f"{root} holds no mails; put them into one folder per label, as in {root}/spam/1.eml")
    return found


def mails(path: Path) -> Iterator[bytes]:
    """The mails of an mbox file, or the single one; of a huge one only the beginning is kept.

    `>From ` is read as the `From ` that it stands for (mboxrd). Raises `SettingsError`.
    """
    mail, blank = bytearray(), True
    for line in binary_lines(path):
        if blank and _BEGIN.match(line):
            if mail.strip():
                yield bytes(mail)
            mail.clear()
        elif len(mail) <= MAX_ROW_BYTES:
            mail += line[1:] if line.startswith(b">") and line.lstrip(b">").startswith(b"From ") else line
        blank = not line.strip(b"\r\n")
    if mail.strip():
        yield bytes(mail)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _name(folder: Path) -> str:
    return folder.resolve().name
