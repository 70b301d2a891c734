"""Texts as a fine-tuning sees them: the engine's own token ids, in batches of texts that are about equally long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from worker.errors import SettingsError
from worker.model.tokens import Ids, Tokens
from worker.training.corpus import SPLITS, Corpus, Example, Kind

# Batches are cut from so many shuffled ones, sorted by length: little padding, and still chance enough.
POOL_BATCHES = 50


class Row(TypedDict):
    """A text: its token ids, and its labels as the loss wants them: a place if `single`, flags if `multi`.

    `text` is what it was made of.
    """

    input_ids: Ids
    labels: NDArray[np.int64] | NDArray[np.float32]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The texts of each split that can be tokenised, `unread` ones left out; `pad` is the token that fills up."""

    train: list[Row]
    valid: list[Row]
    test: list[Row]
    labels: tuple[str, ...]
    kind: Kind
    pad: int
    unread: int


def rows_of(corpus: Corpus, labels: tuple[str, ...], tokens: Tokens, pad: int) -> Rows:
    """Texts longer than the model reads are cut off, as at run time by default. Raises `SettingsError`."""
    train, valid, test = (_rows(tokens, corpus.of(split), labels, corpus.kind) for split in SPLITS)
    if not train:
        raise SettingsError("no text of the split train can be tokenised; check the column with the text")
    unread = sum(len(corpus.of(split)) for split in SPLITS) - len(train) - len(valid) - len(test)
    return Rows(train, _longest_first(valid), _longest_first(test), labels, corpus.kind, pad, unread)


def _rows(tokens: Tokens, examples: Sequence[Example], labels: Sequence[str], kind: Kind) -> list[Row]:
    tokenized = tokens([example.text for example in examples])
    places = {label: place for place, label in enumerate(labels)}
    return [
        Row(input_ids=windows[0], labels=_target(example.labels, places, kind), text=example.text)
        for windows, example in zip(tokenized.ids, examples, strict=True)
        if windows is not None
    ]


def _longest_first(rows: Sequence[Row]) -> list[Row]:
    """For passes in which the order does not matter: little padding, and what memory cannot hold shows at once."""
    return sorted(rows, key=lambda row: -len(row["input_ids"]))


class Padding:
    """Makes a batch of rows, padded on the right to the longest of them."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        ids = np.full((len(rows), longest), self._pad, np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row["input_ids"])] = row["input_ids"]
            mask[i, : len(row["input_ids"])] = 1
        labels = np.stack([row["labels"] for row in rows])
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }


class Batches(Sampler[list[int]]):
    """The batches of an epoch, by place; all of one epoch depends on `seed` and its number alone.

    So a training that goes on in the middle of an epoch meets exactly the texts that it has not met yet.
    """

    def __init__(self, lengths: Sequence[int], *, size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._size = size
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._size)

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng((self._seed, self.epoch))
        order, pool = draw.permutation(len(self._lengths)), POOL_BATCHES * self._size
        pools = (order[start : start + pool] for start in range(0, len(order), pool))
        alike = np.concatenate([part[np.argsort(-self._lengths[part], kind="stable")] for part in pools])
        cuts = [alike[start : start + self._size] for start in range(0, len(alike), self._size)]
        return iter([cuts[i].tolist() for i in draw.permutation(len(cuts))])


def _target(named: Sequence[str], places: dict[str, int], kind: Kind) -> NDArray[np.int64] | NDArray[np.float32]:
    if kind == "single":
        return np.asarray(places[named[0]], np.int64)
    flags = np.zeros(len(places), np.float32)
    flags[[places[name] for name in named]] = 1.0
    return flags
