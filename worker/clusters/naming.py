"""Names for clusters: the words that are frequent in one and rare in the others (decayed class-based TF-IDF)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

MAX_CHARACTERS = 1000  # of a text that is looked at: words are for a name, not for an index
MAX_WORDS = 24  # of a text
MIN_LETTERS, MAX_LETTERS = 3, 30
NAME_WORDS = 3
MIN_MESSAGES = 5  # a name must not show what only one person wrote
VOCABULARY = 8192  # words known at a time, over all clusters
HALF_LIFE_MESSAGES = 20_000

# What is left of contractions at the apostrophe, and is not in scikit-learn's list.
_CONTRACTIONS = frozenset(
    ("aren", "couldn", "didn", "doesn", "don", "hadn", "hasn", "haven", "isn", "shouldn", "wasn", "weren", "wouldn")
)
# Han, kana, Thai, Lao, Burmese, Khmer: written without spaces, so a pair of characters stands for a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Marks that are no letters to `re`, but inside words: accents, Hebrew and Arabic points, Indic vowel signs.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u065f\u0900-\u0963\u0971-\u0dff"
_TOKEN = re.compile(f"([{_UNSPACED}]+)|((?:(?![{_UNSPACED}])(?:[^\\W\\d_]|[{_MARKS}]))+)")


def words(text: str) -> list[str]:
    """Different words of a text that may stand in a name, in their order; addresses, numbers, stop words left out."""
    start = html.unescape(text[:MAX_CHARACTERS]).lower()  # else `amp` would be a word
    plain = " ".join(part for part in start.split() if not _is_address(part))
    found: dict[str, None] = {}
    for word in _tokens(plain):
        found[word] = None
        if len(found) == MAX_WORDS:
            break
    return list(found)


def _is_address(part: str) -> bool:
    return "@" in part or "://" in part or part.startswith("www.")


def _tokens(text: str) -> Iterator[str]:
    for unspaced, word in _TOKEN.findall(text):
        if unspaced:
            yield from (unspaced[i : i + 2] for i in range(len(unspaced) - 1))
        elif MIN_LETTERS <= len(word) <= MAX_LETTERS and word not in ENGLISH_STOP_WORDS and word not in _CONTRACTIONS:
            yield word


class Naming:
    """How often each word of a bounded vocabulary came in each cluster, recent messages counting more."""

    def __init__(self, *, clusters: int) -> None:
        self._columns: dict[str, int] = {}
        self._weights = np.zeros((clusters, VOCABULARY), dtype=np.float32)
        self._messages = np.zeros((clusters, VOCABULARY), dtype=np.int32)

    def add(self, labels: NDArray[np.intp], words: Sequence[Sequence[str]]) -> None:
        """Count messages: the cluster (row) and the different words of each."""
        self._weights *= 0.5 ** (len(labels) / HALF_LIFE_MESSAGES)
        for label, message in zip(labels.tolist(), words, strict=True):
            columns = self._columns_of(message)
            self._weights[label, columns] += 1
            self._messages[label, columns] += 1

    def rearrange(self, origins: Sequence[Sequence[int]]) -> None:
        """For each cluster from now on, the clusters that it goes on with: their words are its own."""
        self._weights = np.stack([self._weights[list(rows)].sum(axis=0) for rows in origins])
        self._messages = np.stack([self._messages[list(rows)].sum(axis=0) for rows in origins])

    def names(self) -> list[str | None]:
        """The most typical words of each cluster; None where no word has come in enough messages."""
        vocabulary = list(self._columns)
        if not vocabulary:
            return [None] * len(self._weights)
        scores = self._scores(len(vocabulary))
        best = np.argsort(-scores, axis=1, kind="stable")[:, :NAME_WORDS]
        return [
            ", ".join(vocabulary[column] for column in row if scores[i, column] > 0) or None
            for i, row in enumerate(best.tolist())
        ]

    def _scores(self, size: int) -> NDArray[np.float32]:
        """c-TF-IDF of each cluster and word; 0 for words from too few messages."""
        weights = self._weights[:, :size]
        per_cluster = weights.sum(axis=1, keepdims=True)
        per_word = weights.sum(axis=0)
        frequency = weights / np.maximum(per_cluster, 1e-9)
        rarity = np.log1p(per_cluster.mean() / np.maximum(per_word, 1e-9))
        return np.where(self._messages[:, :size] >= MIN_MESSAGES, frequency * rarity, 0).astype(np.float32)

    def _columns_of(self, message: Sequence[str]) -> list[int]:
        if len(self._columns) + len(message) > VOCABULARY:
            self._forget_rare_words()
        return [self._columns.setdefault(word, len(self._columns)) for word in message]

    def _forget_rare_words(self) -> None:
        """Keep the heavier half of a full vocabulary, in its order."""
        keep = np.sort(np.argsort(-self._weights.sum(axis=0), kind="stable")[: VOCABULARY // 2])
        vocabulary = list(self._columns)
        self._columns = {vocabulary[old]: new for new, old in enumerate(keep.tolist())}
        for counts in (self._weights, self._messages):
            counts[:, : len(keep)] = counts[:, keep]
            counts[:, len(keep) :] = 0
