"""Lines of files as bytes and as text, compressed ones too, each of a bounded length."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from worker.errors import SettingsError
from worker.text.charset import decode_declared
from worker.training.tally import Tally

MAX_ROW_BYTES = 16 * 1024 * 1024  # a mail with its pictures; what is longer is a file without line ends
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def binary_lines(path: Path) -> Iterator[bytes]:
    """Lines with their ends; one that is too long comes in pieces. Raises `SettingsError` for what cannot be read."""
    try:
        with _open(path) as file:
            while line := file.readline(MAX_ROW_BYTES):
                yield line
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "its compressed data is damaged"
        raise SettingsError(f"cannot read {path}: {why}") from None


def text_lines(path: Path, encoding: str | None, tally: Tally) -> Iterator[str]:
    """Lines in a declared charset, else UTF-8, else each as its best guess, which is counted.

    In place of a line that is too long comes an empty one. Raises `SettingsError` where no line can come out right.
    """
    inside = False
    for number, line in enumerate(binary_lines(path)):
        if number == 0:
            _refuse_binary(path, line)
            line = line.removeprefix(codecs.BOM_UTF8)
        whole = line.endswith(b"\n") or len(line) < MAX_ROW_BYTES
        if whole and not inside:
            yield _decode(line, encoding, tally)
        elif whole:
            tally.unreadable(f"{path}: a line of more than {MAX_ROW_BYTES} bytes")
            yield "\n"
        inside = not whole


def refuse_encoding(encoding: str | None) -> None:
    """Raises `SettingsError` for a charset that is unknown, or whose line ends are not single bytes."""
    if encoding is None:
        return
    try:
        ends = "\n".encode(encoding)
    except (LookupError, UnicodeError):
        raise SettingsError(f"the encoding {encoding} is unknown; name one such as utf-8, latin-1, gbk") from None
    if ends.removeprefix(codecs.BOM_UTF8) != b"\n":
        raise SettingsError(f"files in {encoding} are not read: convert them, e.g. with `iconv -f {encoding} -t UTF-8`")


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _refuse_binary(path: Path, line: bytes) -> None:
    if line.startswith(_MARKS):
        raise SettingsError(f"{path} is UTF-16: save it as UTF-8, e.g. with `iconv -f UTF-16 -t UTF-8`")
    if b"\0" in line:
        raise SettingsError(f"{path} is not text; export it as JSON lines, CSV, TSV or Parquet")
    if b"\r" in line.rstrip(b"\r\n") and not line.endswith(b"\n"):
        raise SettingsError(f"{path} has no line feeds; mend its line ends, e.g. with `tr '\\r' '\\n'`")


def _decode(line: bytes, encoding: str | None, tally: Tally) -> str:
    if encoding is None:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            pass
    # Some accents among Latin letters: guessing line by line would read one file in a dozen charsets.
    latin = "cp1252" if 2 * sum(byte > 127 for byte in line) < len(line) else None
    decoded = decode_declared(line, encoding or latin)
    if encoding is None or decoded.guessed:
        tally.charsets[decoded.charset] += 1
    return decoded.text
