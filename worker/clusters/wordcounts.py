"""How often words come in clusters, recent messages counting more: class-based TF-IDF in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.clusters.words import MAX_LETTERS, MAX_WORDS

MIN_MESSAGES = 5  # a name must not show what only one person wrote
VOCABULARY = 8192  # words known at a time, over all clusters
HALF_LIFE_MESSAGES = 2000  # of a cluster's own: one that sleeps forgets nothing
KEPT_WORDS = 32  # of a cluster, for the learner that comes after this one
_AT_ONCE = 128  # messages; their words are fewer than a vocabulary that was halved has room for

Messages = Sequence[Sequence[str]]


class Word(NamedTuple):
    """`score`: c-TF-IDF. `weight`: messages of the cluster that have it, faded; `everywhere`: of all clusters."""

    word: str
    score: float
    weight: float
    everywhere: float


class Words(NamedTuple):
    """Of a cluster: what all its words weigh, and the most typical ones that enough different messages have, in their
    order.
    """

    weight: float = 0.0
    top: tuple[Word, ...] = ()


class WordCounts:
    """Counts of words by cluster (row). A word counts for a name from its fifth different message on.

    Messages of the same words are one, however many copies come: each word of each row keeps marks of its first five
    different messages, for good. Words named in `kept` outlive a full vocabulary.
    """

    def __init__(self, words: Sequence[Words] = ()) -> None:
        """`words`: of each cluster, as an earlier learner has kept them."""
        self.kept: frozenset[str] = frozenset()
        self._columns: dict[str, int] = {}
        self._weights = np.zeros((len(words), VOCABULARY), dtype=np.float32)
        self._marks = np.zeros((len(words), VOCABULARY, MIN_MESSAGES), dtype=np.uint16)  # 0: no message yet
        self._elsewhere = np.zeros(VOCABULARY, dtype=np.float32)  # of each word, in rows that did not keep it
        self._others = np.zeros(len(words), dtype=np.float32)  # of each row, in words that it did not keep
        self._recorded: set[tuple[int, str]] = set()
        self._restore(words)

    def add(self, rows: NDArray[np.intp], messages: Messages) -> None:
        """Count messages: the cluster and the different words of each."""
        for start in range(0, len(messages), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self._fade(rows[part])
            self._count(rows[part].tolist(), messages[part], frozenset())

    def recall(self, rows: NDArray[np.intp], messages: Messages) -> None:
        """Count messages that the kept words have in them already: only for the words that were not kept."""
        for start in range(0, len(messages), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            before = self._weights.sum(axis=1)
            self._count(rows[part].tolist(), messages[part], self._recorded)
            self._others = np.maximum(self._others - (self._weights.sum(axis=1) - before), 0)

    def rearrange(self, origins: Sequence[Sequence[int]]) -> None:
        """For each cluster from now on, the clusters that it goes on with: their words are its own."""
        marks = self._marks
        self._weights = np.stack([self._weights[list(rows)].sum(axis=0) for rows in origins])
        self._others = np.array([self._others[list(rows)].sum() for rows in origins], dtype=np.float32)
        self._marks = np.zeros((len(origins), VOCABULARY, MIN_MESSAGES), dtype=np.uint16)
        self._recorded = set()
        for row, olds in enumerate(origins):
            for old in olds[:1]:
                self._marks[row] = marks[old]
            for old in olds[1:]:
                columns, slots = np.nonzero(marks[old])
                self._mark(np.full(len(columns), row), columns, marks[old][columns, slots])

    def typical(self) -> list[Words]:
        """Of each cluster; a learner that comes after this one can begin with it."""
        vocabulary, everywhere, scores = list(self._columns), self._everywhere(), self._scores()
        return [
            Words(
                float(total),
                tuple(
                    Word(vocabulary[i], float(scores[row, i]), float(self._weights[row, i]), float(everywhere[i]))
                    for i in _best(scores[row])
                ),
            )
            for row, total in enumerate(self._totals())
        ]

    def _restore(self, words: Sequence[Words]) -> None:
        for rank in range(KEPT_WORDS):  # the best of each cluster first, as there may not be room for all
            for row, one in enumerate(words):
                if rank < len(one.top):
                    self._take(row, one.top[rank])
        known = self._weights.sum(axis=0)
        self._elsewhere = np.maximum(self._elsewhere - known, 0)
        self._others = np.maximum(np.array([one.weight for one in words]) - self._weights.sum(axis=1), 0)

    def _take(self, row: int, word: Word) -> None:
        if word.word not in self._columns and len(self._columns) >= VOCABULARY // 2:
            return
        column = self._columns.setdefault(word.word, len(self._columns))
        self._weights[row, column] = word.weight
        self._marks[row, column] = np.arange(1, MIN_MESSAGES + 1)  # whichever they were, they were enough
        self._elsewhere[column] = max(self._elsewhere[column], word.everywhere)
        self._recorded.add((row, word.word))

    def _fade(self, rows: NDArray[np.intp]) -> None:
        came = np.bincount(rows, minlength=len(self._weights))
        fading = (0.5 ** (came / HALF_LIFE_MESSAGES)).astype(np.float32)
        for row in np.flatnonzero(came).tolist():
            self._weights[row, : len(self._columns)] *= fading[row]
        self._others *= fading
        self._elsewhere *= 0.5 ** (len(rows) / (HALF_LIFE_MESSAGES * len(self._weights)))

    def _count(self, rows: list[int], messages: Messages, known: Set[tuple[int, str]]) -> None:
        found = [[w for w in dict.fromkeys(message[:MAX_WORDS]) if len(w) <= MAX_LETTERS] for message in messages]
        marks = [_mark_of(words) for words in found]
        if known:
            found = [[w for w in words if (row, w) not in known] for row, words in zip(rows, found, strict=True)]
        sizes = [len(words) for words in found]
        if len(self._columns) + sum(sizes) > VOCABULARY:
            self._forget_rare_words()
        places = self._columns
        columns = np.array([places.setdefault(w, len(places)) for words in found for w in words], dtype=np.intp)
        each = np.repeat(np.array(rows, dtype=np.intp), sizes)
        np.add.at(self._weights, (each, columns), np.float32(1))
        self._mark(each, columns, np.repeat(np.array(marks, dtype=np.uint16), sizes))

    def _mark(self, rows: NDArray[np.intp], columns: NDArray[np.intp], marks: NDArray[np.uint16]) -> None:
        """Note different messages of words, as far as they are not known and there is need for more."""
        slots = self._marks.reshape(-1, MIN_MESSAGES)
        both = np.unique((rows * VOCABULARY + columns) << 16 | marks)
        cells, marks = both >> 16, (both & 0xFFFF).astype(np.uint16)
        new = ~(slots[cells] == marks[:, None]).any(axis=1)
        cells, marks = cells[new], marks[new]
        place = (slots[cells] > 0).sum(axis=1) + np.arange(len(cells)) - np.searchsorted(cells, cells)
        fits = place < MIN_MESSAGES
        slots[cells[fits], place[fits]] = marks[fits]

    def _totals(self) -> NDArray[np.float32]:
        return np.asarray(self._weights.sum(axis=1) + self._others, np.float32)

    def _everywhere(self) -> NDArray[np.float32]:
        return np.asarray(self._weights.sum(axis=0) + self._elsewhere, np.float32)

    def _scores(self) -> NDArray[np.float32]:
        """c-TF-IDF of each cluster and word; 0 for words from too few messages."""
        size = len(self._columns)
        totals = self._totals()
        rarity = np.log1p(totals.mean() / np.maximum(self._everywhere()[:size], 1e-9)) if len(totals) else 0
        frequency = self._weights[:, :size] / np.maximum(totals, 1e-9)[:, None]
        enough = self._marks[:, :size, -1] > 0
        return np.where(enough, frequency * rarity, 0).astype(np.float32)

    def _forget_rare_words(self) -> None:
        """Keep the heavier half of a full vocabulary, in its order."""
        vocabulary = list(self._columns)
        heavy = self._weights[:, : len(vocabulary)].sum(axis=0)
        needed = np.array([word in self.kept for word in vocabulary])
        keep = np.sort(np.lexsort((-heavy, ~needed))[: VOCABULARY // 2])
        self._columns = {vocabulary[old]: new for new, old in enumerate(keep.tolist())}
        self._weights, self._marks = _moved(self._weights, keep, 1), _moved(self._marks, keep, 1)
        self._elsewhere = _moved(self._elsewhere, keep, 0)


def _moved(counts: NDArray, keep: NDArray[np.intp], axis: int) -> NDArray:  # type: ignore[type-arg]
    """Only these columns, at the front."""
    moved = np.zeros_like(counts)
    front = (slice(None),) * axis + (slice(len(keep)),)
    moved[front] = counts.take(keep, axis=axis)
    return moved


def _mark_of(words: list[str]) -> int:
    """Of a message, 1 to 65535: two that share one by chance count as one, copies always do."""
    return 1 + zlib.crc32(" ".join(sorted(words)).encode("utf-8", "surrogatepass")) % 0xFFFF


def _best(scores: NDArray[np.float32]) -> list[int]:
    columns = np.flatnonzero(scores)
    best: list[int] = columns[np.argsort(-scores[columns], kind="stable")[:KEPT_WORDS]].tolist()
    return best
