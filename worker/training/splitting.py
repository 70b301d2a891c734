"""Which split a text belongs to: by a hash of its normalised form, so that copies of it never lie on both sides."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from worker.training.corpus import SPLITS, Example, Split
from worker.training.tally import Tally

TRAIN_BELOW, VALID_BELOW = 70, 85  # of 100 buckets
KEY_BYTES = 16

_URL = re.compile(r"https?://\S+|\bwww\.\S+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class _Plain(dict[int, str]):
    """Each character's place in a normalised text: punctuation, symbols and control characters are spaces."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = " " if unicodedata.category(character)[0] in "PSCZ" else character
        return self[code]


_PLAIN = _Plain()  # grows by the characters met


class Keyed(NamedTuple):
    """An example, the key of its text, and the split that its row names."""

    key: bytes
    example: Example
    given: Split | None


def normalise(text: str) -> str:
    """NFKC, lower case, URLs and numbers masked, no punctuation, single spaces; texts of marks alone as they are."""
    folded = unicodedata.normalize("NFKC", text).lower()
    masked = _NUMBER.sub("0", _URL.sub(" url ", folded))
    return " ".join(masked.translate(_PLAIN).split()) or " ".join(folded.split())


def key_of(text: str) -> bytes:
    """The same for all texts of one normalised form."""
    return hashlib.sha256(normalise(text).encode("utf-8", errors="replace")).digest()[:KEY_BYTES]


def split_of(key: bytes) -> Split:
    """70 of 100 texts train, 15 valid, 15 test."""
    bucket = int.from_bytes(key[:8], "big") % 100
    return "train" if bucket < TRAIN_BELOW else "valid" if bucket < VALID_BELOW else "test"


def settle(rows: Sequence[Keyed], carved: Sequence[Split], tally: Tally) -> dict[Split, tuple[Example, ...]]:
    """Each example in one split, in an order that does not depend on that of the rows.

    `carved` splits are taken out of train, by hash. A text named for two splits stays in the later one of train, valid,
    test. Where copies of a text disagree on the labels, those of more than half of them are believed, else none.
    """
    placed = [(_split(row, carved), row) for row in rows]
    last = _last_splits(placed)
    whole = [(split, row) for split, row in placed if SPLITS.index(split) == last[row.key]]
    tally.dropped["duplicate_across_splits"] += len(placed) - len(whole)
    believed = _believed([row for _, row in whole])
    kept = [(split, row) for split, row in whole if believed.get(row.key, row.example.labels) == row.example.labels]
    tally.dropped["conflicting_labels"] += len(whole) - len(kept)
    kept.sort(key=lambda item: (item[1].key, item[1].example.text, item[1].example.labels))
    return {split: tuple(row.example for where, row in kept if where == split) for split in SPLITS}


def carved_splits(given: Iterable[Split | None]) -> tuple[Split, ...]:
    """The splits that no row names although others name train: they are taken out of it, by hash."""
    named = set(given)
    return tuple(split for split in SPLITS if split not in named) if "train" in named and None not in named else ()


def _split(row: Keyed, carved: Sequence[Split]) -> Split:
    by_hash = split_of(row.key)
    if row.given is None or (row.given == "train" and by_hash in carved):
        return by_hash
    return row.given


def _last_splits(placed: Iterable[tuple[Split, Keyed]]) -> dict[bytes, int]:
    last: dict[bytes, int] = {}
    for split, row in placed:
        last[row.key] = max(last.get(row.key, 0), SPLITS.index(split))
    return last


def _believed(rows: Sequence[Keyed]) -> dict[bytes, tuple[str, ...] | None]:
    """What to believe of the texts whose copies disagree; None: nothing."""
    first: dict[bytes, tuple[str, ...]] = {}
    disputed = {row.key for row in rows if first.setdefault(row.key, row.example.labels) != row.example.labels}
    votes: defaultdict[bytes, Counter[tuple[str, ...]]] = defaultdict(Counter)  # few texts, of however many
    for row in rows:
        if row.key in disputed:
            votes[row.key][row.example.labels] += 1
    return {key: _majority(counts) for key, counts in votes.items()}


def _majority(counts: Counter[tuple[str, ...]]) -> tuple[str, ...] | None:
    (labels, most), *_ = counts.most_common(1)
    return labels if 2 * most > counts.total() else None
