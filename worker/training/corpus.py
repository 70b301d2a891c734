"""Labelled texts as training and evaluation see them, however they came."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from worker.errors import SettingsError

Split = Literal["train", "valid", "test"]
Kind = Literal["single", "multi"]

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_NAMED = 3  # labels named in one line
_MODULUS = 2**256


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its labels: one of `single` data, any number of `multi`."""

    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """All examples, by split. `labels` in a fixed order; `dropped` counts what was left out, by reason.

    `fingerprint` changes with any text, label or split. `notes` are lines for people on how the data was read.
    """

    kind: Kind
    labels: tuple[str, ...]
    train: tuple[Example, ...]
    valid: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: Mapping[str, int]
    fingerprint: str
    notes: tuple[str, ...] = ()

    def of(self, split: Split) -> tuple[Example, ...]:
        return {"train": self.train, "valid": self.valid, "test": self.test}[split]


def fingerprint(kind: Kind, splits: Mapping[Split, Iterable[Example]]) -> str:
    """64 hex digits; the order of the examples does not matter, how often one occurs does."""
    total = count = 0
    for split, examples in splits.items():
        for example in examples:
            packed = json.dumps([split, example.text, example.labels]).encode("ascii")
            total = (total + int.from_bytes(hashlib.sha256(packed).digest(), "big")) % _MODULUS
            count += 1
    return hashlib.sha256(f"{kind} {count} {total}".encode("ascii")).hexdigest()


def refuse_untrainable(corpus: Corpus) -> None:
    """Raises `SettingsError` where nothing could be learned, or a label could not."""
    everywhere = Counter(label for split in SPLITS for example in corpus.of(split) for label in example.labels)
    in_train = {label for example in corpus.train for label in example.labels}
    _refuse_too_few(corpus, everywhere)
    if not corpus.train:
        raise SettingsError("no example is in the split train; give more examples, or mark some of them train")
    _refuse_labels([x for x in corpus.labels if everywhere[x] < 2], "only one example", "2 or more")
    _refuse_labels([x for x in corpus.labels if x not in in_train], "no example in the split train", "some there")


def _refuse_too_few(corpus: Corpus, everywhere: Counter[str]) -> None:
    count = sum(len(corpus.of(split)) for split in SPLITS)
    if corpus.kind == "single" and len(corpus.labels) < 2:
        raise SettingsError(f"all {count} examples have one and the same label; give examples of at least two labels")
    if all(everywhere[label] == count for label in corpus.labels):
        what = "the same labels" if corpus.labels else "no label at all"
        raise SettingsError(f"all {count} examples have {what}; give examples with a label and without it")


def _refuse_labels(labels: list[str], what: str, needed: str) -> None:
    """The names are left out where they are many or long: then the column may well hold texts."""
    if not labels:
        return
    if len(labels) > _NAMED or any(len(label) > 40 for label in labels):
        raise SettingsError(
            f"{len(labels)} labels have {what}, and each needs {needed}: "
            "is it the right column? If so, give more examples or take those rows out"
        )
    named = ", ".join(map(repr, labels))
    subject, needs = (f"label {named} has", "needs") if len(labels) == 1 else (f"labels {named} have", "need")
    raise SettingsError(f"the {subject} {what} and {needs} {needed}: give more or take those rows out")
