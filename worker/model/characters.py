"""Hashed character n-grams: spellings that betray spam where the meaning is hidden, read without a pass of the model.

An n-gram lies in one word, a blank at either end included, as in sklearn's `char_wb`, and in lower case; a character
alone is one, too, which in Chinese is half a word. The counts of a text are damped by their logarithm, and the whole
has length one. A trained head is bound to these hashes: they must never change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.types import Tokenized

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BITS = 16  # on the spam sets 2**15 buckets lose up to three validation texts of 883, 2**17 win one
BUCKETS = 1 << BITS
LONGEST = 5  # characters of an n-gram
# Of a text: the rest is not read. It is more than any model reads, and a text cannot hold up the prepare thread.
MOST_CHARACTERS = 20_000
TOGETHER = 1 << 12  # characters hashed at once: what comes of them stays in a core's cache
BLANK = 0x20
WIDE_BLANKS = (0x85, 0xA0, 0x2028, 0x2029, 0x202F, 0x3000)

Weights = NDArray[np.float32]


class CharacterLogits:
    """What a head makes of the characters of texts. `weights` is float32 [labels, BUCKETS]. The prepare thread."""

    def __init__(self, weights: Weights) -> None:
        self._rows = np.ascontiguousarray(weights.T, np.float32)  # by bucket: one look-up an n-gram

    @property
    def weights(self) -> Weights:
        return self._rows.T

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Float32 [n, labels]: `character_matrix(texts) @ weights.T`. Never fails for a text."""
        logits = np.zeros((len(texts), self._rows.shape[1]), np.float32)
        for begin, counted in _counted(texts):
            products = self._rows[counted.buckets] * counted.values[:, None]
            filled = np.flatnonzero(np.diff(counted.bounds))  # a blank text has none
            if len(filled):
                logits[begin + filled] = np.add.reduceat(products, counted.bounds[filled], axis=0)
        return logits

    def by_place(self, text: str) -> NDArray[np.float32]:
        """Float32 [characters read, labels]: the logits' parts, each n-gram's at the character in its middle."""
        grams = _grams([text])
        buckets, which, counts = np.unique(grams.buckets, return_inverse=True, return_counts=True)
        values = _damped(counts)
        each = values / counts / max(float(np.linalg.norm(values)), 1e-12)
        parts = np.zeros((grams.characters, self._rows.shape[1]), np.float32)
        np.add.at(parts, grams.middles, self._rows[buckets[which]] * each[which, None].astype(np.float32))
        return parts[1:-1]


def with_characters(tokenized: Tokenized, heads: Mapping[str, CharacterLogits], texts: Sequence[str]) -> Tokenized:
    """With what the heads, by classifier, make of the texts' characters."""
    return replace(tokenized, added={name: logits(texts) for name, logits in heads.items()}) if heads else tokenized


def character_matrix(texts: Sequence[str]) -> csr_matrix:
    """Float32 [n, BUCKETS], rows of length one, for training."""
    from scipy.sparse import csr_matrix, vstack

    parts = [
        csr_matrix((c.values, c.buckets, c.bounds), shape=(len(c.bounds) - 1, BUCKETS)) for _, c in _counted(texts)
    ]
    return vstack(parts, format="csr") if parts else csr_matrix((0, BUCKETS), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The different n-grams of some texts: those of text i are in `bounds[i]:bounds[i + 1]`, with their values."""

    buckets: NDArray[np.int32]
    values: NDArray[np.float32]
    bounds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Grams:
    """All n-grams of some texts: bucket and text of each, and the character in its middle, blanks at ends counted."""

    buckets: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    middles: NDArray[np.intp]
    characters: int


def _counted(texts: Sequence[str]) -> Iterator[tuple[int, _Counted]]:
    """Some texts at a time, with the place of the first."""
    begin = held = 0
    for i, text in enumerate(texts):
        if held >= TOGETHER:
            yield begin, _count(texts[begin:i])
            begin, held = i, 0
        held += min(len(text), MOST_CHARACTERS) + 2
    if begin < len(texts):
        yield begin, _count(texts[begin:])


def _count(texts: Sequence[str]) -> _Counted:
    grams = _grams(texts)
    keys = np.sort(grams.owners << np.uint32(BITS) | grams.buckets)  # texts are fewer than 2**12: both fit
    first = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.uint32(1)))
    values = _damped(np.diff(first, append=len(keys)))
    owners = (keys[first] >> np.uint32(BITS)).astype(np.intp)
    lengths = np.sqrt(np.bincount(owners, values * values, len(texts)))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=len(texts)))])
    buckets = (keys[first] & np.uint32(BUCKETS - 1)).astype(np.int32)
    return _Counted(buckets, (values / lengths[owners]).astype(np.float32), bounds)


def _damped(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(1.0 + np.log(counts))


def _grams(texts: Sequence[str]) -> _Grams:
    """A blank between two texts ends the words of both, so that no n-gram is of two."""
    words = [f" {_lower(text[:MOST_CHARACTERS])} " for text in texts]
    codes = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    owners = np.repeat(np.arange(len(texts), dtype=np.uint32), np.fromiter(map(len, words), np.int64, len(words)))
    blank = _blank(codes)
    codes[blank] = BLANK
    alone = np.flatnonzero(~blank)
    buckets, starts, middles = [_mixed(codes[alone]) & np.uint32(BUCKETS - 1)], [alone], [alone]
    hashes, inside = codes, ~(blank[:-1] & blank[1:])
    for size in range(2, LONGEST + 1):
        if size > 2:  # what was the last character is now within: no blank may be there
            inside = inside[:-1] & ~blank[size - 2 : -1]
        hashes = _mixed(hashes[:-1] * np.uint32(31) + codes[size - 1 :])
        at = np.flatnonzero(inside)
        buckets.append(hashes[at] & np.uint32(BUCKETS - 1))
        starts.append(at)
        middles.append(at + size // 2 - (blank[at + 1] if size == 2 else 0))
    return _Grams(
        np.concatenate(buckets), owners[np.concatenate(starts)], np.concatenate(middles).astype(np.intp), len(codes)
    )


def _lower(text: str) -> str:
    """Of the same length: a character that becomes two in lower case (there is one, İ) stays as it is."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join([c if len(c.lower()) > 1 else c.lower() for c in text])


def _blank(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Blanks and control characters; of the rarer ones those that stand between words."""
    wide = (codes >= 0x2000) & (codes <= 0x200B)
    for code in WIDE_BLANKS:
        wide |= codes == code
    return np.asarray(wide | (codes <= BLANK))


def _mixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Each bit of it depends on all bits (Wellons' lowbias32), modulo 2**32 on every platform."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x7FEB352D)
    hashes = (hashes ^ (hashes >> np.uint32(15))) * np.uint32(0x846CA68B)
    return hashes ^ (hashes >> np.uint32(16))
