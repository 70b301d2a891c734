"""Bytes to text: strictly where UTF-8 is the contract, by declaration or best guess where senders choose."""

from __future__ import annotations

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import NamedTuple

from charset_normalizer import from_bytes

from schemas import Reason
from worker.errors import Skip

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Python looks any other name up by importing a module, and remembers each failure for ever: senders choose from a list.
_NOT_CHARSETS = {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_WITHOUT_ALIAS = {"cp720", "cp737", "cp856", "cp874", "cp1006", "koi8_t", "koi8_u", "utf_8_sig"}
_CHARSETS = frozenset(aliases.values()) - _NOT_CHARSETS | _WITHOUT_ALIAS

_GUESS_BYTES = 16_384  # guessing tries dozens of charsets: enough to tell them apart, little enough to be quick
_SHORT_BYTES = 200  # a guess from less is noise where most bytes are ASCII
_NOT_GUESSED = ["utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le", "utf_7"]  # mails are 8-bit


class Decoded(NamedTuple):
    text: str
    charset: str
    guessed: bool = False


def decode_unicode(data: bytes) -> Decoded:
    """UTF-8, or whatever Unicode form a byte-order mark declares; the mark is left out. Raises `Skip`."""
    mark, charset = next((known for known in _MARKS if data.startswith(known[0])), (b"", "utf-8"))
    try:
        return Decoded(data[len(mark) :].decode(charset), charset)
    except UnicodeDecodeError as error:
        where = f"byte {error.start + len(mark)} of {len(data)} is not {charset.upper()}"
        raise Skip(Reason.NOT_UTF8, f"{where}; send UTF-8, or UTF-16 with a byte-order mark") from None


def decode_declared(data: bytes, declared: str | None) -> Decoded:
    """Text in the charset that a sender declared, else the best guess, flagged. Never raises, no lone surrogates."""
    if declared is None and data.isascii():
        return Decoded(data.decode("ascii"), "utf-8")
    charset = _known(declared)
    text = _strictly(data, charset) if charset else None
    if charset and text is not None:
        return Decoded(text, codecs.lookup(charset).name)
    return _guess(data)


def _known(declared: str | None) -> str | None:
    if not declared or not declared.isascii():
        return None
    name = normalize_encoding(declared.strip().lower())
    charset = aliases.get(name, name)
    return charset if charset in _CHARSETS else None


def _strictly(data: bytes, charset: str) -> str | None:
    try:
        text = data.decode(charset)
        text.encode("utf-8")  # UTF-7 can smuggle lone surrogates in
    except UnicodeError:
        return None
    return text


def _guess(data: bytes) -> Decoded:
    text = _strictly(data, "utf-8")
    if text is not None:
        return Decoded(text, "utf-8", guessed=True)
    charset = "cp1252" if len(data) < _SHORT_BYTES and _mostly_ascii(data) else _most_likely(data[:_GUESS_BYTES])
    return Decoded(data.decode(charset, errors="replace"), codecs.lookup(charset).name, guessed=True)


def _mostly_ascii(data: bytes) -> bool:
    """Accents among Latin letters; Cyrillic, Greek or Chinese is high bytes throughout."""
    return 2 * sum(byte > 127 for byte in data) < len(data)


def _most_likely(sample: bytes) -> str:
    best = from_bytes(sample, cp_exclusion=_NOT_GUESSED).best()
    return best.encoding if best else "cp1252"
