"""The sets that are measured on, and what is asked of each (issue 6, "Measured")."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

from worker.training.columns import Columns
from worker.training.corpus import Corpus, Example
from worker.training.reading import read_corpus


@dataclass(frozen=True, slots=True)
class Set:
    """`goal` is the test accuracy that the recommended recipe has to reach; `tuned`: layers are trained on it, too."""

    name: str
    goal: float | None
    multilingual: bool = False
    tuned: bool = False


SETS = (
    Set("youtube_spam", 0.972, tuned=True),
    Set("sms_spam", 0.987, tuned=True),
    Set("spamassassin", 0.985),
    Set("hate_davidson", None),
    Set("germeval2018_de", 0.74, multilingual=True),
    Set("cold_zh", 0.80, multilingual=True),
    Set("banking77", 0.935, tuned=True),
)
QUICK = ("youtube_spam", "sms_spam", "spamassassin")
FEW = (32, 128, 512)


def read_set(folder: Path, name: str) -> Corpus:
    """With its own splits. Raises `SettingsError` where it is not there."""
    return read_corpus([folder / f"{name}.jsonl"], columns=Columns())


def few(corpus: Corpus, count: int, draw: int) -> Corpus | None:
    """With `count` texts to train on, one of each label at least, and a quarter as many to choose on.

    None where there are fewer texts, or more labels. The test part stays.
    """
    if len(corpus.labels) > count or len(corpus.train) < count:
        return None
    chance = random.Random(draw)
    train, valid = (chance.sample(part, len(part)) for part in (corpus.train, corpus.valid))
    one_each: dict[tuple[str, ...], Example] = {}
    for example in train:
        one_each.setdefault(example.labels, example)
    chosen = set(map(id, one_each.values()))
    others = [example for example in train if id(example) not in chosen]
    drawn = (*one_each.values(), *others[: count - len(one_each)])
    return replace(corpus, train=drawn, valid=tuple(valid[: count // 4]))
